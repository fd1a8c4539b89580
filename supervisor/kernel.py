"""What the kernel knows of a child's end: its memory cgroup's counter of kills, and its log.

https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.events), https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
(memory.oom_control), https://docs.kernel.org/admin-guide/devices.html (/dev/kmsg)
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from supervisor.evidence import KernelView

_KMSG = "/dev/kmsg"
_RECORD_BYTES = 8192
_MOST_LINES = 8
_OOM_KILL = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_TOLD = re.compile(r"[Kk]illed process|oom-kill:|segfault at|general protection|trap |NVRM: Xid|oom_reaper")


@dataclass(frozen=True)
class MemoryCgroup:
    """A memory cgroup: the file that counts its kills, and the path that the kernel's log calls it by."""

    counter: Path
    name: str

    def kills(self) -> int | None:
        """How many processes the kernel has killed in it for want of memory; None where it does not count them."""
        try:
            found = _OOM_KILL.search(self.counter.read_text())
        except OSError:
            return None
        return int(found[1]) if found else None


def memory_cgroup(
    pid: int | str, proc: Path = Path("/proc"), root: Path = Path("/sys/fs/cgroup")
) -> MemoryCgroup | None:
    """The memory cgroup that a process is in, of either version; None where there is none to be seen."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, name = line.split(":", 2)
        inside = name.removesuffix(" (deleted)").lstrip("/")
        if "memory" in controllers.split(","):
            counter = root / "memory" / inside / "memory.oom_control"
        elif not controllers:
            counter = root / inside / "memory.events"
        else:
            continue
        if counter.exists():
            return MemoryCgroup(counter, f"/{inside}")
    return None


class KernelWatch:
    """Watches one child from its start on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cgroup = memory_cgroup(pid)
        self._before = self._cgroup.kills() if self._cgroup else None
        self._log = -1
        with suppress(OSError):  # most users may not read it
            self._log = os.open(_KMSG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._log, 0, os.SEEK_END)

    def look(self) -> None:
        """Once in a while: the child may have gone into a cgroup of its own. A zombie is in none any more."""
        cgroup = memory_cgroup(self._pid)
        if cgroup is not None and cgroup != self._cgroup:
            self._cgroup, self._before = cgroup, cgroup.kills()

    def view(self) -> KernelView:
        """What was counted and said since the start."""
        cgroup = self._cgroup
        after = cgroup.kills() if cgroup else None
        rise = 0 if after is None or self._before is None else max(0, after - self._before)
        own = memory_cgroup("self")
        shared = cgroup is None or (own is not None and own.counter == cgroup.counter)
        return KernelView(rise, shared, tuple(self._lines({cgroup.name} if cgroup and cgroup.name != "/" else set())))

    def close(self) -> None:
        """Stop watching."""
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    def _lines(self, cgroups: set[str]) -> list[str]:
        """The records that name our child or its cgroup, and those of the GPU's driver."""
        if self._log < 0:
            return []
        found: list[str] = []
        is_ours = re.compile(rf"\b{self._pid}\b")
        while len(found) < _MOST_LINES:
            try:
                record = os.read(self._log, _RECORD_BYTES).decode(errors="replace")
            except BlockingIOError:
                break
            except OSError:  # EPIPE: some were overwritten before we read them
                continue
            text = record.partition(";")[2].split("\n", 1)[0]
            named = is_ours.search(text) or any(f"={name}," in text or f"={name}/" in text for name in cgroups)
            if _TOLD.search(text) and (named or "NVRM: Xid" in text):
                found.append(text)
        return found
