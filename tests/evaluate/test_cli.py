"""`python -m evaluate`: what needs no model."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluate.config import EvaluateConfig
from evaluate.sample import Completion
from evaluate.session import plan_job, printable
from tests.conftest import ROOT
from tests.evaluate.support import problems, write_jsonl

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
MODULES = sorted(path.stem for path in (ROOT / "evaluate").glob("*.py") if path.stem != "__main__")


@pytest.fixture
def cli(environment: dict[str, str], tmp_path: Path) -> Cli:
    """Run the command in an empty folder, with a model that is not there."""

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "evaluate", "--model", "./no-model", *options]
        return subprocess.run(
            command,
            env={**environment, "COLUMNS": "200", "TERM": "dumb"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--task", "gsm-mimi"], "there is no task 'gsm-mimi': did you mean 'gsm-mini'?"),
        (["--task", "zzz"], "there is no task 'zzz': choose from gsm8k, gsm-mini"),
        (["-t", "gsm8k", "--data", "gone.jsonl"], "cannot read the data gone.jsonl: No such file or directory"),
        (["-t", "gsm8k", "--data", "four.jsonl"], "--num-fewshot 5 is more than the 3 examples in four.jsonl, the "),
        (["-t", "gsm-mini", "--num_fewshot", "9"], "--num-fewshot 9 is more than the 8 examples in gsm-mini, train"),
        (["-t", "gsm8k", "--data", "bad.jsonl"], "bad.jsonl, line 2: not JSON"),
        (["-t", "gsm-mini"], "there is no folder ./no-model"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_exit_78(
    cli: Cli, tmp_path: Path, options: list[str], complaint: str
) -> None:
    write_jsonl(tmp_path / "four.jsonl", problems(4))
    (tmp_path / "bad.jsonl").write_text('{"question": "q", "answer": "a"}\n{"question"\n')
    done = cli(*options)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith(f"evaluate: {complaint}")
    assert done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"four.jsonl", "bad.jsonl"}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "--task"),
        (["-t", "gsm-mini", "--frobnicate"], "--frobnicate"),
        (["-t", "gsm-mini", "--batch-size", "0"], "--batch-size"),
        (["-t", "gsm-mini", "--batch_size", "many"], "--batch-size"),
        (["-t", "gsm-mini", "--num-fewshot", "-1"], "--num-fewshot"),
        (["-t", "gsm-mini", "--max-new-tokens", "0"], "--max-new-tokens"),
        (["-t", "gsm-mini", "--dtype", "int4"], "'int4' is not one of auto, float32, bfloat16, float16"),
        (["-t", "gsm-mini", "--run-name", "a/b"], "must be a plain folder name"),
        (["-t", "gsm-mini", "--run-name", ".."], "must be a plain folder name"),
        (["-t", "gsm-mini", "--limit", "0"], "0 is neither a number of samples nor a share below 1"),
        (["-t", "gsm-mini", "-L", "-3"], "-3 is neither a number of samples nor a share below 1"),
        (["-t", "gsm-mini", "--limit", "1.5"], "1.5 is neither a number of samples nor a share below 1"),
        (["-t", "gsm-mini", "--limit", "nan"], "nan is neither a number of samples nor a share below 1"),
        (["-t", "gsm-mini", "--limit", "1e999"], "inf is neither a number of samples nor a share below 1"),
        (["-t", "gsm-mini", "--limit", "ten"], "--limit"),
        (["-t", "gsm-mini", "--checkpoint-interval", "0"], "--checkpoint-interval"),
        (["-t", "gsm-mini", "--checkpoint-seconds", "0"], "seconds between two syncs must be a positive number"),
        (["-t", "gsm-mini", "--save-incremental", "--checkpoint-interval", "9"], "leave the interval out"),
        (["-t", "gsm-mini", "--resume-from", "nowhere"], "there is no run at nowhere"),
        (["-t", "gsm-mini", "--resume-from", "x", "--run-name", "y"], "leave --run-name out"),
    ],
)
def test_a_wrong_option_is_named_and_exits_2(cli: Cli, tmp_path: Path, options: list[str], complaint: str) -> None:
    done = cli(*options)
    assert (done.returncode, done.stdout) == (2, "")
    # Drawn in a box, and broken into lines.
    assert complaint in " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.stderr).split())
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_exit_code(cli: Cli) -> None:
    done = cli("--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert all(f" {code} " in text for code in (0, 2, 3, 73, 74, 75, 78, 130))


def test_importing_the_command_line_imports_nothing_heavy(environment: dict[str, str]) -> None:
    code = (
        "import sys, evaluate; alone = set(sys.modules); import evaluate.cli\n"
        "heavy = {'torch', 'transformers', 'datasets', 'huggingface_hub', 'accelerate', 'tokenizers'}\n"
        "print(sorted(heavy & set(sys.modules)), sorted(name for name in alone if name.startswith('evaluate')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[] ['evaluate']\n"


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_are_true(name: str) -> None:
    module = importlib.import_module("evaluate" if name == "__init__" else f"evaluate.{name}")
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted or name != "filters"


def test_the_text_of_prompts_and_responses_cannot_drive_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"question": "\x1b[2JHow\tmany\r?\n\x9b31m\x07\u202e\ud800", "answer": "#### 1"}
    data = write_jsonl(tmp_path / "a.jsonl", problems(2))
    job = plan_job(EvaluateConfig("gsm8k", data=data, num_fewshot=0, print_input=True, print_response=True))
    job.seen(job.dataset.samples[1], row["question"], Completion("\x1b]0;title\x07ü 1\n2", 1, 1))
    job.seen(job.dataset.samples[0], "", None)
    bad = "\N{REPLACEMENT CHARACTER}"
    assert capsys.readouterr().out == (
        f"--- sample 1, input\n{bad}[2JHow\tmany{bad}?\n{bad}31m{bad}{bad}{bad}\n"
        f"--- sample 1, response\n{bad}]0;title{bad}ü 1\n2\n"
        "--- sample 0, input\n\n--- sample 0, response\n(failed)\n"
    )


def test_nothing_is_shown_unless_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = plan_job(EvaluateConfig("gsm-mini", print_input=False, print_response=False))
    job.seen(job.dataset.samples[0], "prompt", Completion("text", 1, 1))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("text", ["plain", "tab\tand\nline", "ümläut 数学 🎉", ""])
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text
