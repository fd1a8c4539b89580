"""`python -m checkpoints compress`, and what a manager keeps when it closes."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
from pathlib import Path

import pytest

from checkpoints import CheckpointManager, Record
from checkpoints import compress as packing
from checkpoints.layout import RunLayout
from checkpoints.retention import Retention, apply
from tests.checkpoints.support import make_run, python, start
from tests.checkpoints.test_lock import HOLD


def compress(run: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "checkpoints", "compress", run, *options)


def finished(directory: Path, samples: int = 40) -> CheckpointManager:
    return make_run(directory, *range(samples), total=samples)


def as_read(manager: CheckpointManager) -> list[int]:
    return [record.idx for record in CheckpointManager(manager.layout.root.parent, "r").records()]


def test_a_finished_run_is_packed_and_every_reader_finds_the_same(tmp_path: Path) -> None:
    run = finished(tmp_path)
    data, stats = run.layout.results.read_bytes(), run.get_statistics()
    done = compress(run.layout.root)
    assert (done.returncode, done.stdout) == (0, "")
    assert not run.layout.results.exists()
    assert gzip.decompress(run.layout.compressed.read_bytes()) == data
    assert subprocess.run(["gzip", "-t", run.layout.compressed], check=False).returncode == 0
    assert CheckpointManager(tmp_path, "r").get_statistics() == stats
    assert as_read(run) == list(range(40))
    shown = python("-m", "checkpoints", "status", run.layout.root, "--json")
    assert json.loads(shown.stdout)[0]["statistics"]["samples_processed"] == 40
    assert python("-m", "checkpoints", "verify", run.layout.root).returncode == 0


def test_undo_gives_the_same_bytes_back(tmp_path: Path) -> None:
    run = finished(tmp_path)
    data = run.layout.results.read_bytes()
    assert compress(run.layout.root).returncode == 0
    again = compress(run.layout.root)
    assert (again.returncode, "compressed already" in again.stderr) == (0, True)
    assert compress(run.layout.root, "--undo").returncode == 0
    assert (run.layout.results.read_bytes(), run.layout.compressed.exists()) == (data, False)
    again = compress(run.layout.root, "--undo")
    assert (again.returncode, "plain already" in again.stderr) == (0, True)


def test_opening_a_compressed_run_does_not_start_a_log_that_hides_it(tmp_path: Path) -> None:
    run = finished(tmp_path)
    assert compress(run.layout.root).returncode == 0
    with CheckpointManager(tmp_path, "r").open(total_samples=40) as again:
        assert again.is_completed(39)
    assert not run.layout.results.exists()
    assert as_read(run) == list(range(40))


def test_what_may_not_be_packed_is_refused_in_one_line(tmp_path: Path) -> None:
    stopped = make_run(tmp_path, 0, total=2)
    done = compress(stopped.layout.root)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "is not finished" in done.stderr
    assert stopped.layout.results.exists()
    done = compress(tmp_path / "nowhere")
    assert (done.returncode, done.stderr) == (1, f"checkpoints: there is no run at {tmp_path / 'nowhere'}\n")


def test_a_live_run_is_left_alone(tmp_path: Path) -> None:
    with start(HOLD, tmp_path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        done = compress(tmp_path / "r")
        holder.kill()
    assert (done.returncode, "is being written" in done.stderr) == (73, True)
    assert not (tmp_path / "r" / "results.jsonl.gz").exists()


def test_when_both_files_differ_neither_is_removed(tmp_path: Path) -> None:
    run = finished(tmp_path)
    run.layout.compressed.write_bytes(gzip.compress(b"something else\n"))
    for option in ([], ["--undo"]):
        done = compress(run.layout.root, *option)
        assert (done.returncode, "both there and differ" in done.stderr) == (1, True)
        assert run.layout.results.exists()
        assert run.layout.compressed.exists()
    assert as_read(run) == list(range(40))


def test_a_damaged_packed_file_is_kept(tmp_path: Path) -> None:
    run = finished(tmp_path)
    assert compress(run.layout.root).returncode == 0
    data = run.layout.compressed.read_bytes()
    for damaged in (data[:-9], data[:60] + b"\0\0\0" + data[63:], b"not gzip"):
        run.layout.compressed.write_bytes(damaged)
        done = compress(run.layout.root, "--undo")
        assert (done.returncode, "is damaged" in done.stderr) == (1, True), done.stderr
        assert (run.layout.compressed.read_bytes(), run.layout.results.exists()) == (damaged, False)


def test_a_copy_that_does_not_read_back_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished(tmp_path)
    monkeypatch.setattr(packing, "packed_content", lambda _: packing.Content(1, 2))
    with pytest.raises(packing.CompressRefused, match="did not come back"):
        packing.compress(run.layout)
    assert run.layout.results.exists()
    assert not run.layout.compressed.exists()
    assert [path.name for path in run.layout.root.iterdir() if path.name.endswith(".tmp")] == []


# Kills itself, for real, at the N-th of these calls.
KILLED = """
import os, pathlib, signal, sys, zlib
from checkpoints import compress as packing
from checkpoints.layout import RunLayout
left = int(sys.argv[3])
def deadly(owner, name):
    original = getattr(owner, name)
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    setattr(owner, name, call)
deadly(os, "fsync"); deadly(pathlib.Path, "replace"); deadly(pathlib.Path, "unlink"); deadly(packing, "_content")
deadly(packing, "packed_content"); deadly(packing, "sync_directory"); deadly(packing.shutil, "copyfileobj")
getattr(packing, sys.argv[2])(RunLayout(pathlib.Path(sys.argv[1])))
"""


@pytest.mark.parametrize("action", ["compress", "decompress"])
def test_killed_at_any_moment_it_leaves_a_readable_run_that_it_can_finish(tmp_path: Path, action: str) -> None:
    run = finished(tmp_path)
    data, stats = run.layout.results.read_bytes(), run.get_statistics()
    if action == "decompress":
        packing.compress(run.layout)
    kills, seen = 0, set()
    for moment in range(1, 30):
        done = python(run.layout.root, action, str(moment), code=KILLED)
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr
        assert CheckpointManager(tmp_path, "r").get_statistics() == stats
        assert as_read(run) == list(range(40))
        seen.add((run.layout.results.exists(), run.layout.compressed.exists()))
        if done.returncode == 0:
            break
        kills += 1
        getattr(packing, action)(run.layout)  # finishes what was begun …
        packing.decompress(run.layout) if action == "compress" else packing.compress(run.layout)  # … and starts anew
    assert kills >= 4
    assert (True, True) in seen  # one kill came between the new file and the removal of the old one
    packing.decompress(run.layout)
    assert run.layout.results.read_bytes() == data


def test_a_kill_from_outside_while_it_packs_leaves_the_results(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, "r")
    with manager.open(total_samples=4_000) as run:
        run.record(*[Record(idx, extra={"text": str(idx) * 500}) for idx in range(4_000)])
    size = manager.layout.results.stat().st_size
    code = "import sys; from checkpoints.compress import *; print('go', flush=True); "
    code += "from pathlib import Path; compress(RunLayout(Path(sys.argv[1])))"
    for _ in range(3):
        with start(code, manager.layout.root) as packer:
            assert packer.stdout is not None
            assert packer.stdout.readline() == "go\n"
            while packer.poll() is None and not (manager.layout.root / ".results.jsonl.gz.tmp").exists():
                pass
            packer.kill()
        assert len(as_read(manager)) == 4_000
        packing.compress(manager.layout)
        packing.decompress(manager.layout)
        assert manager.layout.results.stat().st_size == size


def crashed_often(layout: RunLayout) -> None:
    for number in range(1, 6):
        for ending in ("torn-tail", "report.json", "json"):
            (layout.attempts / f"attempt-{number:04d}.{ending}").write_text("{}")
    (layout.attempts / "attempt-0005.1.torn-tail").write_text("")
    (layout.attempts / "notes.txt").write_text("mine")


def test_retention_keeps_the_newest_reports_and_every_attempt(tmp_path: Path) -> None:
    run = finished(tmp_path)
    crashed_often(run.layout)
    apply(run.layout, Retention(keep_reports=2))
    assert sorted(path.name for path in run.layout.attempts.iterdir()) == [
        "attempt-0001.json", "attempt-0002.json", "attempt-0003.json", "attempt-0004.json", "attempt-0004.report.json",
        "attempt-0005.1.torn-tail", "attempt-0005.json", "attempt-0005.report.json", "attempt-0005.torn-tail",
        "notes.txt",
    ]  # fmt: skip
    assert run.layout.results.exists()


def test_retention_packs_a_finished_run_only(tmp_path: Path) -> None:
    keep = Retention(compress_finished=True)
    for records in (1, 2):
        with CheckpointManager(tmp_path, "r", retention=keep).open(total_samples=2) as run:
            run.record(Record(records - 1))
        assert run.layout.compressed.exists() == (records == 2)
        assert run.layout.results.exists() == (records == 1)
    assert as_read(run) == [0, 1]


def test_retention_keeps_everything_unless_told() -> None:
    assert Retention() == Retention(keep_reports=None, compress_finished=False)
    with pytest.raises(ValueError, match="at least 0"):
        Retention(keep_reports=-1)
