"""Which examples a prompt starts with: drawn per sample, so that neither order, worker nor attempt matters."""

from __future__ import annotations

import random
from collections.abc import Sequence

from evaluate.sample import Sample


def draw(pool: Sequence[Sample], count: int, sample: Sample, seed: int) -> list[Sample]:
    """`count` different examples for one sample, a pure function of (seed, sample_id); never the sample itself.

    Raises ValueError when the pool is too small.
    """
    copies = sum(each.sample_id == sample.sample_id for each in pool)
    if len(pool) - copies < count:
        raise ValueError(f"{count} few-shot examples are wanted, and there are only {len(pool) - copies} other samples")
    generator = random.Random(f"{seed}/{sample.sample_id}")
    # More than needed, so that dropping the sample itself, however often it is there, leaves enough.
    drawn = generator.sample(range(len(pool)), count + copies)
    return [pool[at] for at in drawn if pool[at].sample_id != sample.sample_id][:count]
