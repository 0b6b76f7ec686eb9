"""Folds: every item validates once, classes are alike in all, groups are whole; what cannot be cut is said."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semimed_monai.data import Folds


def knees(people: int, classes: int = 3) -> list[dict[str, Any]]:
    """Two a person, of one class or of neighbouring ones."""
    return [
        {"image": f"{person}{side}.png", "group": f"p{person}", "label": (person + (person % 5 == 0) * place) % classes}
        for person in range(people)
        for place, side in enumerate("LR")
    ]


@given(people=st.integers(30, 60), count=st.integers(2, 5), seed=st.integers(0, 100), grouped=st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_item_validates_once_and_classes_are_alike(people: int, count: int, seed: int, grouped: bool) -> None:
    items = knees(people)
    folds = Folds(items, count, seed, grouped)
    whole = Counter(item["label"] for item in items)
    validated = [item["image"] for fold in range(count) for item in folds.validation(fold)]
    assert sorted(validated) == sorted(item["image"] for item in items)
    for fold in range(count):
        training, validation = folds.training(fold), folds.validation(fold)
        assert len(training) + len(validation) == len(items)
        assert {item["image"] for item in training} | {item["image"] for item in validation} == set(validated)
        for label, number in Counter(item["label"] for item in validation).items():
            assert abs(number - whole[label] / count) <= 4
        if grouped:
            assert not {item["group"] for item in training} & {item["group"] for item in validation}


def test_without_groups_most_people_are_on_both_sides() -> None:
    folds = Folds(knees(60), count=5, grouped=False)
    training = {item["group"] for item in folds.training(0)}
    validation = [item["group"] for item in folds.validation(0)]
    assert sum(group in training for group in validation) > 0.6 * len(validation)


def test_the_same_seed_cuts_the_same_and_another_one_others() -> None:
    items = knees(40)
    assert Folds(items, seed=3).validation(1) == Folds(items, seed=3).validation(1)
    assert Folds(items, seed=3).validation(1) != Folds(items, seed=4).validation(1)


@pytest.mark.parametrize(
    ("items", "count", "said"),
    [
        (knees(40), 0, "folds must be a whole number from 1, got 0"),
        (knees(40), 1, "a single fold trains on everything: there is nothing left to validate with"),
        (knees(3, classes=1), 5, "3 groups cannot fill 5 folds: make fewer folds or add groups"),
        ([*knees(12, classes=2), {"image": "x.png", "group": "x", "label": 2}], 3, r"class 2 is of 1 groups only"),
    ],
)
def test_what_cannot_be_cut_is_said(items: list[dict[str, Any]], count: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Folds(items, count)


def test_a_fold_without_a_class_is_said() -> None:
    """Class 1 is of as many groups as there are folds; but one has much of class 0, which is needed elsewhere."""
    sizes = {"a": {1: 10}, "b": {0: 30}, "c": {1: 1, 0: 8}}
    items = [
        {"image": f"{group}{label}{number}.png", "group": group, "label": label}
        for group, labels in sizes.items()
        for label, count in labels.items()
        for number in range(count)
    ]
    with pytest.raises(ValueError, match=r"fold \d of 2 \(seed 0\) has no item of class 1: make fewer folds"):
        Folds(items, count=2)


def test_a_single_fold_trains_on_everything() -> None:
    items, others = knees(6), knees(2)
    folds = Folds(items, count=1, otherwise=others)
    assert (folds.training(0), folds.validation(0)) == (items, others)


@pytest.mark.parametrize("fold", [-1, 5, "0"])
def test_a_fold_that_there_is_not_is_said(fold: Any) -> None:
    with pytest.raises(ValueError, match=r"there is no fold .*: they are 0 to 4"):
        Folds(knees(40)).validation(fold)
