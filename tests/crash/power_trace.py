"""What a process did to the files below one folder, read from a trace of its system calls."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_CALLS = (
    "openat,close,write,pwrite64,writev,pwritev,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,sendfile,copy_file_range,dup,dup2,dup3"
)
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
_RESULT = re.compile(r"(.*)\) += (\S+?)(?:<.*)?(?: .*)?$")
_PLAIN_NAMES = {"renameat": "rename", "renameat2": "rename", "linkat": "link", "unlinkat": "unlink", "mkdirat": "mkdir"}
MARKS = "marks"  # below the folder, too: what the process writes here is about itself


# What the kernel was asked


@dataclass(frozen=True)
class Call:
    """One system call that succeeded. `began` is how many had returned when it was made."""

    name: str
    arguments: tuple[str, ...]
    result: int
    began: int

    @classmethod
    def made(cls, name: str, arguments: Sequence[str], result: int, began: int) -> Call:
        """With the plain name of its kind: absolute paths mean the same to rename(2) and to renameat(2)."""
        if name in _PLAIN_NAMES:
            arguments = [each for each in arguments if each.startswith('"')]
        return cls(_PLAIN_NAMES.get(name, name), tuple(arguments), result, began)

    def path(self, at: int) -> str:
        """The argument as a path (or as the bytes written, in Latin-1)."""
        return _text(self.arguments[at]).decode("latin-1")


def trace(command: Sequence[str], output: Path, *, cwd: Path, timeout: float) -> list[Call]:
    """Run a command to its end under strace. Raises CalledProcessError."""
    strace = ["strace", "-f", "-y", "-xx", "-s", "100000", "-e", "signal=none", "-e", f"trace={_CALLS}"]
    subprocess.run(
        [*strace, "-o", str(output), *command], cwd=cwd, timeout=timeout, check=True, stderr=subprocess.PIPE, text=True
    )
    return list(parse(output.read_text().splitlines()))


def parse(lines: Sequence[str]) -> Iterator[Call]:
    """The calls in the order in which they returned."""
    under_way: dict[str, tuple[str, int]] = {}
    returned = 0
    for line in lines:
        if (match := _LINE.match(line)) is None:
            continue
        thread, resumed, name, rest = match.groups()
        if rest.endswith("<unfinished ...>"):
            under_way[thread] = (rest.removesuffix("<unfinished ...>"), returned)
            continue
        beginning, began = under_way.pop(thread) if resumed else ("", returned)
        if (ended := _RESULT.match(beginning + rest)) is None or not ended[2].isdigit():
            continue  # it failed, and changed nothing
        yield Call.made(resumed or name, ended[1].strip().split(", "), int(ended[2]), began)
        returned += 1


def _text(argument: str) -> bytes:
    return bytes.fromhex(argument.strip('"').replace("\\x", ""))


def _descriptor(argument: str) -> int:
    return int(argument.partition("<")[0])


# What that means for one folder


@dataclass(frozen=True)
class Change:
    """A file becomes `data` in memory; nothing is known of the disk yet."""

    inode: int
    data: bytes


@dataclass(frozen=True)
class Naming:
    """Names in one folder that now mean these inodes, or nothing."""

    folder: str
    names: Mapping[str, int | None]


@dataclass(frozen=True)
class Sync:
    """What the inode held, or the folder named, before call number `began` is on the disk from here on."""

    target: int | str
    began: int


@dataclass(frozen=True)
class Mark:
    """What the writer said about itself here."""

    text: str


Step = Change | Naming | Sync | Mark


@dataclass
class Recording:
    """The steps below one folder, each with the number of its call; and what was there before, durably."""

    before: Mapping[str, bytes]
    steps: list[tuple[int, Step]] = field(default_factory=list)


FOLDER = -1  # stands for a folder where an inode is expected


class _Kernel:
    """Follows the descriptors and the bytes in memory, as the kernel would."""

    def __init__(self, root: str, before: Mapping[str, bytes]) -> None:
        self.root = root + "/"
        self.steps: list[tuple[int, Step]] = []
        self.data: dict[int, bytearray] = {}
        self.names: dict[str, int] = {}
        self._open: dict[int, tuple[int | str, int, bool]] = {}  # the inode or folder, position, appending
        self._locks: set[int] = set()
        for path, content in before.items():
            self.names[path] = self._new(content)

    def follow(self, number: int, call: Call) -> None:
        act = getattr(self, f"_{call.name}", None)
        steps = act(call) if act else self._other(call)
        self.steps.extend((number, step) for step in steps)

    def _new(self, content: bytes = b"") -> int:
        self.data[len(self.data)] = bytearray(content)
        return len(self.data) - 1

    def _inside(self, path: str) -> str | None:
        return path.removeprefix(self.root) if path.startswith(self.root) else None

    def _openat(self, call: Call) -> list[Step]:
        full, flags = call.path(1), call.arguments[2]
        self._open.pop(call.result, None)
        if full == self.root + MARKS:
            self._open[call.result] = (MARKS, 0, True)
            return []
        path = self._inside(full)
        if "O_DIRECTORY" in flags and (path is not None or full + "/" == self.root):
            self._open[call.result] = (path or "", 0, False)
            return []
        if path is None or (path not in self.names and "O_CREAT" not in flags):
            return []
        steps: list[Step] = []
        if path not in self.names:
            self.names[path] = self._new()
            steps.append(_naming({path: self.names[path]})[0])
        inode = self.names[path]
        if path.endswith(".lock"):
            self._locks.add(inode)
        if "O_TRUNC" in flags and self.data[inode]:
            steps += self._set(inode, bytearray())
        self._open[call.result] = (inode, 0, "O_APPEND" in flags)
        return steps

    def _close(self, call: Call) -> list[Step]:
        self._open.pop(_descriptor(call.arguments[0]), None)
        return []

    def _set(self, inode: int, data: bytearray) -> list[Step]:
        self.data[inode] = data
        # What a lock file says is for people: no state worth trying.
        return [] if inode in self._locks else [Change(inode, bytes(data))]

    def _write(self, call: Call) -> list[Step]:
        number = _descriptor(call.arguments[0])
        target, position, appending = self._open.get(number, (None, 0, False))
        data = _text(call.arguments[1])[: call.result]
        if target == MARKS:
            return [Mark(line) for line in data.decode().splitlines()]
        if not isinstance(target, int):
            return []
        at = len(self.data[target]) if appending else position
        self._open[number] = (target, at + len(data), appending)
        return self._put(target, at, data)

    def _pwrite64(self, call: Call) -> list[Step]:
        target = self._open.get(_descriptor(call.arguments[0]), (None,))[0]
        if not isinstance(target, int):
            return []
        return self._put(target, int(call.arguments[3]), _text(call.arguments[1])[: call.result])

    def _put(self, inode: int, at: int, data: bytes) -> list[Step]:
        whole = bytearray(self.data[inode].ljust(at, b"\0"))
        whole[at : at + len(data)] = data
        return self._set(inode, whole)

    def _ftruncate(self, call: Call) -> list[Step]:
        target, size = self._open.get(_descriptor(call.arguments[0]), (None,))[0], int(call.arguments[1])
        if not isinstance(target, int):
            return []
        return self._set(target, bytearray(self.data[target][:size].ljust(size, b"\0")))

    def _fsync(self, call: Call) -> list[Step]:
        target = self._open.get(_descriptor(call.arguments[0]), (None,))[0]
        return [] if target in {None, MARKS} else [Sync(target, call.began)]

    _fdatasync = _fsync  # the size of a file is data too

    def _rename(self, call: Call) -> list[Step]:
        source, target = (self._inside(call.path(at)) for at in (0, 1))
        if source is None or target is None:
            return self._other(call)
        inode = self.names.pop(source)
        self.names[target] = inode
        return _naming({source: None, target: inode})

    def _link(self, call: Call) -> list[Step]:
        source, target = (self._inside(call.path(at)) for at in (0, 1))
        if source is None or target is None:
            return self._other(call)
        self.names[target] = self.names[source]
        return _naming({target: self.names[source]})

    def _unlink(self, call: Call) -> list[Step]:
        path = self._inside(call.path(0))
        if path is None:
            return self._other(call)
        self.names.pop(path)
        return _naming({path: None})

    def _mkdir(self, call: Call) -> list[Step]:
        path = self._inside(call.path(0))
        return _naming({path: FOLDER}) if path is not None else self._other(call)

    def _other(self, call: Call) -> list[Step]:
        """Something that this model knows nothing of must not touch the run unnoticed."""
        about = "".join(_shown(each) for each in call.arguments)
        if self.root in about:
            raise NotImplementedError(f"{call.name}({about})")
        return []


def _shown(argument: str) -> str:
    return bytes.fromhex("".join(re.findall(r"\\x(..)", argument))).decode("latin-1")


def _naming(names: Mapping[str, int | None]) -> list[Step]:
    """One step for each folder in which names change; nearly always one."""
    folders: dict[str, dict[str, int | None]] = {}
    for path, inode in names.items():
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, {})[name] = inode
    return [Naming(folder, inside) for folder, inside in folders.items()]


def recording(calls: Sequence[Call], root: Path, before: Mapping[str, bytes]) -> Recording:
    """What the calls did below `root`, where these files were before. Raises AssertionError when files disagree."""
    kernel = _Kernel(str(root), before)
    for number, call in enumerate(calls):
        kernel.follow(number, call)
    found = {path: bytes(kernel.data[inode]) for path, inode in kernel.names.items()}
    assert found == files_below(root), "the trace does not explain the files"
    return Recording(before, kernel.steps)


def files_below(root: Path) -> dict[str, bytes]:
    """Every file below a folder, the writer's marks left out."""
    paths = [path for path in root.rglob("*") if path.is_file() and path != root / MARKS]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}
