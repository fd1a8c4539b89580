"""The files of a model, wherever they came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson

from evaluate.errors import ConfigurationError
from evaluate.models.digest import Digests

PATTERNS = ("*.json", "*.safetensors", "*.jinja", "*.model", "tokenizer*", "vocab*", "merges*")
# Nothing in subfolders, which hold the same weights for other runtimes; nor those of Mistral's and Meta's own code.
IGNORED = ("*/*", "consolidated*")
_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"


@dataclass(frozen=True)
class ModelFiles:
    """A complete model on disk. `label` is what the user called it, `source` where it was found."""

    folder: Path
    label: str
    source: str
    sha256: str


def describe(folder: Path, label: str, source: str, digests: Digests) -> ModelFiles:
    """Identify the model in a folder by the content of its files. Raises ConfigurationError."""
    problem = missing(folder)
    if problem:
        raise ConfigurationError(f"the model in {folder} cannot be used: {problem}")
    names = {path.name for pattern in PATTERNS for path in folder.glob(pattern) if path.is_file()}
    try:
        sha256 = digests.of_files(folder, names)
    except OSError as error:
        raise ConfigurationError(f"cannot read the model in {folder}: {error}") from None
    digests.remember()
    return ModelFiles(folder, label, source, sha256)


def missing(folder: Path) -> str | None:
    """What a folder lacks to be a model that can be loaded without unpickling anything, or None."""
    if not (folder / "config.json").is_file():
        return "there is no config.json"
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")):
        return "there is no tokenizer"
    if (folder / _SINGLE).is_file():
        return None
    try:
        shards = set(orjson.loads((folder / _INDEX).read_bytes())["weight_map"].values())
    except FileNotFoundError:
        return "there are no safetensors weights, and pickled ones are not loaded: convert them first"
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        shards = set()
    if not shards or not all(isinstance(name, str) for name in shards):
        return f"{_INDEX} is damaged"
    absent = sorted(name for name in shards if not (folder / name).is_file())
    return f"{len(absent)} of {len(shards)} weight files are absent, {absent[0]} first" if absent else None
