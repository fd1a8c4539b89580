"""GSM8K: prompts to the letter, where examples come from, and what an answer is worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluate.config import EvaluateConfig
from evaluate.errors import ConfigurationError
from evaluate.sample import Dataset, Sample
from evaluate.session import plan_job
from evaluate.task import DataOptions
from evaluate.tasks import TASKS, find_task
from evaluate.tasks.gsm8k import GSM8K, GradeSchoolMath
from tests.evaluate.support import problems, write_jsonl

NATALIA = {"question": "Natalia sold 48 clips. How many?", "answer": "She sold <<48=48>>48.\n#### 48"}
WENG = {"question": "Weng earns $12.\nHow much?", "answer": "She earns $12.\n#### 12"}
ROWS, TRAIN, OTHERS = problems(6), problems(8, "Train"), problems(7, "Others")
OWN = {"test": problems(3, "Own test"), "train": problems(4, "Own train")}


def own(split: str) -> list[dict[str, Any]]:
    return list(OWN[split])


TOY = GradeSchoolMath(name="toy", read=own)


def rows_of(samples: object) -> list[dict[str, Any]]:
    assert isinstance(samples, list)
    return [dict(sample.row) for sample in samples]


def test_the_task_is_that_of_lm_eval() -> None:
    assert (GSM8K.version, GSM8K.num_fewshot, GSM8K.max_new_tokens) == ("3.0", 5, 256)
    assert GSM8K.stops == ("Question:", "</s>", "<|im_end|>")


def test_a_question_is_written_to_the_letter() -> None:
    assert GSM8K.question(Sample.of(0, WENG)) == "Question: Weng earns $12.\nHow much?\nAnswer:"


def test_an_example_is_the_question_a_space_and_the_whole_answer() -> None:
    expected = "Question: Natalia sold 48 clips. How many?\nAnswer: She sold <<48=48>>48.\n#### 48"
    assert GSM8K.example(Sample.of(0, NATALIA)) == expected


def test_examples_come_first_with_blank_lines_between(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "a.jsonl", [NATALIA, WENG])
    job = plan_job(EvaluateConfig("gsm8k", data=data, num_fewshot=1))
    assert job.prompt(job.dataset.samples[1]) == (
        "Question: Natalia sold 48 clips. How many?\nAnswer: She sold <<48=48>>48.\n#### 48\n\n"
        "Question: Weng earns $12.\nHow much?\nAnswer:"
    )
    job = replace(job, num_fewshot=0)
    assert job.prompt(job.dataset.samples[1]) == "Question: Weng earns $12.\nHow much?\nAnswer:"


def test_each_prompt_has_its_own_examples_and_another_seed_draws_others(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "a.jsonl", problems(40))
    job = plan_job(EvaluateConfig("gsm8k", data=data))
    heads = {job.prompt(sample).rpartition("\n\n")[0] for sample in job.dataset.samples}
    assert len(heads) > 30
    first = job.dataset.samples[0]
    assert replace(job, seed=1).prompt(first) != replace(job, seed=2).prompt(first)


def load(data: Path | None, fewshot_data: Path | None = None, *, fewshot: bool = True) -> Dataset:
    return TOY.load(DataOptions(data, fewshot_data, fewshot))


def test_named_examples_win_over_train_jsonl_beside_the_data(tmp_path: Path) -> None:
    data, others = write_jsonl(tmp_path / "test.jsonl", ROWS), write_jsonl(tmp_path / "others.jsonl", OTHERS)
    write_jsonl(tmp_path / "train.jsonl", TRAIN)
    dataset = load(data, others)
    assert (rows_of(dataset.samples), rows_of(dataset.fewshot_pool)) == (ROWS, OTHERS)
    assert (dataset.source, dataset.fewshot_source) == (str(data), str(others))
    assert rows_of(load(None, others).fewshot_pool) == OTHERS


def test_train_jsonl_beside_the_data_is_the_next_choice(tmp_path: Path) -> None:
    data, train = write_jsonl(tmp_path / "test.jsonl", ROWS), write_jsonl(tmp_path / "train.jsonl", TRAIN)
    dataset = load(data)
    assert rows_of(dataset.fewshot_pool) == TRAIN
    assert dataset.fewshot_source == str(train)


def test_without_either_the_examples_come_from_the_same_rows(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "test.jsonl", ROWS)
    dataset = load(data)
    assert rows_of(dataset.fewshot_pool) == ROWS
    assert dataset.fewshot_source == f"{data}, the sample itself left out"


def test_train_jsonl_as_the_data_is_not_its_own_training_split(tmp_path: Path) -> None:
    train = write_jsonl(tmp_path / "train.jsonl", TRAIN)
    assert load(train).fewshot_source == f"{train}, the sample itself left out"


def test_the_task_has_data_of_its_own() -> None:
    dataset = load(None)
    assert (rows_of(dataset.samples), rows_of(dataset.fewshot_pool)) == (OWN["test"], OWN["train"])
    assert (dataset.source, dataset.fewshot_source) == ("toy", "toy, train")


def test_where_no_examples_are_wanted_none_are_read(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "test.jsonl", ROWS)
    dataset = load(data, tmp_path / "absent.jsonl", fewshot=False)
    assert (list(dataset.fewshot_pool), dataset.fewshot_source) == ([], "")


def test_no_sample_is_ever_an_example_of_its_own_prompt(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "test.jsonl", problems(7))
    for seed in range(20):
        job = plan_job(EvaluateConfig("gsm8k", data=data, seed=seed))
        for sample in job.dataset.samples:
            assert job.prompt(sample).count(sample.row["question"]) == 1
            assert sample.row["answer"] not in job.prompt(sample)


@pytest.mark.parametrize(("shots", "fits"), [(5, True), (6, False), (7, False)])
def test_the_pool_must_hold_more_than_the_examples(tmp_path: Path, shots: int, fits: bool) -> None:
    config = EvaluateConfig("gsm8k", data=write_jsonl(tmp_path / "test.jsonl", ROWS), num_fewshot=shots)
    if fits:
        assert plan_job(config).num_fewshot == shots
        return
    with pytest.raises(ConfigurationError, match=f"--num-fewshot {shots} is more than the 5 examples in .*test.jsonl"):
        plan_job(config)


@pytest.mark.parametrize(
    ("response", "answer", "numeric", "strict", "flexible"),
    [
        ("so 18\n#### 18", 18, 1.0, 1.0, 1.0),
        ("#### 18.", 18, 1.0, 1.0, 1.0),
        ("She has $18.", 18, 1.0, 0.0, 1.0),
        ("She has $18.00", 18, 1.0, 0.0, 0.0),
        ("#### 18 and 19", 18, 1.0, 1.0, 0.0),
        ("18 ...", 18, 1.0, 0.0, 0.0),
        ("#### 17", 17, 0.0, 0.0, 0.0),
        ("#### 17 or 18", 17, 0.0, 0.0, 1.0),
        ("I do not know", None, 0.0, 0.0, 0.0),
        ("", None, 0.0, 0.0, 0.0),
    ],
)
def test_an_answer_is_judged_three_ways_and_the_headline_is_numeric(
    response: str, answer: int | None, numeric: float, strict: float, flexible: float
) -> None:
    score = GSM8K.score(Sample.of(0, {"question": "?", "answer": "9 + 9 = <<9+9=18>>18\n#### 18"}), response)
    assert score.scores == {"numeric": numeric, "strict-match": strict, "flexible-extract": flexible}
    assert (score.ground_truth, score.model_answer) == (18, answer)
    assert score.is_correct == bool(score.scores[GSM8K.headline])
    assert set(score.filtered) == {"strict-match", "flexible-extract"}


def test_nothing_equals_a_reference_without_a_number() -> None:
    score = GSM8K.score(Sample.of(0, {"question": "?", "answer": "nobody knows"}), "nobody knows")
    assert (score.is_correct, score.ground_truth) == (False, None)


@pytest.mark.parametrize(("name", "hint"), [("gsm8", "did you mean 'gsm8k'?"), ("zzz", "choose from gsm8k, gsm-mini")])
def test_an_unknown_task_gets_a_suggestion(name: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_task(name)
    assert str(caught.value) == f"there is no task {name!r}: {hint}"


def test_every_task_is_found_by_its_name() -> None:
    assert {name: find_task(name).name for name in TASKS} == {"gsm8k": "gsm8k", "gsm-mini": "gsm-mini"}
