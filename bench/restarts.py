"""From the death of a child to the start of the next one, without any backoff: ours, and what people use instead.

The child is a bash script that writes down the time as its first and as its last act; what bash needs to start is in
all the figures alike.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Outcome, Target
from bench.measure import spread

ROOT = Path(__file__).resolve().parents[1]
_TARGET = Target(10.0)
_TIMEOUT_S = 300.0

CHILD = """#!/bin/bash
echo "start $EPOCHREALTIME" >> "$1/times"
[ "$(grep -c start "$1/times")" -gt "$2" ] && exit 0
echo "death $EPOCHREALTIME" >> "$1/times"
kill -SEGV $$
"""


@dataclass(frozen=True)
class Sizes:
    """How many deaths each supervisor has to deal with."""

    deaths: int


def supervise_command(child: Sequence[str], folder: Path, deaths: int) -> list[str]:
    """Ours."""
    options = ["--retry-delay", "0", "--max-retries", str(deaths), "--log-dir", str(folder / "logs")]
    return [sys.executable, "-m", "supervisor", *options, "--", *child]


def bash_command(child: Sequence[str], _folder: Path, _deaths: int) -> list[str]:
    """The loop that everybody has written."""
    return ["bash", "-c", 'until "$@"; do :; done', "bash", *child]


def torchrun_command(child: Sequence[str], _folder: Path, deaths: int) -> list[str]:
    """Torch's elastic agent; its monitor interval is left as it is."""
    options = ["--standalone", "--nproc-per-node=1", f"--max-restarts={deaths}", "--no-python"]
    return [sys.executable, "-m", "torch.distributed.run", *options, *child]


def supervisord_command(child: Sequence[str], folder: Path, deaths: int) -> list[str]:
    """Supervisord with startsecs=0, which makes it restart without end, and at once as it understands it."""
    configuration = folder / "supervisord.conf"
    # It never ends by itself: a listener of ours would be its own programme, so it is ended when the child is done.
    configuration.write_text(
        f"[supervisord]\nnodaemon=true\nlogfile={folder}/supervisord.log\npidfile={folder}/supervisord.pid\n"
        f"[program:child]\ncommand={' '.join(child)}\nstartsecs=0\nautorestart=unexpected\nexitcodes=0\n"
    )
    waits = 'until [ "$(grep -c start "$2/times" 2>/dev/null || true)" -gt "$3" ]; do sleep 0.2; done; kill $pid'
    script = f'"$1" -c "$2/supervisord.conf" & pid=$!; {waits}; wait $pid'
    return ["bash", "-c", script, "bash", str(shutil.which("supervisord")), str(folder), str(deaths)]


PEERS: Mapping[str, Callable[[Sequence[str], Path, int], list[str]]] = {
    "supervise": supervise_command,
    "bash until": bash_command,
    "torchrun --max-restarts": torchrun_command,
    "supervisord, startsecs=0": supervisord_command,
}


def measure(folder: Path, sizes: Sizes) -> Outcome:
    """Let each deal with as many deaths; a slow one with fewer."""
    found: dict[str, list[float]] = {}
    notes = []
    for name, command in PEERS.items():
        if name.startswith("supervisord") and shutil.which("supervisord") is None:
            notes.append(
                "supervisord: skipped, it is not on the PATH (pip install supervisor, in an environment of its own)"
            )
            continue
        deaths = sizes.deaths if name in {"supervise", "bash until"} else max(2, sizes.deaths // 5)
        found[name] = gaps_s(command, folder / name.split()[0], deaths)
    figures = [
        spread(
            f"{name}: death to next start", [gap * 1e3 for gap in gaps], "ms", _TARGET if name == "supervise" else None
        )
        for name, gaps in found.items()
    ]
    ours = statistics.median(found["supervise"])
    figures += [
        Figure(f"{name} / supervise", statistics.median(gaps) / ours)
        for name, gaps in found.items()
        if name != "supervise"
    ]
    broken = [f"{name} has seen {len(gaps)} restarts only" for name, gaps in found.items() if len(gaps) < 2]
    return Outcome(figures, notes=notes, broken=broken)


def gaps_s(command: Callable[[Sequence[str], Path, int], list[str]], folder: Path, deaths: int) -> list[float]:
    """The seconds from each death to the next start. Raises CalledProcessError, TimeoutExpired."""
    folder.mkdir()
    script = folder / "child"
    script.write_text(CHILD)
    script.chmod(0o755)
    words = command([str(script), str(folder), str(deaths)], folder, deaths)
    subprocess.run(
        words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_TIMEOUT_S, check=False
    )
    times = [line.split() for line in (folder / "times").read_text().splitlines()]
    died = [float(at) for what, at in times if what == "death"]
    started = [float(at) for what, at in times if what == "start"][1:]
    return [start - death for death, start in zip(died, started, strict=False)]
