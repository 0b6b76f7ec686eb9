"""What a detector's maps are worth: the image's score, and FROC with its intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import ignite.distributed as idist
import numpy as np
from ignite.metrics import Metric
from scipy.special import expit

from semimed_monai.metrics.collected import taken
from semimed_monai.metrics.froc import LEVELS, RATES, Counts, LevelCounts, levels_of, recall_at, write_curve
from semimed_monai.metrics.grading import IntArray, grading_scores
from semimed_monai.metrics.key_scores import whole_output
from semimed_monai.metrics.predictions import Predictions

_OF_LESIONS = ("id", "label", "image", "map", "boxes")
_NOTED = np.unique(np.rint(LEVELS * expit(np.linspace(-12, 12, 301))).clip(1, LEVELS)).astype(np.intp)
"""The levels at which an image's counts are kept, for the intervals: even in log-odds, where maps differ."""


def lesion_counts(output: Mapping[str, Any]) -> Iterator[LevelCounts]:
    """Each row's `LevelCounts`.

    Args:
        output: of an evaluator: id, label, image (B×C×H×W), map (B×1×h×w) and boxes (of each row N×4, in the image's
            pixels).

    Raises:
        ValueError: a positive image without a box, whose finds could be neither right nor wrong.
    """
    ids, labels, images, maps, boxes = taken(output, _OF_LESIONS).values()
    scale = np.array([maps.shape[3] / images.shape[3], maps.shape[2] / images.shape[2]] * 2)
    for name, label, map_, of_row in zip(ids, labels.tolist(), maps, boxes, strict=True):
        if label == 1 and not len(of_row):
            raise ValueError(f"{name} is a positive without a box: FROC needs one, or leave the image out")
        yield LevelCounts.of(levels_of(map_[0].float().cpu().numpy()), of_row.cpu().numpy() * scale)


class FrocScore(Metric):
    """FROC of all processes' images as they come: the mean recall at 0.1 … 0.5 false positives per image.

    Its state is a histogram over the levels of a 16-bit map, whatever the number of images. With `rates` [0.1] it is
    the recall there.

    >>> import torch
    >>> metric, found = FrocScore(), torch.zeros(1, 1, 8, 8)
    >>> found[0, 0, 2, 2] = 0.9
    >>> boxes = [torch.tensor([[8.0, 8.0, 12.0, 12.0]])]
    >>> metric.update((["a"], torch.tensor([1]), torch.zeros(1, 1, 32, 32), found, boxes))
    >>> metric.compute()
    1.0

    Args:
        rates: of false positives per image.
        output_transform: from `engine.state.output` to a mapping or tuple of id, label, image, map and boxes.
    """

    required_output_keys = _OF_LESIONS

    def __init__(self, rates: Sequence[float] = RATES, output_transform: Callable[[Any], Any] = whole_output) -> None:
        self.rates = tuple(rates)
        super().__init__(output_transform=output_transform, device="cpu", skip_unrolling=True)

    def reset(self) -> None:
        """Forget all images."""
        self._counts = LevelCounts.none()

    def update(self, output: Sequence[Any]) -> None:
        """Add a batch."""
        for counts in lesion_counts(dict(zip(_OF_LESIONS, output, strict=True))):
            self._counts += counts

    def compute(self) -> float:
        """The score; nan without a lesion."""
        return _of_all_processes(self._counts).score(self.rates)


class LesionPredictions(Predictions):
    """One row per item: id, group, label, probabilities, and how many lesions and false finds there are by level.

    Its scores are recall, f1, auc, accuracy of the image's score, and froc and recall_at_0.1 of the map. Those are
    exact, over all 65535 levels; their intervals come from counts at some 280 levels of each image, which keep two
    kilobytes of it.

    Args:
        rate: of false positives per image, at which the recall is a score of its own.
    """

    def __init__(self, rate: float = 0.1) -> None:
        super().__init__()
        self.rate = rate

    def reset(self) -> None:
        """Forget all rows."""
        super().reset()
        self.counts = LevelCounts.none()

    def columns(self, output: Mapping[str, Any]) -> dict[str, Any]:
        """What is kept of a batch."""
        each = list(lesion_counts(output))
        for counts in each:
            self.counts += counts
        return {
            **taken(output, self.needed),
            "lesions": np.array([counts.lesions for counts in each]),
            "false": np.stack([counts.false_positives[_NOTED] for counts in each]).astype(np.int32),
            "recalled": np.stack([counts.recalled[_NOTED] for counts in each]).astype(np.int32),
        }

    def gather(self) -> None:
        """Bring all processes' rows and counts together."""
        super().gather()
        self.counts = _of_all_processes(self.counts)

    def statistic(self, classes: Sequence[str]) -> Callable[[IntArray], dict[str, float]]:
        """From the indices of rows to their scores."""
        rows = self.rows

        def scores_of(drawn: IntArray) -> dict[str, float]:
            false, recalled = (cast(Counts, rows[name][drawn].sum(axis=0)) for name in ("false", "recalled"))
            found = grading_scores(rows["probabilities"][drawn], rows["label"][drawn], classes)
            recalls = recall_at(false, recalled, len(drawn), int(rows["lesions"][drawn].sum()), (*RATES, self.rate))
            return {**found, "froc": float(recalls[:-1].mean()), self._recall_name: float(recalls[-1])}

        return scores_of

    def scores(
        self, classes: Sequence[str], bootstrap_repeats: int = 1000, seed: int = 0
    ) -> dict[str, dict[str, float]]:
        """As for every `Collected`; froc and the recall are those over all levels."""
        scores = super().scores(classes, bootstrap_repeats, seed)
        scores["froc"]["value"] = self.counts.score()
        scores[self._recall_name]["value"] = float(self.counts.recall_at([self.rate])[0])
        return scores

    def save(self, folder: Path) -> None:
        """The FROC curve, as froc.csv."""
        write_curve(folder / "froc.csv", self.counts)

    @property
    def _recall_name(self) -> str:
        return f"recall_at_{self.rate:g}"


def _of_all_processes(own: LevelCounts) -> LevelCounts:
    parts = cast(list[LevelCounts], idist.all_gather(own))
    return sum(parts[1:], start=parts[0]) if idist.get_world_size() > 1 else own
