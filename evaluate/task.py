"""What a task is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evaluate.sample import Dataset, Sample, Score


@dataclass(frozen=True)
class DataOptions:
    """Where the user wants the data from; None means the task's own place. `fewshot` is whether examples are needed."""

    data: Path | None
    fewshot_data: Path | None
    fewshot: bool


class Task(Protocol):
    """A dataset, its prompts and its scoring. All methods but load() are pure."""

    @property
    def name(self) -> str:
        """What --task calls it."""

    @property
    def version(self) -> str:
        """Changes whenever a score could."""

    @property
    def num_fewshot(self) -> int:
        """Examples per prompt unless the user says otherwise."""

    @property
    def max_new_tokens(self) -> int:
        """Length of a response unless the user says otherwise."""

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end a response."""

    @property
    def headline(self) -> str:
        """The metric that `is_correct` and the accuracy follow."""

    def load(self, options: DataOptions) -> Dataset:
        """Read the data. Raises ConfigurationError."""

    def question(self, sample: Sample) -> str:
        """The sample as the model sees it, up to where its answer begins."""

    def example(self, sample: Sample) -> str:
        """The sample with its answer, as a few-shot example."""

    def score(self, sample: Sample, response: str) -> Score:
        """Judge a response."""
