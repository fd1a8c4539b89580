"""What the tests of models and of the hub share."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

LIMIT_S = 15.0  # what a user may have to wait until a missing hub is reported
README = """---
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: main/test-*
---
# GSM8K
"""

_RESOLVE = """
import json, sys
from evaluate.errors import EvaluateError
from evaluate.models.resolve import resolve_model
try:
    files = resolve_model(sys.argv[1], lambda text: None)
    print(json.dumps({"folder": str(files.folder), "source": files.source, "sha256": files.sha256, "error": ""}))
except EvaluateError as error:
    print(json.dumps({"folder": "", "source": "", "sha256": "", "error": str(error)}))
"""


@dataclass(frozen=True)
class Resolved:
    folder: str
    source: str
    sha256: str
    error: str
    seconds: float


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str
    seconds: float

    @property
    def sentences(self) -> list[str]:
        """What `evaluate` itself said last, as opposed to the libraries."""
        return [line for line in self.err.splitlines() if line.startswith("evaluate: ")]


def resolve(name: str, environment: dict[str, str], cwd: Path = ROOT) -> Resolved:
    """`resolve_model` in a process of its own: Hugging Face's libraries read their settings at import."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _RESOLVE, name],
        env=environment, cwd=cwd, text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Resolved(**json.loads(done.stdout.splitlines()[-1]), seconds=time.monotonic() - started)


def evaluate(environment: dict[str, str], cwd: Path, *arguments: str) -> Ended:
    """`python -m evaluate`, two samples of four tokens."""
    common = ["--limit", "2", "-f", "0", "--max-new-tokens", "4"]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "evaluate", *arguments, *common],
        env=environment, cwd=cwd, text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


def copy_of(folder: Path, to: Path, *left_out: str) -> Path:
    shutil.copytree(folder, to)
    for name in left_out:
        (to / name).unlink()
    return to


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def flip_byte(path: Path, at: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def gsm8k_repo(folder: Path) -> Path:
    """A dataset repository in the form of openai/gsm8k: parquet files, named by the card's YAML."""
    from datasets import Dataset

    (folder / "main").mkdir(parents=True)
    (folder / "README.md").write_text(README)
    for split in ("train", "test"):
        rows = [{"question": f"{split}: {n} + 1?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1}"} for n in range(6)]
        Dataset.from_list(rows).to_parquet(folder / "main" / f"{split}-00000-of-00001.parquet")
    return folder


@contextmanager
def mute_server() -> Iterator[str]:
    """The address of a server that accepts every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def refused_address() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"
