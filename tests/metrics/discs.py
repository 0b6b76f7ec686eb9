"""A disc in the middle of an image, drawn pixel by pixel: what the baselines of TIoU are checked against."""

from __future__ import annotations

import torch
from torch import Tensor


def centred_disc(size: tuple[int, int], area_share: float) -> Tensor:
    """1 on the `area_share` of the pixels that lie nearest to the middle, H×W; among equals the first in reading order
    is the nearer one.
    """
    height, width = size
    pixels = [(row, column) for row in range(height) for column in range(width)]
    pixels.sort(key=lambda at: (2 * at[0] - height + 1) ** 2 + (2 * at[1] - width + 1) ** 2)
    disc = torch.zeros(size)
    for row, column in pixels[: round(area_share * len(pixels))]:
        disc[row, column] = 1
    return disc
