"""`checkpoints`, also `python -m checkpoints`: look at runs from outside."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from checkpoints.overview import RunRow, RunState, describe_run, list_runs

EXIT_NO_RUN = 1

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _commands() -> None:
    """Look at the runs of an evaluation: progress, accuracy, errors, attempts."""


@app.command()
def status(
    directory: Annotated[Path, typer.Argument(help="A folder of runs, or one run.")] = Path("checkpoints"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Print a table of runs. Takes no lock: safe beside live runs."""
    if (directory / "run.json").is_file():
        rows = [describe_run(directory.resolve())]
    else:
        try:
            rows = list(list_runs(directory))
        except OSError as error:
            typer.echo(f"checkpoints: cannot read {directory}: {error.strerror}", err=True)
            raise typer.Exit(EXIT_NO_RUN) from None
    if not rows and not as_json:
        typer.echo(f"checkpoints: there are no runs in {directory}", err=True)
        raise typer.Exit(EXIT_NO_RUN)
    if as_json:
        _print_json(rows)
    else:
        _print_table(rows)


def _print_json(rows: list[RunRow]) -> None:
    import orjson

    sys.stdout.buffer.write(
        orjson.dumps([asdict(row) for row in rows], option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )


def _print_table(rows: list[RunRow]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", overflow="fold")
    table.add_column("state")
    for name in ("done", "accuracy", "errors", "attempts", "elapsed", "left", "updated"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*[Text(cell) for cell in _cells(row, time.time())])
    # Into a pipe a table is not to be folded to the 80 columns that rich assumes.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for row in rows:
        if row.problem:
            console.print(Text(f"{row.name}: {row.problem}", style="red"))


def _cells(row: RunRow, now: float) -> list[str]:
    stats = row.statistics
    if stats is None:
        return [row.name, row.state.value, *["-"] * 7]
    total = "?" if stats.total_samples is None else str(stats.total_samples)
    return [
        row.name,
        row.state.value,
        f"{stats.samples_processed}/{total}",
        "-" if stats.accuracy is None else f"{stats.accuracy:.1%}",
        str(stats.errors),
        str(stats.attempts),
        format_duration(stats.elapsed_s),
        "-" if row.state is RunState.FINISHED else format_duration(stats.eta_s),
        "-" if row.last_update_time is None else f"{format_duration(now - row.last_update_time)} ago",
    ]


def format_duration(seconds: float | None) -> str:
    """Two units at most, `1h02m`; a dash for None."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
