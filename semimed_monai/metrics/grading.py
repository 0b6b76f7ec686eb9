"""Scores of a classifier over a whole set: macro recall, specificity, F1 and AUC, accuracy, recall per class, Cohen's
kappa; AUC per class where there may be several.

Looked for: scikit-learn has all of them, at 6 ms for a set of 500 rows (0.3 ms here), mostly checks of its input; a
bootstrap asks a thousand times, so they stand here on one confusion matrix and on scipy's ranks; tests hold them to
scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from semimed_monai.vocabulary import UNLABELLED

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]


def grading_scores(
    probabilities: FloatArray, labels: IntArray, classes: Sequence[str] | None = None
) -> dict[str, float]:
    """Means over c of TP / (TP + FN), TN / (TN + FP), 2 TP / (2 TP + FP + FN) and AUC_c = P(score of a c > of another).

    The predicted class is the most probable one, the first of equals. Rows labelled -1 are left out. A class that no
    row has cannot be recalled or ranked: recall and AUC are means over the others. Its F1 is 0 if it was predicted at
    all, as in scikit-learn, else it is left out too; its specificity counts, but for a class that every row has there
    is none. A score of which nothing can be computed is nan, never 0.

        >>> probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
        >>> grading_scores(probabilities, np.array([0, 1, 1]), ["normal", "torn"])["recall/torn"]
        0.5

    Args:
        probabilities: N×C, finite; the rows need not sum to 1.
        labels: N class indices, or -1.
        classes: C names, for the keys "recall/<name>"; without them there are no such keys.

    Returns:
        recall (sensitivity), specificity, f1, auc, accuracy (the share of right rows), class_accuracy (the mean over c
        of (TP + TN) / N, which ISIC's papers call accuracy) and recall/<name>, each a fraction in [0, 1] or nan.

    Raises:
        ValueError: shapes that do not fit, a label beyond the last class, a probability that is not finite.
    """
    _check(probabilities, labels, classes)
    known = labels != UNLABELLED
    probabilities, labels = probabilities[known], labels[known]
    hits, actual, predicted = _counted(probabilities, labels)
    recalls = _ratio(hits, actual)
    scores = {
        "recall": mean_of_known(recalls),
        "specificity": mean_of_known(_ratio(actual.sum() - actual - predicted + hits, actual.sum() - actual)),
        "f1": mean_of_known(_ratio(2 * hits, actual + predicted)),
        "auc": mean_of_known(auc_one_vs_rest(probabilities, labels)),
        "accuracy": float(_ratio(hits.sum(), actual.sum())),
        "class_accuracy": float(_ratio(actual.sum() - (actual + predicted - 2 * hits).mean(), actual.sum())),
    }
    if classes is None:
        return scores
    return scores | {f"recall/{name}": float(recall) for name, recall in zip(classes, recalls, strict=True)}


def cohen_kappa(probabilities: FloatArray, labels: IntArray) -> float:
    """κ = (p_o − p_e) / (1 − p_e): how far label and prediction agree (p_o) beyond what chance would give (p_e).

    p_e is that of the classes' shares among labels and predictions. Which class is predicted, and which rows count, is
    as for `grading_scores`. Where all labels and predictions are of one class κ is 0/0: nan.

        >>> cohen_kappa(np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]]), np.array([0, 1, 1, 1]))
        0.5

    Args:
        probabilities: as for `grading_scores`, and so are the errors.
        labels: as there.

    Returns:
        a number in [-1, 1], or nan.
    """
    _check(probabilities, labels, None)
    known = labels != UNLABELLED
    hits, actual, predicted = _counted(probabilities[known], labels[known])
    count, by_chance = int(actual.sum()), int(actual @ predicted)  # whole numbers: 0/0 is found exactly
    return float(_ratio(count * int(hits.sum()) - by_chance, count**2 - by_chance))


def finding_scores(
    probabilities: FloatArray, labels: IntArray, classes: Sequence[str] | None = None
) -> dict[str, float]:
    """AUC of each class, where a row may be of several or of none, and their mean.

    A row counts for the classes of which its label is known. A class that no row has, or every row, has no AUC: nan,
    and the mean is over the others.

        >>> probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
        >>> finding_scores(probabilities, np.array([[1, 0], [0, 0], [1, 0]]), ["nodule", "mass"])
        {'auc': 1.0, 'auc/nodule': 1.0, 'auc/mass': nan}

    Args:
        probabilities: N×C, finite.
        labels: N×C, 0 or 1, or -1 for what is not known.
        classes: C names, for the keys "auc/<name>"; without them there are no such keys.

    Raises:
        ValueError: shapes that do not fit, a label that is none, a probability that is not finite.
    """
    if probabilities.ndim != 2 or labels.shape != probabilities.shape:
        raise ValueError(f"wanted N×C probabilities and labels, got shapes {probabilities.shape} and {labels.shape}")
    _check_values(probabilities, classes)
    if wrong := sorted(set(np.unique(labels).tolist()) - {UNLABELLED, 0, 1}):
        raise ValueError(f"a label is {wrong[0]}: give 0 or 1 for each class, or -1 where it is not known")
    known, own = labels != UNLABELLED, labels == 1
    if known.all():
        areas = _areas(probabilities, own)
    else:
        columns = zip(probabilities.T, own.T, known.T, strict=True)
        areas = np.concatenate([_areas(of[of_known, None], has[of_known, None]) for of, has, of_known in columns])
    scores = {"auc": mean_of_known(areas)}
    if classes is None:
        return scores
    return scores | {f"auc/{name}": float(area) for name, area in zip(classes, areas, strict=True)}


def auc_one_vs_rest(probabilities: FloatArray, labels: IntArray) -> FloatArray:
    """AUC_c = (sum of the ranks of c's rows - n(n+1)/2) / (n·m), n rows of class c and m others; ties rank in between.

    Args:
        probabilities: N×C.
        labels: N class indices.

    Returns:
        C values; nan where no row, or every row, is of the class.
    """
    return _areas(probabilities, labels[:, None] == np.arange(probabilities.shape[1]))


def mean_of_known(values: FloatArray) -> float:
    """The mean of what is not nan; nan where all is.

    >>> mean_of_known(np.array([0.5, np.nan, 1.0]))
    0.75
    """
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _counted(probabilities: FloatArray, labels: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Of each class: rows that are rightly predicted, rows, rows that are predicted."""
    count = probabilities.shape[1]
    pairs = labels * count + probabilities.argmax(axis=1)
    confusion = np.bincount(pairs, minlength=count * count).reshape(count, count)
    return confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)


