"""What a network said about each item of a section: the grades of a classifier, the masks of a segmenter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from semimed_monai.metrics.collected import Collected, taken
from semimed_monai.metrics.grading import FloatArray, IntArray, finding_scores, grading_scores
from semimed_monai.metrics.rows import Column
from semimed_monai.metrics.segmentation import MEASURES, mean_of_classes
from semimed_monai.metrics.tiou import baseline_ious, given_masks, iou, macro_tiou, radial_profile, tiou
from semimed_monai.vocabulary import share


class Predictions(Collected):
    """One row per item: id, group, label, probabilities and, where maps come, their IoU.

    Maps and masks are not kept: of a mask stays what the baselines' IoU asks (`radial_profile`). An output has id,
    group (B strings), label (B, or B×C where there may be several; -1 = unlabelled) and probabilities (B×C); from a
    network with maps also map (of the predicted class), mask (both B×1×H×W) and has_mask (B).

        >>> import torch
        >>> predictions = Predictions()
        >>> predictions.update({"id": ["a", "b"], "group": ["p", "q"], "label": torch.tensor([0, 1]),
        ...                     "probabilities": torch.tensor([[0.9, 0.1], [0.2, 0.8]])})
        >>> predictions.gather()
        >>> predictions.scores(["normal", "torn"], bootstrap_repeats=100)["recall/torn"]["value"]
        1.0

    Its scores are those of `grading_scores`, or, with several labels, of `finding_scores`; where maps came also tiou,
    tiou_macro, and tiou_disc and tiou_ones, what a fixed shape would reach on these masks. All are fractions.

    Args:
        threshold: b, what of a map counts as attended: report it with every TIoU.
    """

    needed = ("id", "group", "label", "probabilities")
    of_maps = ("map", "mask", "has_mask")

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        self.threshold = share("threshold", threshold)

    def columns(self, output: Mapping[str, Any]) -> dict[str, Any]:
        """What is kept of a batch."""
        columns = taken(output, self.needed)
        if "map" in output:
            maps, mask, has_mask = taken(output, self.of_maps).values()
            masks = given_masks(mask, has_mask)
            columns |= {"iou": iou(maps, masks, self.threshold), "radial_profile": radial_profile(masks)}
        return columns

    def table(self, classes: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """A plain dict per item, for a CSV: id, group, label, predicted, probability/<class>, iou where maps came.

        In place of label and predicted stands label/<class> where there may be several.

        Args:
            classes: names for the probabilities' columns; without them, the classes' indices.
        """
        rows = self.rows
        names = [str(index) for index in range(rows["probabilities"].shape[1])] if classes is None else classes
        lines = []
        for row, probabilities in enumerate(rows["probabilities"].tolist()):
            line: dict[str, Any] = {"id": str(rows["id"][row]), "group": str(rows["group"][row])}
            label = rows["label"][row]
            if np.ndim(label):
                line |= {f"label/{name}": int(value) for name, value in zip(names, label, strict=True)}
            else:
                line |= {"label": int(label), "predicted": int(np.argmax(probabilities))}
            line |= {f"probability/{name}": value for name, value in zip(names, probabilities, strict=True)}
            lines.append(line | ({"iou": float(rows["iou"][row])} if "iou" in rows else {}))
        return lines

    def statistic(self, classes: Sequence[str]) -> Callable[[IntArray], dict[str, float]]:
        """From the indices of rows to their scores."""
        rows = self.rows
        maps = {"tiou": rows["iou"]} if "iou" in rows else {}
        if "radial_profile" in rows:
            maps |= {f"tiou_{name}": ious for name, ious in baseline_ious(rows["radial_profile"]).items()}
        return lambda drawn: _scores_of(rows, maps, drawn, classes)


def _scores_of(
    rows: Mapping[str, Column], maps: Mapping[str, FloatArray], drawn: IntArray, classes: Sequence[str]
) -> dict[str, float]:
    """All scores of the drawn rows."""
    labels = rows["label"][drawn]
    score = grading_scores if labels.ndim == 1 else finding_scores
    found = score(rows["probabilities"][drawn], labels, classes)
    found |= {name: tiou(ious[drawn]) for name, ious in maps.items()}
    if labels.ndim > 1:
        return found
    return found | ({"tiou_macro": macro_tiou(maps["tiou"][drawn], labels)} if "tiou" in maps else {})


class SegmentationPredictions(Collected):
    """One row per item: id, group, Dice and HD95 of every class but the background; masks are not kept.

    An output has id, group (B strings), segmentation, mask (both B×1×H×W) and has_mask (B).

        >>> import torch
        >>> predictions, mask = SegmentationPredictions(classes=2), torch.ones(1, 1, 4, 4)
        >>> predictions.update({"id": ["a"], "group": ["p"], "segmentation": mask.long(), "mask": mask,
        ...                     "has_mask": torch.tensor([True])})
        >>> predictions.gather()
        >>> predictions.scores(["background", "cartilage"])["dice/cartilage"]["value"]
        1.0

    Its scores are dice/<class> and hd95_px/<class>, means over the items that count (`class_dice` says which), and dice
    and hd95_px, the means of those. Dice is a fraction, HD95 in pixels of the network's image.

    Args:
        classes: number of classes, background among them.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def columns(self, output: Mapping[str, Any]) -> dict[str, Any]:
        """What is kept of a batch."""
        segmentation, mask, has_mask = taken(output, ("segmentation", "mask", "has_mask")).values()
        measured = {score: measure(segmentation, mask, has_mask, self.classes) for score, measure in MEASURES.items()}
        return taken(output, ("id", "group")) | measured

    def table(self, classes: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """A plain dict per item, for a CSV: id, group, then dice/<class> and hd95_px/<class>."""
        rows = self.rows
        names = list(range(1, self.classes)) if classes is None else classes[1:]
        lines = []
        for row in range(len(rows["id"])):
            line: dict[str, Any] = {"id": str(rows["id"][row]), "group": str(rows["group"][row])}
            for score in MEASURES:
                line |= {f"{score}/{name}": value for name, value in zip(names, rows[score][row].tolist(), strict=True)}
            lines.append(line)
        return lines

    def statistic(self, classes: Sequence[str]) -> Callable[[IntArray], dict[str, float]]:
        """From the indices of rows to their scores."""
        rows = self.rows

        def scores_of(drawn: IntArray) -> dict[str, float]:
            found = {}
            for score in MEASURES:
                found[score], each = mean_of_classes(rows[score][drawn])
                found |= {f"{score}/{name}": float(value) for name, value in zip(classes[1:], each, strict=True)}
            return found

        return scores_of
