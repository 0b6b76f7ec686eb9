"""What a network said about each item of a section: the grades of a classifier, the masks of a segmenter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from semimed_monai.metrics.collected import Collected, taken
from semimed_monai.metrics.grading import FloatArray, IntArray, finding_scores, grading_scores, mean_of_known
from semimed_monai.metrics.localisation import given_masks, measures
from semimed_monai.metrics.ordinal import ordinal_statistic
from semimed_monai.metrics.rows import Column
from semimed_monai.metrics.segmentation import MEASURES, mean_of_classes
from semimed_monai.metrics.studies import study_statistic
from semimed_monai.metrics.tiou import baseline_ious, macro_tiou, radial_profile, tiou
from semimed_monai.vocabulary import flag, share


class Predictions(Collected):
    """One row per item: id, group, label, probabilities and, where maps come, their `measures`.

    Maps and masks are not kept: of a mask stays what the baselines' IoU asks (`radial_profile`). An output has id,
    group (B strings), label (B, or B×C where there may be several; -1 = unlabelled) and probabilities (B×C); from a
    network with maps also map (of the predicted class), mask (both B×1×H×W) and has_mask (B); where the section's
    items have studies, study (B strings).

        >>> import torch
        >>> predictions = Predictions()
        >>> predictions.update({"id": ["a", "b"], "group": ["p", "q"], "label": torch.tensor([0, 1]),
        ...                     "probabilities": torch.tensor([[0.9, 0.1], [0.2, 0.8]])})
        >>> predictions.gather()
        >>> predictions.scores(["normal", "torn"], bootstrap_repeats=100)["recall/torn"]["value"]
        1.0

    Its scores are those of `grading_scores`, or, with several labels, of `finding_scores`; where maps came also tiou,
    tiou_macro, and tiou_disc and tiou_ones, what a fixed shape would reach on these masks, and the mean of each of
    `measures`; where studies came, and an item has one label, those of `study_statistic`. All are fractions, but
    study_kappa may be below 0.

    Args:
        threshold: b, what of a map counts as attended: report it with every TIoU and IoU.
        ordinal: whether the classes are grades in their order: then also the scores of `ordinal_statistic`.
    """

    needed = ("id", "group", "label", "probabilities")
    of_maps = ("map", "mask", "has_mask")

    def __init__(self, threshold: float = 0.5, ordinal: bool = False) -> None:
        super().__init__()
        self.measures = measures(share("threshold", threshold))
        self.ordinal = flag("ordinal", ordinal)

    def columns(self, output: Mapping[str, Any]) -> dict[str, Any]:
        """What is kept of a batch."""
        columns = taken(output, self.needed)
        if "study" in output:
            columns["study"] = output["study"]
        if "map" in output:
            maps, mask, has_mask = taken(output, self.of_maps).values()
            masks = given_masks(mask, has_mask)
            columns |= {name: measure(maps, masks) for name, measure in self.measures.items()}
            columns["radial_profile"] = radial_profile(masks)
        return columns

    def table(self, classes: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """A plain dict per item, for a CSV: id, group, label, predicted, probability/<class>.

        In place of label and predicted stands label/<class> where there may be several; study stands after group where
        studies came, and each of `measures` at the end where maps came.

        Args:
            classes: names for the probabilities' columns; without them, the classes' indices.
        """
        rows = self.rows
        names = [str(index) for index in range(rows["probabilities"].shape[1])] if classes is None else classes
        named = [name for name in ("id", "group", "study") if name in rows]
        measured = [name for name in self.measures if name in rows]
        lines = []
        for row, probabilities in enumerate(rows["probabilities"].tolist()):
            line: dict[str, Any] = {name: str(rows[name][row]) for name in named}
            label = rows["label"][row]
            if np.ndim(label):
                line |= {f"label/{name}": int(value) for name, value in zip(names, label, strict=True)}
            else:
                line |= {"label": int(label), "predicted": int(np.argmax(probabilities))}
            line |= {f"probability/{name}": value for name, value in zip(names, probabilities, strict=True)}
            lines.append(line | {name: float(rows[name][row]) for name in measured})
        return lines

    def statistic(self, classes: Sequence[str]) -> Callable[[IntArray], dict[str, float]]:
        """From the indices of rows to their scores."""
        rows = self.rows
        one_label = rows["label"].ndim == 1
        score = grading_scores if one_label else finding_scores
        further = []
        if "iou" in rows:
            further.append(_map_statistic(rows, list(self.measures)))
        if one_label and self.ordinal:
            further.append(ordinal_statistic(rows["probabilities"], rows["label"], classes))
        if one_label and "study" in rows:
            further.append(study_statistic(rows["probabilities"], rows["label"], rows["study"]))

        def scores_of(drawn: IntArray) -> dict[str, float]:
            found = score(rows["probabilities"][drawn], rows["label"][drawn], classes)
            for statistic in further:
                found |= statistic(drawn)
            return found

        return scores_of


def _map_statistic(rows: Mapping[str, Column], measured: Sequence[str]) -> Callable[[IntArray], dict[str, float]]:
    """From the indices of rows to the scores of their maps."""
    ious: dict[str, FloatArray] = {"tiou": rows["iou"]}
    ious |= {f"tiou_{name}": of_shape for name, of_shape in baseline_ious(rows["radial_profile"]).items()}

    def scores_of(drawn: IntArray) -> dict[str, float]:
        found = {name: tiou(values[drawn]) for name, values in ious.items()}
        if rows["label"].ndim == 1:
            found["tiou_macro"] = macro_tiou(rows["iou"][drawn], rows["label"][drawn])
        return found | {name: mean_of_known(rows[name][drawn]) for name in measured}

    return scores_of


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
