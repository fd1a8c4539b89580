"""The commands that take runs elsewhere, bring them in, pack them and throw them away."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, BinaryIO, NoReturn

import typer

from checkpoints import compress as packing
from checkpoints import export as exporting
from checkpoints import legacy, legacy_source, prune
from checkpoints.errors import RunLocked
from checkpoints.exitcodes import ExitCode
from checkpoints.export import Format
from checkpoints.manager import CheckpointManager

Run = Annotated[Path, typer.Argument(help="The folder of a run, or its checkpoint.json.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def register(app: typer.Typer) -> None:
    """Add export, import, prune and compress."""
    app.command("export")(export)
    app.command("import")(import_)
    app.command("prune")(prune_)
    app.command("compress")(compress)


def export(
    run: Run,
    to: Annotated[Format, typer.Option("--to", help="The format.")] = Format.JSONL,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A file (`-` is the standard output), or a folder for lm-eval."),
    ] = None,
    sort: Annotated[bool, typer.Option("--sort", help="Order by idx, not by when it was written.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Write the records of a run to a file for other tools. Takes no lock: safe beside a live run."""
    manager = CheckpointManager.resume_from(run)
    name = manager.layout.root.name
    if output == Path("-"):
        _export_to_stdout(exporting.Source.of(manager, sort=sort), to)
        return
    if to is Format.LM_EVAL:
        from checkpoints.export_lm_eval import write_lm_eval

        source = exporting.Source.of(manager, sort=True)  # in the order of the documents, as lm-eval does
        paths = write_lm_eval(source, output or Path(f"{name}-lm-eval"), force=force)
    else:
        paths = [output or Path(f"{name}.{to.value}")]
        source = exporting.Source.of(manager, sort=sort, scratch=paths[0].parent)
        exporting.place(paths[0], lambda file: _write(source, to, file), force=force)
    _say(f"{source.count} record(s) of {name} are in {' and '.join(map(str, paths))}")


def _export_to_stdout(source: exporting.Source, to: Format) -> None:
    if to not in {Format.JSONL, Format.CSV}:
        _fail(ExitCode.USAGE, f"{to.value} cannot be written to the standard output: name a place with -o")
    _write(source, to, sys.stdout.buffer)
    sys.stdout.flush()


def _write(source: exporting.Source, to: Format, file: BinaryIO) -> None:
    if to is Format.JSONL:
        exporting.write_jsonl(source, file)
        return
    from checkpoints import export_table

    (export_table.write_csv if to is Format.CSV else export_table.write_parquet)(source, file)


def import_(
    file: Annotated[Path, typer.Argument(help="NAME.checkpoint.json, checkpoint_NAME.json or NAME.results.jsonl.")],
    checkpoint_dir: Annotated[Path, typer.Option(help="The folder of runs.")] = Path("checkpoints"),
    run_name: Annotated[str | None, typer.Option(metavar="NAME", help="Made of the file's name if not given.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Make a run of what an older system left. What is not consistent is told, and not imported."""
    source = legacy_source.find(file)
    plan = legacy.plan(source)
    try:
        manager = CheckpointManager(checkpoint_dir, run_name or source.default_name)
    except ValueError as error:
        _fail(ExitCode.USAGE, str(error))
    for note in plan.notes:
        _say(note)
    if dry_run:
        _say(f"{plan.rows} result(s) would be imported into {manager.layout.root}")
        return
    written = legacy.write(plan, manager)
    there = f", {plan.rows - written} were there already" if written < plan.rows else ""
    _say(f"{written} result(s) were imported into {manager.layout.root}{there}")


def prune_(
    directory: Annotated[Path, typer.Argument(help="A folder of runs.")],
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Remove runs not written for so long: 45s, 90m, 12h, 30d, 2w.")
    ] = None,
    keep_last: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Keep the N runs that were written last.")
    ] = None,
    torn_tails: Annotated[bool, typer.Option("--torn-tails", help="Remove torn tails kept after crashes.")] = False,
    reports: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Keep only the N newest crash reports and torn tails.")
    ] = None,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Remove unfinished runs, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Remove old runs, or what crashes left in them. Live and damaged runs always stay, unfinished ones unless told."""
    try:
        age_s = None if older_than is None else prune.parse_age(older_than)
    except ValueError as error:
        _fail(ExitCode.USAGE, str(error))
    policy = prune.Policy(age_s, keep_last, unfinished)
    wants_runs = (age_s, keep_last) != (None, None)
    if not wants_runs and not torn_tails and reports is None:
        _fail(ExitCode.USAGE, "say what to remove: --older-than, --keep-last, --torn-tails or --reports")
    if prune.is_run(directory):
        _fail(ExitCode.USAGE, f"{directory} is a run: name the folder of runs that it is in")
    now = time.time()
    selection = prune.select(directory, policy, prune.Reports(torn_tails, reports), now)
    if not _listed(selection) or dry_run:
        return
    if not yes and not _confirmed():
        _fail(ExitCode.OFF, "nothing was removed")
    kept = prune.carry_out(selection, policy, now)
    for problem in kept:
        _say(f"kept: {problem}")
    if kept:
        raise typer.Exit(ExitCode.LOCK_HELD if any(isinstance(each, RunLocked) for each in kept) else ExitCode.OFF)


def _listed(selection: prune.Selection) -> bool:
    """Show what goes; whether there is anything."""
    sizes = {path: prune.size_of(path) for path in selection.paths()}
    if not sizes:
        _say("there is nothing to remove")
        return False
    for path, size in sizes.items():
        typer.echo(f"{_bytes(size):>10}  {path}")
    typer.echo(f"{_bytes(sum(sizes.values())):>10}  in all")
    return True


def _confirmed() -> bool:
    try:
        return typer.confirm("Remove all of this?")
    except typer.Abort:
        _fail(ExitCode.OFF, "nothing was removed: nobody is there to be asked, so add --yes")


def compress(run: Run, undo: Annotated[bool, typer.Option("--undo", help="Unpack the results again.")] = False) -> None:
    """Pack the results of a finished run. Every command reads them as before."""
    layout = CheckpointManager.resume_from(run).layout
    sizes = packing.decompress(layout) if undo else packing.compress(layout)
    now = "plain" if undo else "compressed"
    if sizes.before_bytes == sizes.after_bytes:
        _say(f"the results of {layout.root} are {now} already")
    else:
        _say(f"the results of {layout.root} are {now}: {_bytes(sizes.before_bytes)} -> {_bytes(sizes.after_bytes)}")


def _say(text: str) -> None:
    typer.echo(f"checkpoints: {text}", err=True)


def _fail(code: int, text: str) -> NoReturn:
    _say(text)
    raise typer.Exit(code)


def _bytes(size: int) -> str:
    """`1.5 MiB`."""
    amount, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
