"""Where to compute and in which precision."""

from __future__ import annotations

from dataclasses import dataclass

from evaluate.errors import ConfigurationError

DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Placement:
    """`device` as torch names it, `dtype` as an attribute of torch, `hardware` for the reader."""

    device: str
    dtype: str
    hardware: str


def place(device: str, dtype: str) -> Placement:
    """Choose what is `auto`: the first GPU, bfloat16 where the hardware has it, float32 on a CPU.

    bfloat16 on a CPU would be faster, but its greedy outputs change with the batch size.
    Raises ConfigurationError for a device that is not there.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        kind = torch.device(device).type
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigurationError(f"the device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    if dtype == "auto":
        dtype = "float32" if kind != "cuda" else "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    hardware = torch.cuda.get_device_name(device) if kind == "cuda" else f"{torch.get_num_threads()} threads"
    return Placement(device, dtype, hardware)
