"""Ways to damage a run, shared by the tests of those who find damage and those who mend it."""

from __future__ import annotations

import json
from pathlib import Path

from checkpoints import CheckpointManager, Record, Status
from checkpoints.encoding import seal, unseal
from checkpoints.layout import RunLayout

TOTAL = 10


def healthy(directory: Path, name: str = "r", done: int = TOTAL, order: range | None = None) -> RunLayout:
    """A run of ten samples in two attempts: 0 to 3 by the first, the rest by the second; sample 3 has no score."""
    idxs = list(order if order is not None else range(done))
    manager = CheckpointManager(directory, name)
    for part in (idxs[:4], idxs[4:]):
        with manager.open(total_samples=TOTAL, identity={"model": "m"}) as run:
            for idx in part:
                status = Status.ERROR_TIMEOUT if idx == 3 else Status.SUCCESS
                correct = idx % 2 == 0
                run.record(Record(idx, f"s{idx}", status=status, is_correct=correct, scores={"em": 0.1 * idx}))
    return manager.layout


def lines(layout: RunLayout) -> list[bytes]:
    return layout.results.read_bytes().splitlines(keepends=True)


def rewrite(layout: RunLayout, changed: list[bytes]) -> None:
    layout.results.write_bytes(b"".join(changed))


def reseal(line: bytes, **changes: object) -> bytes:
    """The line with other values and a checksum that is right."""
    return seal({**unseal(line), **changes})


def flip_bit(layout: RunLayout, number: int = 5) -> None:
    changed = lines(layout)
    middle = len(changed[number]) // 2
    old = changed[number]
    changed[number] = old[:middle] + bytes([old[middle] ^ 1]) + old[middle + 1 :]
    rewrite(layout, changed)


def delete_line(layout: RunLayout) -> None:
    changed = lines(layout)
    del changed[5]
    rewrite(layout, changed)


def duplicate_line(layout: RunLayout) -> None:
    changed = lines(layout)
    rewrite(layout, [*changed[:7], changed[6], *changed[7:]])


def insert_a_line_of_a_longer_run(layout: RunLayout) -> None:
    changed = lines(layout)
    rewrite(layout, [*changed[:2], reseal(changed[1], idx=700, sample_id="foreign"), *changed[2:]])


def insert_a_line_of_the_first_attempt(layout: RunLayout) -> None:
    """What a writer leaves that was frozen, taken over from, and thawed."""
    changed = lines(layout)
    rewrite(layout, [*changed[:8], reseal(changed[9], attempt=1, is_correct=True), *changed[8:]])


def zero_a_stretch(layout: RunLayout) -> None:
    changed = lines(layout)
    rewrite(layout, [*changed[:3], b"\0" * len(changed[3]), b"\n\n", *changed[4:]])


def cut_at_a_line(layout: RunLayout) -> None:
    """So short that the second attempt began behind the end."""
    rewrite(layout, lines(layout)[:2])


def change_the_checkpoint(layout: RunLayout, **changes: object) -> None:
    """A checkpoint that is sealed and wrong."""
    data = layout.checkpoint.read_bytes()
    line = data.rstrip(b" \n") + b"\n"
    layout.checkpoint.write_bytes(reseal(line, **changes)[:-1].ljust(len(data) - 1) + b"\n")


def miscount(layout: RunLayout) -> None:
    change_the_checkpoint(layout, correct_count=4)


def flip_a_bit_of_the_checkpoint(layout: RunLayout) -> None:
    data = bytearray(layout.checkpoint.read_bytes())
    data[40] ^= 1
    layout.checkpoint.write_bytes(data)


def take_anothers_checkpoint(layout: RunLayout) -> None:
    other = healthy(layout.root.parent / "elsewhere")
    layout.checkpoint.write_bytes(other.checkpoint.read_bytes())


def tear_the_tail(layout: RunLayout) -> None:
    with layout.results.open("ab") as log:
        log.write(lines(layout)[-1][:-30])


def leave_a_temporary_file(layout: RunLayout) -> None:
    (layout.root / ".checkpoint.json.tmp").write_bytes(b"half")


def edit_total(layout: RunLayout, total: object = 5) -> None:
    """In a description that has no checksum, as the first ones had none."""
    value = json.loads(layout.run.read_bytes())
    value.pop("crc", None)
    layout.run.write_text(json.dumps({**value, "total_samples": total}))


REPAIRABLE = [
    flip_bit, delete_line, duplicate_line, insert_a_line_of_a_longer_run, insert_a_line_of_the_first_attempt,
    zero_a_stretch, cut_at_a_line, miscount, flip_a_bit_of_the_checkpoint, take_anothers_checkpoint, tear_the_tail,
    leave_a_temporary_file,
]  # fmt: skip


def snapshot(layout: RunLayout) -> dict[str, bytes]:
    """Every file of the run, those of its folders included."""
    files = (path for path in layout.root.rglob("*") if path.is_file())
    return {str(path.relative_to(layout.root)): path.read_bytes() for path in files}
