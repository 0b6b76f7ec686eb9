"""Class activations as maps: brought to the image's size, and to [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def upsampled(maps: Tensor, size: list[int]) -> Tensor:
    """Bilinear, as `functional.interpolate` does it, by two small matrix products: on a CPU seven times as fast with
    its gradient.

    >>> upsampled(torch.tensor([[[[0.0, 4.0]]]]), [1, 4])
    tensor([[[[0., 1., 3., 4.]]]])
    """
    rows = functional.interpolate(torch.eye(maps.shape[2]).to(maps)[None], size=size[0], mode="linear")[0]
    columns = functional.interpolate(torch.eye(maps.shape[3]).to(maps)[None], size=size[1], mode="linear")[0]
    return rows.T @ maps @ columns


def extremes(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest value of each of B×C maps, B×C×1×1.

    By index: amax and amin share their gradient among equals, for which they pass over every pixel.
    """
    pixels = maps.flatten(2)
    return pixels.min(2)[0][:, :, None, None], pixels.max(2)[0][:, :, None, None]


def stretched(maps: Tensor) -> Tensor:
    """(maps − low) / (high − low), each map by itself; one that is the same everywhere is 0.

    >>> stretched(torch.tensor([[[[1.0, 2.0, 5.0]]]]))
    tensor([[[[0.0000, 0.2500, 1.0000]]]])
    """
    low, high = extremes(maps)
    return (maps - low) / (high - low).clamp(min=1e-5)


def rectified(features: Tensor, weight: Tensor, size: list[int]) -> Tensor:
    """Grad-CAM of the last features under a linear head of their mean: relu(Σ_k W_ck·F_k) over its maximum.

    There the gradient ∂z_c/∂F_k is W_ck/hw everywhere, so no backward pass is made, and no hook is set.

    >>> rectified(torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]]), torch.tensor([[1.0, -1.0], [2.0, 0.0]]), [1, 2])
    tensor([[[[0.0000, 1.0000]],
    <BLANKLINE>
             [[0.5000, 1.0000]]]])

    Args:
        features: B×K×h×w.
        weight: C×K, the head's.
        size: of the maps.

    Returns:
        B×C×H×W in [0, 1]; a class of which no cell speaks is 0 everywhere.
    """
    activation = functional.relu(functional.conv2d(features, weight.float()[:, :, None, None]))
    activation = functional.interpolate(activation, size=size, mode="bilinear", align_corners=False)
    return activation / activation.flatten(2).max(2)[0].clamp(min=1e-5)[:, :, None, None]
