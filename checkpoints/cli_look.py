"""The commands that look: `status`, a table of runs, and `show`, one run or its records."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from checkpoints.exitcodes import ExitCode
from checkpoints.manager import CheckpointManager
from checkpoints.overview import RunRow, RunState, describe_run, list_runs
from checkpoints.record import Status
from checkpoints.selection import Selection
from checkpoints.verify import locate
from checkpoints.view import record_line, record_lines, view, view_lines


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(show)


def status(
    directory: Annotated[Path, typer.Argument(help="A folder of runs, or one run.")] = Path("checkpoints"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Print a table of runs. Takes no lock: safe beside live runs."""
    run = directory.parent if directory.name == "checkpoint.json" else directory
    if (run / "run.json").is_file():
        rows = [describe_run(run.resolve())]
    else:
        try:
            rows = list(list_runs(directory))
        except OSError as error:
            typer.echo(f"checkpoints: cannot read {directory}: {error.strerror}", err=True)
            raise typer.Exit(ExitCode.OFF) from None
    if not rows and not as_json:
        typer.echo(f"checkpoints: there are no runs in {directory}", err=True)
        raise typer.Exit(ExitCode.OFF)
    if as_json:
        _print_json(rows)
    else:
        _print_table(rows)


def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder, or its checkpoint.json.")],
    idx: Annotated[int | None, typer.Option(min=0, metavar="N", help="The record of this sample.")] = None,
    sample_id: Annotated[str | None, typer.Option(metavar="S", help="The record with this sample id.")] = None,
    status: Annotated[Status | None, typer.Option(help="The records that ended like this.")] = None,
    wrong: Annotated[bool, typer.Option("--wrong", help="The records that are scored and not correct.")] = False,
    errors: Annotated[bool, typer.Option("--errors", help="The records that have no score.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The first N records only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a line per record.")] = False,
) -> None:
    """Print what a run is and how it stands, or records of it. Takes no lock: safe beside a live run."""
    selection = Selection(idx, sample_id, status, wrong, errors, limit)
    if selection.criteria > 1:
        raise typer.BadParameter("give one of --idx, --sample-id, --status, --wrong and --errors")
    layout = locate(run)
    if selection == Selection():
        seen = view(layout)
        typer.echo(seen.encode() if as_json else "\n".join(view_lines(seen)), nl=not as_json)
        return
    found = False
    for record in selection.pick(CheckpointManager(layout.root.parent, layout.root.name).records()):
        found = True
        typer.echo(record_line(record) if as_json else "\n".join(record_lines(record)), nl=not as_json)
    if not found and selection.is_single:
        wanted = f"sample {idx}" if idx is not None else f"a sample {sample_id!r}"
        typer.echo(f"checkpoints: {layout.root.name} has no record of {wanted}", err=True)
        raise typer.Exit(ExitCode.OFF)


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
