"""The loop: skip what is done, generate, score, record, notify."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from checkpoints import Record, Statistics, Status
from evaluate.errors import ConfigurationError
from evaluate.fewshot import draw
from evaluate.plan import Batch
from evaluate.sample import Completion, Dataset, GenerationSettings, Generator, Sample
from evaluate.task import Task


class Store(Protocol):
    """Where records go; CheckpointManager is one."""

    def is_completed(self, idx: int) -> bool:
        """Whether the sample has its record."""

    def begin(self, idxs: Iterable[int]) -> None:
        """Note which samples are worked on, before one of them can kill the process."""

    def record(self, *records: Record) -> None:
        """Keep the records; once this returns, the death of the process cannot lose them."""

    def get_statistics(self) -> Statistics:
        """The run so far."""


@dataclass(frozen=True)
class Job:
    """One evaluation, planned. `seen` is shown every prompt and its completion (None when it failed)."""

    task: Task
    dataset: Dataset
    plan: Sequence[Batch]
    settings: GenerationSettings
    num_fewshot: int
    seed: int
    seen: Callable[[Sample, str, Completion | None], None] = lambda *_: None

    @property
    def total_samples(self) -> int:
        """How many samples the plan holds."""
        return self.plan[-1].stop if self.plan else 0

    def prompt(self, sample: Sample) -> str:
        """The sample's prompt, examples first, blank lines between."""
        examples = draw(self.dataset.fewshot_pool, self.num_fewshot, sample, self.seed) if self.num_fewshot else []
        return "\n\n".join([*map(self.task.example, examples), self.task.question(sample)])


def run(
    job: Job,
    generator: Generator,
    store: Store,
    check: Callable[[], None],
    on_progress: Callable[[Statistics], None],
    on_begin: Callable[[Iterable[int]], None] = lambda _: None,
) -> None:
    """Evaluate what is not done yet. `check` is called often, and raises Interrupted to end the run between records.

    A sample that raises is recorded as an error, and the run goes on. Raises what the store raises, and whatever
    leaves the generator broken.
    """
    for batch in job.plan:
        missing = {idx for idx in batch.indices if not store.is_completed(idx)}
        if not missing:
            continue
        check()
        store.begin(missing)
        on_begin(missing)
        samples = [job.dataset.samples[idx] for idx in batch.indices]
        # The whole batch, even if a crash left only part of it to do: the same arithmetic gives the same answers.
        records = evaluate_batch(job, generator, samples, batch, check)
        store.record(*[record for record in records if record.idx in missing])
        on_progress(store.get_statistics())


def evaluate_batch(
    job: Job, generator: Generator, samples: Sequence[Sample], batch: Batch, check: Callable[[], None]
) -> list[Record]:
    """One record per sample. When a batch raises, its samples are tried one by one to find out whose fault it is."""
    try:
        prompts = [job.prompt(sample) for sample in samples]
        completions = generator.generate(prompts, job.settings, check)
    except ConfigurationError:
        raise
    except Exception as error:
        if generator.is_broken_by(error):
            raise
        failed = error.with_traceback(None)  # its frames would keep the batch's tensors in memory
    else:
        return [
            _judged(job, sample, prompt, completion, Composition(batch, len(samples)))
            for sample, prompt, completion in zip(samples, prompts, completions, strict=True)
        ]
    if len(samples) > 1:
        return [record for each in samples for record in evaluate_batch(job, generator, [each], batch, check)]
    job.seen(samples[0], "", None)
    return [_failed(samples[0], Composition(batch, 1), failed)]


@dataclass(frozen=True)
class Composition:
    """Which batch of the plan a sample was in, and how many were really generated together."""

    batch: Batch
    size: int

    def as_fields(self) -> dict[str, int]:
        """For the record: bit-equality can only be claimed where this is the same."""
        return {"batch": self.batch.number, "batch_size": self.size}


def _judged(job: Job, sample: Sample, prompt: str, completion: Completion, composition: Composition) -> Record:
    job.seen(sample, prompt, completion)
    try:
        score = job.task.score(sample, completion.text)
    except Exception as error:  # a response that the task cannot judge is that sample's error
        return _failed(sample, composition, error)
    return Record(
        idx=sample.idx,
        sample_id=sample.sample_id,
        ground_truth=score.ground_truth,
        model_answer=score.model_answer,
        is_correct=score.is_correct,
        scores=score.scores,
        extra={
            "response": completion.text,
            "filtered": dict(score.filtered),
            "prompt_tokens": completion.prompt_tokens,
            "generated_tokens": completion.generated_tokens,
            "truncated_tokens": completion.truncated_tokens,
            **composition.as_fields(),
        },
    )


def _failed(sample: Sample, composition: Composition, error: Exception) -> Record:
    return Record(
        idx=sample.idx,
        sample_id=sample.sample_id,
        status=Status.ERROR_GENERATION,
        extra={"error": {"type": type(error).__name__, "message": str(error)}, **composition.as_fields()},
    )
