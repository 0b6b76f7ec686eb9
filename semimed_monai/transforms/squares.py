"""Planes to squares of the network's size, and back.

Looked for: `monai.transforms.Resize` smooths with a Gaussian before it samples and tracks every step on a MetaTensor;
one call of torch's antialiased `interpolate` does the same to a plain tensor in a tenth of a millisecond.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional as F

Aspect = Literal["pad", "squash"]


def to_square(planes: torch.Tensor, size: int, aspect: Aspect = "pad") -> torch.Tensor:
    """C x H x W to C x size x size: centred on zeros ("pad") or stretched ("squash").

    Whole-number tensors are labels and are sampled (nearest), floats are averaged (bilinear with antialiasing).

    Example:
        >>> to_square(torch.ones(1, 2, 4), 4)[0, :, 0]
        tensor([0., 1., 1., 0.])
    """
    rows, columns = planes.shape[-2:]
    if aspect == "pad":
        side = max(rows, columns)
        top, left = (side - rows) // 2, (side - columns) // 2
        planes = F.pad(planes, (left, side - columns - left, top, side - rows - top))
    return _resize(planes, (size, size))


def from_square(squares: torch.Tensor, rows: int, columns: int, aspect: Aspect = "pad") -> torch.Tensor:
    """Undo `to_square`: S x size x size to S x rows x columns.

    Example:
        >>> plane = torch.arange(8).reshape(1, 2, 4)
        >>> torch.equal(from_square(to_square(plane, 4), 2, 4), plane)
        True
    """
    if aspect == "squash":
        return _resize(squares, (rows, columns))
    side = max(rows, columns)
    top, left = (side - rows) // 2, (side - columns) // 2
    return _resize(squares, (side, side))[:, top : top + rows, left : left + columns]


def _resize(planes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(planes.shape[-2:]) == size:
        return planes
    if planes.dtype.is_floating_point:
        return F.interpolate(planes[None], size=size, mode="bilinear", antialias=True, align_corners=False)[0]
    # "nearest-exact" takes the pixel at the centre, as bilinear does; "nearest" would shift masks by half a pixel.
    # Labels pass through float32: whole numbers up to 2^24 are exact in it.
    sampled = F.interpolate(planes[None].float(), size=size, mode="nearest-exact")[0]
    return sampled.to(planes.dtype)
