"""The supervisions of a log folder, live and finished."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from supervisor.account import Account, accounts
from supervisor.journal import read_journal

LOCK_NAME = "supervise.lock"
JOURNAL_NAME = "events.jsonl"


@dataclass(frozen=True)
class Supervision:
    """How one supervision stands. `state` is running, complete, stopped, failed or died (its supervisor was killed)."""

    name: str
    state: str
    attempts: int
    failures: dict[str, int]
    last_failure: str
    done: int | None
    total: int | None
    exit_code: int | None
    started_at: float
    updated_at: float
    command: list[str]


def supervisions(log_dir: Path) -> Iterator[Supervision]:
    """The last supervision of each name, in order of the names. Takes no lock."""
    for path in sorted(log_dir.glob(f"*/{JOURNAL_NAME}")):
        if found := accounts(read_journal(path)):
            yield _supervision(path.parent, found[-1])


def _supervision(folder: Path, account: Account) -> Supervision:
    kinds = [str(attempt.ended["kind"]) for attempt in account.attempts if attempt.ended and "kind" in attempt.ended]
    progress = account.progress or {}
    code = account.finished.get("exit_code") if account.finished else None
    return Supervision(
        name=folder.name,
        state=_state(folder, account, code),
        attempts=len(account.attempts),
        failures={kind: kinds.count(kind) for kind in sorted(set(kinds))},
        last_failure=kinds[-1] if kinds else "",
        done=progress.get("done"),
        total=progress.get("total"),
        exit_code=code,
        started_at=float(account.started.get("time", 0.0)),
        updated_at=float(account.last.get("time", 0.0)),
        command=[str(word) for word in account.started.get("command", [])],
    )


def _state(folder: Path, account: Account, code: object) -> str:
    if account.finished is None:
        return "running" if is_locked(folder / LOCK_NAME) else "died"
    return {0: "complete", 3: "complete", 75: "stopped", 130: "stopped"}.get(
        code if isinstance(code, int) else -1, "failed"
    )


def is_locked(path: Path) -> bool:
    """Whether a supervisor holds this lock. A shared lock is tried, for a moment, and kept by nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
