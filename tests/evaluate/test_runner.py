"""The loop, with a model and a store that do as they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from checkpoints import Record, Statistics, Status
from evaluate.errors import ConfigurationError, Interrupted
from evaluate.plan import make_plan
from evaluate.runner import Job, run
from evaluate.sample import Completion, Dataset, GenerationSettings, Sample
from evaluate.tasks.gsm8k import GradeSchoolMath
from tests.evaluate.support import problems, samples, statistics

TASK = GradeSchoolMath(name="toy", read=lambda split: [])
SETTINGS = GenerationSettings(16, ("Question:",))


class BrokenError(RuntimeError):
    """After this the fake model is of no use."""


@dataclass
class FakeGenerator:
    """Answers 1 to everything; raises what it is told to when a prompt mentions a number."""

    raises: dict[int, BaseException] = field(default_factory=dict)
    asked: list[list[int]] = field(default_factory=list)
    settings: set[GenerationSettings] = field(default_factory=set)

    def generate(
        self, prompts: Sequence[str], settings: GenerationSettings, check: Callable[[], None]
    ) -> list[Completion]:
        numbers = [int(prompt.split("is ")[-1].split("?")[0]) for prompt in prompts]
        self.asked.append(numbers)
        self.settings.add(settings)
        check()
        for number in numbers:
            if number in self.raises:
                raise self.raises[number]
        return [Completion(f"#### 1 says {number}", 10 + number, 3, number % 2) for number in numbers]

    def is_broken_by(self, error: Exception) -> bool:
        return isinstance(error, BrokenError)


@dataclass
class FakeStore:
    """Keeps every call of record()."""

    calls: list[list[Record]] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    begun: list[set[int]] = field(default_factory=list)

    def is_completed(self, idx: int) -> bool:
        return idx in self.done or idx in self.recorded

    def begin(self, idxs: Iterable[int]) -> None:
        self.begun.append(set(idxs))

    def record(self, *records: Record) -> None:
        self.calls.append(list(records))

    def get_statistics(self) -> Statistics:
        return statistics(samples_processed=len(self.recorded) + len(self.done))

    @property
    def recorded(self) -> dict[int, Record]:
        return {record.idx: record for call in self.calls for record in call}

    @property
    def positions(self) -> list[list[int]]:
        return [[record.idx for record in call] for call in self.calls]


def job(count: int, batch_size: int = 4, **changes: Any) -> Job:
    asked = samples(problems(count))
    dataset = Dataset(asked, asked, "rows", "rows")
    return Job(TASK, dataset, make_plan(count, batch_size), SETTINGS, **{"num_fewshot": 0, "seed": 42, **changes})


def stop_at(call: int, number: int = 15) -> Callable[[], None]:
    """A check that raises Interrupted when it is called for the so-manieth time."""
    calls = iter(range(1, call))

    def check() -> None:
        if next(calls, None) is None:
            raise Interrupted(number)

    return check


def go(job: Job, generator: FakeGenerator, store: FakeStore, check: Callable[[], None] = lambda: None) -> list[int]:
    """Run; returns how many samples were done at each report of progress."""
    progress: list[int] = []
    run(job, generator, store, check, lambda stats: progress.append(stats.samples_processed))
    return progress


def test_batches_are_generated_recorded_and_reported_in_order() -> None:
    generator, store = FakeGenerator(), FakeStore()
    assert go(job(10), generator, store) == [4, 8, 10]
    assert generator.asked == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert store.positions == generator.asked
    assert store.begun == [set(positions) for positions in generator.asked]
    assert generator.settings == {SETTINGS}


def test_a_record_holds_the_score_and_all_that_is_needed_to_check_it() -> None:
    store = FakeStore()
    it = job(6)
    go(it, FakeGenerator(), store)
    sample = it.dataset.samples[5]
    expected = Record(
        idx=5,
        sample_id=sample.sample_id,
        ground_truth=5,
        model_answer=1,
        is_correct=False,
        scores={"numeric": 0.0, "strict-match": 0.0, "flexible-extract": 1.0},
        extra={
            "response": "#### 1 says 5",
            "filtered": {"strict-match": "1", "flexible-extract": "5"},
            "prompt_tokens": 15,
            "generated_tokens": 3,
            "truncated_tokens": 1,
            "batch": 1,
            "batch_size": 2,
        },
    )
    assert store.recorded[5] == expected
    assert [idx for idx, record in store.recorded.items() if record.is_correct] == [1]


def test_a_sample_that_raises_is_an_error_and_the_others_of_its_batch_are_scored() -> None:
    generator, store = FakeGenerator({2: ValueError("too long")}), FakeStore()
    it = job(8)
    go(it, generator, store)
    assert generator.asked == [[0, 1, 2, 3], [0], [1], [2], [3], [4, 5, 6, 7]]
    assert store.positions == [[0, 1, 2, 3], [4, 5, 6, 7]]
    failed = store.recorded[2]
    assert (failed.status, failed.is_correct, failed.scores) == (Status.ERROR_GENERATION, False, {})
    assert failed.sample_id == it.dataset.samples[2].sample_id
    assert failed.extra == {"error": {"type": "ValueError", "message": "too long"}, "batch": 0, "batch_size": 1}
    others = [store.recorded[idx] for idx in (0, 1, 3)]
    assert all(record.status is Status.SUCCESS and record.extra["batch_size"] == 1 for record in others)
    assert {store.recorded[idx].extra["batch_size"] for idx in range(4, 8)} == {4}


def test_when_every_sample_raises_every_sample_is_an_error() -> None:
    generator, store = FakeGenerator({idx: MemoryError() for idx in range(4)}), FakeStore()
    go(job(4), generator, store)
    assert {record.status for record in store.recorded.values()} == {Status.ERROR_GENERATION}
    assert store.recorded[0].extra["error"] == {"type": "MemoryError", "message": ""}


def test_a_prompt_that_cannot_be_made_is_an_error_of_its_sample() -> None:
    one, other = problems(2)
    asked = samples([one, one, other])
    dataset, store = Dataset(asked, asked, "rows", "rows"), FakeStore()
    go(Job(TASK, dataset, make_plan(3, 3), SETTINGS, num_fewshot=2, seed=42), FakeGenerator(), store)
    assert [store.recorded[idx].status for idx in range(3)] == ["error_generation", "error_generation", "success"]


@pytest.mark.parametrize("error", [BrokenError("CUDA error"), ConfigurationError("no room"), KeyboardInterrupt()])
def test_what_no_later_sample_survives_ends_the_run_and_records_nothing_of_its_batch(error: BaseException) -> None:
    generator, store = FakeGenerator({5: error}), FakeStore()
    with pytest.raises(type(error)):
        go(job(12), generator, store)
    assert store.positions == [[0, 1, 2, 3]]
    assert generator.asked == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_model_that_breaks_while_samples_are_tried_alone_records_nothing_of_their_batch() -> None:
    generator, store = FakeGenerator({5: ValueError("odd"), 7: BrokenError("CUDA error")}), FakeStore()
    with pytest.raises(BrokenError, match="CUDA error"):
        go(job(8), generator, store)
    assert generator.asked[1:] == [[4, 5, 6, 7], [4], [5], [6], [7]]
    assert store.positions == [[0, 1, 2, 3]]


def test_a_batch_that_is_done_in_part_is_generated_whole_and_only_the_rest_recorded() -> None:
    generator, store = FakeGenerator(), FakeStore(done={4, 6})
    go(job(8), generator, store)
    assert generator.asked == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert store.positions == [[0, 1, 2, 3], [5, 7]]
    assert store.recorded[5].extra["batch_size"] == 4


def test_the_rest_of_a_batch_is_recorded_though_a_sample_that_is_done_raises_this_time() -> None:
    generator, store = FakeGenerator({0: ValueError("new")}), FakeStore(done={0})
    go(job(4), generator, store)
    assert store.positions == [[1, 2, 3]]
    assert all(record.status is Status.SUCCESS for record in store.recorded.values())


@pytest.mark.parametrize(
    ("done", "asked"), [(range(8), [[8, 9]]), (range(10), []), (range(4, 8), [[0, 1, 2, 3], [8, 9]])]
)
def test_batches_that_are_done_are_not_generated_again(done: Iterable[int], asked: list[list[int]]) -> None:
    generator, store = FakeGenerator(), FakeStore(done=set(done))
    assert len(go(job(10), generator, store)) == len(asked)
    assert generator.asked == store.positions == asked


@pytest.mark.parametrize(("call", "asked"), [(3, 1), (4, 2)], ids=["between batches", "while generating"])
def test_a_stop_keeps_earlier_batches_and_drops_the_one_at_work(call: int, asked: int) -> None:
    generator, store = FakeGenerator(), FakeStore()
    with pytest.raises(Interrupted) as caught:
        go(job(12), generator, store, stop_at(call))
    assert caught.value.signal_number == 15
    assert store.positions == [[0, 1, 2, 3]]
    assert len(generator.asked) == asked


def test_a_stop_while_samples_are_tried_alone_is_no_error_of_theirs() -> None:
    generator, store = FakeGenerator({1: ValueError("odd")}), FakeStore()
    with pytest.raises(Interrupted, match="stopped by SIGINT"):
        go(job(4), generator, store, stop_at(4, number=2))
    assert store.calls == []


def test_a_store_that_fails_ends_the_run() -> None:
    class FullStore(FakeStore):
        def record(self, *records: Record) -> None:
            raise OSError(28, "No space left on device")

    generator = FakeGenerator()
    with pytest.raises(OSError, match="No space left"):
        go(job(8), generator, FullStore())
    assert generator.asked == [[0, 1, 2, 3]]


def test_every_prompt_and_its_completion_are_shown() -> None:
    shown: list[tuple[int, str, str | None]] = []

    def seen(sample: Sample, prompt: str, completion: Completion | None) -> None:
        shown.append((sample.idx, prompt, None if completion is None else completion.text))

    go(job(3, seen=seen), FakeGenerator({1: ValueError("odd")}), FakeStore())
    assert shown == [
        (0, "Question: How many is 0?\nAnswer:", "#### 1 says 0"),
        (1, "", None),
        (2, "Question: How many is 2?\nAnswer:", "#### 1 says 2"),
    ]


def test_a_job_knows_its_size() -> None:
    assert (job(10).total_samples, job(0).total_samples) == (10, 0)
