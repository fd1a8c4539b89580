"""All tasks, by name. A new one is a file beside this, and a line here."""

from __future__ import annotations

import difflib

from evaluate.errors import ConfigurationError
from evaluate.task import Task
from evaluate.tasks.gsm8k import GSM8K
from evaluate.tasks.gsm_mini import GSM_MINI

TASKS: dict[str, Task] = {task.name: task for task in (GSM8K, GSM_MINI)}


def find_task(name: str) -> Task:
    """Raise ConfigurationError that suggests the nearest name."""
    try:
        return TASKS[name]
    except KeyError:
        near = difflib.get_close_matches(name, TASKS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(TASKS)}"
        raise ConfigurationError(f"there is no task {name!r}: {hint}") from None
