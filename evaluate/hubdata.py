"""Datasets from the hub, or from its cache."""

from __future__ import annotations

from typing import Any

from evaluate import hub
from evaluate.errors import ConfigurationError, FetchFailed, HubUnreachable


def load_split(repository: str, configuration: str, split: str) -> list[dict[str, Any]]:
    """All rows of a split. Raises HubUnreachable, within 15 s, if it is not to be had at all, or FetchFailed."""
    problem = hub.problem()
    if problem is not None:
        hub.work_offline()
    import datasets
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.errors import HTTPError  # of whichever HTTP library it uses; not an OSError

    datasets.disable_progress_bars()
    try:
        return list(datasets.load_dataset(repository, configuration, split=split))
    except (OSError, ValueError, HTTPError, DatasetsError) as error:
        if problem is not None:
            remedy = (
                "Give the data as a file with --data FILE.jsonl. If it is cached elsewhere, set HF_HOME; with "
                "HF_HUB_OFFLINE=1 only the cache is asked, at once"
            )
            raise HubUnreachable(f"the dataset {repository}", problem, remedy) from error
        absent = isinstance(error, DatasetNotFoundError)
        raise (ConfigurationError if absent else FetchFailed)(
            f"cannot load {split} of {repository} from {hub.endpoint()}: {hub.in_short(error)}. "
            "Run the same command again, or give the data as a file with --data FILE.jsonl"
        ) from error
