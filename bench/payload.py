"""What is stored: records like those of GSM8K, and long logs of short ones, written quickly."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from checkpoints import Record

RESPONSE = (
    "Natalia sold 48 / 2 = 24 clips in May, since she sold half as many as in April. "
    "In April she sold 48 clips to her friends, one each. Altogether, Natalia sold "
    "48 + 24 = 72 clips in April and May. The question asks for the total of both months. "
    "#### 72"
)
_WRITE_AT_ONCE = 4096
_IDX = 987_654_321_987  # stands where the sample's index will


def fields(idx: int) -> dict[str, Any]:
    """One sample's result, as the evaluator has it."""
    return {
        "idx": idx,
        "sample_id": f"gsm8k-test-{idx:08d}",
        "ground_truth": "72",
        "model_answer": "72",
        "is_correct": idx % 3 == 0,
        "scores": {"exact_match_strict": 1.0, "exact_match_flexible": 1.0},
        "extra": {
            "response": RESPONSE,
            "prompt_tokens": 912,
            "generated_tokens": 87,
            "truncated_tokens": 0,
            "batch": 17,
            "batch_size": 8,
        },
    }


def sample(idx: int) -> Record:
    """The same as a record, about 600 bytes long on disk."""
    return Record(**fields(idx))


def short_sample(idx: int, *, is_correct: bool) -> Record:
    """A record of about 350 bytes."""
    return Record(
        idx=idx,
        sample_id=f"test-{idx}",
        ground_truth="72",
        model_answer="72",
        is_correct=is_correct,
        scores={"exact_match": float(is_correct)},
        timestamp=1_700_000_000.0,
        attempt=1,
        extra={"response": RESPONSE[:110], "prompt_tokens": 912},
    )


def append_short_samples(path: Path, first: int, stop: int) -> None:
    """Append the sealed lines of these short samples: the bytes that `encode()` gives, ten times as fast."""
    with path.open("ab") as file:
        for start in range(first, stop, _WRITE_AT_ONCE):
            file.write(b"".join(_lines(start, min(start + _WRITE_AT_ONCE, stop))))


def _lines(first: int, stop: int) -> Iterator[bytes]:
    right, wrong = (_template(short_sample(_IDX, is_correct=each)) for each in (True, False))
    crc32 = zlib.crc32
    for idx in range(first, stop):
        body = (right if idx % 3 == 0 else wrong) % (idx, idx)
        yield b'%b,"crc":"%08x"}\n' % (body, crc32(body))


def _template(record: Record) -> bytes:
    """The line up to its checksum, with two places for the index."""
    body = record.encode().rpartition(b',"crc":"')[0]
    template = body.replace(b"%", b"%%").replace(b"%d" % _IDX, b"%d")
    if template.count(b"%d") != 2:
        raise AssertionError(f"a line with its index in two places was expected, not {body!r}")
    return template
