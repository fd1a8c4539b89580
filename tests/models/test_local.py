"""A model named as a folder, and names that are neither a folder nor a hub id."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluate.errors import ConfigurationError
from evaluate.models.resolve import resolve_model
from tests.models.fake_hub import FakeHub, Repo
from tests.models.support import change_json, copy_of, evaluate, mute_server, resolve


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRASHPROOF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def quiet(_text: str) -> None:
    raise AssertionError("nothing has to be fetched")


def shard(folder: Path, *present: str) -> None:
    """Split the weights as large models are split; only `present` shards exist."""
    (folder / "model.safetensors").unlink()
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"metadata": {}, "weight_map": {"a": names[0], "b": names[1], "c": names[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for name in present:
        (folder / name).write_bytes(b"weights")


def test_complete_folder(tiny_model: Path) -> None:
    files = resolve_model(str(tiny_model), quiet)
    assert (files.folder, files.label, files.source) == (tiny_model, tiny_model.name, "a local folder")


def test_same_content_elsewhere_is_the_same_model(tiny_model: Path, tmp_path: Path) -> None:
    copy = copy_of(tiny_model, tmp_path / "another-name")
    assert resolve_model(str(copy), quiet).sha256 == resolve_model(str(tiny_model), quiet).sha256


def test_what_is_no_part_of_the_model_does_not_change_it(tiny_model: Path, tmp_path: Path) -> None:
    copy = copy_of(tiny_model, tmp_path / "m")
    (copy / "README.md").write_text("words")
    assert resolve_model(str(copy), quiet).sha256 == resolve_model(str(tiny_model), quiet).sha256


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "generation_config.json", "chat_template.jinja"])
def test_every_file_that_counts_changes_it(tiny_model: Path, tmp_path: Path, name: str) -> None:
    copy = copy_of(tiny_model, tmp_path / "m")
    with (copy / name).open("a") as file:
        file.write(" ")
    assert resolve_model(str(copy), quiet).sha256 != resolve_model(str(tiny_model), quiet).sha256


def test_complete_shards(tiny_model: Path, tmp_path: Path) -> None:
    copy = copy_of(tiny_model, tmp_path / "m")
    shard(copy, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    assert resolve_model(str(copy), quiet).folder == copy


def without(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def damaged_index(content: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        shard(folder)
        (folder / "model.safetensors.index.json").write_text(content)

    return change


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def config_is_a_folder(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()


DEFECTS: list[tuple[Callable[[Path], None], str]] = [
    (empty, "there is no config.json"),
    (without("config.json"), "there is no config.json"),
    (config_is_a_folder, "there is no config.json"),
    (without("tokenizer.json", "tokenizer_config.json"), "there is no tokenizer"),
    (without("model.safetensors"), "there are no safetensors weights"),
    (shard, "2 of 2 weight files are absent, model-00001-of-00002.safetensors first"),
    (
        lambda folder: shard(folder, "model-00001-of-00002.safetensors"),
        "1 of 2 weight files are absent, model-00002-of-00002.safetensors first",
    ),
    (damaged_index("{"), "model.safetensors.index.json is damaged"),
    (damaged_index("[]"), "model.safetensors.index.json is damaged"),
    (damaged_index("{}"), "model.safetensors.index.json is damaged"),
    (damaged_index('{"weight_map": []}'), "model.safetensors.index.json is damaged"),
    (damaged_index('{"weight_map": {"a": 1}}'), "model.safetensors.index.json is damaged"),
    (damaged_index('{"weight_map": {"a": ["x"]}}'), "model.safetensors.index.json is damaged"),
    (damaged_index('{"weight_map": {}}'), "model.safetensors.index.json is damaged"),
]


@pytest.mark.parametrize(("change", "reason"), DEFECTS)
def test_incomplete_folder(tiny_model: Path, tmp_path: Path, change: Callable[[Path], None], reason: str) -> None:
    copy = copy_of(tiny_model, tmp_path / "m")
    change(copy)
    with pytest.raises(ConfigurationError) as caught:
        resolve_model(str(copy), quiet)
    assert str(copy) in str(caught.value)
    assert reason in str(caught.value)


def test_dangling_link_is_no_weight_file(tiny_model: Path, tmp_path: Path) -> None:
    copy = copy_of(tiny_model, tmp_path / "m", "model.safetensors")
    (copy / "model.safetensors").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigurationError, match="no safetensors weights"):
        resolve_model(str(copy), quiet)


@pytest.mark.parametrize("name", ["./nowhere", "../nowhere", "/no/where", "~/nowhere", "a/b/c"])
def test_name_that_can_only_be_a_folder(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"there is no folder {name}, and it is no hub id"):
        resolve_model(name, quiet)


@pytest.mark.parametrize("name", ["two words", "a/b c", "a--b/c..d", "owner/", "x" * 200, "ünï/code"])
def test_name_that_no_hub_could_have(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is neither a folder nor a hub id"):
        resolve_model(name, quiet)


def test_folder_wins_over_hub_and_cache(
    tiny_model: Path, tmp_path: Path, online: dict[str, str], hub_repos: dict[str, Repo]
) -> None:
    copy_of(tiny_model, tmp_path / "work" / "tester" / "tiny")
    change_json(tmp_path / "work" / "tester" / "tiny" / "generation_config.json", max_length=7)
    with FakeHub(hub_repos) as hub:
        fetched = resolve("tester/tiny", {**online, "HF_ENDPOINT": hub.url})
        asked = len(hub.requests)
        local = resolve("tester/tiny", {**online, "HF_ENDPOINT": hub.url}, tmp_path / "work")
    assert (fetched.source, local.source) == ("the hub", "a local folder")
    assert fetched.sha256 != local.sha256
    assert len(hub.requests) == asked


def test_incomplete_folder_is_not_replaced_by_the_hub(
    tmp_path: Path, online: dict[str, str], hub_repos: dict[str, Repo]
) -> None:
    (tmp_path / "work" / "tester" / "tiny").mkdir(parents=True)
    with FakeHub(hub_repos) as hub:
        found = resolve("tester/tiny", {**online, "HF_ENDPOINT": hub.url}, tmp_path / "work")
    assert "there is no config.json" in found.error
    assert hub.requests == []


def test_folder_and_built_in_data_ask_no_hub(tiny_model: Path, tmp_path: Path, online: dict[str, str]) -> None:
    with mute_server() as url:
        ended = evaluate({**online, "HF_ENDPOINT": url}, tmp_path, "--task", "gsm-mini", "--model", str(tiny_model))
    assert ended.code == 0, ended.err
    assert ended.seconds < 15.0
