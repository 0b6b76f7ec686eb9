"""What a network says of the mask that its map makes of a flat image, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from semimed_monai.engines import MaskAlone
from semimed_monai.networks.averages import batch_normalised
from semimed_monai.vocabulary import Outputs


class _Told(nn.Module):
    """The map of class 0 is 1 at the left, that of class 1 at the right; the brighter side is the class."""

    def forward(self, images: Tensor) -> Outputs:
        left, right = images[:, 0, 0, 0], images[:, 0, 0, 1]
        maps = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).expand(len(images), -1, -1, -1)
        return Outputs(logits=torch.stack([left, right], dim=1), maps=maps)


def test_by_hand() -> None:
    """Masks are σ(5) where the predicted class's map is, σ(−5) elsewhere; nothing of the images is left."""
    images = torch.tensor([[[[3.0, 1.0]]], [[[1.0, 30.0]]]])
    outputs = MaskAlone(omega=10.0, sigma0=0.5)(images, _Told())
    low, high = 0.5 / (1 + math.exp(5)), 0.5 / (1 + math.exp(-5))
    assert outputs.logits.tolist() == [pytest.approx([high, low]), pytest.approx([low, high])]
    assert outputs.maps is None


def test_the_batch_normalises_and_no_running_average_moves() -> None:
    norm = nn.BatchNorm1d(1).eval()
    rows = torch.tensor([[1.0], [3.0]])
    with batch_normalised(norm):
        assert norm(rows).flatten().tolist() == pytest.approx([-1, 1], abs=1e-4)
    assert not norm.training
    assert (norm.running_mean.item(), norm.num_batches_tracked.item()) == (0, 0)
    assert norm(rows).flatten().tolist() == pytest.approx([1, 3], abs=1e-4)


def test_a_network_without_maps_and_settings_without_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="MaskAlone needs maps"):
        MaskAlone(10.0, 0.5)(torch.zeros(1, 1, 2, 2), lambda _: Outputs(logits=torch.zeros(1, 2)))
    with pytest.raises(ValueError, match="omega is 0"):
        MaskAlone(0, 0.5)
