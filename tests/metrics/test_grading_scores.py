"""Classification scores against hand-worked values and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, recall_score, roc_auc_score

from semimed_monai.metrics import auc_one_vs_rest, cohen_kappa, finding_scores, grading_scores

CLASSES = ["normal", "partial", "full"]


@st.composite
def graded_sets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of few different values, so that ties abound, and labels that may miss a class."""
    count = draw(st.integers(1, 25))
    levels = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])
    probabilities = draw(arrays(np.float64, (count, 3), elements=levels))
    labels = draw(arrays(np.int64, count, elements=st.integers(0, 2)))
    return probabilities, labels


def test_three_rows_worked_by_hand() -> None:
    """Right, partial taken for full, full right; full's AUC: its row (.5) above normal's (.1), below partial's (.6)."""
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.3, 0.6], [0.3, 0.2, 0.5]])
    scores = grading_scores(probabilities, np.array([0, 1, 2]), CLASSES)
    assert scores == pytest.approx(
        {
            "recall": 2 / 3,
            "specificity": (1 + 1 + 1 / 2) / 3,
            "f1": (1 + 0 + 2 / 3) / 3,
            "auc": (1 + 1 + 0.5) / 3,
            "accuracy": 2 / 3,
            "class_accuracy": (1 + 2 / 3 + 2 / 3) / 3,
            "recall/normal": 1.0,
            "recall/partial": 0.0,
            "recall/full": 1.0,
        }
    )


def test_a_tie_counts_half() -> None:
    aucs = auc_one_vs_rest(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1]))
    assert aucs.tolist() == [0.5, 0.5]


