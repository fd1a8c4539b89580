"""A model from a hub, and from the cache that it leaves behind."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from tests.models.fake_hub import FakeHub, Repo
from tests.models.support import LIMIT_S, Resolved, mute_server, resolve

NAME = "tester/tiny"


def fetch(online: dict[str, str], repos: dict[str, Repo], name: str = NAME) -> Resolved:
    with FakeHub(repos) as hub:
        return resolve(name, {**online, "HF_ENDPOINT": hub.url})


def fetched(online: dict[str, str], repos: dict[str, Repo]) -> Resolved:
    found = fetch(online, repos)
    assert (found.source, found.error) == ("the hub", "")
    return found


def gone(online: dict[str, str], repos: dict[str, Repo]) -> dict[str, str]:
    """The settings of a process whose hub has been stopped."""
    with FakeHub(repos) as hub:
        return {**online, "HF_ENDPOINT": hub.url}


def test_fetches_what_a_model_needs_and_no_more(online: dict[str, str], hub_repos: dict[str, Repo]) -> None:
    repo = hub_repos["models/tester/tiny"].folder
    (repo / "pytorch_model.bin").write_bytes(b"large and never loaded")
    found = fetched(online, hub_repos)
    names = {path.name for path in Path(found.folder).iterdir()}
    assert names == {path.name for path in repo.iterdir()} - {"README.md", ".gitattributes", "pytorch_model.bin"}


def test_hub_and_folder_are_the_same_model(
    online: dict[str, str], hub_repos: dict[str, Repo], tiny_model: Path
) -> None:
    assert fetched(online, hub_repos).sha256 == resolve(str(tiny_model), online).sha256


@pytest.mark.parametrize("offline", [{}, {"HF_HUB_OFFLINE": "1"}])
def test_found_in_the_cache_without_the_hub(
    online: dict[str, str], hub_repos: dict[str, Repo], offline: dict[str, str]
) -> None:
    before = fetched(online, hub_repos)
    after = resolve(NAME, {**gone(online, hub_repos), **offline})
    assert (after.source, after.error) == ("the Hugging Face cache", "")
    assert (after.folder, after.sha256) == (before.folder, before.sha256)
    assert after.seconds < LIMIT_S


def test_found_in_the_cache_asks_nobody(online: dict[str, str], hub_repos: dict[str, Repo]) -> None:
    fetched(online, hub_repos)
    with mute_server() as url:
        found = resolve(NAME, {**online, "HF_ENDPOINT": url})
    assert found.source == "the Hugging Face cache"
    assert found.seconds < 7.0  # less than a probe would wait


@pytest.mark.parametrize("lost", ["model.safetensors", "tokenizer.json", "config.json", "generation_config.json"])
def test_incomplete_snapshot_is_completed(online: dict[str, str], hub_repos: dict[str, Repo], lost: str) -> None:
    before = fetched(online, hub_repos)
    (Path(before.folder) / lost).unlink()
    without = resolve(NAME, gone(online, hub_repos))
    assert "is not in the local cache" in without.error
    again = fetched(online, hub_repos)
    assert again.sha256 == before.sha256


def test_weights_cut_off_in_the_cache_are_not_a_model(online: dict[str, str], hub_repos: dict[str, Repo]) -> None:
    """A link into the blobs whose blob is gone, and no list of what the repository holds."""
    before = fetched(online, hub_repos)
    (Path(before.folder) / "model.safetensors").resolve().unlink()
    shutil.rmtree(Path(before.folder).parents[1] / "trees")
    assert "is not in the local cache" in resolve(NAME, gone(online, hub_repos)).error
    assert fetched(online, hub_repos).sha256 == before.sha256


def test_connection_that_is_cut_off(online: dict[str, str], hub_repos: dict[str, Repo], tiny_repo: Path) -> None:
    cut = fetch(online, {"models/tester/tiny": Repo(tiny_repo, cut_off=True)})
    assert "fetching tester/tiny failed" in cut.error
    assert "Run the same command again" in cut.error
    assert "\n" not in cut.error
    assert "is not in the local cache" in resolve(NAME, gone(online, hub_repos)).error
    assert fetched(online, hub_repos).error == ""


class Malice:
    """Unpickled, it would leave a file."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._trace,)


def test_pickled_weights_are_refused_unopened(
    online: dict[str, str], hub_repos: dict[str, Repo], tiny_repo: Path, tmp_path: Path
) -> None:
    (tiny_repo / "model.safetensors").unlink()
    (tiny_repo / "pytorch_model.bin").write_bytes(pickle.dumps(Malice(tmp_path / "run")))
    for found in (fetch(online, hub_repos), resolve(str(tiny_repo), online)):
        assert "there are no safetensors weights, and pickled ones are not loaded: convert them first" in found.error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("status", [401, 403])
def test_gated(online: dict[str, str], tiny_repo: Path, status: int) -> None:
    found = fetch(online, {"models/tester/tiny": Repo(tiny_repo, refusal=(status, "GatedRepo"))})
    assert "tester/tiny is gated: accept its terms at http://127.0.0.1" in found.error
    assert "hf auth login" in found.error
    assert "HF_TOKEN" in found.error


@pytest.mark.parametrize("refusal", [(404, "RepoNotFound"), (401, "RepoNotFound")])
def test_missing_or_private(online: dict[str, str], tiny_repo: Path, refusal: tuple[int, str]) -> None:
    found = fetch(online, {"models/tester/tiny": Repo(tiny_repo, refusal=refusal)})
    assert "there is no model tester/tiny at http://127.0.0.1" in found.error
    assert "set HF_TOKEN" in found.error


@pytest.mark.parametrize("refusal", [(401, ""), (403, ""), (404, "RevisionNotFound"), (500, ""), (503, "")])
def test_any_other_refusal_is_one_sentence(online: dict[str, str], tiny_repo: Path, refusal: tuple[int, str]) -> None:
    found = fetch(online, {"models/tester/tiny": Repo(tiny_repo, refusal=refusal)})
    assert "fetching tester/tiny failed" in found.error
    assert str(refusal[0]) in found.error
    assert "\n" not in found.error
    assert found.seconds < LIMIT_S


def test_name_without_an_owner(online: dict[str, str], hub_repos: dict[str, Repo]) -> None:
    assert "there is no model gpt2-nowhere" in fetch(online, hub_repos, "gpt2-nowhere").error
