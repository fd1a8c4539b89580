"""One result of an older system as a record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from checkpoints.record import Record, Status

ID_NAMES = ("idx", "question_id", "index")
_RESERVED = {*(each.name for each in fields(Record)), "crc"} - {"extra"}
_ERRORS = {Status.ERROR_GENERATION, Status.ERROR_CRASH, Status.ERROR_TIMEOUT}


class BadRow(ValueError):
    """This result says too little, or contradicts itself."""


def to_record(row: Mapping[str, Any], id_name: str, shift: int) -> Record:
    """Map one result; what has no place of its own goes to `extra`, with `imported_` before a name that is ours.

    `score` is kept in `scores`; it is correct when it is 1. Raises BadRow, and what Record raises.
    """
    idx = _integer(row, id_name)
    status = _status(row)
    verdict = _verdict(row)
    if status is Status.SUCCESS and verdict is None:
        raise BadRow(f"{id_name} {idx} has neither is_correct nor a score, and no error")
    sample_id = row.get("sample_id")
    return Record(
        idx=idx - shift,
        sample_id=str(sample_id) if sample_id is not None else "" if id_name == "idx" else str(row[id_name]),
        status=status,
        ground_truth=row.get("ground_truth"),
        model_answer=row.get("model_answer"),
        is_correct=bool(verdict) and status is Status.SUCCESS,
        scores=_scores(row) if status is Status.SUCCESS else {},  # an error is no wrong answer
        timestamp=_number(row.get("timestamp")) or 0.0,
        extra=_extra(row, id_name, status),
    )


def _integer(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name)
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadRow(f"{name} is {value!r}, not a number from 0 on" if name in row else f"there is no {name}")
    return value


def _status(row: Mapping[str, Any]) -> Status:
    said = row.get("status")
    if isinstance(said, str) and said in {status.value for status in _ERRORS}:
        return Status(said)
    failed = isinstance(said, str) and said.lower().startswith(("error", "fail", "timeout"))
    return Status.ERROR_GENERATION if failed or row.get("error") else Status.SUCCESS


def _verdict(row: Mapping[str, Any]) -> bool | None:
    said, score = row.get("is_correct"), row.get("score")
    if said is not None:
        if said not in {0, 1}:
            raise BadRow(f"is_correct is {said!r}, neither true nor false")
        return bool(said)
    number = _number(score)
    if number is not None and not 0 <= number <= 1:
        raise BadRow(f"the score {score!r} is not between 0 and 1, and there is no is_correct")
    return None if number is None else number == 1


def _scores(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that were given."""
    given = row.get("scores")
    found = {**given} if isinstance(given, Mapping) else {}
    if "score" in row:
        found["score"] = row["score"]
    return {str(name): number for name, value in found.items() if (number := _number(value)) is not None}


def _extra(row: Mapping[str, Any], id_name: str, status: Status) -> dict[str, Any]:
    used = {id_name, "sample_id", "ground_truth", "model_answer"}
    if row.get("status") == status.value:
        used.add("status")
    if status is Status.SUCCESS:
        used |= {"is_correct", *(name for name in ("score", "scores") if _all_numbers(row.get(name)))}
    if _number(row.get("timestamp")):  # a time of day without its zone says too little
        used.add("timestamp")
    rest = {name: value for name, value in row.items() if name not in used}
    return {f"imported_{name}" if name in _RESERVED else name: value for name, value in rest.items()}


def _all_numbers(value: object) -> bool:
    values = value.values() if isinstance(value, Mapping) else [value]
    return all(_number(each) is not None for each in values)


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None
