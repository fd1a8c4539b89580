import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.display import Display, describe, duration, plain
from supervisor.notify import Report
from supervisor.progress import Progress

CLEAR = "\r\x1b[2K"
AT_16 = Progress().updated(Report(done=16, total=64), 0.0)
AT_17 = AT_16.updated(Report(done=17), 1.0)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Screen(io.StringIO):
    """A stream that says it is a terminal, and forgets what was read."""

    def isatty(self) -> bool:
        return True

    def shown(self) -> str:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return Clock()


@given(st.text())
def test_plain_text_cannot_move_the_cursor(text: str) -> None:
    assert all(char.isprintable() for char in plain(text))
    assert len(plain(text)) == len(text)


def test_escape_sequences_of_a_child_are_made_harmless(clock: Clock) -> None:
    stream = io.StringIO()
    Display(stream, clock).line("a\x1b[2Jb\r\nc\x07d\u009be", "bad")
    assert stream.getvalue() == "supervise  a\ufffd[2Jb\ufffd\ufffdc\ufffdd\ufffde\n"


def test_a_status_of_the_child_is_made_harmless_too(clock: Clock) -> None:
    screen = Screen()
    Display(screen, clock).progress(Progress(status="\x1b]0;title\x07"), attempt=1)
    assert screen.getvalue() == f"{CLEAR}attempt 1 · \ufffd]0;title\ufffd"


def test_on_a_terminal_progress_is_drawn_in_place_and_steps_aside(clock: Clock) -> None:
    screen = Screen()
    display = Display(screen, clock)
    display.progress(AT_16, attempt=2)
    assert screen.shown() == f"{CLEAR}attempt 2 · 16/64"
    clock.now_s += 1
    display.progress(AT_17, attempt=2)
    assert screen.shown() == f"{CLEAR}attempt 2 · 17/64 · 1.00 samples/s · 47s left"
    display.make_way(b"the child's line\n")
    assert screen.shown() == CLEAR
    clock.now_s += 1
    display.progress(AT_17, attempt=2)
    display.line("a line of ours")
    assert screen.shown().endswith(f"{CLEAR}supervise  a line of ours\n")


def test_progress_never_joins_a_line_that_the_child_has_begun(clock: Clock) -> None:
    screen = Screen()
    display = Display(screen, clock)
    display.make_way(b"Loading... ")
    display.progress(AT_16, attempt=1)
    assert screen.shown() == ""
    display.line("ours")
    assert screen.shown() == "\nsupervise  ours\n"
    display.progress(AT_16, attempt=1)
    assert "16/64" in screen.shown()


def test_progress_is_not_redrawn_at_every_output(clock: Clock) -> None:
    screen = Screen()
    display = Display(screen, clock)
    for _ in range(100):
        display.progress(AT_16, attempt=1)
        clock.now_s += 0.01
    assert screen.getvalue().count("16/64") == 5


def test_progress_fits_the_width_of_the_terminal(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    screen = Screen()
    Display(screen, clock).progress(Progress(status="x" * 100), attempt=1)
    assert len(screen.getvalue()) == len(CLEAR) + 19


def test_elsewhere_progress_is_a_plain_line_now_and_then_when_it_changed(clock: Clock) -> None:
    stream = io.StringIO()
    display = Display(stream, clock)
    for progress, wait_s in [(AT_16, 1), (AT_17, 10), (AT_17, 20), (AT_17, 20)]:
        display.progress(progress, attempt=1)
        clock.now_s += wait_s
    assert stream.getvalue() == "supervise  16/64\nsupervise  17/64 · 1.00 samples/s · 47s left\n"


@pytest.mark.parametrize(("variable", "value"), [("TERM", "dumb"), ("NO_COLOR", "1")])
def test_no_colour_where_it_is_unwelcome(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.delenv("NO_COLOR")
    coloured = Screen()
    Display(coloured, clock).line("text", "good")
    assert coloured.getvalue() == "\x1b[32msupervise\x1b[0m  text\n"
    monkeypatch.setenv(variable, value)
    screen = Screen()
    Display(screen, clock).line("text", "good")
    assert screen.getvalue() == "supervise  text\n"


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


class Broken(Screen):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [closed, Broken])
def test_a_closed_stream_does_not_raise(stream: Callable[[], io.StringIO], clock: Clock) -> None:
    display = Display(stream(), clock)
    display.line("text")
    display.progress(AT_16, attempt=1)
    display.make_way(b"data")
    display.line("text")


def test_standard_error_that_was_never_open_does_not_raise(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr("sys.stderr", None)
    display = Display(clock=clock)
    display.line("text")
    display.progress(AT_16, attempt=1)


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
