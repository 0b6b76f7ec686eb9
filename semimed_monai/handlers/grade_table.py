"""The handler that writes down the grade of every slice that inference saw, and each image's worst one."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from ignite.engine import Engine, Events
from torch import Tensor

from semimed_monai.files import whole, write_table

logger = logging.getLogger("semimed")


class GradeTable:
    """One line per slice: file, slice, grade and each class's probability, as the deployed network gives them.

    Classes are in order of severity: an image's worst grade is the last class that a slice of it was given, and of the
    slices with that grade the worst has the highest expected grade, Σ index · probability. The images that are `done`
    stand in a CSV (a row per slice; `worst` is 1 in the worst row of each image) and beside it the same as JSON, by
    image, with the images that could not be graded. Both are written as images get done, whole each time: whatever
    ends a run, a reader finds what was done until then.

    >>> import torch
    >>> table = GradeTable("grades.csv", ["normal", "torn"])
    >>> table.add("knee.nii.gz", 3, torch.tensor([0.2, 0.8]))
    >>> table.add("knee.nii.gz", 4, torch.tensor([0.6, 0.4]))
    >>> table.worst("knee.nii.gz")["grade"], table.worst("knee.nii.gz")["slice"]
    ('torn', 3)

    Args:
        path: the CSV file; the JSON file has its name.
        classes: class names, in the order of the network's planes 1, 2, ….
        key: where in a row of the evaluator's output the network's tensor stands, (1+C)×H×W.
        facts: what the grades are of: the network, its weights; stands in the JSON file.
    """

    def __init__(
        self, path: str | Path, classes: Sequence[str], key: str = "pred", facts: Mapping[str, Any] | None = None
    ) -> None:
        self.path = Path(path)
        self.classes = list(classes)
        self.key = key
        self.facts = dict(facts or {})
        self._of: dict[str, dict[int, dict[str, Any]]] = {}
        self.problems: dict[str, str] = {}
        self.places: dict[str, dict[str, Any]] = {}
        self._done: dict[str, str] = {}
        self._saved = 0
        self._due = 0.0

    def attach(self, engine: Engine) -> None:
        """To a MONAI evaluator that decollates, as it does by default."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)

    def _collect(self, engine: Engine) -> None:
        batch, output = (
            cast(list[Mapping[str, Any]], engine.state.batch),
            cast(list[Mapping[str, Any]], engine.state.output),
        )
        for row, found in zip(batch, output, strict=True):
            if row["problem"]:
                self.problems[row["source"]] = row["problem"]
            else:
                self.add(row["source"], int(row["slice"]), found[self.key][1:, 0, 0])

    def add(self, image: str, index: int, probabilities: Tensor) -> None:
        """Take one slice's class probabilities."""
        grade = self.classes[int(probabilities.argmax())]
        chances = {f"probability/{name}": float(value) for name, value in zip(self.classes, probabilities, strict=True)}
        self._of.setdefault(image, {})[index] = {"image": image, "slice": index, "grade": grade, **chances}

    def add_place(self, image: str, **place: Any) -> None:
        """Say where in an image's worst slice the network looked; stands beside its worst grade in the JSON file."""
        self.places[image] = place

    def slices(self, image: str) -> dict[int, dict[str, Any]]:
        """An image's rows so far, by slice."""
        return self._of.get(image, {})

    def severity(self, row: Mapping[str, Any]) -> tuple[int, float]:
        """What makes one slice worse than another."""
        expected = sum(index * row[f"probability/{name}"] for index, name in enumerate(self.classes))
        return self.classes.index(row["grade"]), float(expected)

    def worst(self, image: str) -> dict[str, Any]:
        """An image's worst row."""
        return max(self.slices(image).values(), key=self.severity)

    def done(self, image: str, problem: str = "") -> None:
        """Take an image into the files: it is graded, and its results are written; `problem` says why not all are."""
        self._done[image] = problem
        if time.monotonic() >= self._due:
            self._save()

    def finish_after(self, run: Callable[[], object]) -> None:
        """Run, write the files and say where they are; also where the run is interrupted or fails."""
        try:
            run()
        except BaseException:
            with suppress(OSError):  # that there is no room may be why it failed
                self._save()
            logger.warning("stopped early; images done, and in %s (and .json): %d", self.path, self._saved)
            raise
        self.finish()

    def finish(self) -> None:
        """Write the files and say where they are."""
        self._save()
        slices = sum(len(self.slices(image)) for image in self._done)
        logger.info("grades of %d slices of %d images: %s (and .json)", slices, self._saved, self.path)

    def _save(self) -> None:
        started = time.monotonic()
        images = {image: self.worst(image) for image in self._done}
        columns = ["image", "slice", "grade", *(f"probability/{name}" for name in self.classes), "worst"]
        table = [{**row, "worst": int(row is images[image])} for image in images for row in self._of[image].values()]
        write_table(self.path, table, columns)
        content = {
            **self.facts,
            "classes": self.classes,
            "images": [self._summary(image, worst) for image, worst in images.items()],
            "failed": [{"image": image, "reason": reason} for image, reason in self.problems.items()],
        }
        with whole(self.path.with_suffix(".json")) as file:
            file.write_text(json.dumps(content, indent=2) + "\n")
        self._saved = len(images)
        # The files grow with every image: a tenth of the time at most goes into writing them anew.
        self._due = time.monotonic() + 9 * (time.monotonic() - started)

    def _summary(self, image: str, worst: Mapping[str, Any]) -> dict[str, Any]:
        slices = [
            {
                "slice": row["slice"],
                "grade": row["grade"],
                "probabilities": {name: row[f"probability/{name}"] for name in self.classes},
            }
            for row in self.slices(image).values()
        ]
        where = {"slice": worst["slice"], **self.places.get(image, {})}
        incomplete = {"incomplete": self._done[image]} if self._done[image] else {}
        return {"image": image, **incomplete, "worst_grade": worst["grade"], "where": where, "slices": slices}
