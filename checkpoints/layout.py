"""Where the files of a run lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunLayout:
    """The paths of one run: `<checkpoint-dir>/<run-name>/…`."""

    root: Path

    @classmethod
    def of(cls, checkpoint_dir: str | Path, run_name: str) -> RunLayout:
        """Raise ValueError unless `run_name` is a single, plain folder name."""
        if not run_name or run_name in {".", ".."} or "/" in run_name or "\0" in run_name:
            raise ValueError(f"a run name must be a plain folder name, not {run_name!r}")
        return cls(Path(checkpoint_dir) / run_name)

    @property
    def run(self) -> Path:
        """What the run is: its identity and fingerprint, written once."""
        return self.root / "run.json"

    @property
    def results(self) -> Path:
        """The truth: one record per line, append-only."""
        return self.root / "results.jsonl"

    @property
    def checkpoint(self) -> Path:
        """A cache of the truth that makes resuming fast; replaced atomically."""
        return self.root / "checkpoint.json"

    @property
    def lock(self) -> Path:
        """Locked for the writer's whole life. Never renamed and never unlinked."""
        return self.root / "run.lock"

    @property
    def attempts(self) -> Path:
        """What crashes left behind, kept for inspection."""
        return self.root / "attempts"

    @property
    def compressed(self) -> Path:
        """What a finished run's results become on request."""
        return self.root / "results.jsonl.gz"

    def attempt(self, number: int) -> Path:
        """Where an attempt said that it began."""
        return self.attempts / f"attempt-{number:04d}.json"
