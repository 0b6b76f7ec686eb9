"""The handler that writes down the grade of every slice that inference saw."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ignite.engine import Engine, Events
from torch import Tensor

from semimed_monai.files import write_table

logger = logging.getLogger("semimed")


class GradeTable:
    """One line per slice: file, slice, grade and each class's probability, as the deployed network gives them.

    >>> import torch
    >>> table = GradeTable("grades.csv", ["normal", "torn"])
    >>> table.add("knee.nii.gz", 3, torch.tensor([0.2, 0.8]))
    >>> table.rows[0]["grade"]
    'torn'

    Args:
        path: the CSV file.
        classes: class names, in the order of the network's planes 1, 2, ….
        key: where in a row of the evaluator's output the network's tensor stands, (1+C)×H×W.
    """

    def __init__(self, path: str | Path, classes: Sequence[str], key: str = "pred") -> None:
        self.path = Path(path)
        self.classes = list(classes)
        self.key = key
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """To a MONAI evaluator that decollates, as it does by default."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)

    def _collect(self, engine: Engine) -> None:
        batch, output = (
            cast(list[Mapping[str, Any]], engine.state.batch),
            cast(list[Mapping[str, Any]], engine.state.output),
        )
        for row, found in zip(batch, output, strict=True):
            if not row["problem"]:
                self.add(row["source"], int(row["slice"]), found[self.key][1:, 0, 0])

    def add(self, image: str, index: int, probabilities: Tensor) -> None:
        """Take one slice's class probabilities."""
        grade = self.classes[int(probabilities.argmax())]
        chances = {f"probability/{name}": float(value) for name, value in zip(self.classes, probabilities, strict=True)}
        self.rows.append({"image": image, "slice": index, "grade": grade, **chances})

    def finish(self) -> None:
        """Write the file and say where it is."""
        if self.rows:
            write_table(self.path, self.rows)
            logger.info("grades of %d slices: %s", len(self.rows), self.path)
