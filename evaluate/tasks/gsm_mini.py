"""gsm-mini: 64 easy problems in GSM8K's format, written for this project and shipped with it.

It needs no hub and takes minutes on a CPU, so that anyone can watch a whole evaluation, crashes included. It
ranks no model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluate.rows import read_jsonl
from evaluate.tasks.gsm8k import COLUMNS, GradeSchoolMath

_FILES = {"test": "gsm_mini.jsonl", "train": "gsm_mini_fewshot.jsonl"}


def _read(split: str) -> list[dict[str, Any]]:
    return read_jsonl(Path(__file__).with_name(_FILES[split]), COLUMNS)


GSM_MINI = GradeSchoolMath(name="gsm-mini", read=_read, version="1.0", num_fewshot=3, max_new_tokens=96)
