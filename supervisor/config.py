"""Everything that one supervision is told."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from supervisor.chaos import Chaos
from supervisor.hooks import Hooks
from supervisor.policy import Policy
from supervisor.pulse import Patience
from supervisor.rules import Rules

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Config:
    """`grace_s` is how long a child that was asked to end may take; logs go to `<log_dir>/<name>/`.

    `deadline_s` is how long all of it may take. `progress_file` (a glob) and `progress_regex` are for children that do
    not speak sd_notify. `keep_log_parts` is how many full parts of a raw log are kept, None for all.
    `exit_with_child` ends with the last child's code in place of ours.
    """

    command: tuple[str, ...]
    name: str
    log_dir: Path = Path("logs")
    policy: Policy = field(default_factory=Policy)
    rules: Rules = field(default_factory=Rules)
    patience: Patience = field(default_factory=Patience)
    hooks: Hooks = field(default_factory=Hooks)
    chaos: Chaos | None = None
    grace_s: float = 30.0
    deadline_s: float | None = None
    progress_file: str | None = None
    progress_regex: str | None = None
    keep_log_parts: int | None = None
    plain: bool = False
    exit_with_child: bool = False

    @property
    def folder(self) -> Path:
        """Where the journal and the attempts' folders lie."""
        return self.log_dir / self.name


def checked_name(name: str) -> str:
    """The name. Raises ValueError unless it can be a folder of its own."""
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} must be a plain folder name")
    return name


def default_name(command: Sequence[str], directory: str | None = None) -> str:
    """A name for a command in a directory: the same each time, so that a supervisor finds its predecessor's journal.

    >>> default_name(["python", "-m", "evaluate", "--task", "gsm8k"], "/home/me")
    'evaluate-05c50d'
    """
    words = list(command)
    module = words.index("-m") + 1 if "-m" in words else 0
    word = words[module] if module < len(words) else words[0]
    place = directory if directory is not None else str(Path.cwd())
    digest = hashlib.sha256("\0".join([place, *words]).encode(errors="surrogateescape")).hexdigest()
    return f"{_NOT_IN_NAMES.sub('-', os.path.basename(word)) or 'command'}-{digest[:6]}"  # noqa: PTH119
