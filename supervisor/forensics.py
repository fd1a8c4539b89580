"""The folder of an attempt: what is kept for the one who asks later why it died.

logs/<name>/attempt-0003/
    output.log           the child's raw output (and output.1.log … when it was long)
    environment.json     the child's environment, secrets masked
    error.json           what the child declared, if it did
    last-words.txt       the end of its output since its last committed sample
    faulthandler.txt     the stacks that Python printed as it died
    stacks.txt           py-spy's, of a child that hung
    backtrace.txt        gdb's, where the kernel left a core file
    gpus.txt             nvidia-smi's, after a death on a machine that has it
    evidence.json        the verdict and everything that it rests on
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor.fingerprint import faulthandler_text
from supervisor.helpers import Helpers
from supervisor.journal import LogUnwritable

MASK = "***"
_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|COOKIE|AUTH|PRIVATE|(^|_)(API_?)?KEY(_|$)|APIKEY|_PAT$", re.IGNORECASE
)
_SECRET_IN_URL = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
_STACKS_TIMEOUT_S, _GPU_TIMEOUT_S, _BACKTRACE_TIMEOUT_S = 5.0, 10.0, 60.0


def masked(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without its secrets: what is named like one, and passwords in addresses.

    >>> masked({"HF_TOKEN": "hf_abc", "PROXY": "http://me:pw@host:8080", "LANG": "C"})
    {'HF_TOKEN': '***', 'LANG': 'C', 'PROXY': 'http://me:***@host:8080'}
    """
    return {
        name: MASK if value and _SECRET_NAME.search(name) else _SECRET_IN_URL.sub(rf"\1{MASK}@", value)
        for name, value in sorted(environment.items())
    }


class AttemptFolder:
    """Writes the files of one attempt. Once it is there, a disk that is full costs its files, and nothing else."""

    def __init__(self, path: Path, helpers: Helpers) -> None:
        """Raise LogUnwritable."""
        self.path, self._helpers = path, helpers
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LogUnwritable(path, error) from error

    @property
    def error_file(self) -> Path:
        """Where the child may declare why it dies."""
        return self.path.absolute() / "error.json"

    def keep_environment(self, environment: Mapping[str, str]) -> None:
        """Write down what the child is started with."""
        self._json("environment.json", masked(environment))

    def keep_stacks(self, pid: int) -> None:
        """Have py-spy write down where a living Python process is, if there is a py-spy."""
        # Beside our own Python too: an environment need not be activated.
        if spy := shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent)):
            command = [spy, "dump", "--nonblocking", "--pid", str(pid)]
            self._helpers.start(command, self.path / "stacks.txt", _STACKS_TIMEOUT_S)

    def keep_death(self, tail: bytes, core: Path | None, executable: str) -> None:
        """Write down the last words, and have others look at the core file and at the GPUs."""
        self._bytes("last-words.txt", tail)
        if stacks := faulthandler_text(tail):
            self._bytes("faulthandler.txt", stacks)
        if smi := shutil.which("nvidia-smi"):
            self._helpers.start([smi], self.path / "gpus.txt", _GPU_TIMEOUT_S)
        if core is not None and (gdb := shutil.which("gdb")):
            command = [gdb, "-batch", "-nx", "-ex", "thread apply all backtrace", executable, str(core)]
            self._helpers.start(command, self.path / "backtrace.txt", _BACKTRACE_TIMEOUT_S)

    def keep_evidence(self, facts: Mapping[str, Any]) -> None:
        """Write down the verdict."""
        self._json("evidence.json", facts)

    def _json(self, name: str, value: Mapping[str, Any]) -> None:
        self._bytes(name, json.dumps(value, indent=2, default=str).encode(errors="replace") + b"\n")

    def _bytes(self, name: str, data: bytes) -> None:
        with suppress(OSError):
            (self.path / name).write_bytes(data)


def core_file(pid: int, folder: Path, proc: Path = Path("/proc")) -> Path | None:
    """Where the kernel has put the core of a process that died in a folder; None where it is with a crash handler."""
    try:
        pattern = (proc / "sys/kernel/core_pattern").read_text().strip()
        with_pid = (proc / "sys/kernel/core_uses_pid").read_text().strip() != "0"
    except OSError:
        return None
    if not pattern or pattern.startswith("|"):
        return None
    named = re.sub(r"%[^p]", "*", pattern.replace("%%", "?")).replace("%p", str(pid))
    if with_pid and "%p" not in pattern:
        named += f".{pid}"
    place = folder if not named.startswith("/") else Path("/")
    found = sorted(place.glob(named.lstrip("/")), key=os.path.getmtime)
    return found[-1].absolute() if found else None
