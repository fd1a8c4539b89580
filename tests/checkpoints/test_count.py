"""Counting fast and counting record by record come to the same, to the last bit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from checkpoints import Record, Status
from checkpoints import count as counting
from checkpoints.count import count, is_intact
from checkpoints.encoding import seal, unseal
from checkpoints.epoch import Epoch, Fence
from checkpoints.log import Tail
from checkpoints.progress import Progress

NO_FENCE = Fence(())

odd_floats = st.sampled_from([0.1, 0.2, 0.3, -0.0, 5e-324, 1e308, -1e308, 1e16, 2.0**53 + 2, 1 / 3])
numbers = odd_floats | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30) | st.booleans()
names = st.sampled_from(["exact_match", "f1", "größe", "\u2028", "\ud83d", ""])
texts = st.text(st.characters(codec=None), max_size=6) | st.sampled_from(
    ["\u2028\u2029\x85", "\ud83d", "a\nb\r\n", '"}']
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | odd_floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
extras = st.dictionaries(texts.map(lambda text: f"x{text}"), values, max_size=3)


@st.composite
def record_lists(draw: st.DrawFn) -> list[Record]:
    """Some records of different samples, in any order."""
    order = draw(st.lists(st.integers(0, 12) | st.just(2**40), unique=True, max_size=10))
    if draw(st.booleans()):
        order.sort()
    common = draw(st.none() | st.lists(names, unique=True, max_size=3))
    made = []
    for idx in order:
        keys = draw(st.lists(names, unique=True, max_size=3)) if common is None else common
        made.append(
            Record(
                idx,
                draw(texts),
                draw(st.sampled_from(Status)),
                model_answer=draw(values),
                is_correct=draw(st.booleans()),
                scores={key: draw(numbers) for key in keys},
                timestamp=draw(st.sampled_from([0.0, 1.5, 1_700_000_000, 1e-7])),
                attempt=draw(st.integers(0, 3)),
                extra=draw(extras),
            )
        )
    return made


def bits(progress: Progress) -> dict[str, object]:
    """Everything that is counted; floats so that 0.0 and -0.0 differ."""
    return {
        "ranges": list(progress.completed.ranges()),
        "samples_processed": progress.samples_processed,
        "correct_count": progress.correct_count,
        "status_counts": dict(progress.status_counts),
        "score_sums": {name: float(total).hex() for name, total in progress.score_sums.items()},
        "attempt": progress.attempt,
    }


def one_by_one(path: Path, fence: Fence = NO_FENCE) -> tuple[Progress, Tail]:
    progress, tail = Progress(), Tail(path, fence=fence)
    for record in tail.records():
        progress.add(record)
    return progress, tail


def in_both_ways(path: Path, fence: Fence = NO_FENCE) -> tuple[Progress, int]:
    """As recovery counts: fast as far as that goes, then line by line."""
    progress = Progress()
    end_bytes, _ = count(path, 0, progress, fence)
    tail = Tail(path, end_bytes, fence=fence)
    for record in tail.records():
        progress.add(record)
    return progress, end_bytes


@contextmanager
def chunks_of(size_bytes: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_CHUNK_BYTES", size_bytes)
        yield


@contextmanager
def log_of(*parts: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.jsonl"
        path.write_bytes(b"".join(parts))
        yield path


@settings(max_examples=150, derandomize=True)
@given(record_lists(), st.sampled_from([1, 7, 64, 300, 1000, 1 << 19]))
def test_the_totals_are_the_same_to_the_last_bit(records: list[Record], chunk_bytes: int) -> None:
    with log_of(*[each.encode() for each in records]) as path, chunks_of(chunk_bytes):
        expected, _ = one_by_one(path)
        assert bits(in_both_ways(path)[0]) == bits(expected)
    assert expected.samples_processed == len(records)


@settings(max_examples=60, derandomize=True)
@given(record_lists(), st.integers(1, 4))
@example([Record(idx, scores={"f1": 0.1}) for idx in range(10)], 3)
@example([Record(idx, scores={"f1": 1e16 if idx == 0 else 1.0}) for idx in range(4)], 4)
def test_adding_many_at_once_is_adding_each(records: list[Record], group: int) -> None:
    each_alone, together = Progress(), Progress()
    for record in records:
        each_alone.add(record)
    for at in range(0, len(records), group):
        together.extend(records[at : at + group])
    assert bits(together) == bits(each_alone)


@settings(max_examples=60, derandomize=True)
@given(record_lists(), st.data())
def test_a_log_may_be_counted_from_any_line_on(records: list[Record], data: st.DataObject) -> None:
    lines = [each.encode() for each in records]
    known = data.draw(st.integers(0, len(lines)))
    whole, resumed = Progress(), Progress()
    for record in records:
        whole.add(record)
    for record in records[:known]:
        resumed.add(record)
    with log_of(*lines) as path, chunks_of(data.draw(st.sampled_from([1, 50, 500]))):
        end_bytes, _ = count(path, sum(map(len, lines[:known])), resumed, NO_FENCE)
        for record in Tail(path, end_bytes).records():
            resumed.add(record)
    assert bits(resumed) == bits(whole)


@pytest.mark.parametrize("chunk_bytes", [1, 100, 1 << 19])
def test_plain_records_are_all_counted_the_fast_way(chunk_bytes: int) -> None:
    lines = [Record(idx, f"s{idx}", scores={"f1": 0.1 * idx}, timestamp=idx + 0.5).encode() for idx in range(50)]
    progress = Progress()
    with log_of(*lines) as path, chunks_of(chunk_bytes):
        assert count(path, 0, progress, NO_FENCE) == (sum(map(len, lines)), 49.5)
    assert list(progress.completed.ranges()) == [(0, 49)]


@pytest.mark.parametrize("chunk_bytes", [1, 300, 1 << 19])
@pytest.mark.parametrize(
    "tail", [b'{"idx":3', b"\n", b"\n\n", b"\0" * 40, b"garbage\n", Record(3).encode()[:-1], b'{"idx":3}\n', b"[]\n"]
)
def test_what_is_not_a_record_is_left_to_the_reader_of_lines(tail: bytes, chunk_bytes: int) -> None:
    lines = [Record(idx).encode() for idx in range(3)]
    with log_of(*lines, tail) as path, chunks_of(chunk_bytes):
        progress, fast_bytes = in_both_ways(path)
        assert fast_bytes <= sum(map(len, lines))
    assert list(progress.completed.ranges()) == [(0, 2)]


@pytest.mark.parametrize(
    "changes",
    [{"idx": "1"}, {"idx": None}, {"idx": 1.5}, {"status": "asleep"}, {"scores": {"a": None}}, {"scores": [1]},
     {"timestamp": "now"}, {"attempt": None}],
)  # fmt: skip
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 19])
def test_a_checksum_that_is_right_does_not_make_a_record_of_other_values(
    changes: dict[str, object], chunk_bytes: int
) -> None:
    plain = Record(1, scores={"a": 1.0}, timestamp=1.0, attempt=1).encode()
    odd = seal({**unseal(plain), **changes})
    with log_of(Record(0).encode(), odd) as path, chunks_of(chunk_bytes):
        progress, _ = in_both_ways(path)
    assert list(progress.completed.ranges()) == [(0, 0)]


@pytest.mark.parametrize("chunk_bytes", [1, 1 << 19])
def test_a_plausible_line_whose_checksum_is_wrong_is_not_counted(chunk_bytes: int) -> None:
    """One flipped bit makes "false" no "true", but a 2 a 3: valid JSON of the right types."""
    odd = Record(2, scores={"f1": 2.5}, timestamp=2.5).encode().replace(b'"f1":2.5', b'"f1":3.5')
    with log_of(Record(0).encode(), odd) as path, chunks_of(chunk_bytes):
        progress, _ = in_both_ways(path)
    assert (list(progress.completed.ranges()), dict(progress.score_sums)) == ([(0, 0)], {})


def test_a_sample_that_is_there_twice_is_refused_in_one_chunk_and_in_two() -> None:
    lines = [Record(idx).encode() for idx in (0, 1, 2, 1)]
    for chunk_bytes in (1, 1 << 19):
        with log_of(*lines) as path, chunks_of(chunk_bytes), pytest.raises(ValueError, match="1 is already recorded"):
            count(path, 0, Progress(), NO_FENCE)


def test_every_flipped_byte_is_found() -> None:
    lines = [Record(idx, f"s{idx}", extra={"text": "ü"}).encode() for idx in range(3)]
    whole = b"".join(lines)
    with log_of(whole) as path:
        assert is_intact(path, 0, len(whole))
        for at in range(len(whole)):
            for mask in (1, 0x20, 0xFF):
                damaged = bytearray(whole)
                damaged[at] ^= mask
                path.write_bytes(damaged)
                assert not is_intact(path, 0, len(whole)), (at, mask)


@pytest.mark.parametrize("chunk_bytes", [1, 40, 1 << 19])
def test_only_whole_lines_of_the_stretch_are_intact(chunk_bytes: int) -> None:
    lines = [Record(idx, "x" * idx).encode() for idx in range(4)]
    starts = list(accumulate(map(len, lines), initial=0))
    with log_of(*lines[:2], b"damaged\n", *lines[2:]) as path, chunks_of(chunk_bytes):
        assert is_intact(path, 0, starts[2])
        assert is_intact(path, starts[2], starts[2])
        assert not is_intact(path, 0, starts[2] + len(b"damaged\n"))
        assert not is_intact(path, starts[1] + 1, starts[2])
        assert not is_intact(path, 0, starts[2] - 1)
        assert is_intact(path, starts[2] + len(b"damaged\n"), starts[4] + len(b"damaged\n"))
        assert not is_intact(path, starts[2] + len(b"damaged\n"), starts[4] + len(b"damaged\n") + 1)


@settings(max_examples=100, derandomize=True)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=12),
    st.lists(st.integers(0, 13), max_size=4),
    st.sampled_from([1, 200, 450, 1 << 19]),
)
@example([1, 1, 2, 1, 2], [0, 2], 1 << 19)  # in the middle, with records of the living around it
@example([1, 1, 2, 2, 1], [0, 2], 200)
def test_the_records_of_a_writer_that_was_taken_over_from_do_not_count(
    attempts: list[int], begins: list[int], chunk_bytes: int
) -> None:
    """The rule in a few words: from where an attempt began, nobody before it may write."""
    lines = [Record(idx, attempt=attempt, is_correct=True).encode() for idx, attempt in enumerate(attempts)]
    starts = list(accumulate(map(len, lines), initial=0))
    epochs = [Epoch(number, starts[min(at, len(lines))]) for number, at in enumerate(sorted(begins), 1)]
    allowed = [
        idx
        for idx, attempt in enumerate(attempts)
        if not any(each.attempt > attempt and each.start_bytes <= starts[idx] for each in epochs)
    ]
    fence = Fence(epochs)
    with log_of(*lines) as path, chunks_of(chunk_bytes):
        slowly, tail = one_by_one(path, fence)
        fast, _ = in_both_ways(path, fence)
    assert [idx for idx in range(len(lines)) if idx in slowly.completed] == allowed
    assert bits(fast) == bits(slowly)
    assert (tail.fenced_off, tail.end_bytes) == (len(lines) - len(allowed), starts[-1])


def test_a_sample_done_by_the_frozen_and_by_the_living_writer_is_counted_once() -> None:
    mine = [Record(idx, attempt=2, is_correct=False).encode() for idx in (0, 1)]
    zombie = Record(0, attempt=1, is_correct=True).encode()
    for order in ([zombie, *mine], [mine[0], zombie, mine[1]], [*mine, zombie]):
        with log_of(*order) as path:
            progress, _ = in_both_ways(path, Fence([Epoch(1, 0), Epoch(2, 0)]))
        assert (progress.samples_processed, progress.correct_count) == (2, 0)


def test_an_attempt_that_began_at_a_byte_owns_the_record_that_begins_there() -> None:
    line = Record(0, attempt=1).encode()
    assert Fence([Epoch(2, len(line))]).oldest_allowed(len(line) - 1) == 0
    assert Fence([Epoch(2, len(line))]).oldest_allowed(len(line)) == 2
