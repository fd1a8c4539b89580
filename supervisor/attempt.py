"""One life of the child, from its start until nothing of it is left."""

from __future__ import annotations

import os
import select
import selectors
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from supervisor.chaos import Strike
from supervisor.clock import AwakeClock
from supervisor.declaration import ERROR_FILE_VARIABLE, read_declaration
from supervisor.display import Display
from supervisor.evidence import Evidence, ExitStatus, KernelView
from supervisor.forensics import AttemptFolder, core_file
from supervisor.helpers import Helpers
from supervisor.journal import Journal
from supervisor.kernel import KernelWatch
from supervisor.notify import NotifySocket, Report
from supervisor.outer import Outer
from supervisor.process import Child, own_children, reap_dead, sweep_children
from supervisor.progress import Progress
from supervisor.progress_sources import GrowingFiles, PrintedNumbers
from supervisor.pseudoterminal import PseudoTerminal
from supervisor.pulse import Rhythm
from supervisor.rawlog import RawLog
from supervisor.relay import Source, Stream, Tail
from supervisor.signals import SignalInbox, stop_ourselves
from supervisor.stopping import Step, Target
from supervisor.view import Segment, View
from supervisor.watchdog import Limits, Watchdog

_TICK_S = 1.0
_DRAIN_S = 1.0
_SWEEP_GRACE_S = 2.0
_LEDGER_S = 10.0
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "busybox"})
_Source = Child | SignalInbox | NotifySocket | Stream


@dataclass(frozen=True)
class Launch:
    """What one attempt is started with. `number` counts on over all supervisions of a name, as the folders do."""

    number: int
    attempt: int
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    limits: Limits
    progress: Progress
    view: View
    rhythm: Rhythm = field(default_factory=Rhythm)


@dataclass(frozen=True)
class Times:
    """When what happened in an attempt, on the supervision's clock; None: it did not."""

    started_s: float
    ended_s: float
    ready_s: float | None = None
    first_new_s: float | None = None
    last_commit_s: float | None = None


@dataclass(frozen=True)
class Ended:
    """What one attempt came to."""

    evidence: Evidence
    progress: Progress
    times: Times
    struck: Strike | None = None
    leftovers: int = 0
    rhythm: Rhythm = field(default_factory=Rhythm)
    memory_peak_bytes: int = 0
    core: Path | None = None


@dataclass(frozen=True)
class Surroundings:
    """What all attempts of one supervision share."""

    inbox: SignalInbox
    display: Display
    journal: Journal
    outer: Outer
    helpers: Helpers
    is_ours: Callable[[int], bool]
    files: GrowingFiles | None = None
    numbers: PrintedNumbers | None = None
    keep_log_parts: int | None = None
    clock: Callable[[], float] = field(default_factory=AwakeClock)


@dataclass(frozen=True)
class _Life:
    """What there is while the child lives."""

    child: Child
    notify: NotifySocket
    folder: AttemptFolder
    terminal: PseudoTerminal | None
    kernel: KernelWatch


