"""Sealed lines: what goes in comes out, and nothing damaged passes."""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.encoding import BadLine, load, seal, unseal

LINE = seal({"idx": 7, "text": "naïve\n", "nested": {"a": [1, 2.5, None, True]}})

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(codec=None), max_size=8), json_values, min_size=1))
def test_any_json_object_comes_back_as_it_was(value: dict[str, Any]) -> None:
    assert unseal(seal(value)) == value


@given(st.dictionaries(st.text(max_size=8), json_values, min_size=1))
def test_a_sealed_value_is_one_line_of_plain_json(value: dict[str, Any]) -> None:
    line = seal(value)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert {**json.loads(line), "crc": value.get("crc")} == {**value, "crc": value.get("crc")}


@pytest.mark.parametrize(
    "value",
    [10**19, 2**63 - 1, -(2**63), 2**64 - 1, 2**64, 10**25, -(10**25), 10**400, [{"a": 12345678901234567890123}]],
)
def test_integers_of_any_size_come_back_exactly(value: object) -> None:
    """orjson reads those beyond 64 bits as floats."""
    assert repr(unseal(seal({"n": value}))["n"]) == repr(value)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\U0001f600", "\x00", "\u2028"])
def test_lone_surrogates_and_odd_characters_come_back(text: str) -> None:
    assert unseal(seal({"t": text})) == {"t": text}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("beside", ["x", "\ud800", 10**30], ids=["orjson", "surrogate", "huge"])
def test_nan_and_infinity_become_null_whichever_encoder_is_used(number: float, beside: object) -> None:
    line = seal({"n": number, "deep": [{"n": number}], "beside": beside})
    assert unseal(line) == {"n": None, "deep": [{"n": None}], "beside": beside}
    assert b"NaN" not in line
    assert b"Infinity" not in line


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j])
def test_what_json_cannot_hold_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        seal({"v": value})


def test_every_flipped_bit_is_refused() -> None:
    for position in range(len(LINE) * 8):
        damaged = bytearray(LINE)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(BadLine):
            unseal(bytes(damaged))


def test_truncation_at_every_byte_is_refused() -> None:
    for end in range(len(LINE)):
        with pytest.raises(BadLine):
            unseal(LINE[:end])


@pytest.mark.parametrize("start", range(0, len(LINE), 3))
@pytest.mark.parametrize("fill", [b"\x00", b" ", b"stale"])
def test_a_tail_that_was_never_written_is_refused(start: int, fill: bytes) -> None:
    """A file system may lengthen a file before it writes its blocks: zeros, or what the blocks held before."""
    width = len(LINE) - start
    with pytest.raises(BadLine):
        unseal(LINE[:start] + (fill * width)[:width])


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"{}\n", b'{"a":1}\n', LINE + LINE, LINE[:-1] + b" \n", b" " + LINE, LINE.replace(b'"crc"', b'"CRC"')],
)
def test_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(BadLine):
        unseal(line)


def test_a_checksum_over_something_other_than_an_object_does_not_help() -> None:
    for body in (b"[1", b"nonsense", b"{1", b'{"a":'):
        with pytest.raises(BadLine):
            unseal(b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body)))


@given(st.integers(min_value=-(10**40), max_value=10**40), st.text("0123456789", min_size=15, max_size=30))
def test_long_digits_do_not_confuse_the_decoder(number: int, digits: str) -> None:
    assert load(b'{"n":%d,"t":"%b","f":1.5}' % (number, digits.encode())) == {"n": number, "t": digits, "f": 1.5}
