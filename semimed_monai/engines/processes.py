"""Several processes: joining them under torchrun, and making a network fit for them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import ignite.distributed as idist
import torch
from torch import Tensor, nn


def join_processes() -> None:
    """Join the processes that torchrun started: nccl where there is a GPU for each, gloo elsewhere.

    Raises:
        RuntimeError: this process was not started by torchrun.
    """
    if "WORLD_SIZE" not in os.environ:
        raise RuntimeError(
            "multi_gpu_train.json needs several processes: start it with torchrun --nproc_per_node N -m …"
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(local_device())
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def local_device() -> torch.device:
    """The GPU of this process, or the CPU."""
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def is_not_first() -> bool:
    """Whether another process writes what is written once: logs, tracking."""
    return bool(idist.get_rank() > 0)


def on_device(network: nn.Module, device: torch.device | str, channels_last: bool = False) -> nn.Module:
    """The network on the device; on several GPUs with batch statistics of the global batch.

    torch has synchronised batch normalisation on GPUs only: processes on CPUs normalise by their own rows.

    >>> on_device(nn.Linear(2, 1), "cpu").weight.device
    device(type='cpu')

    Args:
        network: what is to be trained.
        device: where.
        channels_last: as the trainer's. What DistributedDataParallel wraps must be so already: its buckets keep the
            layout of the weights that they saw, and would give back gradients with their elements out of order.

    Raises:
        ValueError: a GPU where torch finds none.
    """
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device}, but torch finds no GPU: use --device cpu, or a torch built for your GPU")
    if device.type == "cuda" and idist.get_world_size() > 1:
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(device)


@torch.no_grad()
def average_buffers(buffers: Sequence[Tensor]) -> None:
    """Make buffers that each process moved by its own rows, such as the averages of batch normalisation, their mean."""
    if idist.get_world_size() == 1 or not buffers:
        return
    flat = torch.cat([buffer.flatten() for buffer in buffers])
    torch.distributed.all_reduce(flat)
    flat /= idist.get_world_size()
    for buffer, part in zip(buffers, flat.split([buffer.numel() for buffer in buffers]), strict=True):
        buffer.copy_(part.view_as(buffer))
