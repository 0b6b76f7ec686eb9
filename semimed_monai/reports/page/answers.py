"""What each network said about the section, read from predictions.csv: a classifier's grades or a segmenter's Dice."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from semimed_monai.metrics.grading import FloatArray, IntArray
from semimed_monai.vocabulary import UNLABELLED

Row = Mapping[str, str]


@dataclass(frozen=True)
class Answers(ABC):
    """Of one network; only rows that count."""

    columns: ClassVar[str]
    """Before the names of the classes in predictions.csv; they tell one kind from the other."""

    ids: list[str]
    groups: list[str]

    @classmethod
    @abstractmethod
    def of(cls, rows: Sequence[Row], classes: Sequence[str]) -> Answers:
        """From rows of predictions.csv."""

    @property
    @abstractmethod
    def score(self) -> FloatArray:
        """N values, by which the best, typical and worst cases were chosen."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Grades(Answers):
    """A classifier's, of labelled rows.

    Args:
        label, probabilities: N class indices and N×C.
        iou: of map and mask, nan where there was no mask; None for a network without maps.
    """

    columns = "probability/"

    label: IntArray
    probabilities: FloatArray
    iou: FloatArray | None

    @classmethod
    def of(cls, rows: Sequence[Row], classes: Sequence[str]) -> Grades:
        rows = [row for row in rows if int(row["label"]) != UNLABELLED]
        return cls(
            ids=[row["id"] for row in rows],
            groups=[row["group"] for row in rows],
            label=np.asarray([int(row["label"]) for row in rows]),
            probabilities=_numbers(rows, cls.columns, classes),
            iou=np.asarray([float(row["iou"]) for row in rows]) if rows and "iou" in rows[0] else None,
        )

    @property
    def predicted(self) -> IntArray:
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def score(self) -> FloatArray:
        """The probability that the row's own class was given."""
        return self.probabilities[np.arange(len(self)), self.label]


@dataclass(frozen=True)
class Overlaps(Answers):
    """A segmenter's, of rows in which a class counts.

    Args:
        dice: N×K, K classes without the background; nan where the class does not count.
    """

    columns = "dice/"

    dice: FloatArray

    @classmethod
    def of(cls, rows: Sequence[Row], classes: Sequence[str]) -> Overlaps:
        dice = _numbers(rows, cls.columns, classes)
        places = np.flatnonzero(~np.isnan(dice).all(axis=1)).tolist()
        rows = [rows[place] for place in places]
        return cls(ids=[row["id"] for row in rows], groups=[row["group"] for row in rows], dice=dice[places])

    @property
    def score(self) -> FloatArray:
        """The mean of the row's classes."""
        return np.asarray(np.nanmean(self.dice, axis=1))


def read_answers(path: Path) -> tuple[list[str], dict[str, Any]]:
    """Class names, and each network's Answers, all of one kind.

    Raises:
        ValueError: columns of neither kind, or no row that counts.
    """
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        header, rows = reader.fieldnames or (), list(reader)
    for kind in (Grades, Overlaps):
        classes = [name.removeprefix(kind.columns) for name in header if name.startswith(kind.columns)]
        if classes:
            break
    else:
        raise ValueError(
            f"{path} has no columns {Grades.columns}… or {Overlaps.columns}…: this page is for bundles that grade or "
            "segment images"
        )
    networks = dict.fromkeys(row["network"] for row in rows)
    answers = {name: kind.of([row for row in rows if row["network"] == name], classes) for name in networks}
    if not any(map(len, answers.values())):
        raise ValueError(f"{path} has no labelled row: evaluate a section with labels or masks")
    return classes, answers


def _numbers(rows: Sequence[Row], columns: str, classes: Sequence[str]) -> FloatArray:
    """N×C."""
    return np.asarray([[float(row[columns + name]) for name in classes] for row in rows])
