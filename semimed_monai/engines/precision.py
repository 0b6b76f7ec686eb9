"""In which number format and memory layout a network runs; maps and losses are always fp32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semimed_monai.vocabulary import Outputs

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def fastest_precision(device: torch.device | str, cpuinfo: str | Path = "/proc/cpuinfo") -> str:
    """`bf16` where the device computes in it, else `fp32`: a processor without such instructions emulates them, and
    takes many times as long.

    Looked for: torch tells whether a GPU has them, and of CPUs in private functions only; so what Linux says counts,
    and elsewhere a CPU has none.

    >>> fastest_precision("cpu", cpuinfo="no such file")
    'fp32'
    """
    device = torch.device(device)
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    try:
        text = Path(cpuinfo).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "fp32"
    lines = (line.partition(":") for line in text.splitlines())
    flags = {flag for name, _, value in lines if name.strip() in ("flags", "Features") for flag in value.split()}
    return "bf16" if flags & {"avx512_bf16", "amx_bf16", "bf16"} else "fp32"


def checked(precision: str, device: torch.device) -> str:
    """`precision`, or an error that says what this device can do."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; choose one of {', '.join(PRECISIONS)}")
    if precision == "fp16" and device.type != "cuda":
        raise ValueError("fp16 needs a GPU: on a CPU use precision bf16 (or fp32)")
    return precision


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The region in which a network runs."""
    return torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "fp32")


def formatted(images: Tensor, channels_last: bool) -> Tensor:
    """The images in the network's memory layout."""
    return images.contiguous(memory_format=torch.channels_last) if channels_last else images


def to_device(batch: Mapping[str, Any], device: torch.device, non_blocking: bool = False) -> dict[str, Any]:
    """The batch with its tensors on the device."""
    return {
        name: value.to(device, non_blocking=non_blocking) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }


def in_fp32(outputs: Outputs) -> Outputs:
    """The outputs with every half-precision tensor made fp32."""
    halves = {
        field.name: value.float()
        for field in fields(outputs)
        if (value := getattr(outputs, field.name)) is not None and value.dtype != torch.float32
    }
    return replace(outputs, **halves) if halves else outputs
