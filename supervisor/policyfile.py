"""A policy in a file (TOML):

max_retries = 10
max_restarts_total = 200
retry_delay = "5s"
delay_cap = "5m"
same_crash_limit = 4

[retries]                       # restarts per kind without progress; "inf" is never counted
preemption = "inf"
cuda-oom = 5

[exit_codes]                    # what the codes of your command mean
42 = "transient"

[[patterns]]                    # what its last words mean
kind = "transient"
regex = "the licence server is busy"
hint = "ask for another licence"
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from supervisor.duration import seconds
from supervisor.failure import FailureKind
from supervisor.patterns import Pattern
from supervisor.policy import Policy
from supervisor.rules import Rules

_KEYS = frozenset(
    {
        "max_retries",
        "max_restarts_total",
        "retry_delay",
        "delay_cap",
        "same_crash_limit",
        "retries",
        "exit_codes",
        "patterns",
    }
)
_COUNTS = ("max_retries", "max_restarts_total", "same_crash_limit")
_DURATIONS = {"retry_delay": "retry_delay_s", "delay_cap": "delay_cap_s"}


class BadPolicy(ValueError):
    """The file is no policy; the message says where and why."""


def read_policy(path: Path) -> tuple[Policy, Rules]:
    """Read a policy file. Raises BadPolicy."""
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadPolicy(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadPolicy(f"{path} is not TOML: {error}") from None
    try:
        return _policy(value), _rules(value)
    except ValueError as error:
        raise BadPolicy(f"{path}: {error}") from None


def kind_named(text: str) -> FailureKind:
    """The kind of that name. Raises ValueError that lists them all."""
    try:
        return FailureKind(text.strip().lower())
    except ValueError:
        raise ValueError(f"there is no kind {text!r}; the kinds are {', '.join(FailureKind)}") from None


def count(value: object) -> float:
    """A number of restarts: 0 or more, or `inf`. Raises ValueError."""
    if isinstance(value, str) and value.strip().lower() in {"inf", "unlimited"}:
        return math.inf
    try:
        number = int(str(value)) if not isinstance(value, bool | float) else -1
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError(f"{value!r} is no number of restarts: write 0 or more, or inf")
    return number


def _policy(value: Mapping[str, Any]) -> Policy:
    if unknown := value.keys() - _KEYS:
        raise ValueError(f"unknown key {', '.join(sorted(unknown))}; known are {', '.join(sorted(_KEYS))}")
    found: dict[str, Any] = {}
    for name in _COUNTS:
        if name in value:
            found[name] = count(value[name])
            if found[name] == math.inf:
                raise ValueError(f"{name} must be a number")
    for name, attribute in _DURATIONS.items():
        if name in value:
            found[attribute] = seconds(str(value[name]))
    retries = {kind_named(name): count(number) for name, number in _table(value, "retries").items()}
    return replace(Policy(), kind_retries=retries, **found)


def _rules(value: Mapping[str, Any]) -> Rules:
    codes: dict[int, FailureKind] = {}
    for code, kind in _table(value, "exit_codes").items():
        if not code.isdecimal() or not 1 <= int(code) <= 255:
            raise ValueError(f"exit_codes: {code!r} is no exit code: write 1 to 255")
        codes[int(code)] = kind_named(str(kind))
    rows = value.get("patterns", [])
    if not isinstance(rows, list):
        raise ValueError("patterns: write [[patterns]]")
    return Rules(codes, tuple(_pattern(row) for row in rows))


def _pattern(row: Mapping[str, Any]) -> Pattern:
    if not isinstance(row, Mapping) or not {"kind", "regex"} <= row.keys():
        raise ValueError("patterns: each needs a kind and a regex")
    try:
        regex = re.compile(str(row["regex"]).encode(), re.MULTILINE)
    except re.error as error:
        raise ValueError(f"patterns: {row['regex']!r} is no regular expression: {error}") from None
    return Pattern(
        kind=kind_named(str(row["kind"])), regex=regex, example="", source="the policy", hint=str(row.get("hint", ""))
    )


def _table(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = value.get(name, {})
    if not isinstance(table, Mapping):
        raise ValueError(f"{name}: write [{name}]")
    return table
