"""Looking at every byte of a run: is it what its checksums, its checkpoint and its description say?

Everything streams: a run of any size is checked in the memory that its completed set needs. No lock is taken and
nothing is changed, so that a live run can be looked at as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from checkpoints import epoch
from checkpoints.agreement import completed_ranges, disagreements, format_ranges, subtract
from checkpoints.checkpoint import Checkpoint
from checkpoints.encoding import BadLine
from checkpoints.errors import CorruptRun, RunNotFound
from checkpoints.identity import RunIdentity, fingerprint
from checkpoints.layout import RunLayout
from checkpoints.lock import is_held, read_holder
from checkpoints.progress import Progress
from checkpoints.report import Findings, Kind, Report
from checkpoints.verdict import Fate, Verdict, verdicts

_READ_AGAIN, _READ_AGAIN_S = 5, 0.01
_LOOK_AGAIN = 3


def locate(path: Path) -> RunLayout:
    """The run at this path, which may also be that of its checkpoint.json. Raises RunNotFound."""
    folder = path.parent if path.name == "checkpoint.json" else path
    layout = RunLayout(folder.resolve())
    if not any(each.is_file() for each in (layout.run, layout.results, layout.compressed, layout.checkpoint)):
        raise RunNotFound(path)
    return layout


def verify(layout: RunLayout, *, locked: bool = False) -> Report:
    """Read all of a run and say what is off. Raises UnsupportedFormat, OSError.

    `locked`: the caller holds the run's lock, so nobody is writing.
    """
    for _ in range(_LOOK_AGAIN):
        holder = read_holder(layout.lock)
        report = _look(layout, locked)
        # Who opens the run meanwhile may cut the log where it is being read.
        if not report.faults or locked or read_holder(layout.lock) == holder:
            break
    return report


def _look(layout: RunLayout, locked: bool) -> Report:
    live = not locked and is_held(layout.lock)
    found = Findings()
    identity = _description(layout, found)
    checkpoint, checkpoint_exists = _checkpoint(layout, identity, found)  # before the log, which only grows
    described = identity or checkpoint
    total = described.total_samples if described else None
    progress = _read_log(layout, total, checkpoint, found)
    _completeness(layout, total, checkpoint, progress, found)
    live = live or (not locked and is_held(layout.lock))
    if not checkpoint_exists and progress.samples_processed:
        found.add(Kind.NO_CHECKPOINT, layout.checkpoint.name, "missing: the log will be counted instead")
    if live:
        _forget(found, Kind.TORN_TAIL)  # the rest of the line is on its way
    else:
        _leftovers(layout, found)
    return Report(
        name=layout.root.name,
        records=progress.samples_processed,
        total_samples=total,
        fingerprint=fingerprint(identity.identity) if identity else None,
        live=live,
        has_checkpoint=checkpoint_exists,
        findings=tuple(found.kept),
        counts=dict(found.counts),
    )


def _description(layout: RunLayout, found: Findings) -> RunIdentity | None:
    try:
        identity = RunIdentity.read(layout.run)
    except FileNotFoundError:
        found.add(Kind.DESCRIPTION, layout.run.name, "missing: nobody can say whose results these are")
    except CorruptRun as error:
        found.add(Kind.DESCRIPTION, layout.run.name, _reason(error))
    else:
        if identity.total_samples is None or isinstance(identity.total_samples, int):
            return identity
        found.add(Kind.DESCRIPTION, layout.run.name, f"total_samples is {identity.total_samples!r}, no number")
    return None


def _reason(error: CorruptRun) -> str:
    """What is wrong, without the place and the advice around it."""
    after_place = str(error).partition(f"byte {error.offset_bytes}: ")[2]
    return after_place.partition(". Nothing was changed")[0]


def _checkpoint(layout: RunLayout, identity: RunIdentity | None, found: Findings) -> tuple[Checkpoint | None, bool]:
    """The checkpoint when it is intact and this run's, and whether there is any."""
    name = layout.checkpoint.name
    try:
        checkpoint = read_patiently(layout.checkpoint)
    except FileNotFoundError:
        return None, False
    except BadLine as error:
        found.add(Kind.CHECKPOINT, name, str(error))
        return None, True
    if identity is not None and checkpoint.run_id != identity.run_id:
        found.add(Kind.CHECKPOINT, name, f"it is that of the run {checkpoint.run_id}, this is {identity.run_id}")
        return None, True
    if identity is not None and checkpoint.total_samples != identity.total_samples:
        what = f"total_samples is {identity.total_samples}, and {checkpoint.total_samples} in {name}"
        found.add(Kind.DESCRIPTION, layout.run.name, what)
    return checkpoint, True


def read_patiently(path: Path) -> Checkpoint:
    """The checkpoint; a live writer may be in the middle of overwriting it. Raises FileNotFoundError, BadLine."""
    for left in reversed(range(_READ_AGAIN)):
        try:
            return Checkpoint.decode(path.read_bytes(), path)
        except BadLine:
            if not left:
                raise
            time.sleep(_READ_AGAIN_S)
    raise AssertionError("unreachable")


