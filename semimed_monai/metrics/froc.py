"""FROC on maps, over every level of a map in 16 bits: what share of the lesions is found at how many false finds.

Looked for: monai.metrics.compute_froc_curve_data takes points with scores, which is another protocol. Labelling the map
anew at each level would take minutes.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semimed_monai.files import write_table
from semimed_monai.metrics.component_tree import components
from semimed_monai.metrics.grading import FloatArray

LEVELS = 65535
"""The highest level; a map's 1.0. A pixel at level 0 is active at no threshold."""

RATES = (0.1, 0.2, 0.3, 0.4, 0.5)
"""False positives per image at which the score takes the recall."""

COLUMNS = ("false_positives_per_image", "recall")
"""Of a curve's file."""

Levels = NDArray[np.uint16]
Counts = NDArray[np.int64]
Curve = tuple[FloatArray, FloatArray]
"""Rising false positives per image, from 0, and the best recall at so many or fewer."""


def levels_of(maps: FloatArray) -> Levels:
    """Maps in [0, 1] as whole numbers from 0 to 65535, the nearest ones.

    >>> levels_of(np.array([0.0, 0.5, 1.0]))
    array([    0, 32768, 65535], dtype=uint16)

    Raises:
        ValueError: a value that is not in [0, 1].
    """
    maps = np.asarray(maps, np.float64)
    if not ((maps >= 0) & (maps <= 1)).all():
        raise ValueError("a map holds values outside [0, 1], or that are not finite: the training has diverged")
    return np.rint(maps * LEVELS).astype(np.uint16)


@dataclass
class LevelCounts:
    """What a set of maps shows at each threshold k = 1 … 65535, where the pixels of level k and above are active.

    Its size does not grow with the set, and two parts of a set add up to the whole:

    >>> map_ = np.zeros((4, 4), np.uint16)
    >>> map_[1, 1], map_[3, 3] = 300, 200
    >>> counts = LevelCounts.of(map_, [[1, 1, 2, 2]]) + LevelCounts.of(map_, [])
    >>> counts.images, counts.lesions, counts.false_positives[[200, 300]], counts.recalled[[200, 300]]
    (2, 1, array([3, 1]), array([1, 1]))

    Args:
        starts: by level, how many false positives and recalled lesions there are from this level downwards, less those
            that end there: 2×65536.
        images, lesions: how many were seen.
    """

    starts: Counts
    images: int = 0
    lesions: int = 0

    @classmethod
    def none(cls) -> LevelCounts:
        """Of the empty set."""
        return cls(np.zeros((2, LEVELS + 1), np.int64))

    @classmethod
    def of(cls, levels: Levels, boxes: Sequence[Sequence[float]] | FloatArray, connectivity: int = 2) -> LevelCounts:
        """Of one map, H×W, and the boxes [x0, y0, x1, y1] of its lesions, in pixels: pixel j lies from j to j + 1.

        A lesion is recalled where its box's midpoint is active. A connected component is a false positive if the
        centre of its bounding rectangle lies in no box, edges included.

        Args:
            levels: of the map, from `levels_of`.
            boxes: N×4; N may be 0.
            connectivity: 2 joins pixels at corners too, 1 does not.

        Raises:
            ValueError: a box whose midpoint lies outside the map.
        """
        counts = cls(np.zeros((2, LEVELS + 1), np.int64), images=1, lesions=len(boxes))
        given = np.asarray(boxes, np.float64).reshape(-1, 4)
        tops, ends, centres = components(levels, connectivity)
        false = ~_inside(centres, given)
        np.add.at(counts.starts[0], tops[false], 1)
        np.add.at(counts.starts[0], ends[false], -1)
        np.add.at(counts.starts[1], _midpoint_levels(levels, given), 1)
        return counts

    def __add__(self, other: LevelCounts) -> LevelCounts:
        return LevelCounts(self.starts + other.starts, self.images + other.images, self.lesions + other.lesions)

    @property
    def false_positives(self) -> Counts:
        """By level: components that are none of a lesion, over all images; entry 0 means nothing."""
        return self._down(0)

    @property
    def recalled(self) -> Counts:
        """By level: lesions whose midpoint is active; entry 0 means nothing."""
        return self._down(1)

    def _down(self, row: int) -> Counts:
        total: Counts = self.starts[row, ::-1].cumsum()[::-1]
        return total

    def recall_at(self, rates: Sequence[float] = RATES) -> FloatArray:
        """The best recall among the thresholds with at most so many false positives per image: 0 if there is none.

        nan for a set without a lesion.
        """
        return recall_at(self.false_positives[1:], self.recalled[1:], self.images, self.lesions, rates)

    def score(self, rates: Sequence[float] = RATES) -> float:
        """FROC: the mean recall at the rates; nan for a set without a lesion."""
        return float(self.recall_at(rates).mean())

    def curve(self) -> tuple[FloatArray, FloatArray]:
        """The FROC curve: rising false positives per image, from 0, and the best recall at so many or fewer.

        One of its thresholds lies above all levels, where nothing is active.

        Raises:
            ValueError: a set without an image or without a lesion.
        """
        if not self.images or not self.lesions:
            raise ValueError(f"no FROC curve of {self.images} images with {self.lesions} lesions")
        return _best(self.false_positives[1:], self.recalled[1:], self.images, self.lesions)


