"""The panel on a terminal (pyte's): the child's output above it, all of it, and the panel below it, once."""

import os
import re
from dataclasses import dataclass, field, replace

import pyte
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from supervisor.panel import Panel, render
from supervisor.progress import Progress
from supervisor.view import Segment, View

WORKING = Progress(done=782, total=1319, accuracy=0.489, _rate_from=(0.0, 0), _rate_to=(744.8, 782))
VIEW = View(
    name="gsm8k-night",
    attempt=3,
    budget="9 of 10 retries left",
    progress=WORKING,
    elapsed_s=7500,
    last_failure="segfault (SIGSEGV), 44s ago",
    timeline=(Segment("segfault", 44), Segment("sigkill", 29), Segment(None, 62)),
)
LOOK = [
    "── supervise · gsm8k-night ─────────────────────────────── attempt 3 · 2h05m ──",
    "━━━━━━━━━━━━━─────────  782/1319 · accuracy 48.9% · 1.05 samples/s · 8m31s left",
    "last failure: segfault (SIGSEGV), 44s ago · 9 of 10 retries left",
    "✖ segfault 44s  ✖ sigkill 29s  ▶ 1m02s",
]
HEADER = re.compile(r"(──|--) s.* attempt 3 [·-] 2h05m (──|--)")
INTENDED = re.compile(r"\x1b\[[0-9;]*[mAJ]|\x1b\[\?(?:2026|7)[hl]|\x1b\[\?25h|\r\n?|[^\x00-\x1f\x7f-\x9f]")


@dataclass
class Terminal:
    """A terminal with a panel. Without `reflows` it cuts lines when it gets narrower, as xterm does."""

    columns: int = 80
    lines: int = 12
    colour: bool = False
    unicode: bool = True
    now_s: float = 100.0
    writes: list[bytes] = field(default_factory=list)
    broken: bool = False

    def __post_init__(self) -> None:
        self._new()
        self.panel = Panel(
            self.write,
            lambda: os.terminal_size((self.columns, self.lines)),
            colour=self.colour,
            unicode=self.unicode,
            clock=lambda: self.now_s,
        )

    def _new(self) -> None:
        self.screen = pyte.HistoryScreen(self.columns, self.lines, history=5000)
        self.stream = pyte.ByteStream(self.screen)

    def write(self, data: bytes) -> None:
        if self.broken:
            raise BrokenPipeError
        self.writes.append(data)
        self.stream.feed(data)

    def child(self, *chunks: bytes, stream: int = 1, apart_s: float = 1.0) -> None:
        for chunk in chunks:
            self.now_s += apart_s
            self.panel.child(chunk, stream)

    def show(self, view: View = VIEW, after_s: float = 1.0) -> None:
        self.now_s += after_s
        self.panel.show(view)

    def resize(self, columns: int, lines: int) -> None:
        """As terminals that wrap anew do it: what is on them is a text of lines."""
        rows = self.rows()
        self.columns, self.lines = columns, lines
        self._new()
        self.stream.feed("\r\n".join(rows).encode())

    def rows(self) -> list[str]:
        """History and screen up to the cursor, of which nothing may stand below."""
        history = ["".join(row[at].data for at in range(self.columns)).rstrip() for row in self.screen.history.top]
        shown = [row.rstrip() for row in self.screen.display]
        assert not any(shown[self.screen.cursor.y + 1 :])
        return [*history, *shown[: self.screen.cursor.y + 1]]

    def above(self, height: int = 4) -> list[str]:
        """What stands above the panel, which is there once, at the bottom, the cursor behind it."""
        rows = self.rows()
        assert [at for at, row in enumerate(rows) if HEADER.fullmatch(row)] == [len(rows) - height]
        last = self.screen.display[self.screen.cursor.y].rstrip()
        assert self.screen.cursor.x == cell_len(last)
        return rows[:-height]


def test_the_panel_stands_below_the_output() -> None:
    terminal = Terminal()
    terminal.panel.line("attempt 3")
    terminal.show()
    terminal.child(b"one\n", b"two\nthree\n")
    assert terminal.rows() == ["supervise  attempt 3", "one", "two", "three", *LOOK]
    terminal.child(*(f"line {at}\n".encode() for at in range(100)))
    assert terminal.above() == ["supervise  attempt 3", "one", "two", "three", *(f"line {at}" for at in range(100))]
    terminal.panel.close()
    assert terminal.rows()[-2:] == ["line 99", ""]
    assert not terminal.screen.cursor.hidden
    assert "\x1b[?25l" not in b"".join(terminal.writes).decode()


