"""Scores of grades that have an order, beside those of any classes: how far a wrong grade is off, and calibration.

Looked for: scikit-learn's `cohen_kappa_score(weights="quadratic")` is this, at 1.5 ms, mostly checks of its input; a
bootstrap asks a thousand times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from semimed_monai.metrics.calibration import calibration
from semimed_monai.metrics.grading import FloatArray, IntArray, auc_one_vs_rest
from semimed_monai.vocabulary import UNLABELLED


def quadratic_kappa(predicted: IntArray, labels: IntArray, classes: int) -> float:
    """κ_w = 1 − Σ_ij (i − j)²·O_ij / Σ_ij (i − j)²·E_ij: O how often grade i was predicted as j, E the same by chance.

        >>> quadratic_kappa(np.array([0, 1, 2, 1]), np.array([0, 1, 2, 2]), classes=3)
        0.8

    Args:
        predicted: N class indices.
        labels: N, too.
        classes: how many there are.

    Returns:
        a number of at most 1: 1 where all agree, 0 by chance; nan where all labels and predictions are of one class.
    """
    found = np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)
    grades = np.arange(classes)
    apart = (grades[:, None] - grades) ** 2
    chance = int((apart * np.outer(found.sum(axis=1), found.sum(axis=0))).sum())
    return 1 - int((apart * found).sum()) * int(found.sum()) / chance if chance else float("nan")


def ordinal_statistic(
    probabilities: FloatArray, labels: IntArray, classes: Sequence[str]
) -> Callable[[IntArray], dict[str, float]]:
    """From the indices of rows to quadratic_kappa, ece (expected calibration error) and auc/<class>.

        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
        >>> scores = ordinal_statistic(probabilities, np.array([0, 1]), ["KL 0", "KL 1"])(np.arange(2))
        >>> scores["quadratic_kappa"], scores["ece"], scores["auc/KL 0"]
        (1.0, 0.15, 1.0)

    Args:
        probabilities: N×C.
        labels: N class indices, or -1: such rows are left out.
        classes: C names.
    """
    predicted, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)

    def scores_of(drawn: IntArray) -> dict[str, float]:
        rows = drawn[labels[drawn] != UNLABELLED]
        right = predicted[rows] == labels[rows]
        areas = auc_one_vs_rest(probabilities[rows], labels[rows])
        return {
            "quadratic_kappa": quadratic_kappa(predicted[rows], labels[rows], len(classes)),
            "ece": calibration(sure[rows], right).ece if len(rows) else float("nan"),
            **{f"auc/{name}": float(area) for name, area in zip(classes, areas, strict=True)},
        }

    return scores_of
