"""The loop: attempt, verdict, decision, pause; until the work is done or trying again cannot help."""

from __future__ import annotations

import fcntl
import math
import os
import random
import re
import secrets
import selectors
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from supervisor.attempt import Attempt, Ended, Launch, Surroundings
from supervisor.classify import Stopped, Success, Verdict, classify
from supervisor.clock import AwakeClock
from supervisor.config import Config
from supervisor.display import Display, make_display
from supervisor.duration import duration
from supervisor.evidence import StopReason
from supervisor.exitcodes import ExitCode
from supervisor.failure import Failure
from supervisor.forensics import AttemptFolder
from supervisor.helpers import Helpers
from supervisor.history import History, budget_text
from supervisor.hooks import run_hook
from supervisor.journal import Journal, LogUnwritable, unfinished
from supervisor.ledger import Ledger, ledger
from supervisor.outer import Outer
from supervisor.policy import GiveUp, Policy, Window, decide
from supervisor.process import ID_VARIABLE, StartFailed, carries, end_leftovers, subreaper
from supervisor.progress_sources import GrowingFiles, PrintedNumbers
from supervisor.signals import KEYBOARD, STOP_SIGNALS, SignalInbox, stop_ourselves
from supervisor.watchdog import Limits

_ATTEMPT_FOLDER = re.compile(r"attempt-(\d+)")
_REDRAW_S = 0.5


class AlreadyRunning(Exception):
    """Another supervisor of the same name is at work."""


@dataclass(frozen=True)
class Tools:
    """What the loop acts with; tests hand in their own.

    `pause` waits so many seconds, or less: it returns the signal that asked us to stop meanwhile, or None. It is
    handed a function that shows how many seconds are left.
    """

    run: Callable[[Launch], Ended]
    pause: Callable[[float, Callable[[float], None]], int | None]
    jitter: Callable[[], float]
    journal: Journal
    display: Display
    outer: Outer = field(default_factory=lambda: Outer({}))
    helpers: Helpers = field(default_factory=Helpers)
    clock: Callable[[], float] = time.monotonic


def supervise(config: Config, *, dedicated: bool = False) -> ExitCode | int:
    """Run the command under supervision; returns the exit code (supervisor.exitcodes says what each means).

    `dedicated` says that this process exists for nothing else, so that every child that turns up is one left
    behind. Raises AlreadyRunning, StartFailed and LogUnwritable.
    """
    with _exclusive(config):
        display = make_display(plain_wanted=config.plain or not dedicated)
        supervise_id = secrets.token_hex(16)
        path = config.folder / "events.jsonl"
        dead = unfinished(path)
        journal = Journal(path, supervise_id, warn=lambda text: display.line(text, "bad"))
        outer, helpers, clock = Outer(os.environ), Helpers(), AwakeClock()
        code: ExitCode | int | None = None
        summary: Ledger | None = None
        try:
            _end_leftovers(config, dead, journal, display)
            journal.write("supervise_started", command=list(config.command), pid=os.getpid(), **_told(config))
            outer.ready()
            with SignalInbox(dedicated=dedicated) as inbox, subreaper():
                around = Surroundings(
                    inbox=inbox,
                    display=display,
                    journal=journal,
                    outer=outer,
                    helpers=helpers,
                    is_ours=(lambda _: True) if dedicated else (lambda pid: carries(pid, supervise_id)),
                    files=GrowingFiles(config.progress_file) if config.progress_file else None,
                    numbers=PrintedNumbers(config.progress_regex) if config.progress_regex else None,
                    keep_log_parts=config.keep_log_parts,
                    clock=clock,
                )
                tools = Tools(
                    run=lambda launch: Attempt(launch, around).run(),
                    pause=lambda seconds, show: pause(inbox, seconds, show),
                    jitter=random.random,
                    journal=journal,
                    display=display,
                    outer=outer,
                    helpers=helpers,
                    clock=clock,
                )
                code, summary = keep_going(config, supervise_id, tools)
            return code
        except StartFailed as error:
            code = error.exit_code
            raise
        finally:
            outer.stopping()
            told = {} if summary is None else asdict(summary)
            journal.write("supervise_finished", exit_code=None if code is None else int(code), **told)
            facts = {"name": config.name, "exit_code": None if code is None else int(code), **told}
            run_hook(config.hooks.on_finish, facts, config.folder, helpers)
            helpers.finish()
            display.close()
            journal.close()
            outer.close()