class Attempt:
    """Runs one child in an event loop: its output, its notifications, our signals, and what falls due."""

    def __init__(self, launch: Launch, around: Surroundings) -> None:
        self._launch, self._around = launch, around
        self._progress = launch.progress
        self._done_before = launch.progress.done
        self._progressed = False
        self._tail = Tail()
        self._started_s = self._looked_s = self._told_s = around.clock()
        self._ready_s: float | None = None
        self._first_new_s: float | None = None
        self._last_commit_s: float | None = None
        self._dog = Watchdog(launch.limits, self._started_s, self._tell, launch.rhythm)

    def run(self) -> Ended:
        """Raise StartFailed or LogUnwritable."""
        launch, around = self._launch, self._around
        with ExitStack() as stack:
            folder = AttemptFolder(launch.folder, around.helpers)
            log = stack.enter_context(closing(RawLog(launch.folder, keep=around.keep_log_parts)))
            notify = stack.enter_context(NotifySocket())
            terminal = stack.enter_context(PseudoTerminal()) if around.display.on_terminal else None
            environment = {
                **launch.environment,
                "NOTIFY_SOCKET": str(notify.path),
                ERROR_FILE_VARIABLE: str(folder.error_file),
            }
            if terminal is not None:
                terminal.resize(shutil.get_terminal_size())
            child = Child(launch.command, environment, terminal)
            watch = stack.enter_context(closing(KernelWatch(child.pid)))
            try:
                if terminal is not None:
                    terminal.close_child_end()
                around.journal.write(
                    "attempt_started", attempt=launch.number, pid=child.pid, notify_folder=str(notify.path.parent)
                )
                folder.keep_environment(environment)
                streams = self._streams(terminal, child.pipes, log)
                self._watch(_Life(child, notify, folder, terminal, watch), streams)
            except BaseException:
                child.signal_group(signal.SIGKILL)
                child.wait_dead()
                raise
            finally:
                # Not reaped yet: its group's number still means that group, and its cgroup can still be found.
                kernel = watch.view()
                status, leftovers = self._end(child)
                ended_s = around.clock()
            self._drain(streams)
            self._take(notify.receive())
            child.close_pipes()
        declared = read_declaration(folder.error_file)
        core = core_file(child.pid, Path.cwd()) if status.core_dumped else None
        evidence = self._evidence(status, kernel)
        evidence = replace(evidence, declared=declared)
        times = Times(self._started_s, ended_s, self._ready_s, self._first_new_s, self._last_commit_s)
        dog = self._dog
        return Ended(
            evidence, self._progress, times, dog.struck, leftovers, dog.pulse.rhythm, child.memory_peak_bytes, core
        )

    def _streams(self, terminal: PseudoTerminal | None, pipes: Sequence[Source], log: RawLog) -> list[Stream]:
        """The child's streams, each to the raw log, the tail, whoever listens, and our own side, which may block."""
        around = self._around
        sources: Sequence[Source] = pipes if terminal is None else [terminal]
        outlets = [around.display.outlet(number, self._in_a_hurry) for number in (1, 2)]
        return [
            Stream(source, log, self._tail.add, self._hear, outlet)
            for source, outlet in zip(sources, outlets, strict=False)
        ]

    def _evidence(self, status: ExitStatus, kernel: KernelView) -> Evidence:
        dog = self._dog
        return Evidence(
            status=status,
            stop=dog.stop,
            notified=dog.speaks,
            progressed=self._progressed,
            tail=self._tail.since_mark,
            finished=self._progress.finished,
            told_to_go=dog.told_to_go,
            ending=dog.ending,
            ending_detail=dog.ending_detail,
            kernel=kernel,
            in_flight=self._progress.in_flight,
            is_shell=os.path.basename(self._launch.command[0]) in _SHELLS,  # noqa: PTH119
            shm_full=_is_full("/dev/shm"),  # noqa: S108
        )

    def _watch(self, life: _Life, streams: list[Stream]) -> None:
        """Serve the child until its leader is dead."""
        with selectors.DefaultSelector() as selector:
            sources: list[_Source] = [life.child, self._around.inbox, life.notify, *streams]
            for source in sources:
                selector.register(source, selectors.EVENT_READ, source)
            is_over = False
            while not is_over:
                for key, _ in selector.select(self._until_due_s()):
                    is_over = is_over or key.data is life.child
                    self._serve(key.data, life, selector)
                now_s = self._around.clock()
                if not is_over:
                    self._on_time(now_s, life)

    def _serve(self, source: _Source, life: _Life, selector: selectors.BaseSelector) -> None:
        """Something has happened there."""
        if isinstance(source, NotifySocket):
            self._take(source.receive())
        elif isinstance(source, Stream):
            if not source.pump():
                selector.unregister(source)
        else:
            # At the child's death too: a signal that came at the same moment changes what its end means.
            for number in self._around.inbox.receive():
                self._on_signal(number, life)

    def _on_time(self, now_s: float, life: _Life) -> None:
        """What falls due, and the display."""
        due_s = self._dog.due_s()
        if due_s is not None and due_s <= now_s:
            self._take_steps(self._dog.act(now_s, stopped=life.child.is_stopped()), life)
        if now_s - self._looked_s >= _TICK_S:
            self._look(now_s, life)
        self._around.display.show(self._view(now_s))

    def _look(self, now_s: float, life: _Life) -> None:
        """What nothing wakes us for."""
        self._looked_s = now_s
        if self._around.files and self._around.files.grew():
            self._commit(now_s)
            self._dog.output(now_s)
        if self._dog.in_peace:
            self._take_steps(self._dog.look(now_s, stopped=life.child.is_stopped()), life)
        life.kernel.look()
        self._around.helpers.poll()
        self._around.outer.alive()
        if self._progress.done is not None and now_s - self._told_s >= _LEDGER_S:
            self._told_s = now_s
            self._tell("", "", "progress", done=self._progress.done, total=self._progress.total)

    def _view(self, now_s: float) -> View:
        view = self._launch.view
        runs_s = now_s - self._started_s
        timeline = (*view.timeline, Segment(None, runs_s))
        return replace(view, progress=self._progress, elapsed_s=view.elapsed_s + runs_s, timeline=timeline)

    def _end(self, child: Child) -> tuple[ExitStatus, int]:
        """Collect the dead leader and end whatever it left behind."""
        child.signal_group(signal.SIGTERM)
        child.signal_group(signal.SIGCONT)
        status = child.reap()
        spared = self._around.helpers.pids
        return status, sweep_children(lambda pid: pid not in spared and self._around.is_ours(pid), _SWEEP_GRACE_S)

    def _drain(self, streams: list[Stream]) -> None:
        """Read what is still in the pipes. Somebody who got away may hold them open: do not wait for the end."""
        deadline_s = self._around.clock() + _DRAIN_S
        for stream in streams:
            while select.select([stream], [], [], max(0.0, deadline_s - self._around.clock()))[0]:
                if not stream.pump() or self._around.clock() >= deadline_s:
                    break

    def _hear(self, data: bytes) -> None:
        now_s = self._around.clock()
        self._dog.output(now_s)
        if self._around.numbers and (report := self._around.numbers.feed(data)):
            self._count(report, now_s)

    def _take(self, reports: list[Report]) -> None:
        now_s = self._around.clock()
        for report in reports:
            committed = self._count(report, now_s)
            self._dog.notified(now_s, ready=report.ready, progress=committed, allowance_s=report.allowance_s)
            if report.ready and self._ready_s is None:
                self._ready_s = now_s
        if reports:
            self._around.outer.pass_on(self._progress)

    def _count(self, report: Report, now_s: float) -> bool:
        """Take in what was reported; returns whether there are new samples."""
        # The first number ever heard may be the work of an earlier supervision: it is where we start from.
        if report.done is not None and self._done_before is None:
            self._done_before = report.done
        known = max(self._done_before or 0, self._progress.done or 0)
        self._progress = self._progress.updated(report, now_s)
        if report.done is None or report.done <= known:
            return False
        self._commit(now_s)
        return True

    def _commit(self, now_s: float) -> None:
        """New samples are safe."""
        self._progressed = True
        self._first_new_s = self._first_new_s or now_s
        self._last_commit_s = now_s
        self._tail.mark()

    def _on_signal(self, number: int, life: _Life) -> None:
        child = life.child
        if number == signal.SIGTSTP:
            # Ctrl-Z: the child first, which as a session of its own is out of the terminal's reach, then we.
            child.signal_group(signal.SIGSTOP)
            self._around.display.suspend()
            stop_ourselves()
            child.signal_group(signal.SIGCONT)
        elif number == signal.SIGWINCH:
            if life.terminal is not None:
                life.terminal.resize(shutil.get_terminal_size())
                child.signal_group(signal.SIGWINCH)
        elif number == signal.SIGCHLD:
            # As a subreaper, or as process 1 of a container, we inherit orphans: none stays a zombie.
            spared = {child.pid, *self._around.helpers.pids}
            reap_dead(pid for pid in own_children() if pid not in spared)
        else:
            name = signal.Signals(number).name
            self._around.journal.write("signal_received", attempt=self._launch.number, signal=name)
            self._take_steps(self._dog.on_signal(number, self._around.clock()), life)

    def _take_steps(self, steps: list[Step], life: _Life) -> None:
        for step in steps:
            if step.target is Target.STACKS:
                life.folder.keep_stacks(life.child.pid)
            elif step.signal is not None:
                send = life.child.signal_leader if step.target is Target.LEADER else life.child.signal_group
                send(step.signal)
            if step.signal not in {None, signal.SIGSTOP}:
                life.child.signal_group(signal.SIGCONT)  # one that is stopped could not answer

    def _tell(self, text: str, style: str, event: str, **facts: object) -> None:
        if text:
            self._around.display.line(text, style)
        if event:
            self._around.journal.write(event, attempt=self._launch.number, **facts)

    def _in_a_hurry(self) -> bool:
        """Whether there is more to do than to wait for somebody who does not read our output."""
        return not self._dog.in_peace or bool(select.select([self._around.inbox], [], [], 0)[0])

    def _until_due_s(self) -> float:
        due_s, shown_in_s = self._dog.due_s(), self._around.display.due_in_s()
        waits = [
            _TICK_S if due_s is None else due_s - self._around.clock(),
            _TICK_S if shown_in_s is None else shown_in_s,
        ]
        return max(0.0, min(_TICK_S, *waits))


def _is_full(path: str) -> bool:
    try:
        there = os.statvfs(path)
    except OSError:
        return False
    return there.f_blocks > 0 and there.f_bavail * there.f_frsize < 1 << 20
