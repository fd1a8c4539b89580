"""The loop: attempt, verdict, decision, pause; until the work is done or trying again cannot help."""

from __future__ import annotations

import fcntl
import os
import random
import re
import secrets
import selectors
import shlex
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field

from supervisor.attempt import Attempt, Ended, Launch, Surroundings
from supervisor.chaos import Strike
from supervisor.classify import Stopped, Success, Verdict, classify
from supervisor.config import Config
from supervisor.display import Display, duration
from supervisor.evidence import StopReason
from supervisor.exitcodes import ExitCode
from supervisor.failure import Failure, FailureKind
from supervisor.journal import Journal, LogUnwritable, unfinished
from supervisor.policy import GiveUp, PastFailure, Policy, Restart, decide
from supervisor.process import ID_VARIABLE, StartFailed, carries, end_leftovers, subreaper
from supervisor.progress import Progress
from supervisor.signals import KEYBOARD, STOP_SIGNALS, SignalInbox, stop_ourselves

_ATTEMPT_LOG = re.compile(r"attempt-(\d+)\.log")


class AlreadyRunning(Exception):
    """Another supervisor of the same name is at work."""


@dataclass
class History:
    """What has happened in this supervision, as far as later decisions and the summary need it."""

    failures: list[PastFailure] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    strikes: list[Strike] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    attempts: int = 0
    last_failure: str = ""


@dataclass(frozen=True)
class Tools:
    """What the loop acts with; tests hand in their own.

    `pause` waits so many seconds, or less: it returns the signal that asked us to stop meanwhile, or None.
    """

    run: Callable[[Launch], Ended]
    pause: Callable[[float], int | None]
    jitter: Callable[[], float]
    journal: Journal
    display: Display


def supervise(config: Config, *, dedicated: bool = False) -> ExitCode:
    """Run the command under supervision; returns the exit code (supervisor.exitcodes says what each means).

    `dedicated` says that this process exists for nothing else, so that every child that turns up is one left
    behind. Raises AlreadyRunning, StartFailed and LogUnwritable.
    """
    with _exclusive(config):
        display = Display()
        supervise_id = secrets.token_hex(16)
        path = config.folder / "events.jsonl"
        dead_ids = unfinished(path)
        journal = Journal(path, supervise_id, warn=lambda text: display.line(text, "bad"))
        _end_leftovers(config, dead_ids, journal, display)
        journal.write("supervise_started", command=list(config.command), pid=os.getpid(), **_told(config))
        code: ExitCode | None = None
        try:
            with SignalInbox() as inbox, subreaper():
                is_ours = (lambda _: True) if dedicated else (lambda pid: carries(pid, supervise_id))
                around = Surroundings(inbox, display, journal, is_ours)
                tools = Tools(
                    run=lambda launch: Attempt(launch, around).run(),
                    pause=lambda seconds: pause(inbox, seconds),
                    jitter=random.random,
                    journal=journal,
                    display=display,
                )
                code = keep_going(config, supervise_id, tools)
            return code
        except StartFailed as error:
            code = error.exit_code
            raise
        finally:
            journal.write("supervise_finished", exit_code=code)
            journal.close()


def keep_going(config: Config, supervise_id: str, tools: Tools) -> ExitCode:
    """Attempt after attempt, until one ends the matter."""
    history = History()
    first = _next_log_number(config)
    started_s = time.monotonic()
    while True:
        launch = _launch(config, supervise_id, history, first)
        tools.display.line(f"attempt {launch.attempt}: {shlex.join(config.command)}")
        # On disk before the spawn: whatever happens next, it is known that there was an attempt.
        tools.journal.write("attempt_starting", attempt=launch.number)
        ended = tools.run(launch)
        history.attempts += 1
        history.progress = ended.progress.restarted()
        if ended.struck:
            history.strikes.append(ended.struck)
        verdict = classify(ended.evidence)
        _report(verdict, launch, ended, tools)
        code = _settle(verdict, ended, history, config.policy, tools)
        if code is not None:
            _summary(code, history, time.monotonic() - started_s, tools.display)
            return code


def _settle(verdict: Verdict, ended: Ended, history: History, policy: Policy, tools: Tools) -> ExitCode | None:
    """The exit code to end with, or None to try again; then the pause before it is over."""
    if isinstance(verdict, Success):
        return verdict.exit_code
    if isinstance(verdict, Stopped):
        return ExitCode.INTERRUPTED if verdict.reason is StopReason.USER else ExitCode.REQUEUE
    history.failures.append(PastFailure(verdict.kind, ended.evidence.progressed))
    history.kinds[verdict.kind] += 1
    history.last_failure = verdict.kind
    decision = decide(history.failures, verdict, policy, tools.jitter())
    if isinstance(decision, GiveUp):
        tools.journal.write("gave_up", exit_code=int(decision.exit_code), rule=decision.rule)
        tools.display.line(f"giving up: {decision.rule}", "bad")
        return decision.exit_code
    tools.journal.write("restart", delay_s=decision.delay_s, retries_left=decision.retries_left)
    tools.display.line(_restart_line(decision, verdict.kind), "warn")
    asked = tools.pause(decision.delay_s)
    if asked is None:
        return None
    return ExitCode.INTERRUPTED if asked in KEYBOARD else ExitCode.REQUEUE


