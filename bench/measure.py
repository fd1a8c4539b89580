"""Side by side: what is compared runs in turns, so that a noisy neighbour slows all of it alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from bench.figures import Figure, Target

Block = Callable[[], float]
"""Does a number of operations, and returns the seconds that each took, preparations not counted."""

T = TypeVar("T")


def seconds_each(operation: Callable[[T], object], arguments: Sequence[T]) -> float:
    """The wall-clock seconds per call of the operation on each argument in turn."""
    begun_s = time.perf_counter()
    for argument in arguments:
        operation(argument)
    return (time.perf_counter() - begun_s) / len(arguments)


def seconds_each_apart(operation: Callable[[T], object], arguments: Sequence[T], pause_s: float) -> float:
    """The same with the processor busy elsewhere before each call, as it is where results take time to make."""
    spent_s = 0.0
    for argument in arguments:
        begun_s = until_s = time.perf_counter()
        while begun_s < until_s + pause_s:
            begun_s = time.perf_counter()
        operation(argument)
        spent_s += time.perf_counter() - begun_s
    return spent_s / len(arguments)


def interleave(blocks: Mapping[str, Block], rounds: int) -> dict[str, list[float]]:
    """Run every block once per round, forwards and backwards in turns; one round more to warm up is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in blocks}
    names = list(blocks)
    for each in names:
        blocks[each]()
    for _ in range(rounds):
        for each in names:
            seconds[each].append(blocks[each]())
        names.reverse()
    return seconds


def ratio(name: str, ours_s: Sequence[float], base_s: Sequence[float], target: Target | None = None) -> Figure:
    """The median of the ratios of each round: what the rounds share cancels out."""
    ratios = [ours / base for ours, base in zip(ours_s, base_s, strict=True)]
    return spread(name, ratios, "x", target)


def spread(name: str, values: Sequence[float], unit: str, target: Target | None = None) -> Figure:
    """Median, minimum and maximum."""
    return Figure(name, statistics.median(values), unit, min(values), max(values), target)
