"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path


def describe_machine(folder: Path) -> dict[str, str | int]:
    """Processor, cores, memory, kernel, the file system that the folder lies on, Python, and the date."""
    return {
        "cpu": _first(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo")) or platform.processor() or "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(_first(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo")) or 0) // 1024,
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": file_system(folder),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "date": datetime.now(UTC).date().isoformat(),
    }


def file_system(folder: Path) -> str:
    """The type of the file system that holds the folder, as the kernel calls it."""
    resolved, best, found = folder.resolve(), -1, "unknown"
    try:
        mounts = Path("/proc/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return found
    for line in mounts:
        point, kind = line.split()[1:3]
        # Of two mounts at one point, the later one hides the earlier.
        if resolved.is_relative_to(point) and len(Path(point).parts) >= best:
            best, found = len(Path(point).parts), kind
    return found


def _first(pattern: str, path: Path) -> str | None:
    try:
        match = re.search(pattern, path.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        return None
    return match[1].strip() if match else None
