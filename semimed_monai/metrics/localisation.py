"""How well a map finds what an image's mask marks: IoU, pointing game, energy inside, pixel average precision.

Each is one number per image, nan where the mask is empty: there is nothing to find, and the case does not count.

Looked for: scikit-learn's average_precision_score takes 24 ms for a map of 256² (2 ms here); monai.metrics.MeanIoU
takes binarised one-hot maps. Neither MONAI nor torchmetrics has the pointing game or the energy inside.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from semimed_monai.metrics.grading import FloatArray

Measure = Callable[[Tensor, Tensor], Tensor]


def measures(threshold: float = 0.5) -> dict[str, Measure]:
    """From the name of a score to its measure; the score is the mean over the images that count.

    >>> list(measures())
    ['iou', 'pointing_game', 'energy_inside', 'pixel_ap']

    Args:
        threshold: of the IoU.
    """
    return {
        "iou": partial(iou, threshold=threshold),
        "pointing_game": pointing_game,
        "energy_inside": energy_inside,
        "pixel_ap": pixel_ap,
    }


def iou(maps: Tensor, masks: Tensor, threshold: float = 0.5) -> Tensor:
    """|A ∩ S| / |A ∪ S| per image, A = {map > threshold}, S = {mask > 0}.

    An empty A against a mask gives 0.

        >>> iou(torch.tensor([[[[0.9, 0.2], [0.8, 0.1]]]]), torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]]))
        tensor([0.3333], dtype=torch.float64)

    Args:
        maps: B×1×H×W in [0, 1].
        masks: B×1×H×W, 0 outside.
        threshold: b; the papers do not give it: state it in every report.

    Returns:
        B numbers, in double precision on the CPU, so that an IoU of exactly T is not above T.

    Raises:
        ValueError: shapes that differ, or a map that is not finite.
    """
    values, inside = _pixels(maps, masks)
    attended = values > threshold
    both = (attended & inside).sum(dim=1).cpu().double()
    either = (attended | inside).sum(dim=1).cpu().double()
    return torch.where(inside.any(dim=1).cpu(), both / either, torch.nan)


def pointing_game(maps: Tensor, masks: Tensor) -> Tensor:
    """Whether the map's maximum lies inside the mask; where several pixels share it, the share of them that do.

    Without the margin around the mask that some papers allow.

        >>> pointing_game(torch.tensor([[[[0.9, 0.2], [0.9, 0.1]]]]), torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]]))
        tensor([0.5000], dtype=torch.float64)

    Args:
        maps: as for `iou`, and so are the numbers and the errors.
        masks: as there.
    """
    values, inside = _pixels(maps, masks)
    highest = values == values.amax(dim=1, keepdim=True)
    hits = (highest & inside).sum(dim=1).cpu().double()
    return torch.where(inside.any(dim=1).cpu(), hits / highest.sum(dim=1).cpu(), torch.nan)


def energy_inside(maps: Tensor, masks: Tensor) -> Tensor:
    """Σ map·mask / Σ map per image: the share of the map that lies inside the mask; 0 for a map of zeros.

        >>> energy_inside(torch.tensor([[[[0.5, 0.25], [0.25, 0.0]]]]), torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]]))
        tensor([0.7500], dtype=torch.float64)

    Args:
        maps: as for `iou`, and so are the numbers and the errors.
        masks: as there.
    """
    values, inside = (pixels.cpu() for pixels in _pixels(maps, masks))
    values = values.double()
    within, whole = (values * inside).sum(dim=1), values.sum(dim=1)
    return torch.where(inside.any(dim=1), within / torch.where(whole > 0, whole, 1), torch.nan)


def pixel_ap(maps: Tensor, masks: Tensor) -> Tensor:
    """Average precision of the pixels per image, without interpolation: Σ (R_n − R_{n−1})·P_n over the map's values.

    That is the mean, over the mask's pixels, of the precision of {map ≥ the pixel's own value}.

        >>> pixel_ap(torch.tensor([[[[0.9, 0.2], [0.8, 0.1]]]]), torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]]))
        tensor([0.8333], dtype=torch.float64)

    Args:
        maps: as for `iou`, and so are the numbers and the errors.
        masks: as there.
    """
    values, inside = (pixels.cpu() for pixels in _pixels(maps, masks))
    found = torch.full((len(values),), torch.nan, dtype=torch.float64)
    for row in inside.any(dim=1).nonzero().flatten().tolist():
        found[row] = _average_precision(values[row].double().numpy(), values[row, inside[row]].double().numpy())
    return found


def given_masks(masks: Tensor, has_mask: Tensor) -> Tensor:
    """`masks` (B×1×H×W), emptied in the rows that were given none (B booleans)."""
    return masks * has_mask.view(-1, 1, 1, 1).to(masks)


def _pixels(maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """B×HW: the map's values, and which pixels are inside the mask."""
    if maps.shape != masks.shape:
        raise ValueError(
            f"map {tuple(maps.shape)} and mask {tuple(masks.shape)} differ in shape: bring the map to the mask's size"
        )
    if not torch.isfinite(maps).all():
        raise ValueError("the map holds values that are not finite: the training has diverged")
    return maps.detach().flatten(1), (masks > 0).flatten(1)


def _average_precision(every: FloatArray, own: FloatArray) -> float:
    """Of all values and of those inside. Counted from sorted values, which takes less than sorting pixels by value."""
    every, own = np.sort(every), np.sort(own)
    taken, hits = len(every) - np.searchsorted(every, own), len(own) - np.searchsorted(own, own)
    return float((hits / taken).mean())
