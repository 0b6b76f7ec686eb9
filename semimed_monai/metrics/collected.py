"""What an evaluation keeps of each item, and the scores of it with their intervals: the part that no task changes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from semimed_monai.metrics.bootstrap import bootstrap_interval
from semimed_monai.metrics.grading import IntArray
from semimed_monai.metrics.rows import Column, Rows


class Collected(ABC):
    """A handler that keeps one row per item; `Predictions` is one for grading, `SegmentationPredictions` for masks.

    Attach it to an evaluator before whatever reads it at EPOCH_COMPLETED; in several processes each must have one, and
    each then holds all rows. A new one says in `columns` what it keeps of a batch, in `table` what it shows of an item,
    and in `statistic` how rows become scores.

    Raises:
        ValueError: from `rows`, `table`, `scores` if nothing was gathered; from `update` if the output lacks a key.
    """

    def __init__(self) -> None:
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
        """Add a batch: what the evaluator put out."""
        self._collected.extend(**self.columns(output))

    def gather(self) -> None:
        """Bring all processes' rows together, one for each id, sorted by id; every process must call it."""
        self._rows = self._collected.gathered()

    @property
    def rows(self) -> dict[str, Column]:
        """The gathered columns by name; id and group are among them."""
        if not self._rows:
            raise ValueError("no predictions were gathered: run the evaluator that they are attached to first")
        return self._rows

    def save(self, folder: Path) -> None:  # noqa: B027 - not abstract: most have nothing to add
        """Write what else there is to keep of the section into a folder; most have nothing."""

    @abstractmethod
    def columns(self, output: Mapping[str, Any]) -> dict[str, Any]:
        """What is kept of a batch."""

    @abstractmethod
    def table(self, classes: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """A plain dict per item, for a CSV."""

    @abstractmethod
    def statistic(self, classes: Sequence[str]) -> Callable[[IntArray], dict[str, float]]:
        """From the indices of rows to their scores."""

    def scores(
        self, classes: Sequence[str], bootstrap_repeats: int = 1000, seed: int = 0
    ) -> dict[str, dict[str, float]]:
        """Every score with its 95 % bootstrap interval by group.

        Args:
            classes: names, in the order of their numbers.
            bootstrap_repeats: 0 for no interval (low and high are nan).
            seed: of the bootstrap.

        Returns:
            name -> {"value", "low", "high"}; nan where nothing counts.
        """
        rows, statistic = self.rows, self.statistic(classes)
        values = statistic(np.arange(len(rows["id"])))
        intervals = dict.fromkeys(values, (math.nan, math.nan))
        if bootstrap_repeats:
            intervals = bootstrap_interval(statistic, rows["group"], bootstrap_repeats, seed=seed)
        return {
            name: {"value": value, "low": intervals[name][0], "high": intervals[name][1]}
            for name, value in values.items()
        }


def taken(output: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """These keys of an evaluator's output.

    Raises:
        ValueError: it lacks one.
    """
    missing = [key for key in keys if key not in output]
    if missing:
        raise ValueError(f"the evaluator's output lacks {', '.join(missing)}; it has {', '.join(output)}")
    return {key: output[key] for key in keys}
