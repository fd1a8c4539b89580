"""A panel of a few lines at the bottom of the terminal, the child's output above it.

What the child prints passes through a LineFilter, so only we move the cursor: nothing it says can break the panel.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor.display import describe, plain
from supervisor.duration import duration
from supervisor.terminal_text import LineFilter
from supervisor.view import Segment, View

if TYPE_CHECKING:
    from rich.text import Text  # at run time with the first panel only: a supervision without one does not pay for it

_REDRAW_S = 0.2
_OUTPUT_S = 0.05  # what is printed sooner than this after the last drawing is collected
_OUTPUT_BYTES = 1024 * 1024  # ... up to here
_BAR_CELLS = 38
_MIN_BAR_CELLS = 8
_MIN_LINES, _MIN_COLUMNS = 4, 20
_PREFIX = "supervise"
_STYLES = {"info": 36, "good": 32, "bad": 31, "warn": 33}
_SGR = re.compile(r"\x1b\[[0-9;:]*m")
_ASCII = str.maketrans("─━╸▶✖·…", "-==>x-~")
# Drawn as one (where the terminal knows how), and without wrapping: whatever the terminal thinks of the width of a
# character, a row of the panel stays one row.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


def render(view: View, partial: str, size: os.terminal_size, *, colour: bool, unicode: bool) -> list[str]:
    """The rows of the panel: one cell narrower than the terminal and two lines lower, at most."""
    if size.lines < _MIN_LINES or size.columns < _MIN_COLUMNS:
        return []
    from rich.console import Console
    from rich.text import Text

    width = size.columns - 1
    rows = [_header(view, width), _bar(view, width, colour=colour), _standing(view), _timeline(view, width)]
    if partial:
        last = Text.assemble(("child: ", "dim"), Text.from_ansi(partial)[:width])
        last.truncate(width - 2, overflow="ellipsis")  # the terminal echoes a typed ^C or ^Z behind it
        rows.append(last)
    file = io.StringIO()
    # An empty environment: COLUMNS, NO_COLOR, FORCE_COLOR and their like have been heard elsewhere.
    console = Console(
        file=file, width=width, height=size.lines, force_terminal=True, legacy_windows=False, _environ={},
        color_system="standard" if colour else None,
    )  # fmt: skip
    shown = [row for row in rows if row][: size.lines - 2]
    for row in shown:
        row.truncate(width, overflow="ellipsis")
    console.print(Text("\n").join(shown), no_wrap=True, end="", highlight=False, markup=False, emoji=False)
    return file.getvalue().translate({} if unicode else _ASCII).split("\n")


def _header(view: View, width: int) -> Text:
    from rich.text import Text

    right = Text.assemble((f" attempt {view.attempt}", "bold"), f" · {duration(view.elapsed_s)} ", ("──", "dim"))
    left = Text.assemble(("── ", "dim"), (_PREFIX, "bold cyan"), f" · {plain(view.name)}")
    left.truncate(max(0, width - right.cell_len - 2), overflow="ellipsis")
    rule = "─" * (width - left.cell_len - right.cell_len - 1)
    return Text.assemble(left, (f" {rule}", "dim"), right)


def _bar(view: View, width: int, *, colour: bool) -> Text:
    from rich.text import Text

    numbers = Text(plain(describe(view.progress)))
    done, total = view.progress.done, view.progress.total
    cells = min(_BAR_CELLS, width - numbers.cell_len - 2)
    if done is None or not total or cells < _MIN_BAR_CELLS:
        return numbers
    halves = max(0, min(2 * cells, 2 * cells * done // total))
    full = "━" * (halves // 2) + "╸" * (halves % 2)
    rest = ("━" if colour else "─") * (cells - len(full))
    return Text.assemble((full, "green"), (rest, "bright_black"), "  ", numbers)


def _standing(view: View) -> Text:
    from rich.text import Text

    waiting = Text(plain(view.waiting), "bold yellow")
    failure = Text.assemble("last failure: ", (plain(view.last_failure), "red")) if view.last_failure else Text()
    return Text(" · ").join(part for part in (waiting, failure, Text(plain(view.budget))) if part)


def _timeline(view: View, width: int) -> Text:
    from rich.text import Text

    def drawn(segment: Segment) -> Text:
        took = duration(segment.duration_s)
        if segment.kind is None:
            return Text(f"▶ {took}", "green")
        return Text.assemble(("✖ ", "red"), f"{plain(segment.kind)} {took}")

    row, left = Text(), len(view.timeline)
    for segment in reversed(view.timeline):
        longer = Text("  ").join([drawn(segment), row] if row else [drawn(segment)])
        room = width if left == 1 else width - len(f"… {left - 1} earlier  ")
        if row and longer.cell_len > room:
            return Text.assemble((f"… {left} earlier  ", "dim"), row)
        row, left = longer, left - 1
    return row


class Panel:
    """Draws on a terminal through `write`, of which one OSError is the last: supervision goes on without a panel."""

    def __init__(
        self,
        write: Callable[[bytes], None],
        size: Callable[[], os.terminal_size],
        *,
        colour: bool,
        unicode: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._size, self._clock = write, size, clock
        self._colour, self._unicode = colour, unicode
        self._filters = {stream: LineFilter(colour=colour) for stream in (1, 2)}
        self._spoke_last = 1
        self._view: View | None = None
        self._away = self._gone = False
        self._collected: list[str] = []  # lines to print
        self._bytes = 0  # of the child's output, since the last drawing
        self._drawn: list[str] = []  # the rows on the screen; the cursor stands behind the last one
        self._drawn_s = -_REDRAW_S
        self._drawn_on: os.terminal_size | None = None

    def line(self, text: str, style: str = "info") -> None:
        """Print one line of our own, above the panel."""
        self._finish_lines()  # it may be about the child's end: what the child did not end stands before it
        mark = f"\x1b[{_STYLES[style]}m{_PREFIX}\x1b[0m" if self._colour else _PREFIX
        self._collected.append(f"{mark}  {plain(text)}")
        self._paint()

    def child(self, data: bytes, stream: int) -> None:
        """Print what the child wrote to that stream, above the panel."""
        if self._gone:
            return
        self._collected += self._filters[stream].feed(data)
        self._spoke_last = stream
        self._bytes += len(data)
        if self._clock() >= self._drawn_s + _OUTPUT_S or self._bytes >= _OUTPUT_BYTES:
            self._paint()

    def show(self, view: View) -> None:
        """How things stand. Drawn when it is time, with what is still to be printed."""
        new = self._view is None or self._away
        self._view, self._away = view, False
        due_s = self._drawn_s + (_OUTPUT_S if self._bytes else _REDRAW_S)
        if new or self._clock() >= due_s or self._is_resized():
            self._paint()

    def due_s(self) -> float | None:
        """By when show() is to be called, on our clock: some output waits. None where nothing does."""
        return self._drawn_s + _OUTPUT_S if self._bytes and not self._gone else None

    def suspend(self) -> None:
        """Take the panel away, before we are stopped; the next show() brings it back."""
        self._away = True
        self._paint()

    def close(self) -> None:
        """Print what is left and leave the terminal as it was."""
        self._finish_lines()
        self._away = True
        self._paint("\x1b[0m\x1b[?25h" if self._colour else "\x1b[?25h")

    def _finish_lines(self) -> None:
        for stream in self._filters.values():
            self._collected += stream.flush()

    def _is_resized(self) -> bool:
        try:
            return self._size() != self._drawn_on
        except OSError:
            return False

    def _partial(self) -> str:
        return self._filters[self._spoke_last].partial or self._filters[3 - self._spoke_last].partial

    def _paint(self, last: str = "") -> None:
        """One write: the old panel away, the lines, the new panel."""
        lines, self._collected, self._bytes = self._collected, [], 0
        if self._gone:
            return
        try:
            size = self._size()
            rows: list[str] = []
            if self._view is not None and not self._away:
                rows = render(self._view, self._partial(), size, colour=self._colour, unicode=self._unicode)
            self._drawn_s, self._drawn_on = self._clock(), size
            if lines or last or rows != self._drawn:
                above = "".join(f"{line}\r\n" for line in lines)
                panel = _NO_WRAP + "\r\n".join(rows) + _WRAP if rows else ""
                text = _BEGIN + _erase(self._drawn, size.columns) + above + panel + last + _END
                self._drawn = rows
                self._write(text.encode("utf-8" if self._unicode else "ascii", "replace"))
        except OSError:
            self._gone = True


def _erase(rows: list[str], columns: int) -> str:
    """Take these rows away. In a terminal that became narrower since they were drawn, they are wrapped."""
    if not rows:
        return ""
    from rich.cells import cell_len

    height = sum(max(1, -(-cell_len(_SGR.sub("", row)) // max(1, columns))) for row in rows)
    return "\r" + (f"\x1b[{height - 1}A" if height > 1 else "") + "\x1b[J"
