"""A run in the two files that lm-eval 0.4.13 writes, for the tools that read those.

`results_<time>.json` and `samples_<task>_<time>.jsonl`, in a folder named after the model. The time is that of the
run's last record, so the same run always gives the same names.

Taken over: a score named like a filter of the record (`strict-match`) is lm-eval's `exact_match` under that filter;
any other score is a metric of its own under the filter `none`; a run without scores has `acc`, from `is_correct`.
Standard errors are lm-eval's: the sample standard deviation over the root of the count. `target` is the ground truth
that was compared, as text, and `target_hash` its SHA-256. The seed is that of the few-shot examples.

A sample that errored keeps its line, with no responses and no metrics, and counts neither as right nor as wrong:
`n-samples.effective` and `sample_len` are the scored samples.

Not known to the store, so null: `doc`, `arguments`, `doc_hash`, `prompt_hash` (unless records carry `doc` or
`prompt`), `model_source`, `chat_template`, `system_instruction` and their hashes, `git_hash`, `model_args`,
`gen_kwargs`, `higher_is_better` of metrics other than `exact_match` and `acc`. Left out: `pretty_env_info`,
`lm_eval_version`, the tokenizer's data, and whatever setting the run's identity does not hold.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from checkpoints.checkpoint import Checkpoint
from checkpoints.encoding import dump
from checkpoints.export import Source, place, refuse_inside_a_run, refuse_unless_free
from checkpoints.identity import RunIdentity
from checkpoints.record import Record, Status

NO_FILTER = "none"
_HIGHER_IS_BETTER = {"exact_match": True, "acc": True}


@dataclass
class Mean:
    """Running mean and squared deviations (Welford's)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.count += 1
        delta = value - self.mean
        self.mean += delta / self.count
        self.squares += delta * (value - self.mean)

    @property
    def standard_error(self) -> float | str:
        """lm-eval writes "N/A" for what one value cannot tell."""
        return math.sqrt(self.squares / (self.count - 1) / self.count) if self.count > 1 else "N/A"


@dataclass
class Totals:
    """What the first pass finds: the means by filter and metric."""

    scored: int = 0
    means: dict[str, dict[str, Mean]] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Count one record."""
        if record.status is not Status.SUCCESS:
            return
        self.scored += 1
        for name, metrics in metrics_of(record).items():
            for metric, value in metrics.items():
                self.means.setdefault(name, {}).setdefault(metric, Mean()).add(value)


def metrics_of(record: Record) -> dict[str, dict[str, float]]:
    """The metrics of a scored record by filter."""
    found: dict[str, dict[str, float]] = {}
    filtered = _filtered(record)
    for name, value in record.scores.items():
        if name in filtered:
            found.setdefault(name, {})["exact_match"] = value
        else:
            found.setdefault(NO_FILTER, {})[name] = value
    return found or {NO_FILTER: {"acc": float(record.is_correct)}}


def write_lm_eval(source: Source, folder: Path, *, force: bool) -> list[Path]:
    """Write both files, the results last: they are complete once there. Returns their paths.

    Raises ExportRefused, CorruptRun, OSError.
    """
    about = About(source.manager.layout.root.name, source.run, source.checkpoint)
    if about.model_folder:
        folder /= about.model_folder
    refuse_inside_a_run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    samples = folder / f"samples_{about.task.replace('/', '_')}_{about.time}.jsonl"
    results = folder / f"results_{about.time}.json"
    for path in (samples, results):
        refuse_unless_free(path, force=force)
    totals = Totals()
    for record in source.as_written():
        totals.add(record)
    place(samples, lambda file: _write_samples(source, totals, file), force=force)
    text = json.dumps(about.results(totals), indent=2, ensure_ascii=False)
    place(results, lambda file: _write(file, text.encode("utf-8", "backslashreplace")), force=force)
    return [results, samples]


def _write_samples(source: Source, totals: Totals, file: BinaryIO) -> None:
    for name in totals.means or {NO_FILTER: {}}:
        for record in source.records():
            if (sample := sample_of(record, name)) is not None:
                _write(file, dump(sample) + b"\n")


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def sample_of(record: Record, name: str) -> dict[str, Any] | None:
    """One record under one filter as a line of lm-eval's; None when the record was not scored under it."""
    errored = record.status is not Status.SUCCESS
    metrics = {} if errored else metrics_of(record).get(name)
    if metrics is None:
        return None
    target = None if record.ground_truth is None else str(record.ground_truth)
    doc, prompt = record.extra.get("doc"), record.extra.get("prompt")
    return {
        "doc_id": record.idx,
        "doc": doc,
        "target": target,
        "arguments": None if prompt is None else {"gen_args_0": {"arg_0": prompt}},
        **_responses(record, name, errored=errored),
        "filter": name,
        "metrics": [*metrics],
        "doc_hash": None if doc is None else _sha256(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": None if prompt is None else _sha256(str(prompt)),
        "target_hash": None if target is None else _sha256(target),
        **metrics,
    }


def _responses(record: Record, name: str, *, errored: bool) -> dict[str, Any]:
    if errored:
        return {"resps": [], "filtered_resps": []}
    response = record.extra.get("response")
    answer = response if response is not None else record.model_answer
    filtered = _filtered(record).get(name, answer)
    return {
        "resps": None if response is None else [[str(response)]],
        "filtered_resps": None if filtered is None else [str(filtered)],
    }


def _filtered(record: Record) -> Mapping[str, Any]:
    filtered = record.extra.get("filtered")
    return filtered if isinstance(filtered, Mapping) else {}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


@dataclass(frozen=True)
class About:
    """What the run says about itself, in lm-eval's words."""

    run_name: str
    run: RunIdentity
    checkpoint: Checkpoint

    @property
    def task(self) -> str:
        """The run's name stands in where no task is known."""
        return str(_at(self.run.identity, "task", "name") or self.run_name)

    @property
    def model(self) -> str | None:
        """What the user called the model."""
        model = self.run.provenance.get("model")
        return None if model is None else str(model)

    @property
    def model_folder(self) -> str | None:
        """lm-eval's own way of making a name a folder."""
        name = None if self.model is None else re.sub(r"[\"<>:/|\\?*\[\]]+", "__", self.model)
        return None if name in {None, "", ".", ".."} else name

    @property
    def time(self) -> str:
        """When the last record was written, UTC."""
        moment = datetime.fromtimestamp(self.checkpoint.last_update_time, UTC).replace(tzinfo=None)
        return moment.isoformat(timespec="microseconds").replace(":", "-")

    def results(self, totals: Totals) -> dict[str, Any]:
        """The content of results_<time>.json."""
        task, version = self.task, _at(self.run.identity, "task", "version")
        fewshot = _at(self.run.identity, "settings", "num_fewshot")
        total = self.checkpoint.total_samples
        transformers = _at(self.run.provenance, "versions", "transformers")
        return {
            "results": {
                task: {"name": task, "alias": task, "sample_len": totals.scored, **_aggregates(totals)},
            },
            "group_subtasks": {},
            "configs": {task: self._task_config()},
            "versions": {task: version},
            "n-shot": {} if fewshot is None else {task: fewshot},
            "higher_is_better": {
                task: {metric: _HIGHER_IS_BETTER.get(metric) for means in totals.means.values() for metric in means}
            },
            "n-samples": {task: {"original": total, "effective": totals.scored}},
            "config": self._config(),
            "git_hash": None,
            "date": self.checkpoint.start_time,
            **({} if transformers is None else {"transformers_version": transformers}),
            "task_hashes": {},
            "model_source": None,
            "model_name": self.model,
            "model_name_sanitized": self.model_folder,
            "system_instruction": None,
            "system_instruction_sha": None,
            "fewshot_as_multiturn": None,
            "chat_template": None,
            "chat_template_sha": None,
            "total_evaluation_time_seconds": str(self.checkpoint.elapsed_s),
        }

    def _task_config(self) -> dict[str, Any]:
        settings, version = self.run.identity.get("settings"), _at(self.run.identity, "task", "version")
        generation = {"until": _at(settings, "stops"), "max_gen_toks": _at(settings, "max_new_tokens")}
        return _known(
            {
                "task": self.task,
                "num_fewshot": _at(settings, "num_fewshot"),
                "generation_kwargs": _known(generation) or None,
                "metadata": None if version is None else {"version": version},
            }
        )

    def _config(self) -> dict[str, Any]:
        settings, model = self.run.identity.get("settings"), self.run.identity.get("model")
        known = {
            "model_dtype": _at(model, "dtype"),
            "batch_size": _at(settings, "batch_size"),
            "device": _at(model, "device"),
            "limit": self.run.provenance.get("limit"),
            "fewshot_seed": _at(settings, "seed"),
        }
        return {"model": self.model, "model_args": None, "gen_kwargs": None, **_known(known)}


def _aggregates(totals: Totals) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, means in totals.means.items():
        for metric, mean in means.items():
            found[f"{metric},{name}"] = mean.mean
            found[f"{metric}_stderr,{name}"] = mean.standard_error
    return found


def _at(value: Any, *names: str) -> Any:
    """The value at the end of a path of keys; None where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
