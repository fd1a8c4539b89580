"""One life of the child, from its start until nothing of it is left."""

from __future__ import annotations

import os
import select
import selectors
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from supervisor.chaos import Harm, Strike
from supervisor.display import Display
from supervisor.evidence import Evidence, ExitStatus, StopReason
from supervisor.journal import Journal, LogUnwritable
from supervisor.notify import NotifySocket, Report
from supervisor.process import Child, sweep_children
from supervisor.progress import Progress
from supervisor.relay import Stream, Tail
from supervisor.signals import KEYBOARD, WARNINGS, SignalInbox, stop_ourselves
from supervisor.stopping import Step, ladder

_TICK_S = 1.0
_DRAIN_S = 1.0
_SWEEP_GRACE_S = 2.0
_Source = Child | SignalInbox | NotifySocket | Stream
_INTERRUPTS_BEFORE_GROUP, _INTERRUPTS_BEFORE_KILL = 2, 3


@dataclass(frozen=True)
class Launch:
    """What one attempt is started with. `number` counts on over all supervisions of a name, as the logs do."""

    number: int
    attempt: int
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    grace_s: float
    strike: Strike | None
    progress: Progress


@dataclass(frozen=True)
class Ended:
    """What one attempt came to. Times are in seconds."""

    evidence: Evidence
    progress: Progress
    duration_s: float
    struck: Strike | None
    leftovers: int


@dataclass(frozen=True)
class Surroundings:
    """What all attempts of one supervision share."""

    inbox: SignalInbox
    display: Display
    journal: Journal
    is_ours: Callable[[int], bool]
    clock: Callable[[], float] = time.monotonic


