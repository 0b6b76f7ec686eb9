"""The global mean against torch's, in both layouts, with its gradient and the gradient's layout."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from semimed_monai.networks.pooling import GlobalMean, keep_layout


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_value_and_gradient_are_torchs(layout: torch.memory_format) -> None:
    images = torch.rand(3, 4, 5, 6, dtype=torch.float64).to(memory_format=layout)
    ours, theirs = images.clone().requires_grad_(), images.clone().requires_grad_()
    weights = torch.rand(3, 4, 1, 1, dtype=torch.float64)
    found, expected = GlobalMean()(ours), nn.AdaptiveAvgPool2d(1)(theirs)
    torch.autograd.backward([(found * weights).sum(), (expected * weights).sum()])
    assert torch.allclose(found, expected)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad)


def test_the_gradient_lies_as_the_images_do() -> None:
    images = torch.rand(3, 4, 5, 6).to(memory_format=torch.channels_last).requires_grad_() * 1
    seen: list[bool] = []
    images.register_hook(lambda gradient: seen.append(gradient.is_contiguous(memory_format=torch.channels_last)))
    GlobalMean()(images).sum().backward()
    assert seen == [True]


def test_only_global_pooling_is_replaced() -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.AdaptiveAvgPool2d(1)))
    keep_layout(network)
    assert [type(module) for module in network.modules() if not isinstance(module, nn.Sequential)] == [
        GlobalMean,
        nn.AdaptiveAvgPool2d,
        GlobalMean,
    ]
