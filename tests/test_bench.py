"""The bench of the store, run as small as it gets. How fast things are is not asserted: machines differ."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import kills, machine, payload, supervise
from bench.figures import Figure, Outcome, Target, number, table
from bench.measure import interleave, ratio
from bench.store import PARTS, SCALES, SUITE
from bench.suite import run
from tests.conftest import ROOT

SMOKE = SCALES["smoke"]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return {part: run(tmp_path_factory.mktemp(part), SMOKE) for part, run in PARTS.items()}


@pytest.mark.parametrize("part", PARTS)
def test_every_part_finds_positive_figures_and_breaks_no_promise(part: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[part]
    assert list(outcome.broken) == []
    assert len({figure.name for figure in outcome.figures}) == len(outcome.figures) >= 8
    for figure in outcome.figures:
        assert math.isfinite(figure.value), figure
        assert figure.value >= 0, figure
        if figure.lowest is not None and figure.highest is not None:
            assert figure.lowest <= figure.value <= figure.highest, figure
        if figure.unit == "x":
            assert figure.value > 0, figure


@pytest.mark.parametrize(("part", "targets"), [("record", 4), ("resume", 8)])
def test_what_is_promised_is_held_to_a_target(part: str, targets: int, outcomes: dict[str, Outcome]) -> None:
    assert sum(figure.target is not None for figure in outcomes[part].figures) == targets


@pytest.mark.parametrize("part", PARTS)
def test_the_table_is_markdown_with_as_many_cells_in_every_row(part: str, outcomes: dict[str, Outcome]) -> None:
    rows = [line for line in outcomes[part].text().splitlines() if line.startswith("|")]
    assert len(rows) >= 8
    assert set(rows[1]) == {"|", " ", "-"}
    assert len({row.count("|") for row in rows}) == 1


def test_the_peers_that_are_not_installed_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcomes: dict[str, Outcome]
) -> None:
    assert "ours, group (default)" in outcomes["peers"].text()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    shown = PARTS["peers"](tmp_path, SMOKE).text()
    assert "sqlitedict, as lm-eval --use_cache: skipped, its package is not installed" in shown


def test_a_store_that_acknowledges_too_early_is_found_out(tmp_path: Path) -> None:
    """Without this, a thousand kills might pass because they cannot fail."""
    outcome = kills.measure(tmp_path, kills.Sizes(kills=8, forgetful=True))
    assert any("acknowledged" in each for each in outcome.broken)


def test_a_broken_promise_is_an_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"kept": Outcome([Figure("too slow", 2.0, target=Target(1.0))]), "lost": Outcome([], broken=["a record"])}
    suite = replace(SUITE, parts={part: lambda *_, part=part: found[part] for part in found})
    assert run(suite, ["kept", "--dir", str(tmp_path)]) == 0
    assert run(suite, ["kept", "lost", "--dir", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "<= 1 **missed**" in printed
    assert "BROKEN: a record" in printed


def test_the_command_writes_json_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    report = run_command("peers", "--scale", "smoke", "--json", "report.json", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    value: dict[str, Any] = json.loads((tmp_path / "report.json").read_bytes())
    assert {"cpu", "cores", "kernel", "file_system", "python"} <= value["machine"].keys()
    assert {"name", "value", "unit", "lowest", "highest", "met"} <= value["parts"]["peers"]["figures"][0].keys()


def test_a_folder_that_is_not_there_is_explained_without_a_traceback(tmp_path: Path) -> None:
    ended = run_command("kills", "--dir", "missing", cwd=tmp_path)
    assert ended.returncode == 2
    assert "missing" in ended.stderr
    assert "Traceback" not in ended.stderr


def run_command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from bench.store import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


def test_contenders_take_turns_and_the_ratio_is_the_median_of_the_rounds() -> None:
    turns: list[str] = []

    def block(name: str, seconds: Sequence[float]) -> float:
        turns.append(name)
        return seconds[(len(turns) - 1) // 2]

    found = interleave({"a": lambda: block("a", [9, 2, 4, 30]), "b": lambda: block("b", [9, 1, 1, 10])}, rounds=3)
    assert "".join(turns) == "ab" + "abbaab"
    figure = ratio("a / b", found["a"], found["b"], Target(2.5))
    assert (figure.value, figure.lowest, figure.highest, figure.met) == (3, 2, 4, False)


def test_the_long_log_is_what_the_store_itself_would_have_written(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    payload.append_short_samples(path, 0, 5_000)
    expected = [payload.short_sample(idx, is_correct=idx % 3 == 0).encode() for idx in (0, 1, 4_999)]
    lines = path.read_bytes().splitlines(keepends=True)
    assert [lines[0], lines[1], lines[4_999]] == expected
    assert len(lines) == 5_000


def test_the_sizes_of_lines_are_as_announced() -> None:
    assert 550 <= len(payload.sample(1_234).encode()) <= 650
    assert 300 <= len(payload.short_sample(1_234, is_correct=True).encode()) <= 400


def test_the_innermost_mount_gives_the_file_system() -> None:
    assert machine.file_system(Path("/proc/self")) == "proc"


@pytest.mark.parametrize(
    ("value", "shown"), [(1234567.0, "1,230,000"), (0.012345, "0.0123"), (12.345, "12.3"), (999.96, "1,000"), (0, "0")]
)
def test_numbers_have_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_table_is_aligned() -> None:
    assert table(("a", "b"), [("long", "1")]) == "| a    | b |\n| ---- | - |\n| long | 1 |"


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    scale = supervise.SCALES["smoke"]
    return {part: measure(tmp_path_factory.mktemp(part), scale) for part, measure in supervise.PARTS.items()}


@pytest.mark.parametrize("part", supervise.PARTS)
def test_every_part_of_the_supervisors_bench_finds_figures_and_breaks_no_promise(
    part: str, supervised: dict[str, Outcome]
) -> None:
    outcome = supervised[part]
    assert list(outcome.broken) == []
    assert len(outcome.figures) >= 2
    assert all(math.isfinite(figure.value) and figure.value >= 0 for figure in outcome.figures)
    assert any(figure.target for figure in outcome.figures)
