import io
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.display import PlainDisplay, describe, plain
from supervisor.duration import duration, seconds
from supervisor.notify import Report
from supervisor.progress import Progress
from supervisor.view import View

AT_16 = Progress().updated(Report(done=16, total=64), 0.0)
AT_17 = AT_16.updated(Report(done=17), 1.0)


NOON_S = 43200.0


def view(progress: Progress) -> View:
    return View("name", 1, "10 of 10 retries left", progress, 60.0)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    return Clock()


@given(st.text())
def test_plain_text_cannot_move_the_cursor(text: str) -> None:
    assert all(char.isprintable() for char in plain(text))
    assert len(plain(text)) == len(text)


def shown_by(stream: io.StringIO, clock: Clock) -> PlainDisplay:
    return PlainDisplay(stream, clock, wall=lambda: NOON_S)


def test_escape_sequences_of_a_child_are_made_harmless(clock: Clock) -> None:
    stream = io.StringIO()
    shown_by(stream, clock).line("a\x1b[2Jb\r\nc\x07d\u009be", "bad")
    assert stream.getvalue() == "supervise 12:00:00  a\ufffd[2Jb\ufffd\ufffdc\ufffdd\ufffde\n"


def test_our_lines_never_join_a_line_that_the_child_has_begun(clock: Clock) -> None:
    stream = io.StringIO()
    display = shown_by(stream, clock)
    display.outlet(-1, lambda: False)(b"Loading... ")
    display.line("ours")
    display.line("ours too")
    assert stream.getvalue() == "\nsupervise 12:00:00  ours\nsupervise 12:00:00  ours too\n"


def test_progress_is_a_plain_line_now_and_then_when_it_changed(clock: Clock) -> None:
    stream = io.StringIO()
    display = shown_by(stream, clock)
    for progress, wait_s in [(AT_16, 10), (AT_16, 1), (AT_17, 10), (AT_17, 20), (AT_17, 20), (Progress(), 20)]:
        display.show(view(progress))
        clock.now_s += wait_s
    said = ["supervise 12:00:00  16/64", "supervise 12:00:00  17/64 · 1.00 samples/s · 47s left"]
    assert stream.getvalue().splitlines() == said


@pytest.mark.parametrize(("variable", "value"), [("TERM", "dumb"), ("NO_COLOR", "1")])
def test_no_colour_where_it_is_unwelcome(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.delenv("NO_COLOR")
    coloured = Screen()
    shown_by(coloured, clock).line("text", "good")
    assert coloured.getvalue() == "\x1b[32msupervise\x1b[0m 12:00:00  text\n"
    monkeypatch.setenv(variable, value)
    screen = Screen()
    shown_by(screen, clock).line("text", "good")
    assert screen.getvalue() == "supervise 12:00:00  text\n"


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


class Broken(Screen):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [closed, Broken])
def test_a_closed_stream_does_not_raise(stream: Callable[[], io.StringIO], clock: Clock) -> None:
    display = shown_by(stream(), clock)
    display.line("text")
    clock.now_s += 20
    display.show(view(AT_16))
    display.outlet(-1, lambda: False)(b"data")
    display.line("text")


def test_standard_error_that_was_never_open_does_not_raise(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr("sys.stderr", None)
    display = PlainDisplay(clock=clock)
    display.line("text")
    clock.now_s += 20
    display.show(view(AT_16))


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(), ""),
        (Progress(status="loading the model"), "loading the model"),
        (Progress(done=0, total=8, status="warming up"), "warming up"),
        (Progress(done=5), "5 done"),
        (Progress(done=5, total=8, accuracy=0.3125), "5/8 · accuracy 31.2%"),
    ],
)
def test_progress_in_words(progress: Progress, text: str) -> None:
    assert describe(progress) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (4.21, "4.2s"), (59, "59s"), (59.7, "1m00s"), (187, "3m07s"), (3599.6, "1h00m"), (7500, "2h05m")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("90s", 90),
        ("250ms", 0.25),
        ("15m", 900),
        ("15min", 900),
        ("1h30m", 5400),
        (" 2D ", 172800),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, expected_s: float) -> None:
    assert seconds(text) == expected_s


@pytest.mark.parametrize("text", ["", "nan", "inf", "-1", "1x", "1 h", "h", "1h-2m", "٣h", "9" * 400])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|is too long"):
        seconds(text)
