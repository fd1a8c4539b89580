"""What makes two runs the same: everything that changes a result, and nothing else."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from evaluate.config import EvaluateConfig
from evaluate.models.device import Placement
from evaluate.models.files import ModelFiles
from evaluate.runner import Job
from evaluate.sample import Sample

_VERSIONS = ("crashproof", "torch", "transformers", "tokenizers", "datasets")


def identity(job: Job, config: EvaluateConfig, files: ModelFiles, placement: Placement) -> dict[str, Any]:
    """Compared before a resume, field by field. Names and paths are not in it: contents are."""
    return {
        "task": {"name": job.task.name, "version": job.task.version},
        "data": {
            "samples_sha256": _sha256(job.dataset.samples),
            "fewshot_sha256": _sha256(job.dataset.fewshot_pool) if job.num_fewshot else None,
        },
        "model": {
            "sha256": files.sha256,
            "dtype": placement.dtype,
            "device": placement.device.split(":", maxsplit=1)[0],
        },
        "settings": {
            "num_fewshot": job.num_fewshot,
            "batch_size": config.batch_size,
            "max_new_tokens": job.settings.max_new_tokens,
            "stops": list(job.settings.stops),
            "apply_chat_template": config.apply_chat_template,
            "seed": job.seed,
        },
    }


def provenance(job: Job, config: EvaluateConfig, files: ModelFiles, placement: Placement) -> dict[str, Any]:
    """For the reader of run.json: where things came from. Not compared."""
    return {
        "model": files.label,
        "model_source": files.source,
        "data_source": job.dataset.source,
        "fewshot_source": job.dataset.fewshot_source,
        "limit": config.limit,
        "hardware": f"{placement.device}, {placement.hardware}",
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _VERSIONS},
        "command": sys.argv,
    }


def _sha256(samples: Iterable[Sample]) -> str:
    return hashlib.sha256("\n".join(sample.sample_id for sample in samples).encode()).hexdigest()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
