"""JSON lines that carry their own checksum.

The CRC-32 covers every byte before the `,"crc"` that ends the object, so a torn, zeroed or stale line
does not pass, and the line stays plain JSON for every other reader.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from isal.isal_zlib import crc32

_CRC_HEX_DIGITS = 8
_CRC_PREFIX = b',"crc":"'
_ALL_DIGITS_TO_0 = bytes.maketrans(b"123456789", b"0" * 9)
_DIGITS_OF_A_HUGE_INT = b"0" * 20  # 64 bits hold every integer of 19 digits; orjson reads longer ones as floats
_CRC_SUFFIX_BYTES = len(_CRC_PREFIX) + _CRC_HEX_DIGITS + len(b'"}')


class BadLine(ValueError):
    """These bytes are not a line that this module sealed."""


def dump(value: Mapping[str, Any]) -> bytes:
    """Encode compactly; what orjson refuses (lone surrogates, huge integers) goes through the standard library.

    NaN and the infinities, which JSON does not have, become null either way.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        plain = json.loads(json.dumps(value), parse_constant=lambda _: None)
        return json.dumps(plain, separators=(",", ":")).encode("ascii")


def load(data: bytes) -> Any:
    """Decode, integers of any size exactly; raises ValueError."""
    if _DIGITS_OF_A_HUGE_INT in data.translate(_ALL_DIGITS_TO_0):
        return json.loads(data)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)


def seal(value: Mapping[str, Any]) -> bytes:
    """Encode a non-empty object as one line, checksum last, newline included."""
    try:
        body = orjson.dumps(value)[:-1]
    except TypeError:
        body = dump(value)[:-1]
    return b'%b,"crc":"%08x"}\n' % (body, crc32(body))


def intact(lines: Sequence[bytes]) -> bool:
    """Whether every one of these lines (without their newlines) carries the checksum of its bytes.

    All at once, since a whole log is checked this way: a fraction of a microsecond a line.
    """
    checksums = tuple([crc32(line[:-_CRC_SUFFIX_BYTES]) for line in lines])
    suffixes = b"".join([line[-_CRC_SUFFIX_BYTES:] for line in lines])
    return suffixes == (b',"crc":"%08x"}' * len(lines)) % checksums


def unseal(line: bytes) -> dict[str, Any]:
    """Decode one sealed line (with its newline), checksum verified and removed. Raises BadLine."""
    if not line.endswith(b'"}\n'):
        raise BadLine("the line is not terminated")
    body, suffix = line[: -_CRC_SUFFIX_BYTES - 1], line[-_CRC_SUFFIX_BYTES - 1 : -1]
    if not suffix.startswith(_CRC_PREFIX) or suffix[len(_CRC_PREFIX) : -2] != b"%08x" % crc32(body):
        raise BadLine("the checksum does not match")
    try:
        value = load(body + b"}")
    except ValueError as error:
        raise BadLine(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadLine("not an object")
    return value
