"""GSM8K: grade-school math word problems (Cobbe et al., 2021, arXiv 2110.14168), as lm-eval's task version 3.0 asks.

A row: {"question": "Natalia sold clips to ...", "answer": "... = <<48/2=24>>24 clips ...\\n#### 72"}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluate.filters import exact_match, flexible_extract, json_number, numeric, strict_match
from evaluate.hubdata import load_split
from evaluate.rows import read_jsonl
from evaluate.sample import Dataset, Sample, Score
from evaluate.task import DataOptions

COLUMNS = ("question", "answer")


@dataclass(frozen=True)
class GradeSchoolMath:
    """The prompts and the scoring of GSM8K over any data in its format.

    `read` loads the task's own data: the test rows for "test", the few-shot rows for "train".
    """

    name: str
    read: Callable[[str], list[dict[str, Any]]]
    version: str = "3.0"
    num_fewshot: int = 5
    max_new_tokens: int = 256
    stops: tuple[str, ...] = ("Question:", "</s>", "<|im_end|>")
    headline: str = "numeric"

    def load(self, options: DataOptions) -> Dataset:
        """The user's file, or the task's own data; examples never come from the rows that are asked, if avoidable."""
        if options.data is None:
            samples, source = _samples(self.read("test")), self.name
        else:
            samples, source = _samples(read_jsonl(options.data, COLUMNS)), str(options.data)
        if not options.fewshot:
            return Dataset(samples, (), source, "")
        path = options.fewshot_data or _beside(options.data)
        if path is not None:
            return Dataset(samples, _samples(read_jsonl(path, COLUMNS)), source, str(path))
        if options.data is None:
            return Dataset(samples, _samples(self.read("train")), source, f"{self.name}, train")
        # As lm-eval does for a dataset without a training split: from the same rows, never the one that is asked.
        return Dataset(samples, samples, source, f"{source}, the sample itself left out")

    def question(self, sample: Sample) -> str:
        """`Question: …` and `Answer:` on two lines."""
        return f"Question: {sample.row['question']}\nAnswer:"

    def example(self, sample: Sample) -> str:
        """The question and the worked answer."""
        return f"{self.question(sample)} {sample.row['answer']}"

    def score(self, sample: Sample, response: str) -> Score:
        """Both of lm-eval's filters, and the numeric one, which knows that 18.00 is 18."""
        reference = str(sample.row["answer"])
        strict, flexible = strict_match(response), flexible_extract(response)
        answer, truth = numeric(response), numeric(reference)
        is_correct = answer is not None and answer == truth
        return Score(
            ground_truth=json_number(truth),
            model_answer=json_number(answer),
            is_correct=is_correct,
            scores={
                "numeric": float(is_correct),
                "strict-match": float(exact_match(strict, reference)),
                "flexible-extract": float(exact_match(flexible, reference)),
            },
            filtered={"strict-match": strict, "flexible-extract": flexible},
        )


def _samples(rows: Sequence[dict[str, Any]]) -> list[Sample]:
    return [Sample.of(idx, row) for idx, row in enumerate(rows)]


def _beside(data: Path | None) -> Path | None:
    """`train.jsonl` in the same folder, as GSM8K is published."""
    train = None if data is None else data.with_name("train.jsonl")
    return train if train is not None and train.is_file() and train != data else None


GSM8K = GradeSchoolMath(name="gsm8k", read=lambda split: load_split("openai/gsm8k", "main", split))
