"""What a child's last words give away: one row per text that is worth knowing.

Only an exit code that says nothing by itself (1, mostly) is looked up here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from supervisor.failure import FailureKind


@dataclass(frozen=True)
class Pattern:
    """`hint` tells the user what to do. A pattern `only_at_start` does not count once samples were committed."""

    kind: FailureKind
    regex: re.Pattern[bytes]
    hint: str
    only_at_start: bool = True


PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        FailureKind.USAGE,
        re.compile(rb"No module named (evaluate|checkpoints)\.__main__"),
        "another package of that name shadows crashproof's: give crashproof a virtual environment of its own, or "
        "name that environment's Python by its full path",
    ),
    Pattern(
        FailureKind.USAGE,
        re.compile(rb"(?m)No module named [\w.]+$|^ModuleNotFoundError: "),
        "a module is missing in the child's Python: install it there",
    ),
    Pattern(FailureKind.USAGE, re.compile(rb"(?m)^(SyntaxError|IndentationError|TabError): "), "fix the child's code"),
    Pattern(
        FailureKind.CUDA_OOM,
        re.compile(rb"CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED"),
        "use a smaller batch",
        only_at_start=False,
    ),
    Pattern(
        FailureKind.STORAGE,
        re.compile(rb"No space left on device|Disk quota exceeded"),
        "free some space",
        only_at_start=False,
    ),
)


_LAST_WORDS_BYTES = 4096  # what a child said long before, and survived, does not explain its end


def match(tail: bytes, progressed: bool) -> tuple[Pattern, str] | None:
    """The first row that the child's last words fit, and the words that do."""
    for pattern in PATTERNS:
        found = pattern.regex.search(tail[-_LAST_WORDS_BYTES:])
        if found and not (pattern.only_at_start and progressed):
            return pattern, found.group().decode(errors="replace").strip()
    return None
