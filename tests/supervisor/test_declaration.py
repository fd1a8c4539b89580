import json
from pathlib import Path

import pytest

from supervisor.classify import classify
from supervisor.declaration import Declaration, read_declaration
from supervisor.evidence import Evidence, ExitStatus
from supervisor.failure import Failure, FailureKind


def declared(tmp_path: Path, value: object) -> Declaration | None:
    path = tmp_path / "error.json"
    path.write_text(json.dumps(value))
    return read_declaration(path)


def test_a_declaration_is_read(tmp_path: Path) -> None:
    value = {"kind": "cuda-oom", "type": "OutOfMemoryError", "message": "CUDA out of memory.\nTried", "later": {"x": 1}}
    found = declared(tmp_path, value)
    assert found is not None
    assert found.kind is FailureKind.CUDA_OOM
    assert str(found) == "OutOfMemoryError: CUDA out of memory."


@pytest.mark.parametrize("value", [None, [], "text", 7])
def test_what_is_no_object_declares_nothing(tmp_path: Path, value: object) -> None:
    assert declared(tmp_path, value) is None


def test_what_is_not_there_or_torn_declares_nothing(tmp_path: Path) -> None:
    path = tmp_path / "error.json"
    assert read_declaration(path) is None
    path.write_text('{"kind": "cuda-')
    assert read_declaration(path) is None
    path.write_text("[" * 100_000)
    assert read_declaration(path) is None


def test_a_declaration_without_a_kind_is_judged_by_its_words() -> None:
    words = Declaration(type="OSError", message="[Errno 28] No space left on device")
    verdict = classify(Evidence(ExitStatus(code=1), declared=words))
    assert isinstance(verdict, Failure)
    assert verdict.kind is FailureKind.STORAGE
    nothing = classify(Evidence(ExitStatus(code=1), declared=Declaration(type="ValueError", message="who knows")))
    assert isinstance(nothing, Failure)
    assert (nothing.kind, nothing.because) == (
        FailureKind.UNKNOWN,
        "exit code 1; the child declared: ValueError: who knows",
    )
    assert "declared: no kind: ValueError: who knows" in nothing.chain
