"""All subsets of an ensemble's members by all rules of voting, judged in one pass over arrays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from semimed_monai.metrics.grading import FloatArray, IntArray
from semimed_monai.networks import RULES, decided, votes


@dataclass(frozen=True)
class Vote:
    """How well some members vote by a rule.

    Args:
        members: their places.
        rule: hard, soft or mix.
        f1: mean over the classes that occur, in truth or in the vote.
        accuracy: share of right votes.
    """

    members: tuple[int, ...]
    rule: str
    f1: float
    accuracy: float


def search(probabilities: FloatArray, labels: IntArray, fewest: int = 2) -> list[Vote]:
    """Every subset of at least so many members, by every rule; the best first.

    By F1, then accuracy, then fewer members, then their order: so that of equal ones the choice does not depend on
    chance. Choose on validation; what the choice is worth is told by a test section.

    >>> probabilities = np.array([[[0.9, 0.1], [0.8, 0.2]], [[0.4, 0.6], [0.4, 0.6]], [[0.6, 0.4], [0.3, 0.7]]])
    >>> best = search(probabilities, np.array([0, 1]))[0]
    >>> best.members, best.rule, best.accuracy
    ((1, 2), 'hard', 1.0)

    Args:
        probabilities: M×N×C, of M members for N images.
        labels: N class indices.
        fewest: members of a subset.

    Returns:
        247 subsets by three rules, of eight members and two at least.

    Raises:
        ValueError: fewer members than that, shapes that do not fit, or no images.
    """
    count, images, classes = probabilities.shape
    if labels.shape != (images,) or not images:
        raise ValueError(f"{images} answers and {len(labels)} labels: give each of one or more images a label")
    if count < fewest:
        raise ValueError(f"{count} members are fewer than the {fewest} of the smallest subset")
    subsets = [subset for size in range(fewest, count + 1) for subset in combinations(range(count), size)]
    chosen = torch.zeros(len(subsets), count, dtype=torch.float64)
    for row, subset in enumerate(subsets):
        chosen[row, list(subset)] = 1
    counts, sums = votes(torch.from_numpy(probabilities.astype(np.float64)), chosen)
    found = []
    for rule in RULES:
        f1, accuracy = _judged(decided(counts, sums, rule).numpy(), labels, classes)
        found += [
            Vote(subset, rule, float(one), float(other))
            for subset, one, other in zip(subsets, f1, accuracy, strict=True)
        ]
    return sorted(found, key=lambda vote: (-vote.f1, -vote.accuracy, len(vote.members), vote.members))


def _judged(voted: NDArray[np.int64], labels: IntArray, classes: int) -> tuple[FloatArray, FloatArray]:
    """Macro F1 and accuracy of each of S rows of votes."""
    rows = len(voted)
    cells = (np.arange(rows)[:, None] * classes + labels) * classes + voted
    confusion = np.bincount(cells.ravel(), minlength=rows * classes**2).reshape(rows, classes, classes)
    hits, actual, predicted = confusion.diagonal(axis1=1, axis2=2), confusion.sum(axis=2), confusion.sum(axis=1)
    there = actual + predicted > 0
    f1 = np.divide(2 * hits, actual + predicted, out=np.zeros(hits.shape), where=there)
    return f1.sum(axis=1) / there.sum(axis=1), hits.sum(axis=1) / len(labels)
