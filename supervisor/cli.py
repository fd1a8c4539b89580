"""The command line of `supervise`."""

from __future__ import annotations

import os
import signal
import traceback
from pathlib import Path
from typing import Annotated

import typer

from supervisor.chaos import Chaos, Harm
from supervisor.config import Config, checked_name, default_name
from supervisor.exitcodes import ExitCode
from supervisor.policy import Policy
from supervisor.run import run

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"allow_interspersed_args": False, "help_option_names": ["-h", "--help"]},
)


def _plain_name(name: str | None) -> str | None:
    try:
        return name if name is None else checked_name(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.command()
def supervise(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="The command, with its arguments.")],
    max_retries: Annotated[
        int, typer.Option(min=0, metavar="N", help="Restarts allowed since the last progress.")
    ] = 10,
    retry_delay: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Base of the exponential backoff; 1, or 10 where memory ran out, if not given.",
        ),
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long a child that is asked to end may take.")
    ] = 30.0,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of this supervision; made from the command if not given.", callback=_plain_name
        ),
    ] = None,
    log_dir: Annotated[Path, typer.Option(metavar="DIR", help="Journal and raw logs go to DIR/NAME/.")] = Path("logs"),
    chaos: Annotated[
        str | None,
        typer.Option(metavar="HARM,...", help=f"Harm the child on purpose: {', '.join(harm.value for harm in Harm)}."),
    ] = None,
    chaos_every: Annotated[
        float, typer.Option(min=0.01, metavar="SECONDS", help="Mean time between a ready child and its harm.")
    ] = 60.0,
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
    config = Config(
        command=tuple(command),
        name=default_name(command) if name is None else name,
        log_dir=log_dir,
        policy=Policy(max_retries=max_retries, retry_delay_s=retry_delay),
        chaos=Chaos(parse_harms(chaos), chaos_every, chaos_seed, chaos_limit) if chaos is not None else None,
        grace_s=grace,
    )
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


def _fill_standard_descriptors() -> None:
    """Where one was closed (`>&-`), the next file opened would take its number, and with it the child's output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def parse_harms(text: str) -> tuple[Harm, ...]:
    """Read `segv,kill`. Raises typer.BadParameter that names the choices."""
    try:
        harms = tuple(Harm(word.strip().lower()) for word in text.split(",") if word.strip())
    except ValueError as error:
        choices = ", ".join(harm.value for harm in Harm)
        raise typer.BadParameter(f"{error}; choose from {choices}", param_hint="--chaos") from None
    if not harms:
        raise typer.BadParameter("name at least one harm", param_hint="--chaos")
    return harms
