"""Where to compute."""

from __future__ import annotations

import pytest
import torch

from evaluate.errors import ConfigurationError
from evaluate.models.device import place


def test_cpu_computes_in_float32() -> None:
    placement = place("cpu", "auto")
    assert (placement.device, placement.dtype) == ("cpu", "float32")
    assert placement.hardware == f"{torch.get_num_threads()} threads"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_user_may_choose_the_precision(dtype: str) -> None:
    assert place("cpu", dtype).dtype == dtype


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
def test_auto_without_a_gpu_is_the_cpu() -> None:
    assert place("auto", "auto") == place("cpu", "float32")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_auto_with_a_gpu_is_the_first_one() -> None:
    placement = place("auto", "auto")
    assert placement.device == "cuda"
    assert placement.dtype == ("bfloat16" if torch.cuda.is_bf16_supported() else "float16")
    assert placement.hardware == torch.cuda.get_device_name(0)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "", "cpu:x", "xpu", "mps:7", "cpu cuda"])
def test_device_that_is_not_there(device: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        place(device, "auto")
    assert f"the device {device!r} cannot be used: " in str(caught.value)
    assert "\n" not in str(caught.value)
