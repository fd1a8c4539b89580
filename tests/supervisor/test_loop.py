import io
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from supervisor.attempt import Ended, Launch, Times
from supervisor.chaos import Chaos, Harm
from supervisor.config import Config
from supervisor.display import PlainDisplay
from supervisor.evidence import Evidence, ExitStatus, StopReason
from supervisor.exitcodes import ExitCode
from supervisor.journal import Journal, read_journal
from supervisor.notify import Report
from supervisor.policy import Policy
from supervisor.process import StartFailed
from supervisor.supervise import Tools, keep_going

End = Callable[[Launch], Ended]


def ends(
    code: int | None = None,
    number: int | None = None,
    *,
    done: int | None = None,
    stop: StopReason | None = None,
    tail: bytes = b"",
    leftovers: int = 0,
) -> End:
    """An attempt that ends so; `done` is what the child reports, more than before being progress."""

    def end(launch: Launch) -> Ended:
        before = launch.progress.done
        progressed = done is not None and done > (before or 0)
        progress = launch.progress if done is None else launch.progress.updated(Report(done=done, total=64), 0.0)
        evidence = Evidence(ExitStatus(code, number), stop, done is not None, progressed, tail)
        times = Times(started_s=10.0, ended_s=11.5)
        return Ended(evidence, progress, times, launch.limits.strike, leftovers)

    return end


SEGFAULT, FAIL, DONE = ends(number=11), ends(1), ends(0)


@dataclass
class Replay:
    """Plays a history to the loop, and keeps what the loop did. `asked` is what each pause is cut short by."""

    folder: Path
    policy: Policy = field(default_factory=Policy)
    chaos: Chaos | None = None
    asked: list[int | None] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    pauses_s: list[float] = field(default_factory=list)
    screen: io.StringIO = field(default_factory=io.StringIO)

    def play(self, *history: End) -> ExitCode | int:
        config = Config(("job", "--fast"), "name", self.folder, self.policy, chaos=self.chaos)
        config.folder.mkdir(exist_ok=True)
        journal = Journal(config.folder / "events.jsonl", "feed", warn=lambda text: None)
        upcoming = iter(history)

        def run(launch: Launch) -> Ended:
            self.launches.append(launch)
            launch.folder.mkdir()
            return next(upcoming)(launch)

        def pause(seconds: float, show: Callable[[float], None]) -> int | None:
            show(seconds)
            self.pauses_s.append(seconds)
            return self.asked.pop(0) if self.asked else None

        try:
            code, _ = keep_going(config, "feed", Tools(run, pause, lambda: 0.5, journal, PlainDisplay(self.screen)))
        finally:
            journal.close()
        assert list(upcoming) == [], "the loop ended too early"
        return code

    def events(self, event: str) -> list[dict[str, object]]:
        return [line for line in read_journal(self.folder / "name" / "events.jsonl") if line["event"] == event]

    def environments(self, key: str) -> list[str]:
        return [launch.environment[key] for launch in self.launches]

    def last_line(self) -> str:
        return self.screen.getvalue().splitlines()[-1]


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    return Replay(tmp_path)


@pytest.mark.parametrize(
    ("history", "code"),
    [
        ([DONE], 0),
        ([SEGFAULT, FAIL, ends(number=9), DONE], 0),
        ([ends(3, done=64)], 3),
        ([FAIL] * 4, 70),
        ([SEGFAULT] * 11, 70),
        ([ends(2)], 78),
        ([ends(1, tail=b"ModuleNotFoundError: No module named 'x'\n")], 78),
        ([ends(74)], 74),
        ([ends(73)], 73),
        ([ends(69)], 69),
        ([ends(93)], 93),
        ([*[ends(75)] * 40, DONE], 0),
        ([ends(number=15, stop=StopReason.DRAIN)], 75),
        ([ends(number=9, stop=StopReason.DRAIN)], 75),
        ([SEGFAULT, ends(number=2)], 130),
        ([ends(1, stop=StopReason.USER)], 130),
        ([ends(0, stop=StopReason.DRAIN)], 75),
        ([ends(0, stop=StopReason.WARNED)], 0),
        ([ends(1, stop=StopReason.WARNED)], 75),
        ([ends(1, done=at) for at in range(1, 60)] + [DONE], 0),
    ],
)
def test_a_history_ends_with_its_exit_code(replay: Replay, history: Iterable[End], code: int) -> None:
    assert replay.play(*history) == code


def test_each_restart_comes_after_a_growing_pause(replay: Replay) -> None:
    replay.play(SEGFAULT, SEGFAULT, SEGFAULT, DONE)
    assert replay.pauses_s == [0.5, 1.0, 2.0]


def test_progress_begins_the_pauses_anew(replay: Replay) -> None:
    replay.play(SEGFAULT, SEGFAULT, ends(number=11, done=5), SEGFAULT, DONE)
    assert replay.pauses_s == [0.5, 1.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGHUP, 75), (signal.SIGUSR1, 75)]
)
def test_a_stop_during_the_pause_starts_no_new_attempt(replay: Replay, number: int, code: int) -> None:
    replay.asked = [None, number]
    assert replay.play(SEGFAULT, SEGFAULT) == code
    assert len(replay.launches) == 2


