"""`python -m checkpoints verify` and `repair`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from checkpoints.layout import RunLayout
from tests.checkpoints import damage
from tests.checkpoints.damage import healthy, lines, snapshot
from tests.checkpoints.support import environment, python, start
from tests.checkpoints.test_lock import HOLD


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return python("-m", "checkpoints", *arguments)


def test_a_sound_run_is_one_line(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    mark = json.loads(layout.run.read_bytes())["fingerprint"][:12]
    done = run("verify", layout.root)
    expected = f"r: 10 records, no gap, no duplicate, fingerprint {mark}…, checkpoint agrees\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_an_unfinished_run_is_fine_and_a_note_says_so(tmp_path: Path) -> None:
    done = run("verify", healthy(tmp_path, done=7).checkpoint)
    assert done.returncode == 0
    assert "note: unfinished: results.jsonl: 3 of 10 samples have no record yet: 7-9" in done.stdout


def test_what_is_off_is_listed_and_the_other_runs_are_checked_too(tmp_path: Path) -> None:
    bad, good = healthy(tmp_path, "bad"), healthy(tmp_path, "good")
    damage.duplicate_line(bad)
    done = run("verify", bad.root, tmp_path / "nowhere", good.root)
    assert done.returncode == 1
    assert "bad: 10 records, and something is off: 1 duplicate" in done.stdout
    assert "duplicate: results.jsonl, line 8, byte" in done.stdout
    assert "good: 10 records, no gap" in done.stdout
    assert done.stderr == f"checkpoints: there is no run at {tmp_path / 'nowhere'}\n"


def test_json_holds_the_whole_report(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.flip_bit(layout)
    done = run("verify", "--json", layout.root)
    (report,) = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["records"], report["counts"]["damaged"]) == (1, False, 9, 1)
    lost = "no record of 5, which checkpoint.json calls completed"
    assert {"kind": "gap", "where": "results.jsonl", "what": lost} in report["findings"]


def test_another_run_to_compare_with(tmp_path: Path) -> None:
    one, other = healthy(tmp_path, "one"), healthy(tmp_path, "other", order=range(9, -1, -1))
    assert run("verify", one.root, "--against", other.root).returncode == 0
    changed = lines(other)
    damage.rewrite(other, [damage.reseal(changed[0], model_answer=7), *changed[1:]])
    done = run("verify", one.root, "--against", other.root)
    assert done.returncode == 1
    assert "sample 9: model_answer is None, in the other run 7" in done.stdout
    assert run("verify", one.root, "--against", tmp_path / "nowhere").returncode == 1


def test_a_format_of_the_future_is_78(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    layout.run.write_bytes(layout.run.read_bytes().replace(b'"format": 1', b'"format": 9'))
    for command in ("verify", "show", "repair"):
        done = run(command, layout.root)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (78, "", 1)
        assert "format version 9" in done.stderr


def test_what_cannot_be_read_is_74_and_one_line(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    layout.results.unlink()
    layout.results.mkdir()
    for command in ("verify", "repair"):
        done = run(command, layout.root)
        assert (done.returncode, len(done.stderr.splitlines())) == (74, 1)
        assert "Is a directory" in done.stderr


@pytest.mark.parametrize("arguments", [["verify"], ["repair"], ["repair", "--ye", "x"], ["mend"]])
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert run(*arguments).returncode == 2


def test_a_repair_tells_keeps_and_mends(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.flip_bit(layout)
    damage.tear_the_tail(layout)
    before = layout.results.read_bytes()
    done = run("repair", layout.root, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "- drop 1 damaged line: their samples will be evaluated again" in done.stdout
    assert "- cut " in done.stdout
    (aside,) = layout.attempts.glob("repair-*")
    assert f"r: repaired; what was there is kept in {aside}" in done.stdout
    assert (aside / "results.jsonl").read_bytes() == before
    assert len(lines(layout)) == 9
    assert run("verify", layout.root).returncode == 0


@pytest.mark.parametrize(("options", "answer", "code"), [(["--dry-run"], "", 0), ([], "n\n", 1), ([], "", 1)])
def test_a_repair_that_is_not_confirmed_changes_no_byte(
    tmp_path: Path, options: list[str], answer: str, code: int
) -> None:
    layout = healthy(tmp_path)
    damage.duplicate_line(layout)
    before = snapshot(layout)
    done = subprocess.run(
        [sys.executable, "-m", "checkpoints", "repair", str(layout.root), *options],
        env=environment(), input=answer, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert "drop 1 duplicate: the first record of a sample is the one that counts" in done.stdout
    assert snapshot(layout) == before


def test_nothing_to_repair_changes_no_byte_not_even_after_a_kill(tmp_path: Path) -> None:
    with start(HOLD, tmp_path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        refused = run("repair", tmp_path / "r", "--yes")
        holder.kill()
    assert refused.returncode == 73
    assert f"is being written by process {holder.pid}" in refused.stderr
    layout = RunLayout(tmp_path / "r")
    before = snapshot(layout)
    done = run("repair", layout.root, "--yes")
    assert (done.returncode, done.stdout, snapshot(layout) == before) == (0, "r: nothing to repair\n", True)


def test_a_description_that_cannot_be_restored_is_78_and_nothing_is_changed(tmp_path: Path) -> None:
    layout = healthy(tmp_path)
    damage.duplicate_line(layout)
    layout.run.write_bytes(layout.run.read_bytes().replace(b'"model": "m"', b'"model": "n"'))
    before = snapshot(layout)
    done = run("repair", layout.root, "--yes")
    assert (done.returncode, done.stdout) == (78, "")
    assert "r cannot be repaired: run.json: the fingerprint does not match" in done.stderr
    assert snapshot(layout) == before
