"""The examples in the docstrings do what they show."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import checkpoints

MODULES = ["checkpoints", *(f"checkpoints.{each.name}" for each in pkgutil.iter_modules(checkpoints.__path__))]
WITH_EXAMPLES = {"checkpoints", "checkpoints.manager"}


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert failed == 0
    assert attempted > 0 or name not in WITH_EXAMPLES
