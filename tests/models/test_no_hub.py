"""The whole program where the hub cannot be reached: an answer within seconds, in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.fake_hub import FakeHub, Repo
from tests.models.support import LIMIT_S, evaluate, mute_server, refused_address


def check(environment: dict[str, str], cwd: Path, *arguments: str, code: int = 78) -> str:
    """Run it, expect a refusal in good time, and return the one sentence."""
    ended = evaluate(environment, cwd, *arguments)
    assert ended.code == code, ended.err
    assert ended.seconds < LIMIT_S
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert len(ended.sentences) == 1
    assert ended.sentences[0] == ended.err.splitlines()[-1]
    assert list(cwd.glob("checkpoints")) == []
    return ended.sentences[0]


def check_data(environment: dict[str, str], tmp_path: Path, tiny_model: Path, problem: str) -> None:
    (tmp_path / "work").mkdir()
    said = check(environment, tmp_path / "work", "--task", "gsm8k", "--model", str(tiny_model))
    assert problem in said
    assert "the dataset openai/gsm8k is not in the local cache" in said
    assert "--data" in said
    assert "HF_HUB_OFFLINE" in said


def test_data_from_a_hub_that_never_answers(online: dict[str, str], tmp_path: Path, tiny_model: Path) -> None:
    with mute_server() as url:
        check_data({**online, "HF_ENDPOINT": url}, tmp_path, tiny_model, f"{url} did not answer within 8 s")


def test_data_from_a_refused_port(online: dict[str, str], tmp_path: Path, tiny_model: Path) -> None:
    url = refused_address()
    check_data({**online, "HF_ENDPOINT": url}, tmp_path, tiny_model, f"{url} cannot be reached")


def test_data_from_an_unknown_name(online: dict[str, str], tmp_path: Path, tiny_model: Path) -> None:
    url = "https://no-such-hub.invalid"
    check_data({**online, "HF_ENDPOINT": url}, tmp_path, tiny_model, f"{url} cannot be reached")


def test_data_from_an_address_without_a_scheme(online: dict[str, str], tmp_path: Path, tiny_model: Path) -> None:
    check_data({**online, "HF_ENDPOINT": "hub.example"}, tmp_path, tiny_model, "HF_ENDPOINT must begin with https://")


def test_data_offline(online: dict[str, str], tmp_path: Path, tiny_model: Path) -> None:
    check_data({**online, "HF_HUB_OFFLINE": "1"}, tmp_path, tiny_model, "HF_HUB_OFFLINE is set")


@pytest.mark.parametrize("offline", [{}, {"HF_HUB_OFFLINE": "1"}])
def test_model_without_a_hub(online: dict[str, str], tmp_path: Path, offline: dict[str, str]) -> None:
    (tmp_path / "work").mkdir()
    environment = {**online, "HF_ENDPOINT": refused_address(), **offline}
    said = check(environment, tmp_path / "work", "--task", "gsm-mini", "--model", "tester/tiny")
    assert "the model tester/tiny is not in the local cache" in said
    assert "--model DIR" in said
    assert "--data" in said
    assert "HF_HUB_OFFLINE" in said


def results(out: str) -> list[str]:
    """The responses and the numbers, but for the speed."""
    return [line for line in out.splitlines() if "samples/s" not in line]


def test_model_and_data_from_the_hub_then_from_the_cache(
    online: dict[str, str], hub_repos: dict[str, Repo], tmp_path: Path
) -> None:
    arguments = ["--task", "gsm8k", "--model", "tester/tiny", "--disable-checkpoint", "--print-response"]
    with FakeHub(hub_repos) as hub:
        environment = {**online, "HF_ENDPOINT": hub.url}
        with_hub = evaluate(environment, tmp_path, *arguments)
        assert with_hub.code == 0, with_hub.err
        assert "tester/tiny from the hub" in with_hub.err
    for offline in ({}, {"HF_HUB_OFFLINE": "1"}):
        without = evaluate({**environment, **offline}, tmp_path, *arguments)
        assert without.code == 0, without.err
        assert "tester/tiny from the Hugging Face cache" in without.err
        assert results(without.out) == results(with_hub.out)
        assert without.seconds < LIMIT_S


def test_hub_without_the_dataset(online: dict[str, str], tmp_path: Path) -> None:
    with FakeHub({}) as hub:
        said = check({**online, "HF_ENDPOINT": hub.url}, tmp_path, "--task", "gsm8k")
    assert "cannot load test of openai/gsm8k" in said
    assert "--data" in said


@pytest.mark.parametrize("cut_off", [False, True])
def test_damaged_data(online: dict[str, str], hub_repos: dict[str, Repo], tmp_path: Path, *, cut_off: bool) -> None:
    repo = hub_repos["datasets/openai/gsm8k"]
    repo.cut_off = cut_off
    for path in (repo.folder / "main").iterdir():
        path.write_bytes(path.name.encode() * 1000)
    with FakeHub(hub_repos) as hub:
        # A supervisor tries this again: the next download may be whole.
        said = check({**online, "HF_ENDPOINT": hub.url}, tmp_path, "--task", "gsm8k", code=1)
    assert "cannot load test of openai/gsm8k" in said
    assert "--data" in said