def _launch(config: Config, supervise_id: str, history: History, first: int) -> Launch:
    number = first + history.attempts
    return Launch(
        number=number,
        attempt=history.attempts + 1,
        command=config.command,
        environment=child_environment(os.environ, supervise_id, history, config.policy.max_retries),
        log=config.folder / f"attempt-{number:04d}.log",
        grace_s=config.grace_s,
        strike=config.chaos.strike(len(history.strikes)) if config.chaos else None,
        progress=history.progress,
    )


def child_environment(own: Mapping[str, str], supervise_id: str, history: History, max_retries: int) -> dict[str, str]:
    """Ours, and what the child may want to know. Python is told to keep nothing in buffers and to dump its stack."""
    return {
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        **own,
        ID_VARIABLE: supervise_id,
        "SUPERVISE": "1",
        "SUPERVISE_ATTEMPT": str(history.attempts + 1),
        "SUPERVISE_MAX_RETRIES": str(max_retries),
        "SUPERVISE_LAST_FAILURE": history.last_failure,
    }


def pause(inbox: SignalInbox, seconds: float, clock: Callable[[], float] = time.monotonic) -> int | None:
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
            selector.select(left_s)


def _report(verdict: Verdict, launch: Launch, ended: Ended, tools: Tools) -> None:
    facts: dict[str, object] = {"verdict": type(verdict).__name__.lower()}
    if isinstance(verdict, Failure):
        facts = {"verdict": "failure", "kind": verdict.kind, "because": verdict.because, "hint": verdict.hint}
    status = ended.evidence.status
    tools.journal.write(
        "attempt_ended",
        attempt=launch.number,
        code=status.code,
        signal=status.signal,
        duration_s=round(ended.duration_s, 3),
        done=ended.progress.done,
        progressed=ended.evidence.progressed,
        leftovers=ended.leftovers,
        **facts,
    )
    if isinstance(verdict, Failure):
        done = "" if ended.progress.done is None else f", {ended.progress.done} samples done"
        tools.display.line(
            f"the child failed: {verdict.kind} ({verdict.because}) after {duration(ended.duration_s)}{done}", "bad"
        )
        if verdict.hint:
            tools.display.line(f"hint: {verdict.hint}", "bad")
    if isinstance(verdict, Stopped) and status.signal == signal.SIGKILL:
        tools.display.line("the child did not end in time and was killed", "bad")
    if ended.leftovers:
        tools.display.line(f"ended {ended.leftovers} process(es) that the child left behind", "warn")


def _restart_line(decision: Restart, kind: FailureKind) -> str:
    when = f"restarting in {duration(decision.delay_s)}"
    if kind is FailureKind.PREEMPTION:
        return f"{when}; a {kind} costs no retry"
    return f"{when}; {decision.retries_left} of {decision.retries} retries left ({kind}, since the last progress)"


def _summary(code: ExitCode, history: History, seconds: float, display: Display) -> None:
    words = {
        ExitCode.COMPLETE: "complete",
        ExitCode.COMPLETE_UNSCORED: "complete, but some samples have no score",
        ExitCode.REQUEUE: "stopped; run the same command again to go on",
        ExitCode.INTERRUPTED: "stopped by the user; run the same command again to go on",
    }
    parts = [words.get(code, f"failed, exit code {int(code)}"), f"{history.attempts} attempt(s)"]
    if history.kinds:
        parts.append("failures: " + ", ".join(f"{count} {kind}" for kind, count in sorted(history.kinds.items())))
    if history.strikes:
        harms = Counter(strike.harm.value for strike in history.strikes)
        parts.append("injected: " + ", ".join(f"{count} {harm}" for harm, count in sorted(harms.items())))
    if history.progress.done is not None:
        parts.append(f"{history.progress.done}/{history.progress.total} samples")
    good = code in {ExitCode.COMPLETE, ExitCode.COMPLETE_UNSCORED}
    display.line(" · ".join([*parts, duration(seconds)]), "good" if good else "bad")


def _told(config: Config) -> dict[str, object]:
    """The configuration, for the journal."""
    return {
        "max_retries": config.policy.max_retries,
        "retry_delay_s": config.policy.retry_delay_s,
        "grace_s": config.grace_s,
        "chaos": None if config.chaos is None else asdict(config.chaos),
    }


def _end_leftovers(config: Config, dead_ids: list[str], journal: Journal, display: Display) -> None:
    """A supervisor that was killed leaves its child running; two children must not do the same work."""
    for dead_id in dead_ids:
        ended = end_leftovers(dead_id, config.grace_s)
        journal.write("predecessor_ended", predecessor=dead_id, leftovers=ended)
        if ended:
            display.line(f"ended {ended} process(es) that a killed supervisor had left running", "warn")


def _next_log_number(config: Config) -> int:
    found = [_ATTEMPT_LOG.fullmatch(path.name) for path in config.folder.iterdir()]
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
