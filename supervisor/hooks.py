"""The user's own commands, at a failure and at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from supervisor.helpers import Helpers
from supervisor.process import ID_VARIABLE

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Hooks:
    """Shell commands; each gets the facts as JSON on its standard input, and the plain ones as `SUPERVISE_<NAME>`.

    What they print goes to `hooks.log`. They have a minute, and their failure changes nothing.
    """

    on_failure: str | None = None
    on_finish: str | None = None


def run_hook(command: str | None, facts: Mapping[str, object], folder: Path, helpers: Helpers) -> None:
    """Start one, and do not wait for it."""
    if command is None:
        return
    own = {name: value for name, value in os.environ.items() if name not in {ID_VARIABLE, "NOTIFY_SOCKET"}}
    told = {
        f"SUPERVISE_{name.upper()}": str(value)
        for name, value in facts.items()
        if isinstance(value, str | int | float) and "\0" not in str(value)
    }
    text = json.dumps(facts, default=str).encode(errors="replace")
    helpers.start(["/bin/sh", "-c", command], folder / "hooks.log", TIMEOUT_S, environment={**own, **told}, told=text)
