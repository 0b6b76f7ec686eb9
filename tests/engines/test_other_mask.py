"""What a network says of an image under the mask of the class that it did not predict, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from semimed_monai.engines import OtherMask
from semimed_monai.vocabulary import Outputs


class _Told(nn.Module):
    """The map of class 0 is 1 at the left, that of class 1 at the right; the brighter side is the class."""

    def forward(self, images: Tensor) -> Outputs:
        left, right = images[:, 0, 0, 0], images[:, 0, 0, 1]
        maps = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).expand(len(images), -1, -1, -1)
        return Outputs(logits=torch.stack([left, right], dim=1), maps=maps)


def test_by_hand() -> None:
    """Brighter at the left, so the other class is 1, whose mask is σ(−5) and σ(5): the answer turns."""
    images = torch.tensor([[[[3.0, 1.0]]], [[[1.0, 3.0]]]])
    outputs = OtherMask(omega=10.0, sigma0=0.5)(images, _Told())
    low, high = 1 / (1 + math.exp(5)), 1 / (1 + math.exp(-5))
    assert outputs.logits.tolist() == [pytest.approx([3 * low, high]), pytest.approx([high, 3 * low])]
    assert outputs.maps is None


def test_a_network_without_maps_and_settings_without_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="OtherMask needs maps"):
        OtherMask(10.0, 0.5)(torch.zeros(1, 1, 2, 2), lambda _: Outputs(logits=torch.zeros(1, 2)))
    with pytest.raises(ValueError, match="omega is 0"):
        OtherMask(0, 0.5)
