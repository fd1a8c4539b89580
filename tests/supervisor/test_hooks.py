import json
import shlex
import sys

from tests.supervisor.bench import Bench

WRITE = 'import os, sys; open(sys.argv[1] + os.environ[sys.argv[2]], "w").write(sys.stdin.read())'
KEEP = shlex.join([sys.executable, "-c", WRITE])


def test_a_hook_is_told_what_failed_and_what_was_decided(bench: Bench) -> None:
    bench.python(
        "import os; os.abort()", "--max-retries", "1", "--name", "night",
        "--on-failure", f"{KEEP} failure- SUPERVISE_DECISION", "--on-finish", f"{KEEP} finish- SUPERVISE_EXIT_CODE",
    )  # fmt: skip
    restart = json.loads((bench.folder / "failure-restart").read_text())
    assert (restart["name"], restart["kind"], restart["because"]) == ("night", "abort", "SIGABRT")
    assert json.loads((bench.folder / "failure-give-up").read_text())["exit_code"] == 70
    finish = json.loads((bench.folder / "finish-70").read_text())
    assert finish["failures"] == {"abort": 2}


def test_a_hook_that_fails_changes_nothing_and_its_words_are_kept(bench: Bench) -> None:
    result = bench.run("true", options=["--on-finish", "echo said; exit 3", "--name", "one"])
    assert result.code == 0
    assert (bench.folder / "logs/one/hooks.log").read_text() == "said\n"


def test_a_slow_hook_does_not_hold_up_the_restart_and_is_not_swept_away(bench: Bench) -> None:
    code = "import os; os.environ['SUPERVISE_ATTEMPT'] == '1' and os.abort()"
    bench.python(code, "--on-failure", "sleep 2; touch done")
    ended, started = bench.events("attempt_ended")[0], bench.events("attempt_started")[1]
    assert started["time"] - ended["time"] < 1
    assert (bench.folder / "done").exists()


def test_large_facts_fit_a_hook(bench: Bench) -> None:
    code = "def f(): raise ValueError('x' * 100_000)\nf()"
    bench.python(code, "--max-retries", "0", "--on-failure", "wc -c > size")
    assert int((bench.folder / "size").read_text()) > 100
