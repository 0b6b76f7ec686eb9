"""TIoU: how often a map meets the mask, and what a map that looks at nothing would reach.

Looked for: neither MONAI nor torchmetrics has TIoU.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from semimed_monai.metrics.grading import FloatArray, IntArray
from semimed_monai.vocabulary import UNLABELLED

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""The T of TIoU."""

RINGS = 500
"""Parts of equal area that `radial_profile` cuts an image into: a disc's area is known to 0.2 % of the image."""


def tiou(ious: FloatArray) -> float:
    """Mean over T of the share of cases with IoU > T, T = .1, .2, … .7; cases whose `iou` is nan do not count.

        >>> tiou(np.array([0.35, 1.0]))  # three thresholds of seven, and all
        0.7142857142857143

    Args:
        ious: N numbers, or nan for cases without a mask.

    Returns:
        a fraction in [0, 1]; nan if no case counts.
    """
    known = ious[~np.isnan(ious)]
    return float((known[:, None] > THRESHOLDS).mean()) if known.size else float("nan")


def macro_tiou(ious: FloatArray, labels: IntArray) -> float:
    """Mean over the classes of the TIoU of each class's cases; a class without a case that counts is left out.

    Args:
        ious: N numbers, or nan for cases without a mask.
        labels: N class indices; rows labelled -1 are left out.
    """
    counts = ~np.isnan(ious) & (labels != UNLABELLED)
    per_class = [tiou(ious[counts & (labels == label)]) for label in np.unique(labels[counts])]
    return float(np.mean(per_class)) if per_class else float("nan")


def radial_profile(masks: Tensor) -> Tensor:
    """The share of the image that is mask and among its innermost pixels: all that a centred disc's IoU asks of a mask.

    So the baselines of a whole set need no mask kept, at 500 numbers per image.

    Args:
        masks: B×1×H×W, 0 outside, of at least 500 pixels each (a smaller image's discs are coarse).

    Returns:
        B×500 on the CPU; column k: among the innermost (k+1)/500 of the pixels. The last column is the mask's whole
        share.
    """
    size = (masks.shape[-2], masks.shape[-1])
    pixels = size[0] * size[1]
    outwards = (masks.cpu() > 0).flatten(1)[:, _from_the_centre(size)]
    ends = (torch.arange(1, RINGS + 1) * pixels / RINGS).round().long()
    counts = torch.nn.functional.pad(outwards.cumsum(dim=1), (1, 0))
    return counts[:, ends].double() / pixels


def baseline_ious(profiles: FloatArray) -> dict[str, FloatArray]:
    """The IoU of two fixed maps with each mask, from the masks' `radial_profile`.

    Args:
        profiles: N×500.

    Returns:
        "disc": of the centred disc whose share of the image is the mean share of these very masks (so it knows one
        thing about the set that a network would have to learn); "ones": of a map that is 1 everywhere. nan where a mask
        is empty.
    """
    areas = profiles[:, -1]
    given = areas > 0
    if not given.any():
        return {"disc": np.full(len(areas), np.nan), "ones": np.full(len(areas), np.nan)}
    innermost = max(1, round(float(areas[given].mean()) * RINGS))
    both = profiles[:, innermost - 1]
    disc = both / (innermost / RINGS + areas - both)
    return {"disc": np.where(given, disc, np.nan), "ones": np.where(given, areas, np.nan)}


@lru_cache(maxsize=8)
def _from_the_centre(size: tuple[int, int]) -> Tensor:
    """The indices of an image's pixels, innermost first."""
    rows = torch.arange(size[0]).double() - (size[0] - 1) / 2
    columns = torch.arange(size[1]).double() - (size[1] - 1) / 2
    return torch.argsort((rows[:, None] ** 2 + columns**2).flatten(), stable=True)
