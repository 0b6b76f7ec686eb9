"""Global average pooling whose gradient keeps its input's memory layout."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GlobalMean(nn.Module):
    """Σ_hw x / hw, B×C×H×W to B×C×1×1: `AdaptiveAvgPool2d(1)` for channels-last networks on CPUs.

    torch's own gives a gradient that lies plane by plane, which a squeeze-and-excitation network adds, slowly, to one
    in channels-last. A matrix product's gradient lies as its input does.

    >>> GlobalMean()(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]))
    tensor([[[[3.]]]])
    """

    def forward(self, images: Tensor) -> Tensor:
        if not images.is_contiguous(memory_format=torch.channels_last):
            return images.mean((2, 3), keepdim=True)
        rows, channels, height, width = images.shape
        pixels = images.permute(0, 2, 3, 1).reshape(rows, height * width, channels)
        ones = torch.ones(rows, 1, height * width, dtype=images.dtype, device=images.device)
        return (torch.bmm(ones, pixels) / (height * width)).view(rows, channels, 1, 1)


def keep_layout(network: nn.Module) -> None:
    """Replace every global average pooling of a network in place."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size == 1:
                setattr(module, name, GlobalMean())
