"""`python -m evaluate` with a model: whole runs, and what happens to a run that is there already."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from checkpoints import CheckpointManager, Record
from evaluate.session import printable
from tests.evaluate.support import problem, problems, write_jsonl

QUESTION = "How many\x1b[31m is 1?"
ROWS = [problem("How many is 0?", 0), problem(QUESTION, 1), *problems(4)[2:]]
SAME = ["--task", "gsm8k", "--data", "rows.jsonl", "--device", "cpu", "--num_fewshot", "1"]
SAME += ["--max_new_tokens", "6", "--batch_size", "2"]
# As `python -m evaluate`, saying in the end whether the library that loads models was ever imported.
SPYING = "\n".join(
    [
        "import atexit, sys",
        "atexit.register(lambda: print('model code:', 'transformers' in sys.modules))",
        "from crashproof import evaluate",
        "evaluate()",
    ]
)


@dataclass(frozen=True)
class Place:
    """A folder with data, where commands are run."""

    folder: Path
    model: Path
    environment: dict[str, str]

    def run(self, *options: str, python: Sequence[str] = ("-m", "evaluate")) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *python, *SAME, "--model", str(self.model), *options],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def files(self, name: str) -> dict[str, bytes]:
        root = self.folder / "checkpoints" / name
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def records(self, name: str) -> list[Record]:
        return list(CheckpointManager(self.folder / "checkpoints", name).records())


@pytest.fixture
def place(tmp_path: Path, tiny_model: Path, environment: dict[str, str]) -> Place:
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    return Place(tmp_path, tiny_model, environment)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, environment: dict[str, str]) -> Place:
    """For the tests that leave the finished run `first` as they found it."""
    folder = tmp_path_factory.mktemp("runs")
    write_jsonl(folder / "rows.jsonl", ROWS)
    return Place(folder, tiny_model, environment)


@pytest.fixture(scope="module")
def finished(shared: Place) -> subprocess.CompletedProcess[str]:
    options = ("--run-name", "first", "--print-input", "--print-response", "--output-path", "new/out.json")
    return shared.run(*options)


@pytest.fixture(scope="module")
def template(shared: Place) -> subprocess.CompletedProcess[str]:
    return shared.run("--run_name", "chat", "--apply_chat_template", "--limit", "0.5")


def numbers(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value


def test_a_run_ends_with_0_and_every_sample_has_its_record(
    shared: Place, finished: subprocess.CompletedProcess[str]
) -> None:
    assert finished.returncode == 0, finished.stderr
    records = shared.records("first")
    assert [record.idx for record in records] == [0, 1, 2, 3]
    assert [(record.extra["batch"], record.extra["batch_size"]) for record in records] == [(0, 2)] * 2 + [(1, 2)] * 2
    assert all(0 < record.extra["generated_tokens"] <= 6 for record in records)
    assert [record.ground_truth for record in records] == [0, 1, 2, 3]
    assert re.search(r"^samples +4 of 4: lost 0, repeated 0$", finished.stdout, re.M)
    assert re.search(r"^accuracy \(numeric\) +\d+\.\d% ± \d+\.\d% \(standard error\)$", finished.stdout, re.M)
    assert re.search(r"^results +checkpoints/first/results\.jsonl$", finished.stdout, re.M)


def test_the_user_is_told_what_is_evaluated(shared: Place, finished: subprocess.CompletedProcess[str]) -> None:
    lines = finished.stderr.splitlines()
    expected = "gsm8k: 4 samples from rows.jsonl, 1 examples each from rows.jsonl, the sample itself left out"
    assert lines[0] == expected
    assert lines[1].startswith(f"{shared.model.name} from a local folder, float32 on ")
    assert f"loading {shared.model.name}" in lines


def test_prompts_and_responses_are_printed_without_control_characters(
    shared: Place, finished: subprocess.CompletedProcess[str]
) -> None:
    assert "Question: How many\N{REPLACEMENT CHARACTER}[31m is 1?\nAnswer:" in finished.stdout
    assert all(char.isprintable() or char in "\n\t" for char in finished.stdout)
    for record in shared.records("first"):
        expected = f"--- sample {record.idx}, response\n{printable(record.extra['response'])}\n"
        assert expected in finished.stdout
        assert f"--- sample {record.idx}, input\nQuestion: " in finished.stdout


def test_the_final_numbers_are_written_as_json(shared: Place, finished: subprocess.CompletedProcess[str]) -> None:
    found = numbers(shared.folder / "new" / "out.json")
    correct = sum(record.is_correct for record in shared.records("first"))
    assert (found["task"], found["model"], found["seed"]) == ("gsm8k", shared.model.name, 42)
    assert (found["samples_processed"], found["total_samples"], found["finished"]) == (4, 4, True)
    assert (found["accuracy"], found["correct_count"]) == (correct / 4, correct)
    assert set(found["scores"]) == {"numeric", "strict-match", "flexible-extract"}
    assert [path.name for path in (shared.folder / "new").iterdir()] == ["out.json"]


def test_a_finished_run_is_not_done_again_and_no_model_is_loaded(
    shared: Place, finished: subprocess.CompletedProcess[str]
) -> None:
    before = shared.files("first")
    again = shared.run("--run-name", "first", "-o", "again.json", python=("-c", SPYING))
    assert again.returncode == 0, again.stderr
    assert "first is complete already: nothing is left to do" in again.stderr
    assert "loading" not in again.stderr
    assert again.stdout.splitlines()[-1] == "model code: False"
    after = shared.files("first")
    assert (after["results.jsonl"], after["run.json"]) == (before["results.jsonl"], before["run.json"])
    same = ("accuracy", "scores", "samples_processed", "status_counts")
    written, rewritten = (numbers(shared.folder / name) for name in ("new/out.json", "again.json"))
    assert {name: rewritten[name] for name in same} == {name: written[name] for name in same}


def test_a_run_with_other_settings_is_refused_and_left_as_it_is(
    shared: Place, finished: subprocess.CompletedProcess[str]
) -> None:
    before = shared.files("first")
    refused = shared.run("--run-name", "first", "--seed", "7", "--batch-size", "4", "--limit", "3", "-o", "no.json")
    assert (refused.returncode, refused.stdout) == (78, "")
    assert "evaluate: checkpoints/first was made with other settings, and is left as it is:" in refused.stderr
    assert "\n  settings.seed: the run has 42, now given 7\n" in refused.stderr
    assert "\n  settings.batch_size: the run has 2, now given 4\n" in refused.stderr
    assert "\n  total_samples: the run has 4, now given 3\n" in refused.stderr
    assert "settings.num_fewshot" not in refused.stderr
    assert shared.files("first") == before
    assert not (shared.folder / "no.json").exists()


def test_numbers_that_cannot_be_written_are_exit_74_and_the_run_is_kept(
    shared: Place, finished: subprocess.CompletedProcess[str]
) -> None:
    before = shared.files("first")["results.jsonl"]
    failed = shared.run("--run-name", "first", "--output-path", "rows.jsonl/out.json")
    assert failed.returncode == 74
    assert "evaluate: could not write rows.jsonl/out.json: " in failed.stderr
    assert "Traceback" not in failed.stderr
    assert shared.files("first")["results.jsonl"] == before


def test_the_chat_template_is_applied_around_the_prompt(
    shared: Place, finished: subprocess.CompletedProcess[str], template: subprocess.CompletedProcess[str]
) -> None:
    assert template.returncode == 0, template.stderr
    plain, chat = shared.records("first"), shared.records("chat")
    assert len(chat) == 2  # half of the samples
    around = len("[user] " + "\n" + "[assistant]")  # a token of the tiny model is a byte
    for without, within in zip(plain, chat, strict=False):
        assert within.extra["prompt_tokens"] == without.extra["prompt_tokens"] + around


def test_a_second_process_on_the_same_run_is_told_who_writes_it(place: Place) -> None:
    with CheckpointManager(place.folder / "checkpoints", "mine").open(total_samples=4):
        before = place.files("mine")
        refused = place.run("--run-name", "mine")
        assert place.files("mine") == before
    assert (refused.returncode, refused.stdout) == (73, "")
    assert f"evaluate: checkpoints/mine is being written by process {os.getpid()} on " in refused.stderr
    assert "loading" not in refused.stderr


def test_restart_starts_over_once_and_keeps_the_old_run(place: Place) -> None:
    """A supervisor brings back the whole command, --restart included: only its first attempt starts over."""
    assert place.run("--run-name", "mine").returncode == 0
    assert place.run("--run-name", "mine", "--seed", "7").returncode == 78
    done = place.run("--run-name", "mine", "--seed", "7", "--restart", "--save-incremental")
    assert done.returncode == 0, done.stderr
    place.environment["SUPERVISE_ATTEMPT"] = "2"
    again = place.run("--run-name", "mine", "--seed", "7", "--restart")
    assert "complete already" in again.stderr
    names = sorted(path.name for path in (place.folder / "checkpoints").iterdir())
    assert len(names) == 2
    assert names[1].startswith("mine.replaced-")
    assert [record.idx for record in place.records(names[1])] == [record.idx for record in place.records("mine")]


def test_a_run_is_resumed_from_its_checkpoint_and_compressed_when_complete(place: Place) -> None:
    assert place.run("--run-name", "mine").returncode == 0
    run = place.folder / "checkpoints" / "mine"
    again = place.run("--resume-from", "checkpoints/mine/checkpoint.json", "--compress-finished")
    assert again.returncode == 0, again.stderr
    assert "complete already" in again.stderr
    assert not (run / "results.jsonl").exists()
    assert (run / "results.jsonl.gz").exists()
    assert [record.idx for record in place.records("mine")] == [0, 1, 2, 3]
    once_more = place.run("--run-name", "mine")
    assert once_more.returncode == 0, once_more.stderr
    nowhere = place.run("--resume-from", "checkpoints/other")
    assert nowhere.returncode == 2
    assert "there is no run at checkpoints/other" in " ".join(nowhere.stderr.split())


def test_without_checkpoints_nothing_is_left_behind_and_errors_are_exit_3(place: Place) -> None:
    """A chat template that raises for three of four rows."""
    picky = place.folder / "picky"
    shutil.copytree(place.model, picky)
    template = "{% if 'Odd' in messages[0]['content'] %}{{ raise_exception('odd') }}{% endif %}[assistant]"
    (picky / "chat_template.jinja").write_text(template)
    write_jsonl(place.folder / "rows.jsonl", [problem("Odd?", 1)] * 3 + [problem("Other?", 2)])
    done = place.run(
        "--disable-checkpoint", "-f", "0", "--model", str(picky), "--apply-chat-template",
        "--print-response", "-o", "out.json",
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert {path.name for path in place.folder.iterdir()} == {"rows.jsonl", "out.json", "picky"}
    assert done.stdout.count("response\n(failed)\n") == 3
    assert re.search(r"^without a score +3 \(error_generation 3\): accuracy ", done.stdout, re.M)
    assert "lost" not in done.stdout
    found = numbers(place.folder / "out.json")
    assert (found["samples_processed"], found["errors"], found["accuracy_stderr"]) == (4, 3, None)
    assert found["accuracy_upper"] == (found["correct_count"] + 3) / 4
