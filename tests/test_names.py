"""Other packages are called `evaluate` and `supervisor` too: whoever shadows ours is named, with the remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT


def run_python(
    *arguments: str, path: list[Path], environment: Mapping[str, str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**environment, "PYTHONPATH": os.pathsep.join(map(str, path))},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def somebody_elses(folder: Path, name: str) -> Path:
    """A package of the same name, installed as a distribution, as pip would leave it."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text("theirs = True\n")
    info = folder / f"{name}-4.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 4.2\n")
    (info / "RECORD").write_text(f"{name}/__init__.py,,\n{name}-4.2.dist-info/METADATA,,\n")
    return folder


@pytest.mark.parametrize(("command", "name"), [("supervise", "supervisor"), ("evaluate", "evaluate")])
def test_a_package_found_before_ours_is_named_with_the_remedy(
    command: str, name: str, environment: Mapping[str, str], tmp_path: Path
) -> None:
    theirs = somebody_elses(tmp_path / "site", name)
    code = f"import crashproof; crashproof.{command}()"
    ended = run_python("-c", code, path=[theirs, ROOT], environment=environment, cwd=tmp_path)
    assert ended.returncode == 78
    assert str(theirs / name / "__init__.py") in ended.stderr
    assert "virtual environment of its own" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_package_installed_over_our_files_is_named(environment: Mapping[str, str], tmp_path: Path) -> None:
    site = tmp_path / "site"
    for name in ("supervisor", "checkpoints"):
        shutil.copytree(ROOT / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "evaluate", site / "ours")
    shutil.copy(ROOT / "crashproof.py", site)
    somebody_elses(site, "evaluate")
    shutil.copytree(site / "ours", site / "evaluate", dirs_exist_ok=True)
    ended = run_python("-m", "evaluate", "--help", path=[site], environment=environment, cwd=tmp_path)
    assert ended.returncode == 78
    assert "the package evaluate 4.2 is installed over the same files" in ended.stderr


def test_a_users_own_checkpoints_module_is_named(environment: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "checkpoints.py").write_text("")
    ended = run_python("-m", "evaluate", "-t", "gsm-mini", path=[ROOT], environment=environment, cwd=tmp_path)
    assert ended.returncode == 78
    assert str(tmp_path / "checkpoints.py") in ended.stderr


def test_a_folder_of_runs_called_checkpoints_shadows_nothing(environment: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "some-run").mkdir(parents=True)
    ended = run_python("-m", "checkpoints", "status", path=[ROOT], environment=environment, cwd=tmp_path)
    assert ended.stderr == "checkpoints: there are no runs in checkpoints\n"


def test_the_supervisor_explains_a_child_that_found_somebody_elses_evaluate(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    theirs = somebody_elses(tmp_path / "site", "evaluate")
    ended = run_python(
        "-m", "supervisor", "--", sys.executable, "-m", "evaluate", "--task", "gsm8k",
        path=[theirs, ROOT], environment=environment, cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 78
    assert "No module named evaluate.__main__" in ended.stderr
    assert "another package of that name shadows crashproof's" in ended.stderr
    assert "attempt 2" not in ended.stderr
