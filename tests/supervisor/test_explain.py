"""`supervise explain` and `supervise status`, on journals that real supervisors have written."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from supervisor.account import accounts, replay
from supervisor.failure import FailureKind
from supervisor.policy import GiveUp, Policy, Restart
from tests.supervisor.bench import Bench, wait_until

CRASHES = """
import os, signal
from voice import notify
attempt = int(os.environ["SUPERVISE_ATTEMPT"])
notify("READY=1")
notify(f"X_DONE={10 * attempt}\\nX_TOTAL=40")
if attempt < 4:
    os.kill(os.getpid(), {1: signal.SIGSEGV, 2: signal.SIGABRT, 3: signal.SIGSEGV}[attempt])
"""


def look(bench: Bench, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "supervisor", *words]
    return subprocess.run(
        command, cwd=bench.folder, env=bench.environment, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def crashed(bench: Bench) -> Bench:
    assert bench.python(CRASHES, "--name", "night").code == 0
    return bench


def test_each_death_is_told_with_its_evidence_the_rule_and_the_budget(crashed: Bench) -> None:
    said = look(crashed, "explain", "night")
    assert (said.returncode, said.stderr) == (0, "")
    for words in [
        "segfault after", "abort after", "- status: SIGSEGV", "- progress: new samples committed",
        "9 retries left: since the last progress", "files: logs/night/attempt-0002/", "success after",
        "finished", "4 attempts; failures: 1 abort, 2 segfault", "from a death to the next new sample",
    ]:  # fmt: skip
        assert words in said.stdout, words


def test_the_latest_run_is_explained_when_none_is_named(crashed: Bench) -> None:
    assert look(crashed, "explain").stdout == look(crashed, "explain", "logs/night").stdout
    assert look(crashed, "explain", "logs/night/events.jsonl").stdout == look(crashed, "explain").stdout


def test_another_policy_is_played_on_what_happened(crashed: Bench) -> None:
    (crashed.folder / "strict.toml").write_text("max_restarts_total = 1\n[retries]\nabort = 0\n")
    said = look(crashed, "explain", "--policy", "strict.toml").stdout
    assert "this policy: give up: abort is not retried (exit code 70)" in said
    assert "the other 1 failures would not have happened" in said
    (told,) = json.loads(look(crashed, "explain", "--policy", "strict.toml", "--json").stdout)
    assert [each["kind"] for each in told["replayed"]] == ["segfault", "abort"]


def test_the_journal_of_a_killed_supervisor_is_explained_too(bench: Bench) -> None:
    started = bench.start(sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")
    wait_until(started.stdout.read_bytes)
    assert "running" in look(bench, "status").stdout
    os.kill(started.process.pid, signal.SIGKILL)
    started.process.wait()
    said = look(bench, "explain").stdout
    assert "no end is recorded" in said
    (row,) = json.loads(look(bench, "status", "--json").stdout)
    assert (row["state"], row["attempts"], row["exit_code"]) == ("died", 1, None)
    bench.clear()


def test_status_tells_of_all_supervisions(crashed: Bench) -> None:
    crashed.run("false", options=["--name", "bad", "--max-retries", "0"])
    rows = {row["name"]: row for row in json.loads(look(crashed, "status", "--json").stdout)}
    assert rows["night"]["state"] == "complete"
    assert (rows["night"]["done"], rows["night"]["total"]) == (40, 40)
    assert (rows["bad"]["state"], rows["bad"]["failures"]) == ("failed", {"unknown": 1})
    table = look(crashed, "status").stdout.splitlines()
    assert table[0].split()[:3] == ["name", "state", "attempts"]
    assert len(table) == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["explain"], "there is no supervision in logs"),
        (["status"], "there is no supervision in logs"),
        (["explain", "nosuch"], "there is no supervision 'nosuch'"),
        (["explain", "--nosuch"], "No such option"),
    ],
)
def test_what_is_not_there_is_one_message_and_exit_code_2(bench: Bench, words: list[str], says: str) -> None:
    result = look(bench, *words)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_a_command_called_status_can_be_run(bench: Bench) -> None:
    script = bench.folder / "status"
    script.write_text("#!/bin/sh\necho mine\n")
    script.chmod(0o755)
    result = look(bench, "--", "./status")
    assert result.stdout == "mine\n"


def events(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"v": 1, "time": 1.0, "supervise_id": "one", **row} for row in rows]


def test_a_policy_is_replayed_until_it_gives_up() -> None:
    deaths = [
        row
        for number in range(1, 6)
        for row in (
            {"event": "attempt_starting", "attempt": number},
            {
                "event": "attempt_ended",
                "attempt": number,
                "kind": "segfault",
                "progressed": False,
                "because": "SIGSEGV",
            },
            {"event": "restart", "attempt": number, "delay_s": 1, "left_s": None, "startup_s": 0.0},
        )
    ]
    (account,) = accounts(events({"event": "supervise_started"}, *deaths))
    found = list(replay(account.attempts, Policy(max_retries=2)))
    assert [type(each.decision) for each in found] == [Restart, Restart, GiveUp]
    assert len(list(replay(account.attempts, Policy()))) == 5


def test_a_journal_of_another_version_is_read_as_far_as_it_is_understood() -> None:
    (account,) = accounts(
        events(
            {"event": "attempt_starting", "attempt": 1},
            {"event": "supervise_started", "command": ["x"], "new": {"later": 1}},
            {"event": "attempt_starting", "attempt": 2},
            {"event": "something new"},
            {"event": "attempt_ended", "attempt": 2, "kind": "a kind of later"},
            {"event": "attempt_starting", "attempt": 3},
            {"event": "attempt_ended", "attempt": 3, "kind": "abort"},
        )
    )
    assert [attempt.kind for attempt in account.attempts] == [None, FailureKind.ABORT]
    assert [each.kind for each in replay(account.attempts, Policy())] == [FailureKind.ABORT]


def test_what_a_child_said_cannot_move_the_cursor_of_who_asks(bench: Bench) -> None:
    bench.python("raise SystemExit('ValueError: \\x1b[2J')", "--max-retries", "0")
    assert "\x1b" not in look(bench, "explain").stdout
