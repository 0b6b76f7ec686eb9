"""Scores as ignite metrics, one number each: what a validation chooses the best epoch by.

In a recipe: `"key_metric": {"f1": {"_target_": "semimed_monai.metrics.GradingScore", "score": "f1"}}`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine
from ignite.metrics import Metric
from torch import Tensor

from semimed_monai.metrics.grading import finding_scores, grading_scores, mean_of_known
from semimed_monai.metrics.localisation import given_masks, iou, measures
from semimed_monai.metrics.rows import Column, Rows
from semimed_monai.metrics.tiou import macro_tiou, tiou
from semimed_monai.vocabulary import UNLABELLED, share


def whole_output(output: Any) -> Any:
    return output


class RowScore(Metric):
    """score(all rows of the set): computed once, over every process's rows, however they were cut into batches.

    A new score says in `required_output_keys` what it needs of the evaluator's output, keeps what it needs of a batch
    with `self.rows.extend(id=…, …)` in `update`, and computes its number in `score`.

    Args:
        output_transform: from `engine.state.output` to a mapping with `required_output_keys` or a tuple in that order.

    Raises:
        ValueError: at the end of an epoch, if this is the engine's key metric and the set has no row that it can score
            (nan would be taken for the best value ever after), or, as from Metric, if the output lacks a key.
    """

    required_output_keys: tuple[str, ...] | None = ("id",)

    def __init__(self, output_transform: Callable[[Any], Any] = whole_output) -> None:
        self.rows = Rows()
        super().__init__(output_transform=output_transform, device="cpu", skip_unrolling=True)

    def reset(self) -> None:
        """Forget all rows."""
        self.rows.reset()

    @abstractmethod
    def score(self, rows: Mapping[str, Column]) -> float:
        """The number, from the gathered columns (at least one row)."""

    def compute(self) -> float:
        """The score of all processes' rows; nan if there are none."""
        rows = self.rows.gathered()
        return self.score(rows) if rows else math.nan

    def completed(self, engine: Engine, name: str) -> None:
        """Put the score into `engine.state.metrics`."""
        super().completed(engine, name)
        if math.isnan(engine.state.metrics[name]) and getattr(engine.state, "key_metric_name", None) == name:
            raise ValueError(
                f"the key metric {name} cannot be computed on this section: it has no row that counts "
                "(labels of two classes for an AUC, masks for TIoU); choose another key metric or give it such rows"
            )


class GradingScore(RowScore):
    """One of `grading_scores`: "f1", "recall", "specificity", "auc" (macro), "accuracy" or "class_accuracy".

        >>> import torch
        >>> metric = GradingScore("f1")
        >>> metric.update((["a", "b"], torch.tensor([0, 1]), torch.tensor([[0.9, 0.1], [0.2, 0.8]])))
        >>> metric.compute()
        1.0

    Args:
        score: which one; of rows that may have several classes there is "auc" only.
        output_transform: see RowScore; keys id, label (B, -1 = unlabelled, or B×C), probabilities (B×C).

    Raises:
        ValueError: an unknown score.
    """

    required_output_keys = ("id", "label", "probabilities")
    names = ("recall", "specificity", "f1", "auc", "accuracy", "class_accuracy")

    def __init__(self, score: str = "f1", output_transform: Callable[[Any], Any] = whole_output) -> None:
        if score not in self.names:
            raise ValueError(f"there is no score {score!r}: choose one of {', '.join(self.names)}")
        self.chosen = score
        super().__init__(output_transform)

    def update(self, output: tuple[Sequence[str], Tensor, Tensor]) -> None:
        """Add a batch."""
        ids, label, probabilities = output
        self.rows.extend(id=ids, label=label, probabilities=probabilities)

    def score(self, rows: Mapping[str, Column]) -> float:
        """The chosen score."""
        labels = rows["label"]
        if labels.ndim == 1:
            return grading_scores(rows["probabilities"], labels)[self.chosen]
        if self.chosen != "auc":
            raise ValueError(f"rows may have several classes, of which there is no score {self.chosen!r}: use 'auc'")
        return finding_scores(rows["probabilities"], labels)["auc"]


