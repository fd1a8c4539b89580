"""The words that tasks, models and the loop share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson


@dataclass(frozen=True)
class Sample:
    """One item of a dataset: known by `idx`, its position, and `sample_id`, a hash of its content."""

    idx: int
    sample_id: str
    row: Mapping[str, Any]

    @classmethod
    def of(cls, idx: int, row: Mapping[str, Any]) -> Sample:
        """A row of a dataset at its position."""
        content = orjson.dumps(row, option=orjson.OPT_SORT_KEYS, default=str)
        return cls(idx, hashlib.sha256(content).hexdigest()[:16], row)


@dataclass(frozen=True)
class Dataset:
    """The samples of a task and the pool that few-shot examples are drawn from; `source` is for the reader."""

    samples: Sequence[Sample]
    fewshot_pool: Sequence[Sample]
    source: str
    fewshot_source: str


@dataclass(frozen=True)
class Score:
    """What a response is worth. `scores` is 0 or 1 per metric; `is_correct` is the headline metric's verdict."""

    ground_truth: Any
    model_answer: Any
    is_correct: bool
    scores: Mapping[str, float]
    filtered: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GenerationSettings:
    """How a response ends: after so many tokens, or at the first of these strings."""

    max_new_tokens: int
    stops: tuple[str, ...]


@dataclass(frozen=True)
class Completion:
    """A model's response to one prompt; lengths in tokens. `truncated_tokens` were cut from the prompt's start."""

    text: str
    prompt_tokens: int
    generated_tokens: int
    truncated_tokens: int = 0


class Generator(Protocol):
    """A loaded model."""

    def generate(
        self, prompts: Sequence[str], settings: GenerationSettings, check: Callable[[], None]
    ) -> list[Completion]:
        """Complete all prompts as one batch, in order. `check` is called at every token and may raise."""

    def is_broken_by(self, error: Exception) -> bool:
        """Whether no further sample can succeed in this process after this error."""