def keep_going(config: Config, supervise_id: str, tools: Tools) -> tuple[ExitCode | int, Ledger]:
    """Attempt after attempt, until one ends the matter."""
    history = History()
    first = _next_number(config)
    started_s = tools.clock()
    while True:
        launch = _launch(config, supervise_id, history, first, started_s, tools)
        tools.display.line(f"attempt {launch.attempt}: {shlex.join(config.command)}")
        tools.outer.say(f"attempt {launch.attempt}")
        # On disk before the spawn: whatever happens next, it is known that there was an attempt.
        tools.journal.write("attempt_starting", attempt=launch.number)
        ended = tools.run(launch)
        verdict = classify(ended.evidence, config.rules)
        history.add(ended, verdict)
        _report(verdict, launch, ended, tools, config)
        code = _settle(verdict, launch, history, config, tools, started_s)
        if code is not None:
            summary = ledger(history.spans, tools.clock() - started_s)
            _summary(code, history, summary, tools.display)
            ends = config.exit_with_child and code not in {ExitCode.INTERRUPTED, ExitCode.REQUEUE}
            return (history.last_code if ends else code), summary


def _settle(
    verdict: Verdict, launch: Launch, history: History, config: Config, tools: Tools, started_s: float
) -> ExitCode | None:
    """The exit code to end with, or None to try again; then the pause before it is over."""
    if isinstance(verdict, Success):
        return verdict.exit_code
    if isinstance(verdict, Stopped):
        return ExitCode.INTERRUPTED if verdict.reason is StopReason.USER else ExitCode.REQUEUE
    elapsed_s = tools.clock() - started_s
    left_s = None if config.deadline_s is None else config.deadline_s - config.grace_s - elapsed_s
    window = Window(left_s, history.startup_s)
    decision = decide(history.failures, verdict, config.policy, tools.jitter(), window)
    facts: dict[str, object] = {"attempt": launch.number, "left_s": left_s, "startup_s": history.startup_s}
    if isinstance(decision, GiveUp):
        facts |= {"exit_code": int(decision.exit_code), "rule": decision.rule}
        tools.journal.write("gave_up", **facts)
        tools.display.line(f"giving up: {decision.rule}", "bad")
    else:
        history.decided(decision)
        left = None if decision.retries_left == math.inf else decision.retries_left
        facts |= {"delay_s": decision.delay_s, "retries_left": left, "rule": decision.rule}
        tools.journal.write("restart", **facts)
        text = f"restarting in {duration(decision.delay_s)}; {budget_text(decision)}"
        tools.display.line(text, "warn")
        tools.outer.say(text)
    decided = "give-up" if isinstance(decision, GiveUp) else "restart"
    told = {"name": config.name, "kind": verdict.kind.value, "because": verdict.because, "decision": decided, **facts}
    run_hook(config.hooks.on_failure, {**told, "folder": str(launch.folder)}, config.folder, tools.helpers)
    if isinstance(decision, GiveUp):
        return decision.exit_code

    def show(seconds: float) -> None:
        tools.helpers.poll()
        tools.outer.alive()
        waiting = f"restarting in {duration(seconds)}"
        tools.display.show(history.view(config.name, config.policy, tools.clock(), started_s, waiting))

    asked = tools.pause(decision.delay_s, show)
    if asked is None:
        return None
    tools.journal.write("signal_received", signal=signal.Signals(asked).name)
    return ExitCode.INTERRUPTED if asked in KEYBOARD else ExitCode.REQUEUE


