"""Scores of studies: a study is one case, however many images it has, and is drawn whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, cohen_kappa_score, roc_auc_score

from semimed_monai.metrics import bootstrap_interval, study_statistic


def _two_classes(of_one: list[float]) -> np.ndarray:
    return np.array([[1 - value, value] for value in of_one])


def test_four_studies_worked_by_hand() -> None:
    """Means .55, .3, .8 and .4 of labels 1, 0, 1, 1: three of four are right, and the 0 has the lowest.

    a's images alone would be judged 1 and 0. κ: agreed 3/4, by chance 3/4·2/4 + 1/4·2/4 = 1/2.
    """
    probabilities = _two_classes([0.9, 0.3, 0.8, 0.2, 0.45, 0.35])
    studies = np.array(["a", "b", "c", "a", "d", "d"])
    labels = np.array([1, 0, 1, 1, 1, 1])
    scores = study_statistic(probabilities, labels, studies)(np.arange(6))
    assert scores == pytest.approx({"study_accuracy": 3 / 4, "study_auc": 1.0, "study_kappa": 1 / 2})


def test_a_study_that_is_drawn_twice_counts_twice() -> None:
    """a right, b and c wrong: of a, a, b two thirds."""
    probabilities = _two_classes([0.9, 0.7, 0.8, 0.1])
    statistic = study_statistic(probabilities, np.array([1, 1, 0, 1]), np.array(["a", "a", "b", "c"]))
    assert statistic(np.arange(4))["study_accuracy"] == pytest.approx(1 / 3)
    assert statistic(np.array([0, 1, 0, 1, 2]))["study_accuracy"] == pytest.approx(2 / 3)


@st.composite
def studied_sets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Studies of one to four images, of three classes, in any order."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    labels = draw(st.lists(st.integers(0, 2), min_size=len(sizes), max_size=len(sizes)))
    rows = draw(st.permutations([study for study, size in enumerate(sizes) for _ in range(size)]))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    return random.dirichlet([1, 1, 1], len(rows)), np.array(labels)[rows], np.array([f"s{study}" for study in rows])


@given(studied_sets())
def test_equal_to_scikit_learn_on_a_table_of_studies(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    probabilities, labels, studies = case
    names = sorted(set(studies))
    means = np.array([probabilities[studies == name].mean(axis=0) for name in names])
    known = np.array([labels[studies == name][0] for name in names])
    scores = study_statistic(probabilities, labels, studies)(np.arange(len(labels)))
    predicted = means.argmax(axis=1)
    assert scores["study_accuracy"] == pytest.approx(accuracy_score(known, predicted))
    one_class = len(set(known) | set(predicted)) == 1
    kappa = math.nan if one_class else cohen_kappa_score(known, predicted)
    assert scores["study_kappa"] == pytest.approx(kappa, nan_ok=True)
    there = [label for label in range(3) if 0 < (known == label).sum() < len(known)]
    areas = [roc_auc_score(known == label, means[:, label]) for label in there]
    assert scores["study_auc"] == pytest.approx(np.mean(areas) if areas else math.nan, nan_ok=True)


@given(studied_sets())
def test_where_each_study_is_one_image_it_is_judged_as_one(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    probabilities, labels, _ = case
    alone = study_statistic(probabilities, labels, np.array([f"s{row}" for row in range(len(labels))]))
    assert alone(np.arange(len(labels)))["study_accuracy"] == pytest.approx(
        accuracy_score(labels, probabilities.argmax(axis=1))
    )


def test_intervals_draw_groups_of_studies() -> None:
    """The same groups drawn from a table with a row per study give the same interval."""
    random = np.random.default_rng(5)
    study_of_row = np.repeat(np.arange(30), random.integers(1, 4, size=30))
    labels, wrong = random.integers(0, 2, size=30), random.random(30) < 0.3
    given_one = np.where(labels != wrong, 0.8, 0.2)
    groups = np.array([f"p{study // 2:02d}" for study in range(30)])
    statistic = study_statistic(
        _two_classes(given_one[study_of_row].tolist()), labels[study_of_row], study_of_row.astype(str)
    )
    found = bootstrap_interval(statistic, groups[study_of_row], repeats=200, seed=3)
    expected = bootstrap_interval(lambda drawn: float(1 - wrong[drawn].mean()), groups, repeats=200, seed=3)
    assert found["study_accuracy"] == pytest.approx(expected)
    assert found["study_accuracy"][0] < 1 - wrong.mean() < found["study_accuracy"][1]


def test_studies_without_a_label_do_not_count() -> None:
    statistic = study_statistic(_two_classes([0.9, 0.1, 0.2]), np.array([1, -1, -1]), np.array(["a", "b", "b"]))
    scores = statistic(np.arange(3))
    assert scores["study_accuracy"] == 1
    assert math.isnan(scores["study_kappa"])