class LogLikelihood(RowScore):
    """The mean of log p_label over labelled rows: a validation's cross-entropy, turned so that larger is better.

        >>> import torch
        >>> metric = LogLikelihood()
        >>> metric.update((["a", "b"], torch.tensor([0, -1]), torch.tensor([[0.5, 0.5], [0.2, 0.8]])))
        >>> round(metric.compute(), 4)
        -0.6931

    Args:
        output_transform: see RowScore; keys id, label (B, -1 = unlabelled), probabilities (B×C).
    """

    required_output_keys = ("id", "label", "probabilities")

    def update(self, output: tuple[Sequence[str], Tensor, Tensor]) -> None:
        """Add a batch."""
        ids, label, probabilities = output
        of_label = probabilities.double().gather(1, label.clamp(min=0)[:, None])[:, 0]
        self.rows.extend(id=ids, log=of_label.clamp(min=1e-12).log().where(label != UNLABELLED, torch.nan))

    def score(self, rows: Mapping[str, Column]) -> float:
        """The mean over the labelled rows."""
        return mean_of_known(rows["log"])


class TIoUScore(RowScore):
    """TIoU of the predicted class's map, over all cases with a mask or as the mean over classes.

        >>> import torch
        >>> metric = TIoUScore()
        >>> ones = torch.ones(1, 1, 4, 4)
        >>> metric.update((["a"], torch.tensor([0]), ones, ones, torch.tensor([True])))
        >>> metric.compute()
        1.0

    Args:
        threshold: b, what of a map counts as attended.
        macro: the mean over classes instead of over cases.
        output_transform: see RowScore; keys id, label, map, mask (both B×1×H×W), has_mask (B).
    """

    required_output_keys = ("id", "label", "map", "mask", "has_mask")

    def __init__(
        self,
        threshold: float = 0.5,
        macro: bool = False,
        output_transform: Callable[[Any], Any] = whole_output,
    ) -> None:
        self.threshold, self.macro = share("threshold", threshold), macro
        super().__init__(output_transform)

    def update(self, output: tuple[Sequence[str], Tensor, Tensor, Tensor, Tensor]) -> None:
        """Add a batch."""
        ids, label, maps, masks, has_mask = output
        self.rows.extend(id=ids, label=label, iou=iou(maps, given_masks(masks, has_mask), self.threshold))

    def score(self, rows: Mapping[str, Column]) -> float:
        """TIoU, micro or macro."""
        return macro_tiou(rows["iou"], rows["label"]) if self.macro else tiou(rows["iou"])


class LocalisationScore(RowScore):
    """One of `measures`: "iou", "pointing_game", "energy_inside" or "pixel_ap", the mean over all cases with a mask.

        >>> import torch
        >>> metric = LocalisationScore("pixel_ap")
        >>> ones = torch.ones(1, 1, 4, 4)
        >>> metric.update((["a"], ones, ones, torch.tensor([True])))
        >>> metric.compute()
        1.0

    Args:
        score: which one.
        threshold: of the IoU.
        output_transform: see RowScore; keys id, map, mask (both B×1×H×W), has_mask (B).

    Raises:
        ValueError: an unknown score.
    """

    required_output_keys = ("id", "map", "mask", "has_mask")

    def __init__(
        self, score: str = "iou", threshold: float = 0.5, output_transform: Callable[[Any], Any] = whole_output
    ) -> None:
        there = measures(share("threshold", threshold))
        if score not in there:
            raise ValueError(f"there is no score {score!r}: choose one of {', '.join(there)}")
        self.measure = there[score]
        super().__init__(output_transform)

    def update(self, output: tuple[Sequence[str], Tensor, Tensor, Tensor]) -> None:
        """Add a batch."""
        ids, maps, masks, has_mask = output
        self.rows.extend(id=ids, value=self.measure(maps, given_masks(masks, has_mask)))

    def score(self, rows: Mapping[str, Column]) -> float:
        """The mean."""
        return mean_of_known(rows["value"])
