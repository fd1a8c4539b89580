"""What a bench finds: figures, the targets they are held to, and the table that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Target:
    """What a figure should be: at most `limit`, or at least."""

    limit: float
    at_least: bool = False

    def met_by(self, value: float) -> bool:
        """Whether the value is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {number(self.limit)}"


@dataclass(frozen=True)
class Figure:
    """One finding. `value` is a median unless its name says otherwise; `unit` "x" stands for a ratio."""

    name: str
    value: float
    unit: str = "x"
    lowest: float | None = None
    highest: float | None = None
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        return self.target.met_by(self.value) if self.target else None

    def cells(self) -> tuple[str, str, str, str]:
        """What a table says about it: name, value, spread, target."""
        spread = f"{number(self.lowest)} - {number(self.highest)}" if self.lowest is not None else ""
        verdict = {None: "", True: "met", False: "**missed**"}[self.met]
        return self.name, f"{number(self.value)} {self.unit}", spread, f"{self.target or ''} {verdict}".strip()


@dataclass(frozen=True)
class Outcome:
    """What one part of a bench found. `broken` are the promises that did not hold: each is a failure."""

    figures: Sequence[Figure]
    table: str = ""
    notes: Sequence[str] = field(default_factory=tuple)
    broken: Sequence[str] = field(default_factory=tuple)

    def text(self) -> str:
        """The part's own table, or one of its figures; then the notes and what is broken."""
        shown = self.table or table(("", "median", "min - max", "target"), [each.cells() for each in self.figures])
        return "\n".join([shown, *self.notes, *[f"BROKEN: {each}" for each in self.broken]])


def number(value: float | None) -> str:
    """Three significant digits, thousands grouped: 1234567.0 is 1,230,000, and 0.01234 is 0.0123."""
    if value is None:
        return ""
    if abs(value) >= 999.5:
        digits = len(str(int(abs(value))))
        return f"{round(value, 3 - digits):,.0f}"
    return f"{value:.3g}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
