"""The default model's conversion with a few bytes in place of 93 MB; also a program: standin.py CACHE [DELAY_S]."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from evaluate.models import default
from evaluate.models.digest import Digests

CONTENT = b"the weights, as GGUF"
PARTS = {"config.json": b"{}", "model.safetensors": b"weights" * 1000, "tokenizer.json": b"{}"}


@dataclass(frozen=True)
class StandIn:
    """One line in `conversions` for each that began; a conversion takes `delay_s` between its files."""

    cache: Path
    delay_s: float = 0.0
    content: bytes = CONTENT

    @property
    def target(self) -> Path:
        return self.cache / "models" / f"SmolLM2-135M-Instruct-{hashlib.sha256(CONTENT).hexdigest()[:8]}-float32"

    @property
    def conversions(self) -> int:
        log = self.cache / "conversions"
        return len(log.read_text().splitlines()) if log.exists() else 0

    @property
    def strays(self) -> list[Path]:
        return list(self.target.parent.glob(".making-*"))

    @property
    def is_whole(self) -> bool:
        return all((self.target / name).read_bytes() == content for name, content in PARTS.items())

    def provide(self, say: Callable[[str], None] = lambda text: None) -> Path:
        with self.installed():
            return default.provide(Digests(self.cache), say)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        sha256 = hashlib.sha256(CONTENT).hexdigest()
        with mock.patch.multiple(default, _find_gguf=self._find, _convert=self._convert, GGUF_SHA256=sha256):
            yield

    def _find(self, work: Path, _say: Callable[[str], None]) -> Path:
        found = work / "standin.gguf"
        found.write_bytes(self.content)
        return found

    def _convert(self, _gguf: Path, made: Path) -> None:
        made.mkdir()
        with (self.cache / "conversions").open("a") as log:
            log.write("began\n")
        for name, content in PARTS.items():
            (made / name).write_bytes(content)
            time.sleep(self.delay_s)


if __name__ == "__main__":
    StandIn(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0).provide()
    print(time.monotonic())
