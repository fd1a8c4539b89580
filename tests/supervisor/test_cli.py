import doctest
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import supervisor
from supervisor.chaos import Harm
from supervisor.cli import parse_harms
from supervisor.config import default_name
from tests.supervisor.bench import Bench

PACKAGE = Path(supervisor.__file__).parent
# The example of the package itself evaluates a model.
MODULES = sorted({path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"})


def supervise(bench: Bench, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supervisor", *words],
        cwd=bench.folder,
        env={**bench.environment, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_the_options_and_the_exit_codes(bench: Bench, option: str) -> None:
    result = supervise(bench, option)
    assert (result.returncode, result.stderr) == (0, "")
    for word in ["--max-retries", "--retry-delay", "--grace", "--name", "--log-dir", "--chaos-limit", "75 progress"]:
        assert word in result.stdout


def test_help_imports_nothing_heavy(bench: Bench) -> None:
    code = """
import json, sys
sys.argv = ["supervise", "--help"]
import crashproof
try:
    crashproof.supervise()
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""
    words = [sys.executable, "-c", code]
    result = subprocess.run(words, cwd=bench.folder, env=bench.environment, capture_output=True, text=True, check=False)
    modules = json.loads(result.stderr)
    assert "supervisor" in modules
    heavy = {"torch", "transformers", "datasets", "numpy", "orjson", "portalocker", "evaluate", "checkpoints"}
    assert heavy & set(modules) == set()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Missing argument '-- CMD...'"),
        (["--"], "Missing argument '-- CMD...'"),
        (["--chaos", "frob", "--", "true"], "choose from segv, kill, abrt, bus, term, hang"),
        (["--chaos", ",", "--", "true"], "name at least one harm"),
        (["--max-retries", "-1", "--", "true"], "'--max-retries'"),
        (["--max-retries", "some", "--", "true"], "valid integer"),
        (["--retry-delay", "-1", "--", "true"], "'--retry-delay'"),
        (["--grace", "-0.5", "--", "true"], "'--grace'"),
        (["--chaos-every", "0", "--", "true"], "'--chaos-every'"),
        (["--grace", "nan", "--", "true"], "write 90, 90s, 15m, 1h30m or 2d"),
        (["--timeout", "0", "--", "true"], "must be longer than nothing"),
        (["--deadline", "yesterday", "--", "true"], "neither a duration (3h30m) nor a time"),
        (["--deadline", "2020-01-01", "--", "true"], "2020-01-01 is over"),
        (["--retry", "segfault", "--", "true"], "is not KIND=N"),
        (["--retry", "segfualt=3", "--", "true"], "the kinds are usage, segfault, abort"),
        (["--retry", "segfault=-1", "--", "true"], "write 0 or more, or inf"),
        (["--progress-regex", "(", "--", "true"], "is no regular expression"),
        (["--progress-regex", "done", "--", "true"], "needs one group"),
        (["--policy", "nosuch.toml", "--", "true"], "cannot read nosuch.toml"),
        (["--exit-code", "mine", "--", "true"], "'ours', 'child'"),
        (["--name", "a/b", "--", "true"], "'a/b' must be a plain folder name"),
        (["--name", "..", "--", "true"], "'..' must be a plain folder name"),
        (["--name", "", "--", "true"], "'' must be a plain folder name"),
        (["--nosuch", "--", "true"], "No such option"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_one_message(bench: Bench, words: list[str], says: str) -> None:
    result = supervise(bench, *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert says in result.stderr
    assert result.stderr.count("Error") == 1
    assert "Traceback" not in result.stderr
    assert not (bench.folder / "logs").exists()


def test_the_options_of_the_command_are_its_own(bench: Bench) -> None:
    result = supervise(bench, "echo", "--help", "--max-retries", "x", "--", "-n")
    assert (result.returncode, result.stdout) == (0, "--help --max-retries x -- -n\n")


def test_logs_and_journal_lie_in_a_folder_named_after_the_command(bench: Bench) -> None:
    assert supervise(bench, "--", "true").returncode == 0
    (folder,) = (bench.folder / "logs").iterdir()
    assert re.fullmatch(r"true-[0-9a-f]{6}", folder.name)
    assert sorted(path.name for path in folder.iterdir()) == ["attempt-0001", "events.jsonl", "supervise.lock"]


def test_the_name_of_a_command_is_stable_and_its_own() -> None:
    names = [
        default_name(command, directory)
        for command, directory in [
            (["python", "-m", "job"], "/a"),
            (["python", "-m", "job"], "/b"),
            (["python", "-m", "job", "--fast"], "/a"),
            (["job", "--fast"], "/a"),
            (["job --fast"], "/a"),
            (["/bin/wäi rd\udcff"], "/a"),
            ([""], "/a"),
            (["job", "-m"], "/a"),
        ]
    ]
    assert names[0] == default_name(["python", "-m", "job"], "/a")
    assert len(set(names)) == len(names)
    assert [name.rpartition("-")[0] for name in names] == [
        "job", "job", "job", "job", "job---fast", "w-i-rd-", "command", "job",
    ]  # fmt: skip


def test_harms_are_read_with_some_tolerance() -> None:
    assert parse_harms(" SEGV, kill,") == (Harm.SEGV, Harm.KILL)
    with pytest.raises(ValueError, match="choose from segv"):
        parse_harms("segv,frob")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_documentation_hold(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert doctest.testmod(importlib.import_module(f"supervisor.{name}")).failed == 0


def test_there_are_examples_at_all() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(f"supervisor.{name}") for name in MODULES]
    assert sum(len(test.examples) for module in modules for test in finder.find(module)) >= 4
