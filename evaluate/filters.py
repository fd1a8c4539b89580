"""Answers out of text: lm-eval's two filters for GSM8K, bit for bit, and a numeric one.

Source of the first two: lm-evaluation-harness, lm_eval/tasks/gsm8k/gsm8k.yaml, version 3.0.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

INVALID = "[invalid]"

_STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
_FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_IGNORED = tuple(re.compile(pattern) for pattern in (r",", r"\$", r"(?s).*#### ", r"\.$"))
_NUMBER = re.compile(r"(?<![\d.])-?\$?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")


def strict_match(text: str) -> str:
    """The number after the first `#### `."""
    found = _STRICT.search(text)
    return found[1].strip() if found else INVALID


def flexible_extract(text: str) -> str:
    """The last thing that looks like a number. A trailing `...` looks like one too: theirs does the same."""
    found = _FLEXIBLE.findall(text)
    if not found:
        return INVALID
    return next((group for group in found[-1] if group), INVALID).strip()


def exact_match(answer: str, reference: str) -> bool:
    """Equal once commas, dollar signs, everything up to `#### ` and a final full stop are gone from both sides."""
    return _normalised(answer) == _normalised(reference)


def _normalised(text: str) -> str:
    for pattern in _IGNORED:
        text = pattern.sub("", text)
    return text.lower()


def numeric(text: str) -> Decimal | None:
    """The number after the first `#### `, or else the last number in the text.

    >>> numeric("She pays $18.00.") == numeric("#### 18")
    True
    """
    marked = _STRICT.search(text)
    found = (_NUMBER.findall(marked[1]) if marked else []) or _NUMBER.findall(text)
    try:
        return Decimal(found[-1].replace(",", "").replace("$", "")) if found else None
    except InvalidOperation:
        return None


def json_number(value: Decimal | None) -> int | float | str | None:
    """The number as JSON can hold it: exact, or as text where a float would round it."""
    if value is None:
        return None
    if value == value.to_integral_value() and abs(value) < 2**53:
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else str(value)
