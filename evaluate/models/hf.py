"""A causal language model through transformers. Never runs a repository's code, never unpickles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, StoppingCriteriaList

from evaluate.errors import ConfigurationError
from evaluate.models.quiet import quiet_transformers
from evaluate.sample import Completion, GenerationSettings

if TYPE_CHECKING:
    from evaluate.models.device import Placement
    from evaluate.models.files import ModelFiles


class HFGenerator:
    """Greedy decoding of left-padded batches."""

    def __init__(self, files: ModelFiles, placement: Placement, *, chat_template: bool = False) -> None:
        """Raise ConfigurationError when the files cannot be loaded or there is no chat template."""
        quiet_transformers()
        try:
            # trust_remote_code left out would ask the user on a terminal.
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                files.folder, padding_side="left", trust_remote_code=False
            )
            model, report = AutoModelForCausalLM.from_pretrained(
                files.folder,
                dtype=getattr(torch, placement.dtype),
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except MemoryError:
            raise
        except Exception as error:  # transformers, tokenizers and safetensors share no class of errors
            reason = str(error).strip() or type(error).__name__
            raise ConfigurationError(f"cannot load {files.label} from {files.folder}: {reason}") from error
        if absent := sorted(report["missing_keys"]):
            # transformers would fill them with random numbers.
            raise ConfigurationError(f"{files.label} lacks {len(absent)} of its weights, {absent[0]} first")
        self._model: Any = model.to(placement.device).eval()
        if chat_template and not self._tokenizer.chat_template:
            raise ConfigurationError(f"{files.label} has no chat template: leave --apply-chat-template out")
        self._chat = chat_template
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.unk_token
        self._end_ids = _end_token_ids(self._model, self._tokenizer)
        self._context = int(getattr(self._model.config, "max_position_embeddings", 0) or 2**31)

    def generate(
        self, prompts: Sequence[str], settings: GenerationSettings, check: Callable[[], None]
    ) -> list[Completion]:
        """Complete the prompts as one batch. A prompt that does not fit loses its beginning, as in lm-eval."""
        room = self._context - settings.max_new_tokens
        if room < 1:
            raise ConfigurationError(
                f"--max-new-tokens {settings.max_new_tokens} leaves no room for a prompt: "
                f"the model's context is {self._context}"
            )
        encoded = [self._encode(prompt) for prompt in prompts]
        kept = [ids[-room:] for ids in encoded]
        batch = self._tokenizer.pad({"input_ids": kept}, return_tensors="pt").to(self._model.device)

        def on_token(input_ids: torch.Tensor, _scores: object, **_: object) -> torch.Tensor:
            check()
            return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

        with torch.inference_mode():
            output = self._model.generate(
                **batch,
                generation_config=GenerationConfig(
                    do_sample=False,
                    max_new_tokens=settings.max_new_tokens,
                    eos_token_id=self._end_ids or None,
                    pad_token_id=self._tokenizer.pad_token_id,
                    stop_strings=list(settings.stops) or None,
                ),
                stopping_criteria=StoppingCriteriaList([on_token]),
                tokenizer=self._tokenizer,
            )
        new = output[:, batch["input_ids"].shape[1] :].tolist()
        return [
            self._completion(ids, len(whole), len(whole) - len(used), settings)
            for ids, whole, used in zip(new, encoded, kept, strict=True)
        ]

    def is_broken_by(self, error: Exception) -> bool:
        """A CUDA fault poisons the process: everything after it would fail too. Running out of memory does not."""
        if isinstance(error, torch.OutOfMemoryError):
            return False
        accelerator_error = getattr(torch, "AcceleratorError", ())
        return isinstance(error, accelerator_error) or "CUDA error" in str(error)

    def _encode(self, prompt: str) -> list[int]:
        if self._chat:
            messages = [{"role": "user", "content": prompt}]
            prompt = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        # The template has written the special tokens already.
        ids: list[int] = self._tokenizer(prompt, add_special_tokens=not self._chat)["input_ids"]
        return ids

    def _completion(
        self, ids: list[int], prompt_tokens: int, truncated_tokens: int, settings: GenerationSettings
    ) -> Completion:
        length = next((at for at, token in enumerate(ids) if token in self._end_ids), len(ids))
        text = self._tokenizer.decode(ids[:length], skip_special_tokens=True)
        for stop in settings.stops:
            text = text.split(stop, 1)[0]
        return Completion(text, prompt_tokens, length, truncated_tokens)


def _end_token_ids(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends a response, the padding that follows one included."""
    configured = model.generation_config.eos_token_id
    ids = list(configured) if isinstance(configured, list | tuple) else [configured]
    found = {token for token in [*ids, tokenizer.eos_token_id, tokenizer.pad_token_id] if token is not None}
    return sorted(found)