def test_the_child_is_told_its_attempt_and_what_went_wrong(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "kept")
    monkeypatch.setenv("PYTHONUNBUFFERED", "0")
    monkeypatch.setenv("SUPERVISE_LAST_FAILURE", "of an outer supervisor")
    monkeypatch.delenv("PYTHONFAULTHANDLER", raising=False)
    replay.policy = Policy(max_retries=7)
    replay.play(SEGFAULT, ends(number=9), DONE)
    assert replay.environments("SUPERVISE_ATTEMPT") == ["1", "2", "3"]
    assert replay.environments("SUPERVISE_LAST_FAILURE") == ["", "segfault", "sigkill"]
    assert replay.environments("SUPERVISE_MAX_RETRIES") == ["7"] * 3
    assert replay.environments("SUPERVISE") == ["1"] * 3
    assert replay.environments("SUPERVISE_ID") == ["feed"] * 3
    assert replay.environments("PYTHONFAULTHANDLER") == ["1"] * 3
    assert replay.environments("PYTHONUNBUFFERED") == ["0"] * 3
    assert replay.environments("MINE") == ["kept"] * 3


def test_attempt_numbers_and_logs_continue_over_invocations(replay: Replay) -> None:
    replay.play(FAIL, FAIL, DONE)
    again = Replay(replay.folder)
    again.play(FAIL, DONE)
    launches = replay.launches + again.launches
    assert [launch.number for launch in launches] == [1, 2, 3, 4, 5]
    assert [launch.folder.name for launch in launches] == [f"attempt-000{number}" for number in range(1, 6)]
    assert [event["attempt"] for event in again.events("attempt_starting")] == [1, 2, 3, 4, 5]


def test_an_attempt_is_on_record_before_it_is_started(replay: Replay) -> None:
    seen: list[int] = []

    def look(launch: Launch) -> Ended:
        seen.append(len(replay.events("attempt_starting")))
        return DONE(launch)

    replay.play(FAIL, look)
    assert seen == [2]


def test_every_end_and_every_decision_is_on_record(replay: Replay) -> None:
    replay.play(ends(number=11, done=16, leftovers=2), FAIL, ends(2))
    ended = replay.events("attempt_ended")
    assert [event["verdict"] for event in ended] == ["failure"] * 3
    assert [event.get("kind") for event in ended] == ["segfault", "unknown", "usage"]
    assert [event["leftovers"] for event in ended] == [2, 0, 0]
    assert ended[0]["done"] == 16
    assert ended[0]["progressed"] is True
    assert [event["retries_left"] for event in replay.events("restart")] == [9, 2]
    assert [event["exit_code"] for event in replay.events("gave_up")] == [78]


def test_a_new_attempt_starts_from_the_progress_of_the_last(replay: Replay) -> None:
    replay.play(ends(1, done=16), ends(1, done=20), DONE)
    assert [launch.progress.done for launch in replay.launches] == [None, 16, 20]


def test_the_strikes_of_chaos_go_on_from_attempt_to_attempt(replay: Replay) -> None:
    replay.chaos = Chaos((Harm.SEGV, Harm.KILL), limit=3)
    replay.play(SEGFAULT, SEGFAULT, SEGFAULT, DONE)
    assert [launch.limits.strike for launch in replay.launches] == [replay.chaos.strike(number) for number in range(4)]


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ([DONE], ["complete", "1 attempt(s)"]),
        ([SEGFAULT, SEGFAULT, FAIL, DONE], ["complete", "4 attempt(s)", "failures: 2 segfault, 1 unknown"]),
        ([ends(1, done=16), ends(3, done=64)], ["complete, but some samples have no score", "64/64 samples"]),
        ([ends(2)], ["failed, exit code 78", "failures: 1 usage"]),
        ([ends(number=15, done=16, stop=StopReason.DRAIN)], ["run the same command again", "16/64 samples"]),
        ([ends(number=2)], ["stopped by the user"]),
    ],
)
def test_the_summary_says_what_happened(replay: Replay, history: list[End], words: list[str]) -> None:
    replay.play(*history)
    for word in words:
        assert word in replay.last_line()


def test_the_summary_says_what_was_injected(replay: Replay) -> None:
    replay.chaos = Chaos((Harm.SEGV,), limit=2)
    replay.play(SEGFAULT, SEGFAULT, DONE)
    assert "injected: 2 segv" in replay.last_line()


def test_failures_hints_and_leftovers_are_told(replay: Replay) -> None:
    replay.play(ends(1, tail=b"No space left on device", leftovers=3))
    said = replay.screen.getvalue()
    assert "the child failed: storage" in said
    assert "hint: free some space" in said
    assert "ended 3 process(es) that the child left behind" in said
    assert "giving up: storage is not retried" in said


def test_a_command_that_cannot_be_started_is_an_error_not_a_failure(replay: Replay) -> None:
    def fail(launch: Launch) -> Ended:
        raise StartFailed(launch.command[0], FileNotFoundError())

    with pytest.raises(StartFailed, match="there is no such command") as caught:
        replay.play(fail)
    assert caught.value.exit_code == 127
