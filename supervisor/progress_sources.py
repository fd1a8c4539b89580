"""Progress of children that do not speak sd_notify: from files that grow, or from what they print."""

from __future__ import annotations

import glob
import re
from contextlib import suppress
from pathlib import Path

from supervisor.notify import Report

_LINE_BYTES = 1 << 16


class GrowingFiles:
    """Files that match a pattern. More bytes than ever before are progress; a file written anew is not."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._most_bytes = self._bytes()

    def grew(self) -> bool:
        """Whether there is more than at any time before."""
        now = self._bytes()
        grew = now > self._most_bytes
        self._most_bytes = max(now, self._most_bytes)
        return grew

    def _bytes(self) -> int:
        total = 0
        for path in glob.iglob(self._pattern, recursive=True):  # noqa: PTH207 - Path.glob() knows no absolute pattern
            with suppress(OSError):
                total += Path(path).stat().st_size
        return total


class PrintedNumbers:
    """A regular expression whose first group is the number of samples done, and the second, if any, of how many.

    `Processed (\\d+)/(\\d+)`. It is searched for in each line, a carriage return ending one as well.
    """

    def __init__(self, pattern: str) -> None:
        """Raise ValueError for a pattern that cannot be used."""
        try:
            self._regex = re.compile(pattern.encode())
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        if not 1 <= self._regex.groups <= 2:
            raise ValueError(f"{pattern!r} needs one group for the samples done, and may have a second for their total")
        self._rest = b""

    def feed(self, data: bytes) -> Report | None:
        """What the last line that fits says."""
        *lines, self._rest = re.split(rb"[\r\n]", self._rest + data)
        self._rest = self._rest[-_LINE_BYTES:]
        for line in reversed(lines):
            if found := self._regex.search(line):
                with suppress(ValueError):
                    numbers = [int(group) for group in found.groups() if group is not None]
                    return Report(done=numbers[0], total=numbers[1] if len(numbers) > 1 else None)
        return None
