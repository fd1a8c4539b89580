"""`supervise explain` and `supervise status`: what happened, and what is going on."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from supervisor.account import Account, accounts, replay
from supervisor.display import plain
from supervisor.duration import duration
from supervisor.exitcodes import ExitCode
from supervisor.explain import explain, explain_replay
from supervisor.journal import read_journal
from supervisor.overview import JOURNAL_NAME, Supervision, supervisions
from supervisor.policyfile import BadPolicy, read_policy

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
LogDir = Annotated[Path, typer.Option(metavar="DIR", help="Where `supervise` has put its logs.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command("explain")
def explain_command(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A name, its folder or its events.jsonl; the latest if not given."),
    ] = None,
    log_dir: LogDir = Path("logs"),
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Say what this policy would have decided.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All supervisions of that name, not only the last.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell each death's verdict with its evidence, the rule that was applied, and the budget left."""
    journal = _journal(run, log_dir)
    found = accounts(read_journal(journal))
    if not found:
        _fail(f"there is no supervision in {journal}")
    chosen = found if every else found[-1:]
    try:
        other = None if policy is None else read_policy(policy)[0]
    except BadPolicy as error:
        _fail(str(error))
    if as_json:
        told = [_as_json(account) for account in chosen]
        if other is not None:
            for account, value in zip(chosen, told, strict=True):
                value["replayed"] = [_plain_json(asdict(each)) for each in replay(account.attempts, other)]
        typer.echo(json.dumps(told, indent=2, default=str))
        return
    for account in chosen:
        if other is not None:
            lines = explain_replay(account.attempts, list(replay(account.attempts, other)))
        else:
            lines = explain(account, str(journal.parent))
        typer.echo("\n".join(lines))


@app.command("status")
def status_command(log_dir: LogDir = Path("logs"), as_json: AsJson = False) -> None:
    """Print a table of supervisions, live and finished."""
    found = list(supervisions(log_dir))
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    if not found:
        _fail(f"there is no supervision in {log_dir}")
    rows = [("name", "state", "attempts", "failures", "done", "exit", "updated"), *(_row(each) for each in found)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _row(each: Supervision) -> tuple[str, ...]:
    done = "-" if each.done is None else f"{each.done}/{each.total}" if each.total is not None else str(each.done)
    failures = ", ".join(f"{count} {kind}" for kind, count in each.failures.items()) or "-"
    code = "-" if each.exit_code is None else str(each.exit_code)
    ago = f"{duration(max(0.0, time.time() - each.updated_at))} ago"
    return plain(each.name), each.state, str(each.attempts), plain(failures), done, code, ago


def _journal(run: str | None, log_dir: Path) -> Path:
    if run is None:
        found = sorted(log_dir.glob(f"*/{JOURNAL_NAME}"), key=os.path.getmtime)
        if not found:
            _fail(f"there is no supervision in {log_dir}: give its name or folder, or --log-dir")
        return found[-1]
    for path in (log_dir / run / JOURNAL_NAME, Path(run) / JOURNAL_NAME, Path(run)):
        if path.is_file():
            return path
    return _fail(f"there is no supervision {run!r} in {log_dir}, and no {JOURNAL_NAME} of that path")


def _as_json(account: Account) -> dict[str, Any]:
    return asdict(account)


def _plain_json(value: Any) -> Any:
    """Infinity, which JSON does not have, as `inf`."""
    if isinstance(value, dict):
        return {name: _plain_json(each) for name, each in value.items()}
    return "inf" if value == float("inf") else value


def _fail(text: str) -> NoReturn:
    typer.echo(f"supervise: {text}", err=True)
    raise typer.Exit(int(ExitCode.USAGE))
