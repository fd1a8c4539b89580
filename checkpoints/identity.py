"""What a run is: everything that changes a result, hashed to a fingerprint and compared before a resume."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from isal.isal_zlib import crc32

from checkpoints.errors import CorruptRun, Difference, UnsupportedFormat

FORMAT_VERSION = 1
_ABSENT = "(not set)"


@dataclass(frozen=True)
class RunIdentity:
    """run.json. `identity` must be repeated to resume; `provenance` is only for the reader."""

    run_id: str
    created: float
    identity: Mapping[str, Any]
    provenance: Mapping[str, Any]
    total_samples: int | None

    @classmethod
    def new(
        cls, identity: Mapping[str, Any], provenance: Mapping[str, Any], total_samples: int | None, now: float
    ) -> RunIdentity:
        """The identity of a run that starts now."""
        return cls(uuid.uuid4().hex, now, normal(identity), normal(provenance), total_samples)

    def encode(self) -> bytes:
        """The file's bytes, meant for people too."""
        value: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "run_id": self.run_id,
            "created": self.created,
            "fingerprint": fingerprint(self.identity),
            "total_samples": self.total_samples,
            "identity": self.identity,
            "provenance": self.provenance,
        }
        value["crc"] = _checksum(value)
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def read(cls, path: Path) -> RunIdentity:
        """Raise FileNotFoundError, CorruptRun for damage, UnsupportedFormat for a newer version's file."""
        data = path.read_bytes()
        try:
            value = orjson.loads(data)
            version = value["format"]
            if version != FORMAT_VERSION:
                raise UnsupportedFormat(path, version)
            found = cls(
                value["run_id"], value["created"], value["identity"], value["provenance"], value["total_samples"]
            )
            intact = value["fingerprint"] == fingerprint(found.identity)
            checksum = value.pop("crc", None)  # the first files of this version have none
            whole = checksum is None or checksum == _checksum(value)
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise CorruptRun(path, 1, 0, f"not a description of a run: {error}") from None
        if not intact:
            raise CorruptRun(path, 1, 0, "the fingerprint does not match the identity beside it")
        if not whole:
            raise CorruptRun(path, 1, 0, "the checksum does not match")
        return found


def normal(value: Mapping[str, Any]) -> dict[str, Any]:
    """The value as JSON gives it back: tuples become lists, keys strings. Raises TypeError."""
    result: dict[str, Any] = orjson.loads(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
    return result


def _checksum(value: Mapping[str, Any]) -> str:
    return f"{crc32(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)):08x}"


def fingerprint(identity: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).hexdigest()


def differences(stored: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> Iterator[Difference]:
    """Name every field that differs, nested ones with dots."""
    for name in sorted({*stored, *given}):
        old, new = stored.get(name, _ABSENT), given.get(name, _ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield Difference(f"{prefix}{name}", old, new)
