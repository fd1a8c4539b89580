"""Where a process died, in a form that is equal for two deaths of the same cause. Pure."""

from __future__ import annotations

import re
from pathlib import PurePath

_FRAMES = 3
_TRACEBACK = b"Traceback (most recent call last):"
_FAULT = re.compile(rb"(?m)^(Current thread|Thread) 0x[0-9a-f]+[^\n]*\(most recent call first\):\n((?:  [^\n]*\n?)*)")
_FAULT_FRAME = re.compile(rb'^  File "([^"\n]+)", line (\d+) in (\S+)', re.MULTILINE)
_FRAME = re.compile(rb'^ +(?:\| *)?File "([^"\n]+)", line (\d+), in (\S+)', re.MULTILINE)
_ERROR = re.compile(
    rb"^(?:\| *)?([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Fault|Warning|OOM)\w*)(?::|$)", re.MULTILINE
)


def faulthandler_text(tail: bytes) -> bytes:
    """The stacks that Python's faulthandler printed last; empty when it did not."""
    at = tail.rfind(b"Fatal Python error: ")
    if at < 0:
        found = _FAULT.search(tail)
        at = found.start() if found else -1
    return tail[at:] if at >= 0 else b""


def frames(tail: bytes) -> tuple[str, ...]:
    """The innermost frames of the last words, `file:line function`, at most three: of faulthandler or a traceback."""
    for thread, block in _FAULT.findall(faulthandler_text(tail)):
        if thread == b"Current thread":
            return tuple(_name(*frame) for frame in _FAULT_FRAME.findall(block)[:_FRAMES])
    start = tail.rfind(_TRACEBACK)
    if start < 0:
        return ()
    return tuple(_name(*frame) for frame in reversed(_FRAME.findall(tail[start:])[-_FRAMES:]))


def error_type(tail: bytes) -> str:
    """`ValueError` for what a traceback ends with; empty without one."""
    start = tail.rfind(_TRACEBACK)
    found = _ERROR.findall(tail[start:]) if start >= 0 else []
    return str(found[0].decode(errors="replace")) if found else ""


def fingerprint(kind: str, status: str, tail: bytes, in_flight: str) -> str:
    """The kind, the end, the innermost frames and the samples in flight; empty when no frame is known.

    >>> fingerprint("segfault", "SIGSEGV", b"", "7")
    ''
    """
    where = frames(tail)
    if not where:
        return ""
    parts = [kind, status, error_type(tail), " < ".join(where), f"samples {in_flight}" if in_flight else ""]
    return " | ".join(part for part in parts if part)


def _name(file: bytes, line: bytes, function: bytes) -> str:
    return f"{PurePath(file.decode(errors='replace')).name}:{line.decode()} {function.decode(errors='replace')}"
