import errno
import json
import os
from pathlib import Path

import pytest

from supervisor.journal import Journal, LogUnwritable, read_journal, unfinished


def opened(path: Path, one: str = "aa", warnings: list[str] | None = None) -> Journal:
    return Journal(path, one, warn=(warnings if warnings is not None else []).append, wall=lambda: 12.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def test_an_event_is_one_line_on_disk_as_soon_as_it_is_written(path: Path) -> None:
    journal = opened(path)
    journal.write("restart", delay_s=1.5, note="two\nlines \u2028 \udcff")
    assert path.read_bytes().count(b"\n") == 1
    assert json.loads(path.read_bytes()) == {
        "v": 1,
        "time": 12.5,
        "supervise_id": "aa",
        "event": "restart",
        "delay_s": 1.5,
        "note": "two\nlines \u2028 \udcff",
    }
    journal.close()


def test_a_later_supervisor_appends(path: Path) -> None:
    for one in ("aa", "bb"):
        journal = opened(path, one)
        journal.write("supervise_started")
        journal.close()
    assert [event["supervise_id"] for event in read_journal(path)] == ["aa", "bb"]


def test_a_torn_line_is_ended_before_the_next_and_then_passed_over(path: Path) -> None:
    whole = b'{"event": "supervise_started", "supervise_id": "aa"}\n'
    torn = b'{"event": "attempt_start'
    path.write_bytes(whole + torn)
    journal = opened(path, "bb")
    journal.write("supervise_started")
    journal.close()
    assert path.read_bytes().splitlines()[:2] == [whole.strip(), torn]
    assert [event["supervise_id"] for event in read_journal(path)] == ["aa", "bb"]


@pytest.mark.parametrize("existing", [b"", b'{"event": "whole"}\n'])
def test_a_whole_file_gets_no_empty_line(path: Path, existing: bytes) -> None:
    path.write_bytes(existing)
    opened(path).close()
    assert path.read_bytes() == existing


def test_every_way_to_tear_a_line_leaves_the_others_readable(path: Path) -> None:
    journal = opened(path)
    journal.write("first", text="ä" * 3)
    journal.close()
    first = path.read_bytes()
    for length in range(len(first)):
        path.write_bytes(first + first[:length])
        again = opened(path, "bb")
        again.write("second")
        again.close()
        events = [event["event"] for event in read_journal(path)]
        # A line that lacks nothing but its end counts.
        assert events == (["first", "first", "second"] if length == len(first) - 1 else ["first", "second"])


def test_a_missing_file_has_no_events_and_nothing_unfinished(path: Path) -> None:
    assert list(read_journal(path)) == []
    assert unfinished(path) == {}


def test_lines_that_are_no_events_are_passed_over(path: Path) -> None:
    path.write_bytes(b'\n[1]\n"x"\nnull\n\xff\xfe\n{"event": "a", "later": {"new": 1}}\n{"no": "event"}\n')
    assert list(read_journal(path)) == [{"event": "a", "later": {"new": 1}}, {"no": "event"}]
    assert unfinished(path) == {}


def test_the_unfinished_are_those_that_started_and_never_finished(path: Path) -> None:
    for one, events in [
        ("finished", ["supervise_started", "restart", "supervise_finished"]),
        ("killed", ["supervise_started", "attempt_started"]),
        ("also killed", ["supervise_started"]),
        ("unheard of", ["supervise_finished"]),
    ]:
        journal = opened(path, one)
        for event in events:
            journal.write(event, notify_folder="/tmp/supervise-x")
        journal.close()
    assert unfinished(path) == {"killed": ["/tmp/supervise-x"], "also killed": []}
    later = opened(path, "later")
    later.write("predecessor_ended", predecessor="killed", leftovers=2)
    later.close()
    assert unfinished(path) == {"also killed": []}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told_once_and_stops_nothing() -> None:
    warnings: list[str] = []
    journal = opened(Path("/dev/full"), warnings=warnings)
    for _ in range(3):
        journal.write("event")
    journal.close()
    assert warnings == [f"the journal /dev/full is incomplete: {os.strerror(errno.ENOSPC)}"]


def test_a_journal_that_cannot_be_opened_raises(tmp_path: Path) -> None:
    with pytest.raises(LogUnwritable, match="directory"):
        opened(tmp_path)
