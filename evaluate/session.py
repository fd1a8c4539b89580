"""The main job, from a configuration to an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson

from checkpoints import CheckpointManager, MemoryRun, Statistics, StorageFailed
from checkpoints.atomic import replace_file
from evaluate.config import EvaluateConfig, limited
from evaluate.errors import ConfigurationError
from evaluate.exitcodes import ExitCode
from evaluate.identity import identity, provenance
from evaluate.interrupt import StopRequest, raise_interrupted
from evaluate.models.device import Placement, place
from evaluate.models.files import ModelFiles
from evaluate.models.resolve import resolve_model
from evaluate.notify import Notifier
from evaluate.plan import make_plan
from evaluate.progressbar import SampleProgress
from evaluate.runner import Job, run
from evaluate.sample import Completion, GenerationSettings, Generator, Sample
from evaluate.summary import as_json, audit, rows
from evaluate.task import DataOptions
from evaluate.tasks import find_task


def evaluate(config: EvaluateConfig) -> ExitCode:
    """Run the evaluation, or what is left of it. Raises EvaluateError and checkpoints.CheckpointError."""
    # Until the first sample there is nothing to finish: SIGTERM may act at once, like Ctrl-C.
    signal.signal(signal.SIGTERM, raise_interrupted)
    notifier = Notifier(os.environ)

    def say(text: str) -> None:
        notifier.status(text.splitlines()[-1])
        print(text, file=sys.stderr, flush=True)

    notifier.status("starting")
    job = plan_job(config)
    placement = place(config.device, config.dtype)
    files = resolve_model(config.model, say)
    say(_described(job, files, placement))
    with _open_store(config, job, files, placement) as store:
        before = store.get_statistics()
        notifier.progress(before.samples_processed, job.total_samples, before.accuracy)
        if before.finished:
            say(f"{config.name} is complete already: nothing is left to do")
        else:
            if before.samples_processed:
                say(f"resuming {config.name}: {before.samples_processed} of {job.total_samples} samples are done")
            say(f"loading {files.label}")
            generator = _load(files, placement, config)
            _work(job, generator, store, notifier)
        stats = store.get_statistics()
        checked, results = None, None
        if isinstance(store, CheckpointManager):
            notifier.busy("checking the results", 3600.0)
            checked, results = audit(store.records(), job.total_samples), store.layout.results
    _print_summary(f"{config.task} · {files.label}", rows(stats, job.task.headline, checked, results))
    _write_results(config, as_json(job.task.name, files.label, config.seed, stats))
    return ExitCode.COMPLETE_UNSCORED if stats.errors else ExitCode.COMPLETE


def plan_job(config: EvaluateConfig) -> Job:
    """Read the data and plan the batches; no model yet. Raises ConfigurationError."""
    task = find_task(config.task)
    num_fewshot = task.num_fewshot if config.num_fewshot is None else config.num_fewshot
    dataset = task.load(DataOptions(config.data, config.fewshot_data, fewshot=num_fewshot > 0))
    planned = dataset.samples[: limited(len(dataset.samples), config.limit)]
    # No sample is an example for itself, however often the pool has it.
    copies = Counter(sample.sample_id for sample in dataset.fewshot_pool)
    available = len(dataset.fewshot_pool) - max((copies[sample.sample_id] for sample in planned), default=0)
    if available < num_fewshot:
        raise ConfigurationError(
            f"--num-fewshot {num_fewshot} is more than the {available} examples in {dataset.fewshot_source}: lower it, "
            "or name a larger file with --fewshot-data"
        )
    return Job(
        task=task,
        dataset=dataset,
        plan=make_plan(len(planned), config.batch_size),
        settings=GenerationSettings(config.max_new_tokens or task.max_new_tokens, task.stops),
        num_fewshot=num_fewshot,
        seed=config.seed,
        seen=_shower(config),
    )


def _open_store(
    config: EvaluateConfig, job: Job, files: ModelFiles, placement: Placement
) -> CheckpointManager | MemoryRun:
    if config.disable_checkpoint:
        return MemoryRun(job.total_samples)
    manager = CheckpointManager(
        config.checkpoint_dir, config.name, durability=config.durability, retention=config.retention
    )
    return manager.open(
        total_samples=job.total_samples,
        identity=identity(job, config, files, placement),
        provenance=provenance(job, config, files, placement),
        # Once: a supervisor that brings this command back wants to go on, not to start over again.
        restart=config.restart and os.environ.get("SUPERVISE_ATTEMPT", "1") == "1",
    )


def _load(files: ModelFiles, placement: Placement, config: EvaluateConfig) -> Generator:
    from evaluate.models.hf import HFGenerator

    return HFGenerator(files, placement, chat_template=config.apply_chat_template)


def _work(job: Job, generator: Generator, store: CheckpointManager | MemoryRun, notifier: Notifier) -> None:
    """Evaluate what is left; a signal ends it between two records, and what was recorded is committed."""
    done = store.get_statistics().samples_processed
    with StopRequest() as stop, SampleProgress(job.task.name, done, job.total_samples) as progress:

        def on_progress(stats: Statistics) -> None:
            notifier.progress(stats.samples_processed, job.total_samples, stats.accuracy)
            progress.show(stats.samples_processed, stats.accuracy)

        notifier.ready()
        notifier.status("generating")
        run(job, generator, store, stop.check, on_progress, notifier.in_flight)


def _described(job: Job, files: ModelFiles, placement: Placement) -> str:
    shots = f"{job.num_fewshot} examples each from {job.dataset.fewshot_source}" if job.num_fewshot else "no examples"
    return (
        f"{job.task.name}: {job.total_samples} samples from {job.dataset.source}, {shots}\n"
        f"{files.label} from {files.source}, {placement.dtype} on {placement.device} ({placement.hardware})"
    )


def _shower(config: EvaluateConfig) -> Callable[[Sample, str, Completion | None], None]:
    def show(sample: Sample, prompt: str, completion: Completion | None) -> None:
        if config.print_input:
            print(f"--- sample {sample.idx}, input\n{printable(prompt)}", flush=True)
        if config.print_response:
            text = "(failed)" if completion is None else printable(completion.text)
            print(f"--- sample {sample.idx}, response\n{text}", flush=True)

    return show


def printable(text: str) -> str:
    """The text without control characters: what a model writes must not drive a terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _write_results(config: EvaluateConfig, results: dict[str, Any]) -> None:
    if config.output_path is None:
        return
    try:
        config.output_path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(
            config.output_path,
            orjson.dumps(results, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
            shared=True,
        )
    except OSError as error:
        raise StorageFailed("write", config.output_path, error) from error


def _print_summary(title: str, table: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in table)
    lines = [f"{name.ljust(width)}  {value}" for name, value in table]
    print("\n".join(["", title, *lines]), flush=True)
