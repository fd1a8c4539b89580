"""Who may import whom, and when what is heavy comes in."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

MAY_IMPORT = {
    "supervisor": {"supervisor", "crashproof"},
    "checkpoints": {"checkpoints", "crashproof"},
    "evaluate": {"evaluate", "checkpoints", "crashproof"},
}
OURS = {*MAY_IMPORT, "crashproof"}
HEAVY = {"torch", "transformers", "datasets", "huggingface_hub", "accelerate"}
TORCH_ALLOWED = {"evaluate/models"}


def sources(package: str) -> Iterator[Path]:
    """The package's files; a folder of runs inside checkpoints/ is data."""
    for path in (ROOT / package).rglob("*.py"):
        if package != "checkpoints" or path.parent == ROOT / package:
            yield path


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            yield str(node.module).split(".")[0]


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_dependencies_between_the_packages_point_one_way(package: str) -> None:
    found = {(path.name, name) for path in sources(package) for name in imported(path) if name in OURS}
    assert found
    assert {(path, name) for path, name in found if name not in MAY_IMPORT[package]} == set()


def test_torch_is_imported_only_where_a_model_is() -> None:
    places = {
        str(path.parent.relative_to(ROOT))
        for package in MAY_IMPORT
        for path in sources(package)
        if "torch" in imported(path)
    }
    assert places == TORCH_ALLOWED


@pytest.mark.parametrize(
    "statement",
    [
        "import supervisor, supervisor.cli, supervisor.supervise",
        "import checkpoints, checkpoints.cli",
        "import evaluate, evaluate.cli, evaluate.session, evaluate.tasks",
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(loaded.stdout.split()) & HEAVY == set()


@pytest.mark.parametrize("module", ["supervisor", "checkpoints", "evaluate"])
def test_help_is_shown_without_anything_heavy(module: str) -> None:
    code = f"import runpy, sys; sys.argv = [{module!r}, '--help']; runpy.run_module({module!r}, run_name='__main__')"
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0
    assert "Usage:" in shown.stdout
    modules = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in shown.stderr.splitlines() if "|" in line}
    assert "typer" in modules
    assert modules & HEAVY == set()
