"""The commands that look for damage, `verify`, and that deal with it, `repair`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from checkpoints.compare import compare
from checkpoints.errors import CheckpointError, RunLocked
from checkpoints.exitcodes import ExitCode, exit_code, sentence
from checkpoints.layout import RunLayout
from checkpoints.lock import RunLock, describe_holder
from checkpoints.repair import Plan, perform, plan
from checkpoints.report import Finding, Kind, Report
from checkpoints.verify import locate, verify


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("verify")(verify_runs)
    app.command("repair")(repair_run)


def verify_runs(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, or their checkpoint.json.")],
    against: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Compare each record with this run's, too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a list with an object per run.")] = False,
) -> None:
    """Check every byte of runs: checksums, gaps, duplicates, the checkpoint. Takes no lock and changes nothing.

    Exit codes: 0 fine, 1 something is off or there is no such run, 74 I/O error, 78 a format that this version
    cannot read.
    """
    other = locate(against) if against is not None else None
    reports: list[Report] = []
    worst = ExitCode.FINE
    for path in runs:
        try:
            layout = locate(path)
            report = verify(layout)
            if other is not None:
                report = _with(report, compare(layout, other))
        except (CheckpointError, OSError) as error:
            typer.echo(f"checkpoints: {sentence(error)}", err=True)
            worst = max(worst, exit_code(error))
            continue
        reports.append(report)
        worst = max(worst, ExitCode.FINE if report.ok else ExitCode.OFF)
        if not as_json:
            typer.echo("\n".join(report_lines(report)))
    if as_json:
        import orjson

        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
        typer.echo(orjson.dumps([{"ok": report.ok, **asdict(report)} for report in reports], option=options))
    raise typer.Exit(worst)


def _with(report: Report, differences: Sequence[Finding]) -> Report:
    if not differences:
        return report
    counts = {**report.counts, Kind.DIFFERENCE: len(differences)}
    return replace(report, findings=(*report.findings, *differences), counts=counts)


def report_lines(report: Report) -> list[str]:
    """The report as text: one line when all is well, else what is off, and the notes."""
    if report.ok:
        checkpoint = "checkpoint agrees" if report.has_checkpoint else "no checkpoint"
        mark = (report.fingerprint or "")[:12]
        state = ", being written" if report.live else ""
        lines = [
            f"{report.name}: {report.records} records, no gap, no duplicate, fingerprint {mark}…, {checkpoint}{state}"
        ]
    else:
        kinds = ", ".join(f"{count} {kind.value}" for kind, count in report.counts.items() if not kind.is_note)
        lines = [f"{report.name}: {report.records} records, and something is off: {kinds}"]
    lines += [f"  {finding}" for finding in report.faults]
    return lines + [f"  note: {finding}" for finding in report.notes]


def repair_run(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder, or its checkpoint.json.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
) -> None:
    """Drop what is damaged, double or foreign from a run, after copying it to attempts/repair-<time>/.

    Exit codes: 0 repaired or nothing to repair, 1 not done or no such run, 73 the run is being written, 74 I/O error,
    78 run.json is damaged, which nothing can restore.
    """
    layout = locate(run)
    report = verify(layout)
    if report.live:
        raise RunLocked(layout.lock, describe_holder(layout.lock))
    if not plan(report):
        typer.echo(f"{report.name}: nothing to repair")
    elif dry_run:
        _explain(report, plan(report))
        typer.echo("nothing was changed")
    else:
        _repair(layout, yes)


def _repair(layout: RunLayout, yes: bool) -> None:
    lock = RunLock(layout.lock)
    lock.acquire()
    try:
        report = verify(layout, locked=True)  # again: what was read without the lock may have changed
        wanted = plan(report)
        _explain(report, wanted)
        if not yes and not typer.confirm("Do that?"):
            typer.echo("nothing was changed", err=True)
            raise typer.Exit(ExitCode.OFF)
        kept = perform(layout, report.total_samples, wanted, time.time())
    finally:
        lock.release()
    where = f"; what was there is kept in {kept}" if kept else ""
    typer.echo(f"{report.name}: repaired{where}")


def _explain(report: Report, wanted: Plan) -> None:
    for finding in report.findings:
        if finding.kind not in {Kind.UNFINISHED, Kind.NO_CHECKPOINT}:
            typer.echo(f"{report.name}: {finding}")
    typer.echo("To repair it:")
    for step in wanted.steps():
        typer.echo(f"  - {step}")
