"""One record, one line."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints import Record, Status
from checkpoints.encoding import BadLine, seal, unseal
from tests.checkpoints.test_encoding import json_values

FIELDS = (
    "idx", "sample_id", "status", "ground_truth", "model_answer", "is_correct", "scores", "timestamp", "attempt",
)  # fmt: skip
numbers = st.floats(allow_nan=False, allow_infinity=False)
records = st.builds(
    Record,
    idx=st.integers(0, 2**70),
    sample_id=st.text(st.characters(codec=None)),
    status=st.sampled_from(Status),
    ground_truth=json_values,
    model_answer=json_values,
    is_correct=st.booleans(),
    scores=st.dictionaries(st.text(max_size=6), numbers, max_size=3),
    timestamp=numbers,
    attempt=st.integers(0, 1000),
    extra=st.dictionaries(st.text(max_size=6).filter(lambda name: name not in {*FIELDS, "crc"}), json_values),
)


@given(records)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert Record.decode(record.encode()) == record


def test_keys_that_this_version_does_not_know_come_back_as_extra() -> None:
    record = Record(3, "s3", extra={"reasoning": "2 + 2", "tokens": [1, 2], "device": {"gpu": 0}})
    line = record.encode()
    assert Record.decode(line).extra == {"reasoning": "2 + 2", "tokens": [1, 2], "device": {"gpu": 0}}
    assert Record.decode(line).encode() == line


@pytest.mark.parametrize("name", [*FIELDS, "crc"])
def test_extra_may_not_hold_a_reserved_name(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Record(0, extra={"fine": 1, name: 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1.0", None, 10**400])
def test_a_score_must_be_a_number_that_can_be_summed(value: Any) -> None:
    """One NaN would turn to null on disk, and no later attempt could add it up."""
    with pytest.raises(ValueError, match="match must be"):
        Record(0, scores={"match": value})


@pytest.mark.parametrize("value", [math.nan, math.inf, "today"])
def test_a_timestamp_must_be_a_number(value: Any) -> None:
    with pytest.raises(ValueError, match="timestamp"):
        Record(0, timestamp=value)


@pytest.mark.parametrize("value", [1.5, "1", None])
def test_an_index_must_be_an_integer(value: Any) -> None:
    with pytest.raises(TypeError, match="idx"):
        Record(value)


def test_a_status_may_be_given_by_its_name_but_must_exist() -> None:
    by_name: Any = "error_timeout"
    unknown: Any = "tired"
    assert Record(0, status=by_name).status is Status.ERROR_TIMEOUT
    with pytest.raises(ValueError, match="tired"):
        Record(0, status=unknown)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "tired"},
        {"status": None},
        {"idx": "0"},
        {"timestamp": None},
        {"scores": {"x": None}},
        {"attempt": 1.5},
    ],
)
def test_a_line_with_a_valid_checksum_but_wrong_values_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadLine, match="not a record"):
        Record.decode(seal({**unseal(Record(0).encode()), **changes}))


@pytest.mark.parametrize("missing", ["idx", "status"])
def test_a_line_that_lacks_what_every_record_has_is_refused(missing: str) -> None:
    values = unseal(Record(0, "s").encode())
    del values[missing]
    with pytest.raises(BadLine, match="not a record"):
        Record.decode(seal(values))


def test_every_flipped_bit_of_a_record_is_refused() -> None:
    line = Record(12, "gsm8k/12", ground_truth=42, model_answer=41, scores={"f1": 0.5}, extra={"why": "é"}).encode()
    for position in range(len(line) * 8):
        damaged = bytearray(line)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(BadLine):
            Record.decode(bytes(damaged))


def test_a_record_cut_at_any_byte_is_refused() -> None:
    line = Record(12, "gsm8k/12", extra={"a": {"b": '"}'}}).encode()
    for end in range(len(line)):
        with pytest.raises(BadLine):
            Record.decode(line[:end])
