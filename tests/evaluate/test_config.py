"""Limits and the names of runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.layout import RunLayout
from evaluate.config import EvaluateConfig, limited


@pytest.mark.parametrize(
    ("total", "limit", "left"),
    [
        (64, None, 64),
        (64, 10.0, 10),
        (64, 64.0, 64),
        (64, 1000.0, 64),
        (64, 1.0, 1),  # one sample, not all of them
        (64, 0.5, 32),
        (64, 0.99, 64),  # 63.36, rounded up
        (64, 0.01, 1),
        (1319, 0.1, 132),
        (3, 1e-9, 1),
        (10, 0.999999, 10),
        (0, 0.5, 0),
    ],
)
def test_a_limit_is_a_count_or_below_1_a_share_rounded_up(total: int, limit: float | None, left: int) -> None:
    assert limited(total, limit) == left


@given(st.integers(1, 10_000), st.floats(0, 1e6, exclude_min=True))
def test_a_limit_leaves_at_least_one_sample_and_at_most_all(total: int, limit: float) -> None:
    assert 1 <= limited(total, limit) <= total


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (EvaluateConfig("gsm8k"), "gsm8k-SmolLM2-135M-Instruct-seed42"),
        (EvaluateConfig("gsm8k", limit=20.0, seed=7), "gsm8k-SmolLM2-135M-Instruct-limit20-seed7"),
        (EvaluateConfig("gsm8k", limit=0.25), "gsm8k-SmolLM2-135M-Instruct-limit0.25-seed42"),
        (EvaluateConfig("gsm8k", seed=-1), "gsm8k-SmolLM2-135M-Instruct-seed-1"),
        (EvaluateConfig("gsm8k", model="/data/my model/"), "gsm8k-my-model-seed42"),
        (EvaluateConfig("gsm8k", model="."), "gsm8k-model-seed42"),
        (EvaluateConfig("gsm8k", model="/"), "gsm8k-model-seed42"),
        (EvaluateConfig("gsm8k", model="Модель"), "gsm8k---seed42"),
        (EvaluateConfig("gsm8k", model="a:b*c\n$(x)"), "gsm8k-a-b-c-x--seed42"),
        (EvaluateConfig("gsm8k", run_name="my run", limit=3.0), "my run"),
    ],
)
def test_a_run_is_called_what_the_user_says_or_what_users_vary_most(config: EvaluateConfig, name: str) -> None:
    assert config.name == name


@given(st.text(), st.text(), st.none() | st.floats(0, 1e6, exclude_min=True), st.integers())
def test_a_default_name_is_always_a_plain_folder_name(task: str, model: str, limit: float | None, seed: int) -> None:
    name = EvaluateConfig(task, model=model.lstrip("~"), limit=limit, seed=seed).name
    assert RunLayout.of("x", name).root.name == name