def _launch(config: Config, supervise_id: str, history: History, first: int, started_s: float, tools: Tools) -> Launch:
    number = first + history.attempts
    now_s = tools.clock()
    return Launch(
        number=number,
        attempt=history.attempts + 1,
        command=config.command,
        environment=child_environment(os.environ, supervise_id, history, config.policy, config.patience.stall_s),
        folder=config.folder / f"attempt-{number:04d}",
        limits=Limits(
            grace_s=config.grace_s,
            patience=config.patience,
            deadline_s=None if config.deadline_s is None else started_s + config.deadline_s,
            strike=config.chaos.strike(len(history.strikes)) if config.chaos else None,
        ),
        progress=history.progress,
        view=history.view(config.name, config.policy, now_s, started_s),
        rhythm=history.rhythm,
    )


def child_environment(
    own: Mapping[str, str], supervise_id: str, history: History, policy: Policy, stall_s: float | None = None
) -> dict[str, str]:
    """Ours, and what the child may want to know. Python is told to keep nothing in buffers and to dump its stack."""
    inherited = {name: value for name, value in own.items() if name not in {"WATCHDOG_USEC", "WATCHDOG_PID"}}
    watchdog = {} if stall_s is None else {"WATCHDOG_USEC": str(int(stall_s * 1e6))}
    return {
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        **inherited,
        **watchdog,
        ID_VARIABLE: supervise_id,
        "SUPERVISE": "1",
        "SUPERVISE_ATTEMPT": str(history.attempts + 1),
        "SUPERVISE_MAX_RETRIES": str(policy.max_retries),
        "SUPERVISE_LAST_FAILURE": history.last_kind,
    }


