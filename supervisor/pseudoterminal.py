"""A terminal for the child, where we have one ourselves: programs colour, buffer and draw by whether there is one."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from contextlib import suppress
from types import TracebackType
from typing import Self


class PseudoTerminal:
    """For the child's output only: what is typed comes to it as before.

    The line discipline is told to leave the output alone, so that a newline stays one in the raw log.
    """

    def __init__(self) -> None:
        self._ours, self.child_end = pty.openpty()
        os.set_inheritable(self._ours, False)
        attributes = termios.tcgetattr(self.child_end)
        attributes[1] &= ~termios.OPOST
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(self.child_end, termios.TCSANOW, attributes)

    def fileno(self) -> int:
        """Our end."""
        return self._ours

    def resize(self, size: os.terminal_size) -> None:
        """Tell the child how large its screen is."""
        with suppress(OSError):
            fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", size.lines, size.columns, 0, 0))

    def close_child_end(self) -> None:
        """Once the child has it: else its end would never be told."""
        if self.child_end >= 0:
            os.close(self.child_end)
            self.child_end = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_child_end()
        os.close(self._ours)