class Attempt:
    """Runs one child in an event loop: its output, its notifications, our signals, and what falls due."""

    def __init__(self, launch: Launch, around: Surroundings) -> None:
        self._launch, self._around = launch, around
        self._progress = launch.progress
        self._done_before = launch.progress.done
        self._notified = self._progressed = self._is_ready = False
        self._struck: Strike | None = None
        self._told_to_go = False
        self._stop: StopReason | None = None
        self._stop_asked_s = 0.0
        self._steps: list[Step] = []
        self._interrupts = 0
        self._started_s = around.clock()
        self._strike_from_s: float | None = self._started_s

    def run(self) -> Ended:
        """Raise StartFailed or LogUnwritable."""
        launch, around = self._launch, self._around
        tail = Tail()
        try:
            log = os.open(launch.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LogUnwritable(launch.log, error) from error
        try:
            with NotifySocket() as notify, selectors.DefaultSelector() as selector:
                environment = {**launch.environment, "NOTIFY_SOCKET": str(notify.path)}
                child = Child(launch.command, environment)
                try:
                    around.journal.write("attempt_started", attempt=launch.number, pid=child.pid)
                    streams = [
                        Stream(child.stdout, 1, log, tail, self._in_a_hurry),
                        Stream(child.stderr, 2, log, tail, self._in_a_hurry),
                    ]
                    sources: list[_Source] = [child, around.inbox, notify, *streams]
                    for source in sources:
                        selector.register(source, selectors.EVENT_READ, source)
                    self._watch(child, notify, selector)
                except BaseException:
                    child.signal_group(signal.SIGKILL)
                    raise
                finally:
                    status, leftovers = self._end(child)
                self._drain(selector, streams)
                self._take(notify.receive())
                child.close_pipes()
        finally:
            os.close(log)
        evidence = Evidence(status, self._stop, self._notified, self._progressed, bytes(tail), self._progress.finished)
        return Ended(evidence, self._progress, around.clock() - self._started_s, self._struck, leftovers)

    def _watch(self, child: Child, notify: NotifySocket, selector: selectors.BaseSelector) -> None:
        """Serve the child until its leader is dead."""
        while True:
            for key, _ in selector.select(self._until_due_s()):
                source = key.data
                if source is child:
                    # A signal that came at the same moment changes what its end means.
                    for number in self._around.inbox.receive():
                        self._on_signal(number, child)
                    return
                if source is notify:
                    self._take(notify.receive())
                elif source is self._around.inbox:
                    for number in self._around.inbox.receive():
                        self._on_signal(number, child)
                elif not source.pump(self._around.display.make_way):
                    selector.unregister(source)
            self._act_on_time(child)
            if self._stop is None:
                self._around.display.progress(self._progress, attempt=self._launch.attempt)

    def _end(self, child: Child) -> tuple[ExitStatus, int]:
        """Collect the dead leader and end whatever it left behind."""
        # It is not reaped yet, so its group's number still means that group.
        child.signal_group(signal.SIGTERM)
        child.signal_group(signal.SIGCONT)
        status = child.reap()
        return status, sweep_children(self._around.is_ours, _SWEEP_GRACE_S)

    def _drain(self, selector: selectors.BaseSelector, streams: list[Stream]) -> None:
        """Read what is still in the pipes. Somebody who got away may hold them open: do not wait for the end."""
        deadline_s = self._around.clock() + _DRAIN_S
        registered = {key.data for key in selector.get_map().values()}
        for stream in streams:
            if stream not in registered:
                continue
            with selectors.DefaultSelector() as single:
                single.register(stream, selectors.EVENT_READ)
                while single.select(max(0.0, deadline_s - self._around.clock())):
                    is_open = stream.pump(self._around.display.make_way)
                    if not is_open or self._around.clock() >= deadline_s:
                        break

    def _take(self, reports: list[Report]) -> None:
        for report in reports:
            self._notified = True
            self._is_ready = self._is_ready or report.ready
            # The first number ever heard may be the work of an earlier supervision: it is where we start from.
            if report.done is not None:
                if self._done_before is None:
                    self._done_before = report.done
                self._progressed = self._progressed or report.done > self._done_before
            self._progress = self._progress.updated(report, self._around.clock())
            if report.ready:
                self._strike_from_s = self._around.clock()
            elif not self._is_ready:
                self._strike_from_s = None  # it speaks, so it will say when it is at work

    def _on_signal(self, number: int, child: Child) -> None:
        if number == signal.SIGTSTP:
            # Ctrl-Z: the child first, which as a session of its own is out of the terminal's reach, then we.
            child.signal_group(signal.SIGSTOP)
            stop_ourselves()
            child.signal_group(signal.SIGCONT)
            return
        self._around.journal.write("signal_received", attempt=self._launch.number, signal=signal.Signals(number).name)
        if number == signal.SIGINT:
            self._interrupts += 1
        if self._interrupts == _INTERRUPTS_BEFORE_GROUP:
            child.signal_group(signal.SIGTERM)
        elif self._interrupts >= _INTERRUPTS_BEFORE_KILL:
            child.signal_group(signal.SIGKILL)
        if number in WARNINGS:
            # Slurm's way of saying that the time is nearly up: passed on, and no restart follows.
            child.signal_leader(number)
            self._stop = self._stop or StopReason.WARNED
        elif self._stop in {None, StopReason.WARNED}:
            self._stop = StopReason.USER if number in KEYBOARD else StopReason.DRAIN
            self._stop_asked_s = self._around.clock()
            self._steps = list(ladder(signal.Signals(number), self._launch.grace_s))
            more = "; SIGINT again sends SIGTERM, a third one SIGKILL" if number == signal.SIGINT else ""
            self._around.display.line(
                f"{signal.Signals(number).name}: the child has {self._launch.grace_s:g} s to end{more}", "warn"
            )

    def _in_a_hurry(self) -> bool:
        """Whether there is more to do than to wait for somebody who does not read our output."""
        return self._stop is not None or bool(select.select([self._around.inbox], [], [], 0)[0])

    def _due_s(self) -> list[float]:
        """When the next things fall due, on our clock."""
        due = [self._stop_asked_s + step.after_s for step in self._steps[:1]]
        strike = self._launch.strike
        if strike and not self._struck and self._stop is None and self._strike_from_s is not None:
            due.append(self._strike_from_s + strike.delay_s)
        return due

    def _until_due_s(self) -> float:
        return max(0.0, min([_TICK_S, *(due - self._around.clock() for due in self._due_s())]))

    def _act_on_time(self, child: Child) -> None:
        now_s = self._around.clock()
        if not any(due <= now_s for due in self._due_s()):
            return
        if self._steps:
            step = self._steps.pop(0)
            (child.signal_group if step.to_group else child.signal_leader)(step.signal)
            child.signal_group(signal.SIGCONT)  # one that is stopped could not answer
        elif (strike := self._launch.strike) is not None:
            self._struck = strike
            self._told_to_go = strike.harm is Harm.TERM
            self._around.display.line(f"chaos: {strike.harm.signal.name} to the child", "warn")
            self._around.journal.write("chaos", attempt=self._launch.number, harm=strike.harm.value)
            child.signal_leader(strike.harm.signal)
