"""Our own cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """`$CRASHPROOF_CACHE`, or `crashproof` in the user's cache folder ($XDG_CACHE_HOME, ~/.cache)."""
    own = os.environ.get("CRASHPROOF_CACHE")
    if own:
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "crashproof"
