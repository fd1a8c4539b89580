"""What a child can write down before it dies: a JSON object in the file that `$SUPERVISE_ERROR_FILE` names.

    {"kind": "cuda-oom", "type": "OutOfMemoryError", "message": "CUDA out of memory. Tried …",
     "traceback": "Traceback (most recent call last): …", "samples": "782-789", "hint": "use a smaller batch"}

All fields are optional, and others are kept out of our way. `kind` is one of supervisor.failure.FailureKind; with
another one, or none, the message is judged by the table in supervisor.patterns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from supervisor.failure import FailureKind

ERROR_FILE_VARIABLE = "SUPERVISE_ERROR_FILE"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Declaration:
    """The child's own account of its end."""

    kind: FailureKind | None = None
    type: str = ""
    message: str = ""
    traceback: str = ""
    samples: str = ""
    hint: str = ""

    def __str__(self) -> str:
        what = ": ".join(part for part in (self.type, first_line(self.message)) if part)
        return what or (self.kind or "nothing said")


def read_declaration(path: Path) -> Declaration | None:
    """The declaration in this file; None if there is none that can be read."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    texts = {name: str(value.get(name) or "") for name in ("type", "message", "traceback", "samples", "hint")}
    return Declaration(_kind(value.get("kind")), **texts)


def _kind(value: object) -> FailureKind | None:
    try:
        return FailureKind(str(value))
    except ValueError:
        return None


def first_line(text: str, width: int = 160) -> str:
    """The first line that says something, cut to a width."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= width else f"{line[: width - 1]}…"
