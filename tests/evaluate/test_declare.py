import errno
import json
from pathlib import Path

import pytest

from checkpoints import StorageFailed
from evaluate.declare import declare, failure_kind
from evaluate.errors import ConfigurationError, FetchFailed


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OutOfMemoryError("CUDA out of memory"), "cuda-oom"),
        (OSError(errno.ENOSPC, "No space left on device"), "storage"),
        (StorageFailed("sync", Path("x"), OSError(errno.EIO, "I/O error")), "storage"),
        (ConfigurationError("no such task"), "usage"),
        (FetchFailed("the hub broke off"), "transient"),
        (ValueError("a bug"), None),
        (OSError(errno.ENOENT, "no such file"), None),
    ],
)
def test_an_error_has_the_name_that_the_supervisor_knows(error: Exception, kind: str | None) -> None:
    assert failure_kind(error) == kind


def test_a_declaration_tells_all(tmp_path: Path) -> None:
    try:
        raise ValueError("a \udcff bug")
    except ValueError as error:
        declare(error, {"SUPERVISE_ERROR_FILE": str(tmp_path / "error.json")})
    told = json.loads((tmp_path / "error.json").read_text())
    assert (told["kind"], told["type"], told["message"]) == (None, "ValueError", "a \udcff bug")
    assert "test_declare.py" in told["traceback"]


def test_nobody_asking_or_nowhere_to_write_does_no_harm(tmp_path: Path) -> None:
    declare(ValueError("x"), {})
    declare(ValueError("x"), {"SUPERVISE_ERROR_FILE": str(tmp_path / "nosuch" / "error.json")})
