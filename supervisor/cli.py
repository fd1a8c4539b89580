"""The command line of `supervise`."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from supervisor.chaos import Chaos, Harm
from supervisor.config import Config, checked_name, default_name
from supervisor.duration import seconds
from supervisor.exitcodes import ExitCode
from supervisor.failure import FailureKind
from supervisor.hooks import Hooks
from supervisor.policy import Policy
from supervisor.policyfile import BadPolicy, count, kind_named, read_policy
from supervisor.progress_sources import PrintedNumbers
from supervisor.pulse import Patience
from supervisor.rules import Rules
from supervisor.run import run

_LOOKS = ("explain", "status")

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"allow_interspersed_args": False, "help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """`supervise -- CMD`, `supervise explain` or `supervise status`; `supervise -- explain` runs a command so named."""
    if sys.argv[1:2] and sys.argv[1] in _LOOKS:
        from supervisor.cli_look import app as look

        look(prog_name="supervise")
    app(prog_name="supervise")


class ExitWith(StrEnum):
    """Whose exit code `supervise` ends with."""

    OURS = "ours"
    CHILD = "child"


def _checked(check: Callable[[str], Any]) -> Callable[[str | None], Any]:
    """A callback for an option: what `check` makes of its text, and its ValueError as a message to the user."""

    def callback(text: str | None) -> Any:
        try:
            return None if text is None else check(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return callback


def _some(text: str) -> float:
    """A time that is longer than nothing."""
    found = seconds(text)
    if not found:
        raise ValueError("it must be longer than nothing")
    return found


def _deadline(text: str) -> float:
    """Seconds from now on, for a duration or a local date and time."""
    try:
        return seconds(text)
    except ValueError:
        pass
    try:
        left_s = datetime.fromisoformat(text).timestamp() - time.time()
    except ValueError:
        raise ValueError(f"{text!r} is neither a duration (3h30m) nor a time (2026-11-24T18:00)") from None
    if left_s <= 0:
        raise ValueError(f"{text} is over")
    return left_s


def _retry(text: str) -> tuple[FailureKind, float]:
    name, equals, number = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not KIND=N, as in segfault=20 or transient=inf")
    return kind_named(name), count(number)


def parse_harms(text: str) -> tuple[Harm, ...]:
    """Read `segv,kill`. Raises ValueError that names the choices."""
    try:
        harms = tuple(Harm(word.strip().lower()) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise ValueError(f"{error}; choose from {', '.join(harm.value for harm in Harm)}") from None
    if not harms:
        raise ValueError("name at least one harm")
    return harms


def _regex(text: str) -> str:
    PrintedNumbers(text)
    return text


def _option(check: Callable[[str], Any], help_text: str, metavar: str = "TIME") -> Any:
    return typer.Option(metavar=metavar, help=help_text, callback=_checked(check))


@app.command(epilog="supervise explain tells why attempts died, supervise status how all supervisions stand.")
def supervise(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="The command, with its arguments.")],
    max_retries: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Restarts allowed since the last progress; 10 if not given.")
    ] = None,
    retry: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND=N", help="Restarts of one kind of failure without progress; inf is never counted."),
    ] = None,
    max_restarts_total: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Restarts allowed in all, progress or not.")
    ] = None,
    same_crash_limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Stop after N deaths at the same place without progress.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(metavar="FILE", help="A policy in TOML; options go before it.")] = None,
    retry_delay: Annotated[
        str | None,
        _option(seconds, "Base of the exponential backoff; 1s, or 10s where something has to recover, if not given."),
    ] = None,
    grace: Annotated[str, _option(seconds, "How long a child that is asked to end may take.")] = "30s",
    timeout: Annotated[str | None, _option(_some, "How long one attempt may take.")] = None,
    deadline: Annotated[
        str | None, _option(_deadline, "How long all of it may take, or until when: 3h30m, 2026-11-24T18:00.")
    ] = None,
    stall_timeout: Annotated[
        str | None,
        _option(_some, "A longer silence is a hang. If not given: ten times the longest seen, by sd_notify only."),
    ] = None,
    startup_timeout: Annotated[
        str | None, _option(_some, "How long a start may take; ten times --stall-timeout if only that is given.")
    ] = None,
    no_stall_detection: Annotated[
        bool, typer.Option("--no-stall-detection", help="Never call silence a hang.")
    ] = False,
    progress_file: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Files whose growth is progress, for a CMD without sd_notify.")
    ] = None,
    progress_regex: Annotated[
        str | None, _option(_regex, r"What CMD prints of its progress: 'done (\d+)/(\d+)'.", "REGEX")
    ] = None,
    name: Annotated[
        str | None, _option(checked_name, "Name of this supervision; made from the command if not given.", "NAME")
    ] = None,
    log_dir: Annotated[Path, typer.Option(metavar="DIR", help="Journal and attempts go to DIR/NAME/.")] = Path("logs"),
    keep_log_parts: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Full parts of a raw log to keep, 256 MiB each; all if not given."),
    ] = None,
    on_failure: Annotated[
        str | None, typer.Option(metavar="CMD", help="Shell command at each failure; facts as JSON on its input.")
    ] = None,
    on_finish: Annotated[
        str | None, typer.Option(metavar="CMD", help="Shell command at the end, the same way.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a panel.")] = False,
    exit_code: Annotated[
        ExitWith, typer.Option(help="`child` ends with the last attempt's code, 128 + n for a signal.")
    ] = ExitWith.OURS,
    chaos: Annotated[
        str | None,
        _option(parse_harms, f"Harm the child on purpose: {', '.join(harm.value for harm in Harm)}.", "HARM,..."),
    ] = None,
    chaos_every: Annotated[str, _option(_some, "Mean time between a ready child and its harm.")] = "60s",
    chaos_seed: Annotated[int, typer.Option(metavar="N", help="Seed of the schedule of harm.")] = 0,
    chaos_limit: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Stop harming after N times; without end if not given.")
    ] = None,
) -> None:
    """Run CMD and bring it back when it crashes: for the right reason, the right number of times.

    Exit codes: 0 complete, 2 wrong options, 3 complete with samples that have no score, 69 bad hardware, 70 retries
    spent, 73 already running, 74 I/O error, 75 progress saved, run again, 78 CMD's usage or configuration is wrong,
    125 internal error, 126 not executable, 127 not found. A Ctrl-C ends as SIGINT.
    """
    _fill_standard_descriptors()
    options = {
        "max_retries": max_retries,
        "max_restarts_total": max_restarts_total,
        "same_crash_limit": same_crash_limit,
        "retry_delay_s": retry_delay,
    }
    made, rules = _policy(policy, options, retry or [])
    config = Config(
        command=tuple(command),
        name=default_name(command) if name is None else name,
        log_dir=log_dir,
        policy=made,
        rules=rules,
        patience=Patience(
            _number(timeout), _number(stall_timeout), _number(startup_timeout), enabled=not no_stall_detection
        ),
        hooks=Hooks(on_failure, on_finish),
        chaos=None if chaos is None else Chaos(chaos, float(chaos_every), chaos_seed, chaos_limit),  # type: ignore[arg-type]
        grace_s=float(grace),
        deadline_s=_number(deadline),
        progress_file=progress_file,
        progress_regex=progress_regex,
        keep_log_parts=keep_log_parts,
        plain=plain,
        exit_with_child=exit_code is ExitWith.CHILD,
    )
    _end(config)


def _end(config: Config) -> None:
    """Supervise, and leave with what came of it."""
    try:
        code = run(config, dedicated=True)
    except Exception:
        # A bug of ours: the child is gone by now. Say all we know, under a code that no child's failure has.
        traceback.print_exc()
        raise typer.Exit(int(ExitCode.INTERNAL)) from None
    if code is ExitCode.INTERRUPTED:
        # Die of SIGINT ourselves, so that a calling shell script stops too.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    raise typer.Exit(int(code))


def _policy(path: Path | None, options: dict[str, Any], retries: list[str]) -> tuple[Policy, Rules]:
    """The file's policy, or the default one, with what the options say."""
    try:
        made, rules = (Policy(), Rules()) if path is None else read_policy(path)
        kinds = {**made.kind_retries, **dict(map(_retry, retries))}
    except BadPolicy as error:
        raise typer.BadParameter(str(error), param_hint="--policy") from None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--retry") from None
    given = {name: value for name, value in options.items() if value is not None}
    return replace(made, kind_retries=kinds, **given), rules


def _number(value: object) -> float | None:
    """What a callback has made of an option's text."""
    return None if value is None else float(str(value))


def _fill_standard_descriptors() -> None:
    """Where one was closed (`>&-`), the next file opened would take its number, and with it the child's output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
