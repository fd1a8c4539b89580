"""What makes two runs the same: contents and settings, not names and places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from checkpoints.identity import differences, fingerprint, normal
from evaluate.config import EvaluateConfig
from evaluate.identity import identity, provenance
from evaluate.models.device import Placement
from evaluate.models.files import ModelFiles
from evaluate.session import plan_job
from evaluate.task import Task
from evaluate.tasks.gsm_mini import GSM_MINI
from tests.evaluate.support import problem, problems, write_jsonl

ROWS, EXAMPLES = problems(6), problems(8, "Say")
FILES = ModelFiles(Path("/models/a"), "a", "a local folder", "0" * 64)
CPU = Placement("cpu", "float32", "2 threads")


def files(folder: Path, rows: list[dict[str, str]] = ROWS, examples: list[dict[str, str]] = EXAMPLES) -> EvaluateConfig:
    """A run over these rows, written to a folder."""
    folder.mkdir(parents=True)
    data = write_jsonl(folder / "test.jsonl", rows)
    return EvaluateConfig("gsm-mini", data=data, fewshot_data=write_jsonl(folder / "shots.jsonl", examples))


def identified(
    config: EvaluateConfig, model: ModelFiles = FILES, placement: Placement = CPU, task: Task | None = None
) -> dict[str, Any]:
    job = plan_job(config)
    return normal(identity(job if task is None else replace(job, task=task), config, model, placement))


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    fields = [each.field for each in differences(before, after)]
    assert (fingerprint(before) != fingerprint(after)) == bool(fields)
    return fields


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("settings.num_fewshot", {"num_fewshot": 2}),
        ("settings.batch_size", {"batch_size": 7}),
        ("settings.max_new_tokens", {"max_new_tokens": 11}),
        ("settings.apply_chat_template", {"apply_chat_template": True}),
        ("settings.seed", {"seed": 43}),
    ],
)
def test_a_changed_setting_is_a_different_run(tmp_path: Path, field: str, change: dict[str, Any]) -> None:
    config = files(tmp_path / "a")
    assert changed(identified(config), identified(replace(config, **change))) == [field]


def test_another_task_is_a_different_run_and_so_is_another_version_of_it(tmp_path: Path) -> None:
    config = files(tmp_path / "a")
    before = identified(config)
    assert "task.name" in changed(before, identified(replace(config, task="gsm8k")))
    assert changed(before, identified(config, task=replace(GSM_MINI, name="other"))) == ["task.name"]
    assert changed(before, identified(config, task=replace(GSM_MINI, version="2.0"))) == ["task.version"]


def test_other_stops_are_a_different_run(tmp_path: Path) -> None:
    config = files(tmp_path / "a")
    job = plan_job(config)
    other = replace(job, settings=replace(job.settings, stops=("Q:",)))
    before, after = (normal(identity(each, config, FILES, CPU)) for each in (job, other))
    assert changed(before, after) == ["settings.stops"]


@pytest.mark.parametrize(
    "rows",
    [
        [*ROWS[:-1], problem("How many is 5?", 6)],
        ROWS[:-1],
        [*ROWS, problem("One more?", 1)],
        [ROWS[1], ROWS[0], *ROWS[2:]],
    ],
    ids=["another answer", "a row less", "a row more", "another order"],
)
def test_other_data_are_a_different_run(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    before, after = identified(files(tmp_path / "a")), identified(files(tmp_path / "b", rows))
    assert changed(before, after) == ["data.samples_sha256"]


@pytest.mark.parametrize("examples", [EXAMPLES[:-1], list(reversed(EXAMPLES))], ids=["a row less", "another order"])
def test_other_examples_are_a_different_run(tmp_path: Path, examples: list[dict[str, str]]) -> None:
    before, after = identified(files(tmp_path / "a")), identified(files(tmp_path / "b", examples=examples))
    assert changed(before, after) == ["data.fewshot_sha256"]


def test_examples_that_no_prompt_holds_do_not_matter(tmp_path: Path) -> None:
    before = replace(files(tmp_path / "a"), num_fewshot=0)
    after = replace(files(tmp_path / "b", examples=EXAMPLES[:-1]), num_fewshot=0)
    assert changed(identified(before), identified(after)) == []


def test_another_model_precision_or_kind_of_device_is_a_different_run(tmp_path: Path) -> None:
    config = files(tmp_path / "a")
    before = identified(config)
    assert changed(before, identified(config, replace(FILES, sha256="1" * 64))) == ["model.sha256"]
    assert changed(before, identified(config, placement=replace(CPU, dtype="bfloat16"))) == ["model.dtype"]
    assert changed(before, identified(config, placement=replace(CPU, device="cuda"))) == ["model.device"]


def test_names_and_places_do_not_matter(tmp_path: Path) -> None:
    """Files moved, a copy of the model elsewhere, another GPU of the same machine, columns in another order."""
    config = files(tmp_path / "a")
    turned = [dict(reversed(row.items())) for row in ROWS]
    moved = replace(files(tmp_path / "deep" / "b", turned), run_name="x", checkpoint_dir=tmp_path, print_input=True)
    model = ModelFiles(Path("/elsewhere/b"), "b", "the hub", FILES.sha256)
    before = identified(config, placement=Placement("cuda:0", "float32", "a GPU"))
    assert changed(before, identified(moved, model, Placement("cuda:1", "float32", "another GPU"))) == []


def test_provenance_says_where_things_came_from(tmp_path: Path) -> None:
    config = replace(files(tmp_path / "a"), limit=3.0)
    found = provenance(plan_job(config), config, FILES, CPU)
    assert found["data_source"] == str(config.data)
    assert found["fewshot_source"] == str(config.fewshot_data)
    assert (found["model"], found["model_source"], found["limit"]) == ("a", "a local folder", 3.0)
    assert found["hardware"] == "cpu, 2 threads"
    assert found["versions"]["torch"]
    assert normal(found) == found
