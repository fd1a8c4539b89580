import math
from pathlib import Path

import pytest

from supervisor.failure import FailureKind
from supervisor.policy import Policy
from supervisor.policyfile import BadPolicy, read_policy
from tests.supervisor.bench import Bench

EXAMPLE = """
max_retries = 7
max_restarts_total = 200
retry_delay = "5s"
delay_cap = "2m"
same_crash_limit = 4
[retries]
preemption = 3
cuda-oom = "inf"
[exit_codes]
42 = "transient"
[[patterns]]
kind = "hardware"
regex = "^the licence server is on fire"
hint = "call somebody"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return path


def test_a_policy_is_read(tmp_path: Path) -> None:
    policy, rules = read_policy(written(tmp_path, EXAMPLE))
    assert policy == Policy(
        max_retries=7,
        max_restarts_total=200,
        retry_delay_s=5.0,
        delay_cap_s=120.0,
        same_crash_limit=4,
        kind_retries={FailureKind.PREEMPTION: 3, FailureKind.CUDA_OOM: math.inf},
    )
    assert rules.codes == {42: FailureKind.TRANSIENT}
    assert [(row.kind, row.hint) for row in rules.patterns] == [(FailureKind.HARDWARE, "call somebody")]


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert read_policy(written(tmp_path, ""))[0] == Policy()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_retries = -1", "-1 is no number of restarts"),
        ("max_retries = true", "True is no number of restarts"),
        ("max_retries = 'inf'", "max_retries must be a number"),
        ("max_retrys = 3", "unknown key max_retrys; known are"),
        ("retry_delay = 'soon'", "'soon' is not a duration"),
        ("retries = 3", r"write \[retries\]"),
        ("[retries]\nsegfualt = 3", "there is no kind 'segfualt'; the kinds are"),
        ("[exit_codes]\n300 = 'usage'", "'300' is no exit code"),
        ("patterns = 3", r"write \[\[patterns\]\]"),
        ("[[patterns]]\nkind = 'usage'", "each needs a kind and a regex"),
        ("[[patterns]]\nkind = 'usage'\nregex = '('", "is no regular expression"),
        ("max_retries = ", "is not TOML"),
    ],
)
def test_a_mistake_is_told_with_the_file_and_the_remedy(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadPolicy, match=says) as caught:
        read_policy(written(tmp_path, text))
    assert "policy.toml" in str(caught.value)


def test_a_supervisor_follows_its_file_and_its_options_go_before_it(bench: Bench) -> None:
    (bench.folder / "policy.toml").write_text(EXAMPLE)
    options = ["--policy", "policy.toml", "--retry-delay", "0", "--retry", "transient=1"]
    assert bench.python("import sys; sys.exit(42)", *options).code == 70
    assert [event["kind"] for event in bench.events("attempt_ended")] == ["transient"] * 2
    assert "by the policy" in bench.events("attempt_ended")[0]["because"]


def test_words_that_a_user_knows_are_found(bench: Bench) -> None:
    (bench.folder / "policy.toml").write_text(EXAMPLE)
    result = bench.python("raise SystemExit('the licence server is on fire')", "--policy", "policy.toml")
    assert result.code == 69
    assert "hint: call somebody" in result.stderr


def test_the_exit_code_can_be_the_childs(bench: Bench) -> None:
    options = ["--exit-code", "child", "--max-retries", "0"]
    assert bench.python("import sys; sys.exit(42)", *options).code == 42
    assert bench.python("import os; os.abort()", *options).code == 134
    assert bench.python("pass", *options).code == 0
