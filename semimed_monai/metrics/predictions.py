"""What a network said about each item of a section, and the scores of it with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from semimed_monai.metrics.bootstrap import bootstrap_interval
from semimed_monai.metrics.grading import FloatArray, IntArray, grading_scores
from semimed_monai.metrics.rows import Column, Rows
from semimed_monai.metrics.tiou import baseline_ious, given_masks, iou, macro_tiou, radial_profile, tiou


class Predictions:
    """A handler that keeps one row per item: id, group, label, probabilities and, where maps come, their IoU.

    Attach it to an evaluator before whatever reads it at EPOCH_COMPLETED; in several processes each must have one, and
    each then holds all rows. Maps and masks are not kept: of a mask stays what the baselines' IoU asks
    (`radial_profile`).

        >>> import torch
        >>> predictions = Predictions()
        >>> predictions.update({"id": ["a", "b"], "group": ["p", "q"], "label": torch.tensor([0, 1]),
        ...                     "probabilities": torch.tensor([[0.9, 0.1], [0.2, 0.8]])})
        >>> predictions.gather()
        >>> predictions.scores(["normal", "torn"], bootstrap_repeats=100)["recall/torn"]["value"]
        1.0

    Args:
        threshold: b, what of a map counts as attended: report it with every TIoU.

    Raises:
        ValueError: from `rows`, `table`, `scores` if nothing was gathered; from `update` if the output lacks a key.
    """

    needed = ("id", "group", "label", "probabilities")
    of_maps = ("map", "mask", "has_mask")

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold
        self._collected = Rows()
        self._rows: dict[str, Column] = {}

    def attach(self, engine: Engine) -> None:
        """Collect each epoch of `engine` anew; its `state.output` is what `update` takes."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda running: self.update(running.state.output))
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.gather)

    def reset(self) -> None:
        """Forget all rows."""
        self._collected.reset()
        self._rows = {}

    def update(self, output: Mapping[str, Any]) -> None:
        """Add a batch.

        Args:
            output: id, group (B strings), label (B, -1 = unlabelled), probabilities (B×C); from a network with maps
                also map (of the predicted class), mask (both B×1×H×W) and has_mask (B).
        """
        needed = self.needed + (self.of_maps if "map" in output else ())
        missing = [key for key in needed if key not in output]
        if missing:
            raise ValueError(f"the evaluator's output lacks {', '.join(missing)}; it has {', '.join(output)}")
        columns = {key: output[key] for key in self.needed}
        if "map" in output:
            masks = given_masks(output["mask"], output["has_mask"])
            columns |= {"iou": iou(output["map"], masks, self.threshold), "radial_profile": radial_profile(masks)}
        self._collected.extend(**columns)

    def gather(self) -> None:
        """Bring all processes' rows together, one for each id, sorted by id; every process must call it."""
        self._rows = self._collected.gathered()

    @property
    def rows(self) -> dict[str, Column]:
        """The gathered columns by name: id, group, label, probabilities, and iou and radial_profile where maps came."""
        if not self._rows:
            raise ValueError("no predictions were gathered: run the evaluator that they are attached to first")
        return self._rows

    def table(self, classes: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """A plain dict per item, for a CSV: id, group, label, predicted, probability/<class>, iou where maps came.

        Args:
            classes: names for the probabilities' columns; without them, the classes' indices.
        """
        rows = self.rows
        names = [str(index) for index in range(rows["probabilities"].shape[1])] if classes is None else classes
        lines = []
        for row, probabilities in enumerate(rows["probabilities"].tolist()):
            line = {"id": str(rows["id"][row]), "group": str(rows["group"][row]), "label": int(rows["label"][row])}
            line |= {"predicted": int(np.argmax(probabilities))}
            line |= {f"probability/{name}": value for name, value in zip(names, probabilities, strict=True)}
            lines.append(line | ({"iou": float(rows["iou"][row])} if "iou" in rows else {}))
        return lines

    def scores(
        self, classes: Sequence[str], bootstrap_repeats: int = 1000, seed: int = 0
    ) -> dict[str, dict[str, float]]:
        """Every score with its 95 % bootstrap interval by group.

        Args:
            classes: names, in the order of the probabilities.
            bootstrap_repeats: 0 for no interval (low and high are nan).
            seed: of the bootstrap.

        Returns:
            name -> {"value", "low", "high"}, fractions or nan. Names: recall, f1, auc, accuracy, recall/<class>; where
            maps came also tiou, tiou_macro, and tiou_disc and tiou_ones, what a fixed shape would reach on these masks.
        """
        rows = self.rows
        maps = {"tiou": rows["iou"]} if "iou" in rows else {}
        if "radial_profile" in rows:
            maps |= {f"tiou_{name}": ious for name, ious in baseline_ious(rows["radial_profile"]).items()}

        def statistic(drawn: IntArray) -> dict[str, float]:
            return _scores_of(rows, maps, drawn, classes)

        values = statistic(np.arange(len(rows["id"])))
        intervals = dict.fromkeys(values, (math.nan, math.nan))
        if bootstrap_repeats:
            intervals = bootstrap_interval(statistic, rows["group"], bootstrap_repeats, seed=seed)
        return {
            name: {"value": value, "low": intervals[name][0], "high": intervals[name][1]}
            for name, value in values.items()
        }


def _scores_of(
    rows: Mapping[str, Column], maps: Mapping[str, FloatArray], drawn: IntArray, classes: Sequence[str]
) -> dict[str, float]:
    """All scores of the drawn rows."""
    labels = rows["label"][drawn]
    found = grading_scores(rows["probabilities"][drawn], labels, classes)
    found |= {name: tiou(ious[drawn]) for name, ious in maps.items()}
    return found | ({"tiou_macro": macro_tiou(maps["tiou"][drawn], labels)} if "tiou" in maps else {})
