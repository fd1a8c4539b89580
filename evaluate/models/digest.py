"""What a model is, by content: the SHA-256 of each file, computed once and remembered as long as the file stands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import orjson

from checkpoints.atomic import replace_file

_REMEMBERED = "digests.json"


class Digests:
    """SHA-256 of files. A file whose size, times and inode are unchanged is not read again, as in git's index."""

    def __init__(self, cache: Path) -> None:
        self.folder = cache
        self._path = cache / _REMEMBERED
        self._known: dict[str, list[object]] = {}
        with suppress(OSError, orjson.JSONDecodeError):
            known = orjson.loads(self._path.read_bytes())
            self._known = known if isinstance(known, dict) else {}

    def of_file(self, path: Path) -> str:
        """In hex. Raises OSError."""
        real = path.resolve()
        stat = real.stat()
        stamp: list[object] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._known.get(str(real))
        if isinstance(known, list) and known[:-1] == stamp:
            return str(known[-1])
        with real.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._known[str(real)] = [*stamp, digest]
        return digest

    def of_files(self, folder: Path, names: Iterable[str]) -> str:
        """One digest over several files and their names, whatever folder they lie in."""
        lines = "".join(f"{self.of_file(folder / name)}  {name}\n" for name in sorted(names))
        return hashlib.sha256(lines.encode()).hexdigest()

    def remember(self) -> None:
        """Save what was computed. A cache that cannot be written only costs time."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, orjson.dumps(self._known), shared=True)
