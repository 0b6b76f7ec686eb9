"""How well a segmentation meets its mask, class by class: Dice and the 95 % Hausdorff distance of each item.

MONAI's compute_dice and compute_hausdorff_distance do the work; what stands here is which items count.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from monai.networks.utils import one_hot
from torch import Tensor, nan, where

from semimed_monai.metrics.grading import FloatArray
from semimed_monai.metrics.key_scores import RowScore, whole_output
from semimed_monai.metrics.rows import Column


def class_dice(segmentation: Tensor, mask: Tensor, has_mask: Tensor, classes: int) -> Tensor:
    """2 |A ∩ S| / (|A| + |S|) for each item and each class but the background.

    nan, so that it does not count, where neither has the class and where the item was given no mask; 0 where only one
    of them has it (a class that was made up costs as much as one that was missed).

        >>> import torch
        >>> found, mask = torch.tensor([[[[1, 1], [0, 0]]]]), torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
        >>> class_dice(found, mask, torch.tensor([True]), classes=3)
        tensor([[0.6667,    nan]])

    Args:
        segmentation: B×1×H×W class numbers.
        mask: B×1×H×W class numbers.
        has_mask: B booleans.
        classes: C, the background among them.

    Returns:
        B×(C−1) on the CPU.

    Raises:
        ValueError: shapes that differ, or a class number beyond C−1.
    """
    found, given = _by_class(segmentation, mask, classes)
    dice: Tensor = compute_dice(found, given, include_background=False, ignore_empty=False).cpu()
    return where(_counts(found, given, has_mask), dice, nan)


def class_hd95(segmentation: Tensor, mask: Tensor, has_mask: Tensor, classes: int) -> Tensor:
    """The 95th percentile of the distances between the two outlines, the larger of both directions, in pixels.

    Pixels are those of the network's image: batches carry no spacing, and knees of different spacing are brought to one
    size. nan as in `class_dice`; where only one of them has the class the distance is the image's diagonal, the largest
    there is (MONAI gives infinity, of which there is no mean).

        >>> import torch
        >>> found, mask = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
        >>> found[..., 2, 2], mask[..., 2, 5] = 1, 1
        >>> class_hd95(found, mask, torch.tensor([True]), classes=2)
        tensor([[3.]])

    Args:
        segmentation: as in `class_dice`, and so is all that follows.
        mask: class numbers.
        has_mask: booleans.
        classes: C.

    Returns:
        B×(C−1) on the CPU.
    """
    found, given = _by_class(segmentation, mask, classes)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*all 0")  # an empty class is answered below
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)  # MONAI's own call
        distances = compute_hausdorff_distance(found, given, percentile=95).cpu()
    distances = distances.nan_to_num(nan=math.inf).clamp(max=math.hypot(*mask.shape[2:]))
    return where(_counts(found, given, has_mask), distances, nan)


def _by_class(segmentation: Tensor, mask: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Both as B×C×H×W of 0 and 1."""
    if segmentation.shape != mask.shape or mask.ndim != 4 or mask.shape[1] != 1:
        raise ValueError(f"wanted B×1×H×W twice, got {tuple(segmentation.shape)} and {tuple(mask.shape)}")
    highest = int(max(segmentation.max(), mask.max()))
    if highest >= classes:
        raise ValueError(f"class number {highest} in a mask, but {classes} classes: check the datalist's classes")
    return one_hot(segmentation.long(), classes), one_hot(mask.long(), classes)


def _counts(found: Tensor, given: Tensor, has_mask: Tensor) -> Tensor:
    """B×(C−1): whether the item was given a mask and either side has the class."""
    there = ((found + given) > 0).flatten(2).any(dim=2)[:, 1:]
    return (there & has_mask.to(there.device)[:, None]).cpu()


MEASURES: dict[str, Callable[[Tensor, Tensor, Tensor, int], Tensor]] = {"dice": class_dice, "hd95_px": class_hd95}


def mean_of_classes(values: FloatArray) -> tuple[float, FloatArray]:
    """Each class's mean over the items that count, and the mean of those; nan where no item counts.

        >>> mean_of_classes(np.array([[1.0, np.nan], [0.5, 0.25]]))
        (0.5, array([0.75, 0.25]))

    Args:
        values: N×K, nan for what does not count.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        classes = np.nanmean(values, axis=0)
        return float(np.nanmean(classes)), classes


class SegmentationScore(RowScore):
    """Dice or HD95: the mean over classes of the mean over items, or one class's.

        >>> import torch
        >>> metric = SegmentationScore("dice", classes=2)
        >>> mask = torch.ones(1, 1, 4, 4)
        >>> metric.update((["a"], mask.long(), mask, torch.tensor([True])))
        >>> metric.compute()
        1.0

    HD95 is better when smaller: `KeepBest` takes the largest, so choose by Dice.

    Args:
        score: "dice" or "hd95_px".
        classes: number of classes, background among them.
        only: number of the one class to score, or None for the mean of all but the background.
        output_transform: see RowScore; keys id, segmentation, mask (both B×1×H×W), has_mask (B).

    Raises:
        ValueError: an unknown score, or a class that is none or the background.
    """

    required_output_keys = ("id", "segmentation", "mask", "has_mask")

    def __init__(
        self,
        score: str = "dice",
        classes: int = 2,
        only: int | None = None,
        output_transform: Callable[[Any], Any] = whole_output,
    ) -> None:
        if score not in MEASURES:
            raise ValueError(f"there is no score {score!r}: choose one of {', '.join(MEASURES)}")
        if only is not None and not 0 < only < classes:
            raise ValueError(f"class {only} cannot be scored: choose one from 1 to {classes - 1}")
        self.chosen, self.classes, self.only = score, classes, only
        super().__init__(output_transform)

    def update(self, output: tuple[Sequence[str], Tensor, Tensor, Tensor]) -> None:
        """Add a batch."""
        ids, segmentation, mask, has_mask = output
        self.rows.extend(id=ids, value=MEASURES[self.chosen](segmentation, mask, has_mask, self.classes))

    def score(self, rows: Mapping[str, Column]) -> float:
        """The mean of the chosen class, or of all."""
        mean, each = mean_of_classes(rows["value"])
        return mean if self.only is None else float(each[self.only - 1])
