from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.fake_hub import Repo
from tests.models.support import copy_of, gsm8k_repo


@pytest.fixture
def online(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """For child processes that may ask a hub, with caches of their own; HF_ENDPOINT is still to be set."""
    caches = {"HF_HOME": str(tmp_path / "hf"), "CRASHPROOF_CACHE": str(tmp_path / "cache")}
    return {**{name: value for name, value in environment.items() if name != "HF_HUB_OFFLINE"}, **caches}


@pytest.fixture
def tiny_repo(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model as repositories look: with files beside it that no model needs."""
    folder = copy_of(tiny_model, tmp_path / "repo")
    (folder / "README.md").write_text("# tiny\n")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    return folder


@pytest.fixture
def hub_repos(tiny_repo: Path, tmp_path: Path) -> dict[str, Repo]:
    """What the hub of most tests has: the model tester/tiny, and openai/gsm8k with six rows."""
    return {"models/tester/tiny": Repo(tiny_repo), "datasets/openai/gsm8k": Repo(gsm8k_repo(tmp_path / "gsm8k"))}
