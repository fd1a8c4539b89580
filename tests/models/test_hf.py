"""Generation with a tiny model in this process: every token is a byte, so texts and counts can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from evaluate.errors import ConfigurationError, Interrupted
from evaluate.models.device import place
from evaluate.models.digest import Digests
from evaluate.models.files import describe
from evaluate.models.hf import HFGenerator
from evaluate.sample import Completion, GenerationSettings
from tests.models.support import change_json, copy_of

PROMPTS = ["a", "Question: 2 + 2?\nAnswer:", "x" * 99, "Two words", "ünïcode ✓", "Question: What is 7 times 8?" * 5]


def load(folder: Path, cache: Path, *, chat_template: bool = False) -> HFGenerator:
    files = describe(folder, "tester/tiny", "a local folder", Digests(cache))
    return HFGenerator(files, place("cpu", "float32"), chat_template=chat_template)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small matrices gain nothing from several, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def generator(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> HFGenerator:
    return load(tiny_model, tmp_path_factory.mktemp("cache"))


def complete(
    generator: HFGenerator, prompts: list[str], max_new_tokens: int = 12, stops: tuple[str, ...] = ()
) -> list[Completion]:
    return generator.generate(prompts, GenerationSettings(max_new_tokens, stops), lambda: None)


def a_letter_of(generator: HFGenerator, prompt: str) -> tuple[str, int]:
    """An ASCII character that the model writes, not at once, and the number of tokens up to its first one."""
    for count in range(2, 64):
        text = complete(generator, [prompt], count)[0].text
        if text[-1].isascii() and text[-1].isprintable() and text.count(text[-1]) == 1:
            return text[-1], count
    raise AssertionError("the model writes no letter")


@pytest.mark.parametrize("stops", [(), ("e", "Q"), (" ",)])
def test_batch_is_as_good_as_one_by_one(generator: HFGenerator, stops: tuple[str, ...]) -> None:
    singles = [complete(generator, [prompt], stops=stops)[0] for prompt in PROMPTS]
    assert complete(generator, PROMPTS, stops=stops) == singles
    assert complete(generator, PROMPTS[::-1], stops=stops) == singles[::-1]
    assert len({completion.text for completion in singles}) > 1


def test_same_every_time(generator: HFGenerator) -> None:
    assert complete(generator, PROMPTS) == complete(generator, PROMPTS)


def test_prompt_tokens_are_counted_without_padding(generator: HFGenerator) -> None:
    assert [done.prompt_tokens for done in complete(generator, PROMPTS)] == [len(p.encode()) for p in PROMPTS]


def test_without_an_end_the_response_has_its_full_length(generator: HFGenerator) -> None:
    assert [done.generated_tokens for done in complete(generator, PROMPTS[:3], 17)] == [17, 17, 17]


def test_stop_string_ends_and_is_cut(generator: HFGenerator) -> None:
    whole = complete(generator, PROMPTS[:1], 64)[0]
    letter, count = a_letter_of(generator, PROMPTS[0])
    stopped = complete(generator, PROMPTS[:1], 64, (letter,))[0]
    assert stopped.text == whole.text.split(letter, 1)[0]
    assert stopped.generated_tokens == count  # those of the stop string were generated, too


def test_the_first_of_several_stops_counts(generator: HFGenerator) -> None:
    letter, _ = a_letter_of(generator, PROMPTS[0])
    alone = complete(generator, PROMPTS[:1], 64, (letter,))[0]
    assert complete(generator, PROMPTS[:1], 64, ("never written", letter, letter + "x"))[0] == alone


def test_stop_string_in_the_prompt_does_not_count(generator: HFGenerator) -> None:
    prompt = "Question: a\nQuestion: b"
    assert complete(generator, [prompt], stops=("Question:",)) == complete(generator, [prompt])


def test_end_token_is_neither_counted_nor_shown(generator: HFGenerator, tiny_model: Path, tmp_path: Path) -> None:
    letter, count = a_letter_of(generator, PROMPTS[0])
    text = complete(generator, PROMPTS[:1], count)[0].text
    copy = copy_of(tiny_model, tmp_path / "m")
    end = generator._tokenizer(letter)["input_ids"]
    change_json(copy / "generation_config.json", eos_token_id=[0, *end])
    ending = load(copy, tmp_path)
    alone = complete(ending, PROMPTS[:1], 64)[0]
    assert (alone.text, alone.generated_tokens) == (text[:-1], count - 1)
    assert complete(ending, PROMPTS, 64)[0] == alone  # whatever its neighbours still write


def test_long_prompt_loses_its_beginning(generator: HFGenerator) -> None:
    prompt = "".join(chr(97 + n % 26) for n in range(5000))
    long, short = complete(generator, [prompt, "short"], 6)
    assert (long.prompt_tokens, long.truncated_tokens) == (5000, 5000 - (4096 - 6))
    assert (short.prompt_tokens, short.truncated_tokens) == (5, 0)
    assert long.text == complete(generator, [prompt[-4090:]], 6)[0].text


def test_response_that_leaves_no_room_for_a_prompt(generator: HFGenerator) -> None:
    with pytest.raises(ConfigurationError, match="--max-new-tokens 4096 leaves no room for a prompt"):
        complete(generator, ["a"], 4096)


def test_interrupted_in_the_middle(generator: HFGenerator) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Interrupted(15)

    with pytest.raises(Interrupted):
        generator.generate(PROMPTS, GenerationSettings(2000, ("never written",)), check)
    assert calls == 3
    assert complete(generator, PROMPTS[:1])[0].generated_tokens == 12  # and it works on


def test_chat_template(generator: HFGenerator, tiny_model: Path, tmp_path: Path) -> None:
    chat = load(tiny_model, tmp_path, chat_template=True)
    assert complete(chat, ["Hello"]) == complete(generator, ["[user] Hello\n[assistant]"])


def test_model_without_a_chat_template(tiny_model: Path, tmp_path: Path) -> None:
    copy = copy_of(tiny_model, tmp_path / "m", "chat_template.jinja")
    assert complete(load(copy, tmp_path), ["Hello"])
    with pytest.raises(ConfigurationError, match="tester/tiny has no chat template: leave --apply-chat-template out"):
        load(copy, tmp_path, chat_template=True)


def test_model_without_a_padding_token(generator: HFGenerator, tiny_model: Path, tmp_path: Path) -> None:
    copy = copy_of(tiny_model, tmp_path / "m")
    change_json(copy / "tokenizer_config.json", pad_token=None)
    assert complete(load(copy, tmp_path), PROMPTS) == complete(generator, PROMPTS)


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("no"), False),
    ],
)
def test_only_a_fault_of_the_device_breaks_it(generator: HFGenerator, error: Exception, *, broken: bool) -> None:
    assert generator.is_broken_by(error) is broken


def test_running_out_of_memory_does_not_break_it(generator: HFGenerator) -> None:
    assert not generator.is_broken_by(torch.OutOfMemoryError("CUDA error: out of memory"))
