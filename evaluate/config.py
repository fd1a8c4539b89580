"""Everything that one evaluation is told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from checkpoints import Durability, Retention

DEFAULT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class EvaluateConfig:
    """The command line, checked. None means the task's own default."""

    task: str
    model: str = DEFAULT_MODEL
    data: Path | None = None
    fewshot_data: Path | None = None
    limit: float | None = None
    num_fewshot: int | None = None
    batch_size: int = 8
    max_new_tokens: int | None = None
    apply_chat_template: bool = False
    seed: int = 42
    device: str = "auto"
    dtype: str = "auto"
    checkpoint_dir: Path = Path("checkpoints")
    run_name: str | None = None
    disable_checkpoint: bool = False
    durability: Durability | None = None
    retention: Retention | None = None
    restart: bool = False
    output_path: Path | None = None
    print_input: bool = False
    print_response: bool = False

    @property
    def name(self) -> str:
        """The run's name: the user's, or one made of what users vary most."""
        if self.run_name is not None:
            return self.run_name
        limit = "" if self.limit is None else f"-limit{self.limit:g}"
        model = Path(self.model).name or "model"
        return _NOT_IN_NAMES.sub("-", f"{self.task}-{model}{limit}-seed{self.seed}")


def limited(total: int, limit: float | None) -> int:
    """How many of `total` samples a limit leaves: a count, or below 1 a fraction (rounded up, as lm-eval does)."""
    if limit is None:
        return total
    return min(total, int(limit) if limit >= 1 else -int(-total * limit // 1))
