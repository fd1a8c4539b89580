"""`python -m checkpoints show`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from checkpoints import CheckpointManager, Record, Status
from checkpoints.selection import Selection
from tests.checkpoints import damage
from tests.checkpoints.damage import healthy
from tests.checkpoints.support import environment, python, start


def show(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return python("-m", "checkpoints", "show", *arguments)


def rows(*arguments: str | Path) -> list[dict[str, Any]]:
    done = show(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_overview_tells_what_the_run_is_and_what_happened_to_it(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.tear_the_tail(layout)
    CheckpointManager(tmp_path, "r").open().close()
    damage.tear_the_tail(layout)
    done = show(layout.checkpoint)
    assert (done.returncode, done.stderr) == (0, "")
    for expected in (
        "r: finished, 10 of 10 samples", "identity     model: m", "status       error_timeout: 1",
        "accuracy     0.5556, 5 correct; 0.5000 to 0.6000 with the 1 errors", "attempt      2: ", ".torn-tail: ",
        "bytes at the end of the log, cut off when the run is next opened",
    ):  # fmt: skip
        assert expected in done.stdout


def test_the_overview_as_json(tmp_path: Path) -> None:
    layout = healthy(tmp_path, done=6)
    done = show(layout.root, "--json")
    seen = json.loads(done.stdout)
    assert (seen["state"], seen["identity"], seen["in_flight"]) == ("stopped", {"model": "m"}, [])
    assert seen["statistics"]["samples_processed"] == 6
    assert [each["attempt"] for each in seen["attempts"]] == [1, 2]


BEGIN = """
import sys
from checkpoints import CheckpointManager, Record
with CheckpointManager(sys.argv[1], "r").open(total_samples=9) as run:
    run.begin([0, 1, 2, 5])
    run.record(Record(0, "zero"))
    print("open", flush=True)
    sys.stdin.readline()
"""


def test_a_live_run_shows_what_is_in_flight_and_a_killed_one_what_was(tmp_path: Path) -> None:
    with start(BEGIN, tmp_path) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        live, record = show(tmp_path / "r"), rows(tmp_path / "r", "--idx", "0")
        writer.kill()
    assert "r: running, 1 of 9 samples" in live.stdout
    assert "in flight    1-2, 5\n" in live.stdout
    assert record[0]["sample_id"] == "zero"
    assert "in flight    1-2, 5\n" in show(tmp_path / "r").stdout
    with CheckpointManager(tmp_path, "r").open():
        pass
    assert "crashes      1 while sample 5 was in flight" in show(tmp_path / "r").stdout


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--idx", "4"], [4]),
        (["--sample-id", "s7"], [7]),
        (["--status", "error_timeout"], [3]),
        (["--errors"], [3]),
        (["--wrong"], [1, 5, 7, 9]),
        (["--wrong", "--limit", "2"], [1, 5]),
        (["--limit", "3"], [0, 1, 2]),
        (["--status", "error_crash"], []),
    ],
)
def test_records_are_selected(tmp_path: Path, options: list[str], expected: list[int]) -> None:
    assert [row["idx"] for row in rows(healthy(tmp_path).root, *options)] == expected


def test_a_record_as_json_is_the_line_without_its_checksum(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    stored = json.loads(damage.lines(layout)[4])
    del stored["crc"]
    assert rows(layout.root, "--idx", "4") == [stored]


def test_a_record_as_text_cannot_drive_the_terminal(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r").open() as run:
        run.record(Record(0, "a\x1b[31m", extra={"response": "one\ntwo\x1b]0;title\x07"}))
    done = show(tmp_path / "r", "--idx", "0")
    assert done.stdout.startswith("sample 0 a\N{REPLACEMENT CHARACTER}[31m: wrong\n")
    assert "  response:\n    | one\n    | two\N{REPLACEMENT CHARACTER}]0;title" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(("option", "value"), [("--idx", "77"), ("--sample-id", "none")])
def test_a_sample_without_a_record_is_said_to_have_none(tmp_path: Path, option: str, value: str) -> None:
    done = show(healthy(tmp_path).root, option, value)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("checkpoints: r has no record of ")


@pytest.mark.parametrize("options", [["--wrong", "--errors"], ["--idx", "-1"], ["--limit", "0"], ["--status", "odd"]])
def test_wrong_usage_is_2(tmp_path: Path, options: list[str]) -> None:
    done = show(healthy(tmp_path).root, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_no_run_and_a_damaged_one_are_1_and_one_line(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.flip_bit(layout)
    layout.checkpoint.unlink()
    for path, what in ((tmp_path / "nowhere", "there is no run at"), (layout.root, "the checksum does not match")):
        done = show(path)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
        assert what in done.stderr


def test_records_are_read_lazily() -> None:
    def endless() -> Any:
        idx = 0
        while True:
            yield Record(idx, f"s{idx}")
            idx += 1

    assert [each.idx for each in Selection(idx=5).pick(endless())] == [5]
    assert [each.idx for each in Selection(status=Status.SUCCESS, limit=2).pick(endless())] == [0, 1]


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, "r").open() as run:
        run.record(*[Record(idx, extra={"response": "x" * 400}) for idx in range(3_000)])
    command = [sys.executable, "-m", "checkpoints", "show", str(tmp_path / "r"), "--limit", "3000", "--json"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shown:
        assert shown.stdout is not None
        assert shown.stderr is not None
        assert shown.stdout.readline().startswith(b'{"idx":0,')
        shown.stdout.close()
        assert shown.stderr.read() == b""
