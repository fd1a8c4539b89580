"""What a run is, and what must be repeated to resume it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from checkpoints import CheckpointManager, CorruptRun, Difference, RunMismatch, UnsupportedFormat
from checkpoints.encoding import seal, unseal
from checkpoints.identity import RunIdentity, differences, fingerprint, normal
from tests.checkpoints.support import files_of, make_run

IDENTITY = {
    "task": "gsm8k",
    "model": {"name": "tiny", "generation": {"temperature": 0.0, "stop": ["\n"]}},
    "seed": 1,
}


def started(directory: Path) -> CheckpointManager:
    manager = CheckpointManager(directory, "r")
    manager.open(total_samples=10, identity=IDENTITY, provenance={"torch": "2.6"}).close()
    return manager


def test_the_same_identity_resumes_whatever_the_order_of_its_keys_and_its_provenance(tmp_path: Path) -> None:
    started(tmp_path)
    reordered = dict(reversed(IDENTITY.items()))
    with CheckpointManager(tmp_path, "r").open(total_samples=10, identity=reordered, provenance={"torch": "9"}) as run:
        assert run.attempt == 2
    assert RunIdentity.read(run.layout.run).provenance == {"torch": "2.6"}


def test_tuples_and_lists_are_the_same_on_disk_and_so_in_a_comparison(tmp_path: Path) -> None:
    CheckpointManager(tmp_path, "r").open(identity={"stop": ("a", "b"), "weights": {1: 0.5}}).close()
    with CheckpointManager(tmp_path, "r").open(identity={"stop": ["a", "b"], "weights": {"1": 0.5}}) as run:
        assert run.attempt == 2


def test_without_an_identity_whatever_is_there_is_resumed(tmp_path: Path) -> None:
    started(tmp_path)
    with CheckpointManager(tmp_path, "r").open() as run:
        assert run.load_checkpoint().total_samples == 10  # type: ignore[union-attr]


def test_a_mismatch_names_every_field_and_leaves_the_files_as_they_are(tmp_path: Path) -> None:
    manager = started(tmp_path)
    before = files_of(manager)
    given: dict[str, Any] = {
        "task": "gsm8k",
        "model": {"name": "large", "generation": {"temperature": 0.7, "stop": ["\n"]}, "dtype": "bf16"},
        "limit": 5,
    }
    with pytest.raises(RunMismatch) as raised:
        CheckpointManager(tmp_path, "r").open(total_samples=11, identity=given)
    assert raised.value.differences == (
        Difference("limit", "(not set)", 5),
        Difference("model.dtype", "(not set)", "bf16"),
        Difference("model.generation.temperature", 0.0, 0.7),
        Difference("model.name", "tiny", "large"),
        Difference("seed", 1, "(not set)"),
        Difference("total_samples", 10, 11),
    )
    for text in ("model.generation.temperature: the run has 0.0, now given 0.7", "total_samples: the run has 10"):
        assert text in str(raised.value)
    assert files_of(manager) == before
    with CheckpointManager(tmp_path, "r").open(identity=IDENTITY) as run:
        assert run.attempt == 2


def test_a_total_alone_can_differ(tmp_path: Path) -> None:
    started(tmp_path)
    with pytest.raises(RunMismatch) as raised:
        CheckpointManager(tmp_path, "r").open(total_samples=9, identity=IDENTITY)
    assert [each.field for each in raised.value.differences] == ["total_samples"]


@pytest.mark.parametrize(
    ("stored", "given", "expected"),
    [
        ({}, {}, []),
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, [("a.b.c", 1, 2)]),
        ({"a": {"b": 1}}, {"a": 3}, [("a", {"b": 1}, 3)]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [("a", [1, 2], [2, 1])]),
        ({"b": None}, {}, [("b", None, "(not set)")]),
    ],
)
def test_differences(stored: dict[str, Any], given: dict[str, Any], expected: list[tuple[str, Any, Any]]) -> None:
    assert [(each.field, each.stored, each.given) for each in differences(stored, given)] == expected


def test_the_fingerprint_follows_the_content_alone() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_an_identity_that_json_cannot_hold_is_refused_and_starts_no_run(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        CheckpointManager(tmp_path, "r").open(identity={"model": object()})
    assert CheckpointManager(tmp_path, "r").load_checkpoint() is None
    with CheckpointManager(tmp_path, "r").open(identity={"model": "m"}) as run:
        assert run.attempt == 1


@pytest.mark.parametrize("data", [b"", b"[1]", b"{}", b"\xff", b'{"format":1}', b"null"])
def test_a_damaged_description_is_reported_with_its_path(tmp_path: Path, data: bytes) -> None:
    manager = started(tmp_path)
    manager.layout.run.write_bytes(data)
    for look in (manager.load_checkpoint, CheckpointManager(tmp_path, "r").open):
        with pytest.raises(CorruptRun, match=r"run\.json, line 1"):
            look()
    assert manager.layout.run.read_bytes() == data


def test_an_identity_edited_by_hand_is_noticed(tmp_path: Path) -> None:
    manager = started(tmp_path)
    manager.layout.run.write_bytes(manager.layout.run.read_bytes().replace(b'"tiny"', b'"huge"'))
    with pytest.raises(CorruptRun, match="fingerprint"):
        CheckpointManager(tmp_path, "r").open()


def test_results_without_a_description_are_not_adopted(tmp_path: Path) -> None:
    manager = make_run(tmp_path, 0, 1)
    manager.layout.run.unlink()
    before = manager.layout.results.read_bytes()
    with pytest.raises(CorruptRun, match=r"no run\.json"):
        CheckpointManager(tmp_path, "r").open(total_samples=2)
    assert manager.layout.results.read_bytes() == before
    assert not manager.layout.run.exists()


def test_an_empty_log_without_a_description_is_a_start_that_crashed(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "results.jsonl").touch()
    with CheckpointManager(tmp_path, "r").open(total_samples=2) as run:
        assert run.attempt == 1


def test_a_description_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    manager = started(tmp_path)
    value = {**orjson.loads(manager.layout.run.read_bytes()), "format": 2}
    manager.layout.run.write_bytes(orjson.dumps(value))
    for look in (manager.load_checkpoint, CheckpointManager(tmp_path, "r").open):
        with pytest.raises(UnsupportedFormat, match=r"run\.json has format version 2"):
            look()


def test_a_checkpoint_of_a_newer_version_is_refused_rather_than_overwritten(tmp_path: Path) -> None:
    manager = started(tmp_path)
    newer = seal({**unseal(manager.layout.checkpoint.read_bytes().rstrip() + b"\n"), "format": 2})
    manager.layout.checkpoint.write_bytes(newer)
    for look in (manager.load_checkpoint, CheckpointManager(tmp_path, "r").open):
        with pytest.raises(UnsupportedFormat, match=r"checkpoint\.json has format version 2"):
            look()
    assert manager.layout.checkpoint.read_bytes() == newer


def test_a_value_is_normalised_to_what_json_gives_back() -> None:
    assert normal({"a": (1, 2), "b": {3: "x"}}) == {"a": [1, 2], "b": {"3": "x"}}
