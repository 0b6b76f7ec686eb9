"""Scores of ordered grades against scikit-learn, on rows that hypothesis draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from semimed_monai.metrics import Predictions, ordinal_statistic, quadratic_kappa

GRADES = [f"KL {grade}" for grade in range(5)]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_kappa_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(pairs).T
    found = quadratic_kappa(predicted, labels, classes=5)
    if len({*labels, *predicted}) == 1:
        assert math.isnan(found)
    else:
        expected = cohen_kappa_score(labels, predicted, weights="quadratic", labels=range(5))
        assert found == pytest.approx(expected)


def test_a_grade_that_is_far_off_costs_more() -> None:
    labels = np.array([0, 1, 2, 3, 4])
    near, far = np.array([1, 1, 2, 3, 4]), np.array([4, 1, 2, 3, 4])
    assert quadratic_kappa(labels, labels, 5) == 1
    assert quadratic_kappa(far, labels, 5) < quadratic_kappa(near, labels, 5) < 1


def test_unlabelled_rows_do_not_count() -> None:
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7], [1.0, 0.0]])
    scores = ordinal_statistic(probabilities, np.array([0, 1, -1]), ["a", "b"])(np.arange(3))
    assert scores["quadratic_kappa"] == 1
    assert scores["ece"] == pytest.approx(0.35)
    nothing = ordinal_statistic(probabilities, np.array([-1, -1, -1]), ["a", "b"])(np.arange(3))
    assert all(math.isnan(value) for value in nothing.values())


def test_the_auc_of_each_grade_is_its_own() -> None:
    """The share of pairs, one row of the grade and one of another, in which the first is given more; a tie is half."""
    probabilities = np.array([[0.6, 0.3, 0.1], [0.3, 0.5, 0.2], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6], [0.1, 0.2, 0.7]])
    scores = ordinal_statistic(probabilities, np.array([0, 0, 1, 1, 2]), ["a", "b", "c"])(np.arange(5))
    assert scores["auc/a"] == pytest.approx((3 + 2) / 6)  # 0.6 above all of 0.5, 0.2, 0.1; 0.3 above two
    assert scores["auc/b"] == pytest.approx((2 + 0.5) / 6)  # 0.4 above 0.3 and 0.2 of 0.3, 0.5, 0.2; 0.2 equals one
    assert scores["auc/c"] == 1


def test_predictions_of_grades_have_them() -> None:
    import torch

    predictions = Predictions(ordinal=True)
    probabilities = torch.softmax(torch.randn(40, 5, generator=torch.Generator().manual_seed(0)), 1)
    names = [f"{row}.png" for row in range(40)]
    predictions.update({"id": names, "group": names, "label": torch.arange(40) % 5, "probabilities": probabilities})
    predictions.gather()
    scores = predictions.scores(GRADES, bootstrap_repeats=50)
    assert {"quadratic_kappa", "ece", *(f"auc/{name}" for name in GRADES)} <= scores.keys()
    kappa = scores["quadratic_kappa"]
    assert kappa["low"] <= kappa["value"] <= kappa["high"]
