"""Which examples a prompt starts with: drawn per sample, so that neither order, worker nor attempt matters."""

from __future__ import annotations

import random
from collections.abc import Sequence

from evaluate.sample import Sample


def draw(pool: Sequence[Sample], count: int, sample: Sample, seed: int) -> list[Sample]:
    """`count` different examples for one sample, a pure function of (seed, sample_id); never the sample itself.

    Raises ValueError when the pool is too small.
    """
    generator = random.Random(f"{seed}/{sample.sample_id}")
    # One more than needed, so that dropping the sample itself leaves enough.
    if len(pool) < count:
        raise ValueError(f"{count} few-shot examples are wanted, and there are only {len(pool)}")
    drawn = generator.sample(range(len(pool)), min(count + 1, len(pool)))
    chosen = [pool[at] for at in drawn if pool[at].sample_id != sample.sample_id][:count]
    if len(chosen) < count:
        raise ValueError(f"{count} few-shot examples are wanted, and there are only {len(chosen)} other samples")
    return chosen
