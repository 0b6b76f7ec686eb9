"""Planes, and boxes in them, to squares of the network's size, and back.

Looked for: `monai.transforms.Resize` smooths with a Gaussian before it samples and tracks every step on a MetaTensor;
one call of torch's antialiased `interpolate` does the same to a plain tensor in a tenth of a millisecond.
monai.apps.detection scales boxes, but nothing there shifts them with a padding.
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
        side, top, left = _padding(rows, columns)
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
    side, top, left = _padding(rows, columns)
    return _resize(squares, (side, side))[:, top : top + rows, left : left + columns]


def boxes_to_square(boxes: torch.Tensor, rows: int, columns: int, size: int, aspect: Aspect = "pad") -> torch.Tensor:
    """N x 4 boxes [x0, y0, x1, y1] of a rows x columns plane, as they lie in its `to_square`.

    Coordinates are those of pixels' edges: pixel j lies from j to j + 1.

    Example:
        >>> boxes_to_square(torch.tensor([[0.0, 0.0, 4.0, 2.0]]), rows=2, columns=4, size=8)
        tensor([[0., 2., 8., 6.]])
    """
    scale, offset = _edges(rows, columns, size, aspect)
    return ((boxes.double() + offset) * scale).to(boxes.dtype)


def boxes_from_square(boxes: torch.Tensor, rows: int, columns: int, size: int, aspect: Aspect = "pad") -> torch.Tensor:
    """Undo `boxes_to_square`; a box that reaches into the padding reaches outside the plane.

    Example:
        >>> boxes_from_square(torch.tensor([[0.0, 2.0, 8.0, 6.0]]), rows=2, columns=4, size=8)
        tensor([[0., 0., 4., 2.]])
    """
    scale, offset = _edges(rows, columns, size, aspect)
    return (boxes.double() / scale - offset).to(boxes.dtype)


def _padding(rows: int, columns: int) -> tuple[int, int, int]:
    """The side of the padded plane, and where the plane begins in it: top and left."""
    side = max(rows, columns)
    return side, (side - rows) // 2, (side - columns) // 2


def _edges(rows: int, columns: int, size: int, aspect: Aspect) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and offset of x0, y0, x1, y1: a coordinate goes to (it + offset) * scale."""
    if aspect == "squash":
        across, down, top, left = size / columns, size / rows, 0, 0
    else:
        side, top, left = _padding(rows, columns)
        across = down = size / side
    scale = torch.tensor([across, down, across, down], dtype=torch.float64)
    return scale, torch.tensor([left, top, left, top], dtype=torch.float64)


def _resize(planes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(planes.shape[-2:]) == size:
        return planes
    if planes.dtype.is_floating_point:
        return F.interpolate(planes[None], size=size, mode="bilinear", antialias=True, align_corners=False)[0]
    # "nearest-exact" takes the pixel at the centre, as bilinear does; "nearest" would shift masks by half a pixel.
    # Labels pass through float32: whole numbers up to 2^24 are exact in it.
    sampled = F.interpolate(planes[None].float(), size=size, mode="nearest-exact")[0]
    return sampled.to(planes.dtype)
