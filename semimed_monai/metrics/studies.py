"""Scores of whole studies: the images of one examination of one person, which a reader judges together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from semimed_monai.metrics.grading import FloatArray, IntArray, cohen_kappa, grading_scores


def study_statistic(
    probabilities: FloatArray, labels: IntArray, studies: NDArray[np.str_]
) -> Callable[[IntArray], dict[str, float]]:
    """From the indices of rows to study_accuracy, study_auc and study_kappa, of the studies to which they belong.

    A study's probabilities are the means over all its rows, its label is theirs. A study counts as often as its first
    row was drawn: a bootstrap that draws whole groups draws it whole, for it is of one group.

        >>> probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8]])
        >>> scores = study_statistic(probabilities, np.array([0, 0, 1]), np.array(["a", "a", "b"]))
        >>> scores(np.arange(3))
        {'study_accuracy': 1.0, 'study_auc': 1.0, 'study_kappa': 1.0}

    Args:
        probabilities: N×C.
        labels: N class indices, or -1.
        studies: N names.
    """
    _, first, which, sizes = np.unique(studies, return_index=True, return_inverse=True, return_counts=True)
    means = np.zeros((len(sizes), probabilities.shape[1]))
    np.add.at(means, which, probabilities)
    means /= sizes[:, None]
    begun = np.full(len(studies), -1)  # the study of which a row is the first
    begun[first] = np.arange(len(sizes))

    def scores_of(drawn: IntArray) -> dict[str, float]:
        judged = begun[drawn]
        judged = judged[judged >= 0]
        given, known = means[judged], labels[first[judged]]
        scores = grading_scores(given, known)
        kappa = cohen_kappa(given, known)
        return {"study_accuracy": scores["accuracy"], "study_auc": scores["auc"], "study_kappa": kappa}

    return scores_of