def pause(
    inbox: SignalInbox,
    seconds: float,
    show: Callable[[float], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> int | None:
    """Wait; returns early with the signal that asks us to stop."""
    deadline_s = clock() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(inbox, selectors.EVENT_READ)
        while True:
            for number in inbox.receive():
                if number in STOP_SIGNALS:
                    return number
                if number == signal.SIGTSTP:
                    stop_ourselves()
            left_s = deadline_s - clock()
            if left_s <= 0:
                return None
            show(left_s)
            selector.select(min(left_s, _REDRAW_S))


def _report(verdict: Verdict, launch: Launch, ended: Ended, tools: Tools, config: Config) -> None:
    times, evidence, status = ended.times, ended.evidence, ended.evidence.status
    duration_s = times.ended_s - times.started_s

    def after_s(moment_s: float | None) -> float | None:
        return None if moment_s is None else round(moment_s - times.started_s, 3)

    facts: dict[str, object] = {"verdict": type(verdict).__name__.lower()}
    if isinstance(verdict, Stopped):
        facts["reason"] = verdict.reason
    if isinstance(verdict, Failure):
        facts |= {name: getattr(verdict, name) for name in ("kind", "because", "hint", "chain", "fingerprint")}
    facts |= {
        "code": status.code,
        "signal": status.signal,
        "duration_s": round(duration_s, 3),
        "ready_after_s": after_s(times.ready_s),
        "first_new_after_s": after_s(times.first_new_s),
        "last_commit_after_s": after_s(times.last_commit_s),
        "done": ended.progress.done,
        "total": ended.progress.total,
        "progressed": evidence.progressed,
        "in_flight": evidence.in_flight,
        "leftovers": ended.leftovers,
        "memory_peak_bytes": ended.memory_peak_bytes,
        "core": ended.core,
    }
    tools.journal.write("attempt_ended", attempt=launch.number, **facts)
    with suppress(LogUnwritable):
        folder = AttemptFolder(launch.folder, tools.helpers)
        folder.keep_evidence({"command": list(config.command), "attempt": launch.number, **facts})
        if isinstance(verdict, Failure):
            executable = shutil.which(config.command[0]) or config.command[0]
            folder.keep_death(evidence.tail, ended.core, executable)
    if isinstance(verdict, Failure):
        done = "" if ended.progress.done is None else f", {ended.progress.done} samples done"
        tools.display.line(
            f"the child failed: {verdict.kind} ({verdict.because}) after {duration(duration_s)}{done}", "bad"
        )
        if verdict.hint:
            tools.display.line(f"hint: {verdict.hint}", "bad")
    if isinstance(verdict, Stopped) and status.signal == signal.SIGKILL:
        tools.display.line("the child did not end in time and was killed", "bad")
    if ended.leftovers:
        tools.display.line(f"ended {ended.leftovers} process(es) that the child left behind", "warn")


def _summary(code: ExitCode, history: History, summary: Ledger, display: Display) -> None:
    words = {
        ExitCode.COMPLETE: "complete",
        ExitCode.COMPLETE_UNSCORED: "complete, but some samples have no score",
        ExitCode.REQUEUE: "stopped; run the same command again to go on",
        ExitCode.INTERRUPTED: "stopped by the user; run the same command again to go on",
    }
    parts = [words.get(code, f"failed, exit code {int(code)}"), f"{summary.attempts} attempt(s)"]
    if summary.failures:
        parts.append("failures: " + ", ".join(f"{count} {kind}" for kind, count in sorted(summary.failures.items())))
    if harms := history.harms():
        parts.append("injected: " + ", ".join(f"{count} {harm}" for harm, count in sorted(harms.items())))
    if history.progress.done is not None:
        parts.append(f"{history.progress.done}/{history.progress.total} samples")
    parts.append(duration(summary.total_s))
    if summary.failures and summary.lost_s is not None and summary.useful_share is not None:
        parts.append(f"{duration(summary.lost_s)} of it lost, {summary.useful_share:.0%} useful")
    if summary.median_recovery_s is not None:
        parts.append(f"back at work {duration(summary.median_recovery_s)} after a death")
    good = code in {ExitCode.COMPLETE, ExitCode.COMPLETE_UNSCORED}
    display.line(" · ".join(parts), "good" if good else "bad")


def _told(config: Config) -> dict[str, object]:
    """The configuration, for the journal."""
    policy = config.policy
    retries = {kind: "inf" if limit == math.inf else limit for kind, limit in policy.kind_retries.items()}
    return {
        "name": config.name,
        "policy": {**asdict(replace(policy, kind_retries={})), "kind_retries": retries},
        "patience": asdict(config.patience),
        "grace_s": config.grace_s,
        "deadline_s": config.deadline_s,
        "chaos": None if config.chaos is None else asdict(config.chaos),
    }


def _end_leftovers(config: Config, dead: Mapping[str, list[str]], journal: Journal, display: Display) -> None:
    """A supervisor that was killed leaves its child running; two children must not do the same work."""
    for dead_id, folders in dead.items():
        ended = end_leftovers(dead_id, config.grace_s)
        for folder in map(Path, folders):
            if folder.name.startswith("supervise-") and folder.parent in {Path(tempfile.gettempdir()), Path("/tmp")}:  # noqa: S108
                shutil.rmtree(folder, ignore_errors=True)
        journal.write("predecessor_ended", predecessor=dead_id, leftovers=ended)
        if ended:
            display.line(f"ended {ended} process(es) that a killed supervisor had left running", "warn")


def _next_number(config: Config) -> int:
    found = [_ATTEMPT_FOLDER.match(path.name) for path in config.folder.iterdir()]
    return 1 + max((int(match[1]) for match in found if match), default=0)


@contextmanager
def _exclusive(config: Config) -> Iterator[None]:
    """One supervisor per name. The kernel drops the lock when we die."""
    try:
        config.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(config.folder / "supervise.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LogUnwritable(config.folder, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 64).decode(errors="replace").strip()
            raise AlreadyRunning(
                f"process {holder or '?'} supervises {config.name!r} in {config.log_dir} already: wait for it, stop "
                "it, or give this one another --name"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        with suppress(OSError):
            os.close(descriptor)
