"""How much a power failure may cost, and what that costs per record."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Durability:
    """When the log is synced (fdatasync). The death of the process loses nothing in any mode.

    `sync_records`: after so many records; None leaves it to the interval. `sync_interval_s`: so many seconds after
    the first record that is not synced yet, also when no further record comes. Raises ValueError.
    """

    name: str
    sync_records: int | None
    sync_interval_s: float

    def __post_init__(self) -> None:
        if self.sync_records is not None and self.sync_records < 1:
            raise ValueError(f"records between two syncs must be at least 1, not {self.sync_records}")
        if not (math.isfinite(self.sync_interval_s) and self.sync_interval_s > 0):
            raise ValueError(f"seconds between two syncs must be a positive number, not {self.sync_interval_s}")

    @classmethod
    def process(cls) -> Durability:
        """Write each record to the kernel, sync every 30 s: a power failure costs what the kernel had not flushed."""
        return cls("process", None, 30.0)

    @classmethod
    def group(cls, records: int = 64, interval_s: float = 1.0) -> Durability:
        """Sync a group of records at once: a power failure costs at most one group, which is evaluated again."""
        return cls("group", records, interval_s)

    @classmethod
    def strict(cls) -> Durability:
        """Sync each record before it counts: a power failure costs nothing that was acknowledged."""
        return cls("strict", 1, 1.0)