def _read_log(layout: RunLayout, total: int | None, checkpoint: Checkpoint | None, found: Findings) -> Progress:
    """Judge every line; compare the checkpoint with the totals where it was written."""
    progress, end_bytes = Progress(), 0
    awaited = checkpoint.log_offset_bytes if checkpoint else None
    bad: list[Verdict] = []  # first and last of a stretch of bad lines
    for verdict in verdicts(layout, total, progress):
        if verdict.fate is Fate.BAD:
            bad = [*bad[:1], verdict]
        else:
            _tell_bad(layout, bad, found)
            bad = []
            if verdict.fate is not Fate.KEPT:
                found.add(Kind(verdict.fate.value), _where(layout, verdict), verdict.what)
        end_bytes = verdict.entry.end_bytes
        if end_bytes == awaited and checkpoint is not None:
            _compare(layout, checkpoint, progress, found)
            awaited = None
    if bad and bad[-1].unreadable:
        _tell_bad(layout, bad, found)
    elif bad:
        torn_bytes = end_bytes - bad[0].entry.start_bytes
        what = f"{torn_bytes} bytes that are no record, as a crash leaves them; opening the run cuts them off"
        found.add(Kind.TORN_TAIL, _where(layout, bad[0]), what, torn_bytes)
    if checkpoint is not None:
        if awaited == 0:
            _compare(layout, checkpoint, Progress(), found)
        elif awaited is not None:
            what = f"log_offset_bytes is {awaited}, where no line of the log ends"
            found.add(Kind.CHECKPOINT, layout.checkpoint.name, what)
    _length(layout, checkpoint, end_bytes, found)
    return progress


def _tell_bad(layout: RunLayout, bad: list[Verdict], found: Findings) -> None:
    """A stretch of bad lines that valid records follow is one finding."""
    if bad:
        lines = bad[-1].line - bad[0].line + 1
        stretch = f" ({lines} lines, up to byte {bad[-1].entry.end_bytes})" if lines > 1 else ""
        found.add(Kind.DAMAGED, _where(layout, bad[0]), bad[0].what + stretch, lines)


def _where(layout: RunLayout, verdict: Verdict) -> str:
    return f"{log_path(layout).name}, line {verdict.line}, byte {verdict.entry.start_bytes}"


def log_path(layout: RunLayout) -> Path:
    """The log, or what it has been compressed to."""
    return layout.compressed if layout.compressed.exists() and not layout.results.exists() else layout.results


def _compare(layout: RunLayout, checkpoint: Checkpoint, progress: Progress, found: Findings) -> None:
    for what in disagreements(checkpoint, progress):
        found.add(Kind.CHECKPOINT, layout.checkpoint.name, what)


def _length(layout: RunLayout, checkpoint: Checkpoint | None, end_bytes: int, found: Findings) -> None:
    """The log must hold what was known to be on the disk."""
    if checkpoint is not None and checkpoint.synced_bytes > end_bytes:
        what = f"it ends at byte {end_bytes}, and {checkpoint.synced_bytes} bytes had been on the disk"
        found.add(Kind.TOO_SHORT, log_path(layout).name, what)
    numbers = epoch.numbers(layout)
    read = {each.attempt: each.start_bytes for each in epoch.read(layout, numbers)}
    for number in numbers:
        name = str(layout.attempt(number).relative_to(layout.root))
        if number not in read:
            found.add(Kind.UNREADABLE_ATTEMPT, name, "it cannot be read, so it forbids nothing")
        elif read[number] > end_bytes:
            what = f"it began at byte {read[number]}, and the log ends at byte {end_bytes}"
            found.add(Kind.BEYOND_THE_END, name, what)


def _completeness(
    layout: RunLayout, total: int | None, checkpoint: Checkpoint | None, progress: Progress, found: Findings
) -> None:
    """What the checkpoint calls done and the log lacks is lost; what nobody claims is only not done yet."""
    done = list(progress.completed.ranges())
    lost = list(subtract(completed_ranges(checkpoint), done)) if checkpoint else []
    if lost:
        what = f"no record of {format_ranges(lost)}, which {layout.checkpoint.name} calls completed"
        found.add(Kind.GAP, log_path(layout).name, what, _length_of(lost))
    missing = list(subtract([(0, total - 1)], done)) if total else []
    if missing:
        what = f"{_length_of(missing)} of {total} samples have no record yet: {format_ranges(missing)}"
        found.add(Kind.UNFINISHED, log_path(layout).name, what, _length_of(missing))


def _length_of(ranges: Iterable[tuple[int, int]]) -> int:
    return sum(end - start + 1 for start, end in ranges)


def leftovers(layout: RunLayout) -> Iterator[Path]:
    """Files that an interrupted replacement left behind: no reader looks at them."""
    for folder in (layout.root, layout.attempts):
        yield from sorted(folder.glob(".*.tmp"))
    if layout.compressed.exists() and layout.results.exists():
        yield layout.compressed


def _leftovers(layout: RunLayout, found: Findings) -> None:
    for path in leftovers(layout):
        name = str(path.relative_to(layout.root))
        found.add(Kind.LEFTOVER, name, "left behind by an interrupted replacement; nobody reads it")


def _forget(found: Findings, kind: Kind) -> None:
    found.kept = [each for each in found.kept if each.kind is not kind]
    found.counts.pop(kind, None)
