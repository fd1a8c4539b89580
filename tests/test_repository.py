"""The house itself: what is promised about its files."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

README = ROOT / "README.md"
needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")


def test_ci_runs_the_test_command_of_the_readme_word_for_word() -> None:
    commands = [line for line in README.read_text().splitlines() if line.endswith("python -m pytest")]
    assert len(commands) == 1
    assert commands[0] in (ROOT / ".ci" / "run").read_text().splitlines()


@needs_git
def test_a_run_made_inside_the_repository_is_not_committed_nor_packaged() -> None:
    for path in ("checkpoints/gsm-mini-seed42/results.jsonl", "checkpoints/manager/run.json", "logs/x/events.jsonl"):
        assert subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False).returncode == 0, path
    ignored = subprocess.run(["git", "check-ignore", "-q", "checkpoints/manager.py"], cwd=ROOT, check=False)
    assert ignored.returncode == 1


@needs_git
def test_the_package_checkpoints_is_flat_since_every_folder_in_it_is_a_run() -> None:
    listed = subprocess.run(["git", "ls-files", "checkpoints"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert listed.stdout
    assert {str(Path(name).parent) for name in listed.stdout.split()} == {"checkpoints"}


@pytest.mark.parametrize("package", ["supervisor", "checkpoints", "evaluate"])
def test_every_package_is_marked_as_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_every_dependency_is_pinned() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    wanted = set(re.findall(r'"([a-z0-9-]+)>=', project)) - {"hatchling"}
    assert "torch" in wanted
    assert wanted <= pinned


def test_relative_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README.read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