def _areas(probabilities: FloatArray, own: NDArray[np.bool_]) -> FloatArray:
    inside = own.sum(axis=0)
    ranks = rankdata(probabilities, axis=0) if len(own) else np.zeros(probabilities.shape)
    return _ratio((ranks * own).sum(axis=0) - inside * (inside + 1) / 2, inside * (len(own) - inside))


def _ratio(above: Any, below: Any) -> FloatArray:
    """The quotient, nan where `below` is 0."""
    ratio = np.full(np.shape(below), np.nan)
    np.divide(above, below, out=ratio, where=np.asarray(below) > 0)
    return ratio


def _check(probabilities: FloatArray, labels: IntArray, classes: Sequence[str] | None) -> None:
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(f"wanted N×C probabilities and N labels, got shapes {probabilities.shape} and {labels.shape}")
    _check_values(probabilities, classes)
    wrong = np.flatnonzero((labels < UNLABELLED) | (labels >= probabilities.shape[1]))
    if wrong.size:
        raise ValueError(
            f"row {wrong[0]} has label {labels[wrong[0]]}, beyond the {probabilities.shape[1]} classes of the network: "
            "check the datalist's classes against the network's"
        )


def _check_values(probabilities: FloatArray, classes: Sequence[str] | None) -> None:
    if classes is not None and len(classes) != probabilities.shape[1]:
        raise ValueError(f"{len(classes)} class names for {probabilities.shape[1]} columns of probabilities")
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if broken.size:
        raise ValueError(
            f"{broken.size} of {len(probabilities)} rows have probabilities that are not finite, first row {broken[0]}"
            ": the training has diverged; try a lower learning rate"
        )
