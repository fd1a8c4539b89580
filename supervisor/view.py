"""How a supervision stands, as it is shown."""

from __future__ import annotations

from dataclasses import dataclass

from supervisor.progress import Progress


@dataclass(frozen=True)
class Segment:
    """One attempt on the timeline; `kind` is how it failed, None for one that did not, or runs."""

    kind: str | None
    duration_s: float


@dataclass(frozen=True)
class View:
    """`elapsed_s` is of all of it. `last_failure` is empty when there was none, `waiting` while the child runs."""

    name: str
    attempt: int
    budget: str
    progress: Progress
    elapsed_s: float
    last_failure: str = ""
    timeline: tuple[Segment, ...] = ()
    waiting: str = ""
