"""The handler that writes down the grade of every slice that inference saw, and each image's worst one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from semimed_monai.handlers.result_table import ResultTable


class GradeTable(ResultTable):
    """One line per slice: file, slice, grade and each class's probability, as the deployed network gives them.

    Classes are in order of severity: an image's worst grade is the last class that a slice of it was given, and of the
    slices with that grade the worst has the highest expected grade, Σ index · probability. In the CSV file `worst` is 1
    in the worst row of each image.

    >>> import torch
    >>> table = GradeTable("grades.csv", ["normal", "torn"])
    >>> table.add("knee.nii.gz", 3, torch.tensor([0.2, 0.8]))
    >>> table.add("knee.nii.gz", 4, torch.tensor([0.6, 0.4]))
    >>> table.worst("knee.nii.gz")["grade"], table.worst("knee.nii.gz")["slice"]
    ('torn', 3)

    Args:
        path, key, facts: as for every ResultTable; the network's tensor is (1+C)×H×W.
        classes: class names, in the order of the network's planes 1, 2, ….
    """

    def __init__(
        self, path: str | Path, classes: Sequence[str], key: str = "pred", facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(path, key, facts)
        self.classes = list(classes)
        self._of: dict[str, dict[int, dict[str, Any]]] = {}
        self.places: dict[str, dict[str, Any]] = {}

    def take(self, image: str, index: int, found: Tensor) -> None:
        self.add(image, index, found[1:, 0, 0])

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

    @property
    def counted(self) -> str:
        return f"grades of {sum(len(self.slices(image)) for image in self._done)} slices"

    @property
    def columns(self) -> list[str]:
        return ["image", "slice", "grade", *(f"probability/{name}" for name in self.classes), "worst"]

    def rows(self, image: str) -> list[dict[str, Any]]:
        worst = self.worst(image)
        return [{**row, "worst": int(row is worst)} for row in self.slices(image).values()]

    def head(self) -> dict[str, Any]:
        return {"classes": self.classes}

    def summary(self, image: str) -> dict[str, Any]:
        slices = [
            {
                "slice": row["slice"],
                "grade": row["grade"],
                "probabilities": {name: row[f"probability/{name}"] for name in self.classes},
            }
            for row in self.slices(image).values()
        ]
        worst = self.worst(image)
        where = {"slice": worst["slice"], **self.places.get(image, {})}
        return {"worst_grade": worst["grade"], "where": where, "slices": slices}
