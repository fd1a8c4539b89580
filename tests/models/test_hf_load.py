"""Folders that look complete and cannot be loaded: one error, no code run, and never random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluate.errors import ConfigurationError, Interrupted
from evaluate.models.device import place
from evaluate.models.digest import Digests
from evaluate.models.files import ModelFiles
from evaluate.models.hf import HFGenerator
from tests.models.support import change_json, copy_of, evaluate


def load(folder: Path) -> HFGenerator:
    return HFGenerator(ModelFiles(folder, "tester/tiny", "a local folder", "0"), place("cpu", "float32"))


def half(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return change


def text(name: str, content: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(content)

    return change


def config(**values: object) -> Callable[[Path], None]:
    return lambda folder: change_json(folder / "config.json", **values)


DEFECTS = [
    half("model.safetensors"),
    half("config.json"),
    half("tokenizer.json"),
    half("tokenizer_config.json"),
    text("model.safetensors", ""),
    text("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"),
    text("config.json", "[]"),
    text("config.json", "{}"),
    text("tokenizer.json", "{}"),
    text("tokenizer.json", '{"model": {"type": "unheard of"}}'),
    config(model_type="unheard-of"),
    config(model_type="t5"),
    config(hidden_size=128),
]


@pytest.mark.parametrize("change", DEFECTS)
def test_damaged_model(tiny_model: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    copy = copy_of(tiny_model, tmp_path / "m")
    change(copy)
    with pytest.raises(ConfigurationError, match=f"cannot load tester/tiny from {copy}: .+"):
        load(copy)


def test_absent_weights_are_not_made_up(tiny_model: Path, tmp_path: Path) -> None:
    copy = copy_of(tiny_model, tmp_path / "m")
    change_json(copy / "config.json", num_hidden_layers=3)
    with pytest.raises(ConfigurationError, match=r"lacks 9 of its weights, model\.layers\.2\.input_layernorm"):
        load(copy)


def test_tied_weights_are_not_absent(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = copy_of(tiny_model, tmp_path / "m")
    weights = load_file(copy / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigurationError, match=r"lacks 1 of its weights, lm_head\.weight first"):
        load(copy)
    change_json(copy / "config.json", tie_word_embeddings=True)
    load(copy)


def test_code_of_the_repository_is_neither_run_nor_offered(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copy_of(tiny_model, tmp_path / "m")
    code = f"from pathlib import Path\nPath({str(tmp_path / 'run')!r}).touch()\n"
    (copy / "theirs.py").write_text(code)
    change_json(copy / "config.json", model_type="theirs", auto_map={"AutoConfig": "theirs.Config"})
    questions: list[str] = []

    def yes(question: str = "") -> str:
        questions.append(question)
        return "y"

    monkeypatch.setattr("builtins.input", yes)
    with pytest.raises(ConfigurationError, match="custom code"):
        load(copy)
    assert questions == []
    assert not (tmp_path / "run").exists()


def test_signal_while_loading_is_not_taken_for_a_defect(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_arguments: object, **_options: object) -> None:
        raise Interrupted(15)

    monkeypatch.setattr("evaluate.models.hf.AutoModelForCausalLM.from_pretrained", stop)
    with pytest.raises(Interrupted):
        load(tiny_model)


def test_whole_program_says_it_in_one_sentence(environment: dict[str, str], tiny_model: Path, tmp_path: Path) -> None:
    copy = copy_of(tiny_model, tmp_path / "m")
    half("model.safetensors")(copy)
    ended = evaluate(environment, tmp_path, "--task", "gsm-mini", "--model", str(copy))
    assert ended.code == 78
    assert "Traceback" not in ended.err
    assert len(ended.sentences) == 1


def test_unreadable_file(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root every file can be read: the refusal is played."""
    from evaluate.models.files import describe

    def refuse(self: Digests, path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Digests, "of_file", refuse)
    with pytest.raises(ConfigurationError, match=r"cannot read the model in .*Permission denied"):
        describe(tiny_model, "m", "a local folder", Digests(tmp_path))