@given(graded_sets())
def test_equal_to_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = case
    predicted = probabilities.argmax(axis=1)
    scores = grading_scores(probabilities, labels, CLASSES)
    nan_if_absent = {"labels": [0, 1, 2], "average": "macro", "zero_division": np.nan}
    assert scores["recall"] == pytest.approx(recall_score(labels, predicted, **nan_if_absent))
    assert scores["f1"] == pytest.approx(
        f1_score(labels, predicted, labels=[*set(labels) | set(predicted)], average="macro")
    )
    assert scores["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    alone = [accuracy_score(labels == index, predicted == index) for index in range(3)]
    assert scores["class_accuracy"] == pytest.approx(np.mean(alone))
    without = [index for index in range(3) if (labels != index).any()]
    specificities = [recall_score(labels != index, predicted != index) for index in without]
    assert scores["specificity"] == pytest.approx(np.mean(specificities))
    for index, auc in enumerate(auc_one_vs_rest(probabilities, labels)):
        own = labels == index
        expected = roc_auc_score(own, probabilities[:, index]) if 0 < own.sum() < len(own) else math.nan
        assert auc == pytest.approx(expected, nan_ok=True)


def test_macro_auc_equals_scikit_learns_one_vs_rest() -> None:
    random = np.random.default_rng(3)
    probabilities = random.dirichlet([1, 1, 1], size=200)
    labels = random.integers(0, 3, size=200)
    expected = roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert grading_scores(probabilities, labels)["auc"] == pytest.approx(expected)


@given(graded_sets(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(case: tuple[np.ndarray, np.ndarray], random: object) -> None:
    probabilities, labels = case
    order = list(range(len(labels)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = grading_scores(probabilities[order], labels[order], CLASSES)
    assert shuffled == pytest.approx(grading_scores(probabilities, labels, CLASSES), nan_ok=True)


def test_a_class_without_rows_is_left_out_and_never_zero() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    scores = grading_scores(probabilities, np.array([0, 1]), CLASSES)
    assert (scores["recall"], scores["f1"], scores["auc"]) == (1.0, 1.0, 1.0)
    assert math.isnan(scores["recall/full"])
    only_normal = grading_scores(probabilities[:1], np.array([0]), CLASSES)
    assert math.isnan(only_normal["auc"])
    assert only_normal["accuracy"] == 1.0


def test_a_class_predicted_without_rows_has_f1_zero() -> None:
    probabilities = np.array([[0.8, 0.2], [0.1, 0.9]])
    assert grading_scores(probabilities, np.array([0, 0]))["f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_unlabelled_rows_do_not_count() -> None:
    probabilities = np.array([[0.8, 0.2], [0.1, 0.9], [0.9, 0.1]])
    expected = grading_scores(probabilities[:2], np.array([0, 1]))
    assert grading_scores(probabilities, np.array([0, 1, -1])) == expected
    assert all(math.isnan(score) for score in grading_scores(probabilities, np.array([-1, -1, -1])).values())


@pytest.mark.parametrize(
    ("labels", "predicted", "kappa"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1], 1.0),
        ([0, 0, 1, 1], [0, 1, 0, 1], 0.0),  # agreed 1/2, by chance 1/2
        ([0, 0, 1, 1], [1, 1, 0, 0], -1.0),  # agreed 0, by chance 1/2
        ([0, 0, 0, 1, -1], [0, 0, 1, 1, 0], 1 / 2),  # agreed 3/4, by chance 3/4·2/4 + 1/4·2/4 = 1/2
        ([0, 0, 0, 0], [0, 0, 0, 1], 0.0),  # agreed 3/4, by chance 3/4
        ([1, 1], [1, 1], math.nan),
        ([-1], [0], math.nan),
    ],
)
def test_kappa_by_hand(labels: list[int], predicted: list[int], kappa: float) -> None:
    assert cohen_kappa(np.eye(2)[predicted], np.array(labels)) == pytest.approx(kappa, nan_ok=True)


@given(graded_sets())
def test_kappa_equals_scikit_learns(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = case
    predicted = probabilities.argmax(axis=1)
    defined = len(set(labels) | set(predicted)) > 1
    expected = cohen_kappa_score(labels, predicted) if defined else math.nan
    assert cohen_kappa(probabilities, labels) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([[0.5, np.nan], [0.5, 0.5]], [0, 1], "1 of 2 rows .* not finite, first row 0"),
        ([[0.5, 0.5], [0.5, 0.5]], [0, 2], "row 1 has label 2, beyond the 2 classes"),
        ([[0.5, 0.5], [0.5, 0.5]], [0, -2], "row 1 has label -2"),
        ([[0.5, 0.5]], [0, 1], "N×C probabilities and N labels"),
    ],
)
def test_wrong_input_is_named(probabilities: list[list[float]], labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grading_scores(np.array(probabilities), np.array(labels))


def test_names_must_fit_the_columns() -> None:
    with pytest.raises(ValueError, match="3 class names for 2 columns"):
        grading_scores(np.array([[0.5, 0.5]]), np.array([0]), CLASSES)


@st.composite
def found_sets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Three findings, which a row may have or not, or of which that is not known."""
    count = draw(st.integers(1, 15))
    probabilities = draw(arrays(np.float64, (count, 3), elements=st.sampled_from([0.0, 0.2, 0.5, 1.0])))
    return probabilities, draw(arrays(np.int64, (count, 3), elements=st.sampled_from([-1, 0, 1])))


@given(found_sets())
def test_findings_equal_scikit_learns_auc_of_the_rows_that_are_known(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = case
    scores = finding_scores(probabilities, labels, CLASSES)
    expected = []
    for column, name in enumerate(CLASSES):
        label, known = labels[:, column], labels[:, column] >= 0
        defined = len(set(label[known])) == 2
        area = roc_auc_score(label[known], probabilities[known, column]) if defined else math.nan
        assert scores[f"auc/{name}"] == pytest.approx(area, nan_ok=True)
        expected += [area] if defined else []
    assert scores["auc"] == pytest.approx(np.mean(expected) if expected else math.nan, nan_ok=True)


def test_what_makes_no_findings_is_refused() -> None:
    with pytest.raises(ValueError, match="a label is 2"):
        finding_scores(np.zeros((1, 2)), np.array([[0, 2]]))
    with pytest.raises(ValueError, match="not finite"):
        finding_scores(np.array([[np.nan, 0.0]]), np.array([[0, 1]]))
    with pytest.raises(ValueError, match="wanted N×C"):
        finding_scores(np.zeros((2, 2)), np.array([0, 1]))
    with pytest.raises(ValueError, match="1 class names for 2 columns"):
        finding_scores(np.zeros((1, 2)), np.array([[0, 1]]), ["a"])
