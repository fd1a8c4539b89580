from pathlib import Path

import pytest

from supervisor.notify import Report
from supervisor.progress_sources import GrowingFiles, PrintedNumbers
from tests.supervisor.bench import Bench


def test_only_more_bytes_than_ever_are_progress(tmp_path: Path) -> None:
    one, two = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    one.write_text("already here")
    files = GrowingFiles(str(tmp_path / "*.jsonl"))
    assert not files.grew()
    two.write_text("x")
    assert files.grew()
    assert not files.grew()
    one.write_text("")
    assert not files.grew()
    one.write_text("already here")
    assert not files.grew()
    one.write_text("already here, and more")
    assert files.grew()


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"done 3/10\n"], Report(done=3, total=10)),
        ([b"done 3/10\ndone 4/10\nrest"], Report(done=4, total=10)),
        ([b"45%|###  | done 5/", b"10 [00:01]\r"], Report(done=5, total=10)),
        ([b"done 3/10"], None),
        ([b"done x/10\n\xff\xfe\n"], None),
        ([b"y" * 200_000, b"done 6/10\n"], Report(done=6, total=10)),
    ],
)
def test_numbers_are_read_from_whole_lines(chunks: list[bytes], expected: Report | None) -> None:
    numbers = PrintedNumbers(r"done (\d+)/(\d+)")
    found = [numbers.feed(chunk) for chunk in chunks]
    assert found[-1] == expected


def test_a_total_is_not_needed() -> None:
    assert PrintedNumbers(r"step (\d+)").feed(b"step 7\n") == Report(done=7)


CRASHES_AT_EVERY_STEP = """
import pathlib, os
path = pathlib.Path("results.jsonl")
done = path.read_text().count("\\n") if path.exists() else 0
if done < 4:
    {report}
    import time; time.sleep({pause})
    os.abort()
"""


@pytest.mark.parametrize(
    ("report", "pause", "options"),
    [
        ('path.open("a").write("{}\\n")', 1.3, ["--progress-file", "results.jsonl"]),
        (
            'path.open("a").write("{}\\n"); print(f"finished {done + 1} of 4", flush=True)',
            0.3,
            ["--progress-regex", r"finished (\d+) of (\d+)"],
        ),
    ],
)
def test_progress_of_a_command_that_knows_nothing_of_us_renews_its_budget(
    bench: Bench, report: str, pause: float, options: list[str]
) -> None:
    code = CRASHES_AT_EVERY_STEP.format(report=report, pause=pause)
    assert bench.python(code, "--max-retries", "1", *options).code == 0
    # The first number that is printed may be the work of days before: it is where we start from.
    progressed = [event["progressed"] for event in bench.events("attempt_ended")]
    assert progressed == [options[0] == "--progress-file", *[True] * 3, False]


def test_without_being_told_of_progress_the_same_command_is_given_up(bench: Bench) -> None:
    code = CRASHES_AT_EVERY_STEP.format(report='path.open("a").write("{}\\n")', pause=0)
    assert bench.python(code, "--max-retries", "1").code == 70
