"""The store's own thread: what is to be done soon, though nobody calls."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

CATCH_UP_S = 0.05  # waking is dear for a loop that records as fast as it can: both want the interpreter


class Keeper:
    """A thread that sleeps until it is woken, or until the moment that its work asked for."""

    def __init__(self, work: Callable[[], float | None]) -> None:
        self._work = work
        self._pid = os.getpid()
        self._wanted = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.coming = False  # guarded by the mutex that the work takes; it sets it back

    @property
    def ended(self) -> bool:
        """Whether the thread was told to end."""
        return self._ended.is_set()

    def wake(self) -> None:
        """Have the work done within 50 ms. Needless while it is `coming`. The mutex is held."""
        self.coming = True
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
            thread.start()
            self._thread = thread
        self._wanted.set()

    def stop(self) -> None:
        """Return when the thread has ended."""
        self._ended.set()
        self._wanted.set()
        if self._thread is not None and self._pid == os.getpid():  # a forked child has no such thread
            self._thread.join()

    def _run(self) -> None:
        wait_s: float | None = None
        while not self.ended:
            if self._wanted.wait(wait_s):
                self._wanted.clear()
                self._ended.wait(CATCH_UP_S)
            if not self.ended:
                wait_s = self._work()
