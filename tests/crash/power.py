"""Which states a power failure may leave on the disk, computed from what a writer asked the kernel for.

After Pillai et al., "All File Systems Are Not Created Equal" (OSDI '14). Assumed is only what POSIX promises: what
fsync(2) returned for is on the disk; anything else is there or not, in any order, sector by sector; a name is on the
disk once its folder was synced.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.crash.power_trace import FOLDER, Change, Naming, Step, Sync

SECTOR_BYTES = 512


@dataclass
class _Pending:
    """A file or a folder: what is on the disk for certain, then each state that it had in memory since."""

    durable: bytes = b""
    since: list[tuple[int, bytes]] = field(default_factory=list)

    def sync(self, began: int) -> None:
        while self.since and self.since[0][0] < began:
            self.durable = self.since.pop(0)[1]

    @property
    def versions(self) -> list[bytes]:
        return [self.durable, *(data for _, data in self.since)]


@dataclass
class Disk:
    """What is certain and what is possible at one moment of a recording."""

    files: dict[int, _Pending] = field(default_factory=dict)
    names: dict[str, dict[str, int | None]] = field(default_factory=dict)  # per folder, durable
    renamed: dict[str, list[tuple[int, Mapping[str, int | None]]]] = field(default_factory=dict)

    @classmethod
    def holding(cls, before: Mapping[str, bytes]) -> Disk:
        """Everything in these files is on the disk."""
        disk = cls()
        for inode, (path, content) in enumerate(before.items()):
            disk.files[inode] = _Pending(content)
            folder, _, name = path.rpartition("/")
            disk.names.setdefault(folder, {})[name] = inode
            while folder:
                folder, _, name = folder.rpartition("/")
                disk.names.setdefault(folder, {})[name] = FOLDER
        return disk

    def apply(self, number: int, step: Step) -> None:
        """One step further."""
        if isinstance(step, Change):
            self.files.setdefault(step.inode, _Pending()).since.append((number, step.data))
        elif isinstance(step, Naming):
            self.renamed.setdefault(step.folder, []).append((number, step.names))
        elif isinstance(step, Sync) and isinstance(step.target, int):
            self.files.setdefault(step.target, _Pending()).sync(step.began)
        elif isinstance(step, Sync):
            pending = self.renamed.get(str(step.target), [])
            while pending and pending[0][0] < step.began:
                self.names.setdefault(str(step.target), {}).update(pending.pop(0)[1])

    def states(self, limit: int, seed: int) -> Iterator[dict[str, bytes]]:
        """Different states of the whole folder, at most `limit`: the telling ones first, then random ones."""
        rng = random.Random(seed)
        seen: set[int] = set()
        telling = itertools.chain(self._telling(rng), (self._random(rng) for _ in range(2 * limit)))
        for state in telling:
            key = hash(tuple(sorted(state.items())))
            if key not in seen:
                seen.add(key)
                yield state
            if len(seen) >= limit:
                return

    def _telling(self, rng: random.Random) -> Iterator[dict[str, bytes]]:
        """Everything there, or nothing; then one file or folder that is otherwise than the rest."""
        latest = {inode: file.versions[-1] for inode, file in self.files.items()}
        durable = {inode: file.durable for inode, file in self.files.items()}
        everywhere = {folder: list(range(len(pending))) for folder, pending in self.renamed.items()}
        yield self._assemble(latest, everywhere)
        yield self._assemble(durable, {})
        yield self._assemble(durable, everywhere)
        yield self._assemble(latest, {})
        others = [({**latest, inode: image}, everywhere) for inode in self.files for image in self._images(inode)]
        others += [({**durable, inode: image}, everywhere) for inode in self.files for image in self._images(inode)]
        for folder, chosen in everywhere.items():
            less = [chosen[:at] for at in chosen] + [chosen[:at] + chosen[at + 1 :] for at in chosen]
            others += [(latest, {**everywhere, folder: some}) for some in less]
        rng.shuffle(others)
        for images, chosen_names in others:
            yield self._assemble(images, chosen_names)

    def _random(self, rng: random.Random) -> dict[str, bytes]:
        images = {inode: _mixed(file.versions, rng) for inode, file in self.files.items()}
        chosen = {
            folder: [at for at in range(len(pending)) if rng.random() < 0.7] for folder, pending in self.renamed.items()
        }
        return self._assemble(images, chosen)

    def _images(self, inode: int) -> Iterator[bytes]:
        versions = self.files[inode].versions
        if len(versions) > 1:
            yield from versions
            yield from _torn(versions[0], versions[-1])

    def _assemble(self, images: Mapping[int, bytes], chosen: Mapping[str, Sequence[int]]) -> dict[str, bytes]:
        """The files that can be reached from the top."""
        state: dict[str, bytes] = {}
        folders = [""]
        while folders:
            folder = folders.pop()
            names = dict(self.names.get(folder, {}))
            for at in chosen.get(folder, ()):
                names.update(self.renamed[folder][at][1])
            for name, inode in names.items():
                path = f"{folder}/{name}".lstrip("/")
                if inode == FOLDER:
                    folders.append(path)
                elif inode is not None:
                    state[path] = images.get(inode, b"")
        return state


def _sectors(versions: Sequence[bytes]) -> list[int]:
    """Where a sector is not the same in all of them."""
    size = max(map(len, versions))
    return [
        at
        for at in range(0, size, SECTOR_BYTES)
        if len({each[at : at + SECTOR_BYTES].ljust(SECTOR_BYTES, b"\0") for each in versions}) > 1
    ]


def _torn(old: bytes, new: bytes) -> Iterator[bytes]:
    """Two versions of a file mixed at one sector: the beginning of one, or all but one sector of it."""
    size = max(len(old), len(new))
    padded = old.ljust(size, b"\0"), new.ljust(size, b"\0")
    changed = _sectors([old, new])
    yield padded[0][: len(new)]  # the size without the data
    for at in changed:
        end = at + SECTOR_BYTES
        for first, second in (padded, padded[::-1]):
            yield (first[:at] + second[at:])[: len(new)]
            yield (first[:at] + second[at:end] + first[end:])[: len(new)]
        if at >= len(old):
            yield (padded[1][:at] + _stale(at) + padded[1][end:])[: len(new)]


def _mixed(versions: Sequence[bytes], rng: random.Random) -> bytes:
    """Each sector of any version, or of whatever the disk held there before; a size of any version."""
    size = len(rng.choice(versions))
    if len(versions) == 1 or rng.random() < 0.2:
        return rng.choice(versions)
    picked = sorted(rng.sample(range(len(versions)), 2)) if rng.random() < 0.5 else list(range(len(versions)))
    image = bytearray(rng.choice(versions).ljust(size, b"\0")[:size])
    for at in _sectors(versions):
        fresh = at >= len(versions[0]) and rng.random() < 0.1
        source = _stale(at) if fresh else versions[rng.choice(picked)][at : at + SECTOR_BYTES]
        image[at : at + SECTOR_BYTES] = source.ljust(SECTOR_BYTES, b"\0")
    return bytes(image[:size])


def _stale(at: int) -> bytes:
    """What a file that was deleted long ago may have left: it passes for text, even for JSON."""
    return (b"%d stale " % at * SECTOR_BYTES)[:SECTOR_BYTES]