def recall_at(false: Counts, recalled: Counts, images: int, lesions: int, rates: Sequence[float]) -> FloatArray:
    """From the false positives and the recalled lesions at some thresholds: the best recall with at most so many false
    positives per image, by rate; nan without a lesion.

    >>> recall_at(np.array([4, 1]), np.array([3, 2]), images=10, lesions=4, rates=[0.05, 0.1, 0.5])
    array([0.  , 0.5 , 0.75])
    """
    if not lesions:
        return np.full(len(rates), np.nan)
    return reached(_best(false, recalled, images, lesions), rates)


def reached(curve: Curve, rates: Sequence[float] | FloatArray) -> FloatArray:
    """A curve's recall at some rates: a step function, as the best recall with so many false positives or fewer is.

    >>> reached((np.array([0.0, 0.2]), np.array([0.5, 0.75])), [0.1, 0.2, 3])
    array([0.5 , 0.75, 0.75])
    """
    rate, recall = curve
    return recall[np.searchsorted(rate, np.asarray(rates) + 1e-12, side="right") - 1]


def write_curve(path: str | Path, counts: LevelCounts) -> None:
    """A set's FROC curve as a CSV file, written whole: what `read_curve` reads.

    Raises:
        ValueError: a set without an image or without a lesion.
    """
    write_table(
        path, [dict(zip(COLUMNS, map(float, point), strict=True)) for point in zip(*counts.curve(), strict=True)]
    )


def read_curve(path: str | Path) -> Curve:
    """A curve that `write_curve` wrote.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: the evaluation of a detector writes it, into its output_dir")
    with path.open(newline="") as file:
        try:
            points = np.array([[float(row[name]) for name in COLUMNS] for row in csv.DictReader(file)])
            rate, recall = points.reshape(-1, 2).T
        except (ValueError, KeyError, TypeError) as error:
            raise _no_curve(path) from error
    rising = len(rate) and rate[0] == 0 and (np.diff(rate) > 0).all() and (np.diff(recall) >= 0).all()
    if not (rising and recall[0] >= 0 and recall[-1] <= 1):
        raise _no_curve(path)
    return rate, recall


def _no_curve(path: Path) -> ValueError:
    return ValueError(
        f"{path} is no FROC curve, {' and '.join(COLUMNS)} rising from 0 false positives: evaluate again, or remove it"
    )


def _best(false: Counts, recalled: Counts, images: int, lesions: int) -> tuple[FloatArray, FloatArray]:
    """Rising false positives per image, each once, and the best recall at so many or fewer."""
    false, recalled = np.append(false, 0), np.append(recalled, 0)  # above all levels nothing is active
    order = np.argsort(false, kind="stable")
    false, best = false[order], np.maximum.accumulate(recalled[order])
    last = np.append(np.diff(false) > 0, True)
    return false[last] / images, best[last] / lesions


def _inside(points: FloatArray, boxes: FloatArray) -> NDArray[np.bool_]:
    """Which points (x, y) lie in any box, edges included."""
    inside = np.zeros(len(points), np.bool_)
    for x0, y0, x1, y1 in boxes:
        x, y = points.T
        inside |= (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    return inside


def _midpoint_levels(levels: Levels, boxes: FloatArray) -> Levels:
    """The level of the pixel in which each box's midpoint lies."""
    column, row = np.floor((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.intp).T
    outside = np.flatnonzero((row < 0) | (column < 0) | (row >= levels.shape[0]) | (column >= levels.shape[1]))
    if outside.size:
        raise ValueError(
            f"the midpoint of box {boxes[outside[0]].tolist()} lies outside the map of {levels.shape[1]} x "
            f"{levels.shape[0]} pixels: give boxes in the map's pixels, as [x0, y0, x1, y1]"
        )
    found: Levels = levels[row, column]
    return found
