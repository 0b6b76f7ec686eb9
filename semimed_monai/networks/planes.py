"""A classifier's answer as one tensor: what MONAI's verifiers, TorchScript and MONAI Label take."""

from __future__ import annotations

import torch
from torch import Tensor


def answer_planes(maps: Tensor, probabilities: Tensor) -> Tensor:
    """B×(1+C)×H×W: the map of the most probable class, then each class's probability as a constant plane.

    >>> answer_planes(torch.rand(2, 3, 8, 8), torch.rand(2, 3)).shape
    torch.Size([2, 4, 8, 8])

    Args:
        maps: B×C×H×W.
        probabilities: B×C.
    """
    chosen = probabilities.argmax(dim=1).view(-1, 1, 1, 1).expand(-1, 1, maps.shape[2], maps.shape[3])
    planes = probabilities[:, :, None, None].expand(-1, -1, maps.shape[2], maps.shape[3])
    return torch.cat([maps.gather(1, chosen), planes], dim=1)
