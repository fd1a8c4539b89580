"""Supervision as a function call, with every problem turned into its exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from supervisor.chaos import Chaos
from supervisor.config import Config, checked_name, default_name
from supervisor.exitcodes import ExitCode
from supervisor.journal import LogUnwritable
from supervisor.policy import Policy
from supervisor.process import StartFailed
from supervisor.pulse import Patience
from supervisor.supervise import AlreadyRunning, supervise


def run_with_retry(  # noqa: PLR0913 - for scripts, which like keywords
    command: Sequence[str],
    max_retries: int = 10,
    retry_delay: float | None = None,
    *,
    name: str | None = None,
    log_dir: str | Path = "logs",
    chaos: Chaos | None = None,
    policy: Policy | None = None,
    patience: Patience | None = None,
    deadline: float | None = None,
) -> int:
    """Run a command and bring it back when it crashes; returns the exit code that `supervise` would end with.

    `max_retries` counts restarts since the last progress. `retry_delay` is the base of the exponential backoff in
    seconds; None means 1, or 10 where memory ran out. Signals are handled when called from the main thread; the
    caller's other children are left alone.

    `policy` takes the place of the first two where there is more to say; `patience` has the time limits of an attempt,
    and `deadline` is how many seconds all of it may take.

        >>> from supervisor import run_with_retry
        >>> import tempfile
        >>> run_with_retry(["true"], log_dir=tempfile.mkdtemp())
        0

    Raises ValueError for an empty command, negative numbers, or a name that is no plain folder name.
    """
    if not command:
        raise ValueError("there is no command to run")
    if max_retries < 0 or (retry_delay is not None and retry_delay < 0):
        raise ValueError("max_retries and retry_delay must not be negative")
    config = Config(
        command=tuple(command),
        name=default_name(command) if name is None else checked_name(name),
        log_dir=Path(log_dir),
        policy=Policy(max_retries=max_retries, retry_delay_s=retry_delay) if policy is None else policy,
        patience=Patience() if patience is None else patience,
        chaos=chaos,
        deadline_s=deadline,
    )
    return int(run(config))


def run(config: Config, *, dedicated: bool = False) -> ExitCode | int:
    """Supervise; say in one sentence on standard error what stood in the way, if something did."""
    try:
        return supervise(config, dedicated=dedicated)
    except AlreadyRunning as error:
        return _fail(ExitCode.LOCK_HELD, str(error))
    except StartFailed as error:
        return _fail(error.exit_code, str(error))
    except LogUnwritable as error:
        return _fail(ExitCode.STORAGE, str(error))


def _fail(code: ExitCode, text: str) -> ExitCode:
    print(f"supervise: {text}", file=sys.stderr)
    return code