def test_the_unfinished_line_is_the_panels_last_row_and_is_printed_in_the_end() -> None:
    terminal = Terminal()
    terminal.show()
    bars = [f"\r{at}%|{'█' * (at // 10):10}| {at}/100".encode() for at in range(0, 101, 5)]
    terminal.child(*bars[:-1], stream=2)
    assert terminal.above(5) == []
    assert terminal.rows()[-1] == "child: 95%|█████████ | 95/100"
    terminal.child(bars[-1], b"\n", stream=2)
    assert terminal.above() == ["100%|██████████| 100/100"]
    terminal.child(b"Name? ")
    assert terminal.rows()[-1] == "child: Name?"
    terminal.panel.line("attempt 3: segfault", "bad")
    assert terminal.above()[1:] == ["Name?", "supervise  attempt 3: segfault"]
    terminal.child(b"and so", b" on")
    terminal.panel.close()
    assert terminal.rows()[-2:] == ["and so on", ""]


HOSTILE = {
    "clear screen": b"\x1b[2J\x1b[H\x1b[3J",
    "alternate screen": b"\x1b[?1049h\x1b[?47h",
    "cursor addressing": b"\x1b[1;1H\x1b[5A\x1b[99B\x1b[9C\x1b[9D\x1b[3d\x1b[7`",
    "insert and delete": b"\x1b[5L\x1b[5M\x1b[5P\x1b[5@\x1b[5S\x1b[5T\x1bM\x1bD\x1bE",
    "title": b"\x1b]0;owned\x07\x1b]2;owned\x1b\\\x1bkowned\x1b\\",
    "scroll region": b"\x1b[2;3r\x1b[?6h",
    "hidden cursor": b"\x1b[?25l",
    "reset": b"\x1bc\x1b[!p",
    "modes": b"\x1b[4h\x1b[?7l\x1b[20h\x1b[?2026h\x1b[?2004h\x1b[?1000h",
    "charset": b"\x1b(0\x0e\x1b%@\x1bn\x1bo",
    "8-bit controls": b"\xc2\x9b2J\xc2\x84\xc2\x85\xc2\x8d",
    "C0 controls": b"\0\x01\x05\x07\x0b\x0c\x0e\x0f\x1a\x7f",
    "requests": b"\x1b[6n\x1b[c\x1b]11;?\x07\x1bP$qm\x1b\\",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_nothing_that_a_child_prints_breaks_the_panel(hostile: bytes, size: int) -> None:
    terminal = Terminal()
    terminal.child(b"before\n")
    terminal.show()
    data = b"in the mid" + hostile + b"dle\nafter\n" + hostile + b"more\n"
    terminal.child(*(data[at : at + size] for at in range(0, len(data), size)))
    terminal.show()
    assert terminal.above() == ["before", "in the middle", "after", "more"]
    assert not terminal.screen.cursor.hidden
    assert terminal.screen.title == ""
    assert terminal.screen.margins is None


def test_what_looks_like_markup_is_text_and_what_is_not_utf8_is_replaced() -> None:
    terminal = Terminal()
    view = replace(
        VIEW, name="[red]x[/] \x1b[2J\n:smile:", last_failure="[bold]\x1b[H", budget="\ud800", waiting="[b]\r"
    )
    terminal.show(view)
    terminal.child(b"[red]danger[/red] :smile: \xff\n[link=x]")
    assert terminal.above(5) == ["[red]danger[/red] :smile: \ufffd"]
    rows = terminal.rows()[-5:]
    assert rows[0].startswith("── supervise · [red]x[/] \ufffd[2J\ufffd:smile: ──")
    assert rows[2] == "[b]\ufffd · last failure: [bold]\ufffd[H · \ufffd"
    assert rows[4] == "child: [link=x]"


def test_much_without_a_newline_is_printed_in_pieces() -> None:
    terminal = Terminal(lines=30)
    terminal.show()
    terminal.child(b"x" * 150_000, b"\nnext\n")
    rows = terminal.above()
    assert rows[-1] == "next"
    assert "".join(rows[:-1]) == "x" * 150_000


@pytest.mark.parametrize("columns", [30, 40, 61, 79, 100, 200])
def test_the_panel_is_there_once_after_a_resize(columns: int) -> None:
    terminal = Terminal(lines=24)
    terminal.show()
    terminal.child(b"one\n", b"two\n", b"half")
    terminal.resize(columns, 24)
    terminal.show(after_s=0.01)
    assert terminal.above(5) == ["one", "two"]
    terminal.resize(80, 20)
    terminal.child(b"\nthree\n")
    assert terminal.above() == ["one", "two", "half", "three"]
    assert terminal.rows()[-4:] == LOOK


@pytest.mark.parametrize(("columns", "lines"), [(80, 3), (19, 24), (1, 1), (0, 0)])
def test_a_tiny_terminal_has_no_panel_but_the_output(columns: int, lines: int) -> None:
    terminal = Terminal()
    terminal.show()
    terminal.columns, terminal.lines = columns, lines
    terminal.show()
    terminal.child(b"one\n", b"two\n", b"three\n")
    assert terminal.screen.display[:4] == [row.ljust(80) for row in ["one", "two", "three", ""]]


def test_a_low_terminal_has_a_lower_panel() -> None:
    terminal = Terminal(lines=4)
    terminal.show()
    terminal.child(b"one\n", b"two\n")
    assert terminal.above(2) == ["one", "two"]


def test_much_output_is_drawn_now_and_then_and_none_is_lost() -> None:
    terminal = Terminal(lines=30)
    terminal.show()
    before = len(terminal.writes)
    for at in range(4000):
        terminal.child(f"{at}\n".encode(), apart_s=0.00025)
        terminal.show(replace(VIEW, elapsed_s=at), after_s=0)
    assert 15 <= len(terminal.writes) - before <= 21
    due_s = terminal.panel.due_s()
    assert due_s is not None
    terminal.now_s = due_s
    terminal.panel.show(VIEW)
    assert terminal.panel.due_s() is None
    assert terminal.above() == [str(at) for at in range(4000)]


def test_a_first_word_is_seen_at_once_and_a_megabyte_too() -> None:
    terminal = Terminal()
    terminal.show()
    terminal.child(b"quiet before\n")
    assert terminal.above() == ["quiet before"]
    terminal.child(b"soon after\n", apart_s=0.01)
    assert terminal.above() == ["quiet before"]
    writes: list[bytes] = []
    panel = Panel(writes.append, lambda: os.terminal_size((80, 24)), colour=False, clock=lambda: 100.0)
    panel.show(VIEW)
    panel.child(b"little\n", 1)
    assert len(writes) == 1
    panel.child(b"much\n" * 210_000, 1)
    assert [data.count(b"much\r\n") for data in writes] == [0, 210_000]


def test_nothing_new_is_not_drawn() -> None:
    terminal = Terminal()
    terminal.show()
    before = len(terminal.writes)
    terminal.show()
    terminal.child(b"", b"\x1b[2J")
    assert len(terminal.writes) == before


def test_every_drawing_is_one_synchronised_write() -> None:
    terminal = Terminal(colour=True)
    terminal.panel.line("hello", "good")
    terminal.show()
    terminal.child(b"\x1b[31mone\ntwo\n", b"three")
    terminal.panel.suspend()
    terminal.show()
    terminal.panel.close()
    assert len(terminal.writes) == 7
    for data in terminal.writes:
        assert data.startswith(b"\x1b[?2026h")
        assert data.endswith(b"\x1b[?2026l")


def test_before_a_stop_the_panel_goes_and_afterwards_it_comes_back() -> None:
    terminal = Terminal()
    terminal.show()
    terminal.child(b"one\n", b"half")
    terminal.panel.suspend()
    assert terminal.rows() == ["one", ""]
    terminal.stream.feed(b"shell> fg\r\n")
    terminal.child(b"way\n")
    assert terminal.rows() == ["one", "shell> fg", "halfway", ""]
    terminal.show(after_s=0)
    assert terminal.above() == ["one", "shell> fg", "halfway"]


def test_a_terminal_that_is_gone_silences_the_panel() -> None:
    terminal = Terminal()
    terminal.show()
    terminal.broken = True
    terminal.child(b"one\n")
    terminal.broken = False
    before = len(terminal.writes)
    terminal.child(b"two\n")
    terminal.panel.line("three")
    terminal.show()
    terminal.panel.suspend()
    terminal.panel.close()
    assert len(terminal.writes) == before
    assert terminal.panel.due_s() is None


def test_colours_are_kept_and_do_not_leak() -> None:
    terminal = Terminal(colour=True)
    terminal.show()
    terminal.child(b"\x1b[31mred\nstill\n", b"\x1b[0mplain\n")
    assert terminal.above() == ["red", "still", "plain"]
    buffer = terminal.screen.buffer
    assert [buffer[row][0].fg for row in range(3)] == ["red", "red", "default"]
    assert buffer[3][len("── supervise · ")].fg == "default"


def test_without_colour_there_is_none() -> None:
    terminal = Terminal(colour=False)
    terminal.panel.line("hello", "bad")
    terminal.show()
    terminal.child(b"\x1b[31mred\n", b"\x1b[1mhalf")
    terminal.panel.close()
    assert not re.search(rb"\x1b\[[0-9;]*m", b"".join(terminal.writes))


def test_a_terminal_that_knows_only_ascii_gets_only_that() -> None:
    terminal = Terminal(unicode=False)
    terminal.show()
    terminal.child("größe 漢\n".encode(), "45%|███".encode())
    assert b"".join(terminal.writes).isascii()
    assert terminal.above(5) == ["gr??e ?"]
    assert terminal.rows()[-5].startswith("-- supervise - gsm8k-night ---")
    assert terminal.rows()[-2] == "x segfault 44s  x sigkill 29s  > 1m02s"


@pytest.mark.parametrize("name", ["漢字" * 30, "👨‍👩‍👧 night", "e\u0301" * 50, "⚠️" * 20, "नमस्ते" * 12, "\u202eevil"])
@pytest.mark.parametrize("columns", [20, 33, 80])
def test_wide_names_do_not_wrap(name: str, columns: int) -> None:
    terminal = Terminal(columns=columns)
    terminal.show(replace(VIEW, name=name))
    terminal.child(b"one\n", name.encode())
    terminal.show(replace(VIEW, name=name, elapsed_s=9000))
    rows = terminal.rows()
    assert rows[0] == "one"
    assert len(rows) == 6


def test_old_attempts_leave_the_timeline_first() -> None:
    view = replace(VIEW, timeline=(*(Segment("oom", at) for at in range(60, 100)), Segment(None, 5)))
    rows = render(view, "", os.terminal_size((50, 24)), colour=False, unicode=True)
    assert rows[3] == "… 38 earlier  ✖ oom 1m38s  ✖ oom 1m39s  ▶ 5.0s"


def test_rows_with_nothing_to_say_are_left_out() -> None:
    view = View("n", 1, "3 of 3 retries left", Progress(), 1.0, waiting="restarting in 3.2s")
    rows = render(view, "", os.terminal_size((42, 24)), colour=False, unicode=True)
    assert rows == ["── supervise · n ──── attempt 1 · 1.0s ──", "restarting in 3.2s · 3 of 3 retries left"]
    loading = replace(view, progress=Progress(status="loading the model"))
    assert render(loading, "", os.terminal_size((42, 24)), colour=False, unicode=True)[1] == "loading the model"


def views() -> st.SearchStrategy[View]:
    texts, counts = st.text(max_size=60), st.none() | st.integers(0, 10**6)
    progress = st.builds(Progress, counts, counts, st.none() | st.floats(0, 1), st.none() | texts)
    timeline = st.lists(st.builds(Segment, st.none() | texts, st.floats(0, 1e7)), max_size=20).map(tuple)
    return st.builds(View, texts, st.integers(0, 999), texts, progress, st.floats(0, 1e7), texts, timeline, texts)


@given(views(), st.text(st.characters(exclude_categories=["C"]), max_size=90), st.integers(20, 120), st.integers(4, 12))
def test_the_panel_keeps_to_its_place(view: View, partial: str, columns: int, lines: int) -> None:
    for colour in (True, False):
        rows = render(view, partial, os.terminal_size((columns, lines)), colour=colour, unicode=True)
        assert 1 <= len(rows) <= min(5, lines - 2)
        plain = [re.sub(r"\x1b\[[0-9;]*m", "", row) for row in rows]
        assert max(map(cell_len, plain)) < columns
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", "".join(plain))


@given(st.lists(st.tuples(st.binary(max_size=30), st.sampled_from([1, 2]), st.floats(0, 0.3)), max_size=20))
@example([(b"\x1b[2J\r\n", 1, 0.1), (b"\xff\x1b", 2, 0.1), (b"c", 2, 0.1)])
def test_any_output_leaves_the_panel_where_it_is(events: list[tuple[bytes, int, float]]) -> None:
    terminal = Terminal(colour=True, lines=40)
    terminal.show()
    for data, stream, apart_s in events:
        terminal.child(data, stream=stream, apart_s=apart_s)
        terminal.show(after_s=0)
    terminal.show()
    assert sum("── supervise · gsm8k-night ──" in row for row in terminal.rows()) == 1
    terminal.panel.close()
    assert INTENDED.sub("", b"".join(terminal.writes).decode()) == ""
