"""What each network said about the section, read from predictions.csv: grades, findings, or a segmenter's Dice."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

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

    @abstractmethod
    def score(self, row: int, label: int) -> float:
        """By which the best, typical and worst cases of a class were chosen."""

    def __len__(self) -> int:
        return len(self.ids)


class Classified(Answers):
    """A classifier's: the probability of each class, of rows of which something is known."""

    probabilities: FloatArray

    @abstractmethod
    def against_others(self, place: int) -> tuple[NDArray[np.bool_], FloatArray]:
        """Of the rows for which it is known: whether they are of a class, and the probability that it was given."""

    def score(self, row: int, label: int) -> float:
        return float(self.probabilities[row, label])


@dataclass(frozen=True)
class Grades(Classified):
    """Of classes that exclude each other.

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
            iou=np.asarray([float(row["iou"]) for row in rows]) if rows and rows[0].get("iou") else None,
        )

    @property
    def predicted(self) -> IntArray:
        return np.asarray(self.probabilities.argmax(axis=1))

    def against_others(self, place: int) -> tuple[NDArray[np.bool_], FloatArray]:
        return self.label == place, self.probabilities[:, place]


@dataclass(frozen=True)
class Findings(Classified):
    """Of classes each by itself: a row may have several, or none.

    Args:
        label, probabilities: N×C; a label is 0, 1 or -1, not known.
    """

    columns = "label/"

    label: IntArray
    probabilities: FloatArray

    @classmethod
    def of(cls, rows: Sequence[Row], classes: Sequence[str]) -> Findings:
        label = _numbers(rows, cls.columns, classes).astype(int)
        places = np.flatnonzero((label != UNLABELLED).any(axis=1)).tolist()
        rows = [rows[place] for place in places]
        return cls(
            ids=[row["id"] for row in rows],
            groups=[row["group"] for row in rows],
            label=label[places],
            probabilities=_numbers(rows, Grades.columns, classes),
        )

    def against_others(self, place: int) -> tuple[NDArray[np.bool_], FloatArray]:
        known = self.label[:, place] != UNLABELLED
        return self.label[known, place] == 1, self.probabilities[known, place]


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

    def score(self, row: int, label: int) -> float:  # noqa: ARG002 - images show all classes
        return float(np.nanmean(self.dice[row]))


def read_answers(path: Path) -> tuple[list[str], dict[str, Any]]:
    """Class names, and each network's Answers, all of one kind.

    Raises:
        ValueError: columns of neither kind, or no row that counts.
    """
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        header, rows = reader.fieldnames or (), list(reader)
    for kind in (Findings, Grades, Overlaps):
        classes = [name.removeprefix(kind.columns) for name in header if name.startswith(kind.columns)]
        if classes:
            break
    else:
        raise ValueError(
            f"{path} has no columns {Grades.columns}… or {Overlaps.columns}…: this page is for bundles that grade, "
            "find or segment something in images"
        )
    networks = dict.fromkeys(row["network"] for row in rows)
    answers = {name: kind.of([row for row in rows if row["network"] == name], classes) for name in networks}
    if not any(map(len, answers.values())):
        raise ValueError(f"{path} has no labelled row: evaluate a section with labels or masks")
    return classes, answers


def _numbers(rows: Sequence[Row], columns: str, classes: Sequence[str]) -> FloatArray:
    """N×C."""
    return np.asarray([[float(row[columns + name]) for name in classes] for row in rows])
