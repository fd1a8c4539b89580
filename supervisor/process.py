"""Starting a child, and leaving nothing of it behind. Linux."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from supervisor.evidence import ExitStatus
from supervisor.exitcodes import ExitCode
from supervisor.pseudoterminal import PseudoTerminal

ID_VARIABLE = "SUPERVISE_ID"  # inherited by every descendant, however it detaches itself
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37  # <linux/prctl.h>
_POLL_S = 0.01


class StartFailed(Exception):
    """The command could not be started. `exit_code` is the shell's: 127 not found, 126 not executable."""

    def __init__(self, command: str, error: OSError) -> None:
        missing = isinstance(error, FileNotFoundError)
        self.exit_code = ExitCode.NOT_FOUND if missing else ExitCode.NOT_EXECUTABLE
        what = "there is no such command" if missing else error.strerror
        super().__init__(f"cannot start {command!r}: {what}")


class Child:
    """A started command, leader of a session of its own.

    A session, at a terminal too: the child may still read from it, and what the keyboard says (Ctrl-C, Ctrl-Z)
    comes to us, who pass it on and can do more when the child does not answer.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], terminal: PseudoTerminal | None) -> None:
        """Start it, its output going to the terminal if one is given, else into two pipes. Raises StartFailed."""
        target = subprocess.PIPE if terminal is None else terminal.child_end
        try:
            self._popen = subprocess.Popen(
                command,
                stdout=target,
                stderr=target,
                env=dict(environment),
                start_new_session=True,
            )
        except OSError as error:
            raise StartFailed(command[0], error) from error
        self.pid = self._popen.pid
        self._pidfd = os.pidfd_open(self.pid)
        self.memory_peak_bytes = 0

    @property
    def pipes(self) -> tuple[IO[bytes], ...]:
        """The reading ends of its standard output and standard error; none when it has a terminal."""
        return tuple(pipe for pipe in (self._popen.stdout, self._popen.stderr) if pipe is not None)

    def fileno(self) -> int:
        """For select(): readable once the leader is dead."""
        return self._pidfd

    def signal_leader(self, number: int) -> None:
        """Signal the leader alone; harmless when it is dead."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def signal_group(self, number: int) -> None:
        """Signal the whole group. Only until reap(): the unreaped leader keeps its number from being reused."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def is_stopped(self) -> bool:
        """Whether the leader was stopped (SIGSTOP)."""
        return state(self.pid) == "T"

    def wait_dead(self) -> None:
        """Wait for the leader's death without collecting it."""
        with suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOWAIT)

    def reap(self) -> ExitStatus:
        """How the leader ended. Call it once fileno() is readable."""
        _, status, usage = os.wait4(self.pid, 0)
        code = self._popen.returncode = os.waitstatus_to_exitcode(status)
        self.memory_peak_bytes = usage.ru_maxrss * 1024  # of the leader, or of the largest child it waited for
        os.close(self._pidfd)
        return ExitStatus(code=code) if code >= 0 else ExitStatus(signal=-code, core_dumped=os.WCOREDUMP(status))

    def close_pipes(self) -> None:
        """Stop listening."""
        for pipe in self.pipes:
            pipe.close()


@contextmanager
def subreaper() -> Iterator[None]:
    """Become the parent of every orphaned descendant, so that none can get away unseen."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int(0)
    libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)


def sweep_children(is_ours: Callable[[int], bool], grace_s: float) -> int:
    """End every child of this process that `is_ours`: SIGTERM, `grace_s` seconds, SIGKILL. Returns how many.

    With subreaper() these are what the leader left behind; killing one may bring its own children to us.
    """
    seen: set[int] = set()
    deadline_s = time.monotonic() + grace_s
    while found := reap_dead(pid for pid in own_children() if pid in seen or is_ours(pid)):
        late = time.monotonic() >= deadline_s
        for pid in found if late else found - seen:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)
        seen |= found
        if time.monotonic() >= deadline_s + grace_s + 5:
            break  # not even SIGKILL ends a process that hangs inside the kernel
        time.sleep(_POLL_S)
    return len(seen)


def reap_dead(pids: Iterable[int]) -> set[int]:
    """Collect those that are dead, by PID (a stolen status would make a crash read as success); the rest live."""
    alive = set()
    for pid in pids:
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                alive.add(pid)
    return alive


def own_children() -> list[int]:
    """The processes whose parent we are."""
    children: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            children += map(int, (task / "children").read_text().split())
    return children


def state(pid: int) -> str:
    """The letter of proc(5): R, S, D, Z, T, t …; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def carries(pid: int, supervise_id: str) -> bool:
    """Whether the process was started, at whatever distance, by the supervisor with this id."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{ID_VARIABLE}={supervise_id}".encode() in environment.split(b"\0")


def find_by_id(supervise_id: str) -> list[int]:
    """All living processes that a supervisor started. Works after its death, and is not fooled by reused PIDs."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and carries(pid, supervise_id) and state(pid) not in {"", "Z"}]


def end_leftovers(supervise_id: str, grace_s: float) -> int:
    """End what a dead supervisor left running, SIGTERM first so that it can save its work. Returns how many."""
    ended: set[int] = set()
    deadline_s = time.monotonic() + grace_s
    while found := find_by_id(supervise_id):
        late = time.monotonic() >= deadline_s
        for pid in found:
            if late or pid not in ended:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
                    os.kill(pid, signal.SIGCONT)
        ended |= set(found)
        if time.monotonic() >= deadline_s + 5:
            break
        time.sleep(_POLL_S * 5)
    return len(ended)
