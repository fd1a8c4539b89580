"""The built-in task's own data: every sum in it is right."""

from __future__ import annotations

import ast
import operator
import re
from fractions import Fraction
from pathlib import Path

import pytest

import evaluate.tasks.gsm_mini
from evaluate.filters import numeric
from evaluate.rows import read_jsonl
from evaluate.task import DataOptions
from evaluate.tasks import TASKS

GSM_MINI = TASKS["gsm-mini"]
FOLDER = Path(evaluate.tasks.gsm_mini.__file__).parent
ASKED = read_jsonl(FOLDER / "gsm_mini.jsonl", ("question", "answer"))
EXAMPLES = read_jsonl(FOLDER / "gsm_mini_fewshot.jsonl", ("question", "answer"))
ANNOTATION = re.compile(r"<<([^<>=]+)=([^<>=]+)>>")
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def exactly(expression: str) -> Fraction:
    """The value of a sum of plain numbers. Raises ValueError for anything else."""

    def value(node: ast.expr) -> Fraction:
        match node:
            case ast.Constant(value=int() | float()):
                return Fraction(ast.unparse(node))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                result: Fraction = OPERATORS[type(op)](value(left), value(right))
                return result
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
        raise ValueError(f"{ast.dump(node)} is no sum")

    return value(ast.parse(expression, mode="eval").body)


@pytest.mark.parametrize(
    ("expression", "value"), [("1+2*3", 7), ("(1+2)*3", 9), ("0.1+0.2", Fraction(3, 10)), ("7/2", Fraction(7, 2))]
)
def test_the_checker_itself_is_exact(expression: str, value: Fraction) -> None:
    assert exactly(expression) == value


def test_there_are_64_problems_and_8_examples_all_different() -> None:
    assert (len(ASKED), len(EXAMPLES)) == (64, 8)
    questions = [" ".join(row["question"].lower().split()) for row in ASKED + EXAMPLES]
    assert len(set(questions)) == 72


@pytest.mark.parametrize("row", ASKED + EXAMPLES, ids=lambda row: str(row["question"])[:40])
def test_every_annotation_is_right_and_leads_to_the_answer(row: dict[str, str]) -> None:
    body, mark, final = row["answer"].rpartition("\n#### ")
    assert mark
    assert re.fullmatch(r"\d{1,3}(,\d{3})*|\d+(\.\d+)?", final)
    assert "####" not in body
    annotations = list(ANNOTATION.finditer(body))
    assert annotations
    assert body.count("<<") == body.count(">>") == len(annotations)
    for found in annotations:
        expression, result = found.groups()
        assert exactly(expression) == Fraction(result), found[0]
        assert re.match(re.escape(result) + r"(?![\d,]|\.\d)", body[found.end() :]), f"{found[0]} is not repeated"
    assert Fraction(annotations[-1][2]) == Fraction(final.replace(",", ""))


@pytest.mark.parametrize("row", ASKED + EXAMPLES, ids=lambda row: str(row["question"])[:40])
def test_texts_are_clean(row: dict[str, str]) -> None:
    assert set(row) == {"question", "answer"}
    assert row["question"] == row["question"].strip()
    assert row["question"].endswith((".", "?"))
    assert all(stop not in row["question"] + row["answer"] for stop in GSM_MINI.stops)
    assert (row["question"] + row["answer"]).replace("\n", "").isprintable()


def test_the_task_asks_the_problems_and_draws_from_the_examples() -> None:
    dataset = GSM_MINI.load(DataOptions(None, None, fewshot=True))
    assert [sample.row for sample in dataset.samples] == ASKED
    assert [sample.row for sample in dataset.fewshot_pool] == EXAMPLES
    assert (dataset.source, dataset.fewshot_source) == ("gsm-mini", "gsm-mini, train")


def test_the_reference_answers_get_full_marks_from_every_filter() -> None:
    for sample in GSM_MINI.load(DataOptions(None, None, fewshot=False)).samples:
        score = GSM_MINI.score(sample, sample.row["answer"])
        assert score.is_correct
        assert score.scores == {"numeric": 1.0, "strict-match": 1.0, "flexible-extract": 1.0}
        assert score.ground_truth == score.model_answer == numeric(sample.row["answer"])
