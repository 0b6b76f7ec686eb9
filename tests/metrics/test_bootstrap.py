"""Bootstrap intervals: of known cases, by group, and quick."""

from __future__ import annotations

import math
import time
from functools import partial

import numpy as np
import pytest

from semimed_monai.metrics import bootstrap_interval, grading_scores, macro_tiou, tiou


def _mean(values: np.ndarray, rows: np.ndarray) -> float:
    return float(values[rows].mean())


def test_two_groups_worked_by_hand() -> None:
    """Draws aa, ab, ba, bb: the means 0, .5, .5, 1; the middle half lies from .0-.5 to .5-1, the middle 95 % is all."""
    values = np.array([0.0, 0.0, 1.0, 1.0])
    low, high = bootstrap_interval(lambda rows: float(values[rows].mean()), ["a", "a", "b", "b"])
    assert (low, high) == (0.0, 1.0)


def test_whole_groups_are_drawn() -> None:
    groups = np.array(["a", "b", "a", "c", "c", "c"])

    def check(rows: np.ndarray) -> float:
        drawn = groups[rows]
        sizes = {"a": 2, "b": 1, "c": 3}
        for name, size in sizes.items():
            indices, times = np.unique(rows[drawn == name], return_counts=True)
            assert len(indices) in (0, size)
            assert len(set(times)) <= 1
        assert sum((drawn == name).sum() / size for name, size in sizes.items()) == 3
        return 0.0

    assert bootstrap_interval(check, groups, repeats=50) == (0.0, 0.0)


def test_rows_repeated_within_a_group_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).normal(size=40)
    groups = np.arange(40)
    once = bootstrap_interval(lambda rows: float(values[rows].mean()), groups)
    repeated, repeated_groups = np.repeat(values, 10), np.repeat(groups, 10)
    assert bootstrap_interval(lambda rows: float(repeated[rows].mean()), repeated_groups) == pytest.approx(once)
    as_if_independent = bootstrap_interval(lambda rows: float(repeated[rows].mean()), np.arange(400))
    assert as_if_independent[1] - as_if_independent[0] < 0.5 * (once[1] - once[0])


def test_covers_the_truth_about_as_often_as_it_says() -> None:
    """The mean of 60 persons with two slices each, 200 times: 95 % intervals, within what 200 trials can tell."""
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 2)
    covered = 0
    for trial in range(200):
        values = np.repeat(random.normal(size=60), 2)
        low, high = bootstrap_interval(partial(_mean, values), groups, repeats=200, seed=trial)
        covered += low <= 0 <= high
    assert 0.89 <= covered / 200 <= 0.985


def test_same_seed_same_interval_and_wider_level_wider_interval() -> None:
    values = np.random.default_rng(2).normal(size=30)
    groups = np.arange(30)

    def statistic(rows: np.ndarray) -> float:
        return float(values[rows].mean())

    assert bootstrap_interval(statistic, groups, seed=5) == bootstrap_interval(statistic, groups, seed=5)
    narrow, wide = bootstrap_interval(statistic, groups, level=0.5), bootstrap_interval(statistic, groups, level=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_named_numbers_get_an_interval_each_and_nan_does_not_count() -> None:
    values = np.array([0.0, 1.0])

    def statistic(rows: np.ndarray) -> dict[str, float]:
        mean = float(values[rows].mean())
        return {"mean": mean, "mixed": mean if mean == 0.5 else math.nan, "never": math.nan}

    found = bootstrap_interval(statistic, ["a", "b"])
    assert found["mean"] == (0.0, 1.0)
    assert found["mixed"] == (0.5, 0.5)
    assert all(math.isnan(end) for end in found["never"])


def test_one_group_says_nothing() -> None:
    low, high = bootstrap_interval(lambda rows: 1.0, ["a", "a"])
    assert math.isnan(low)
    assert math.isnan(high)


@pytest.mark.parametrize(("groups", "repeats", "level"), [([], 10, 0.95), (["a"], 0, 0.95), (["a"], 10, 1.0)])
def test_out_of_range(groups: list[str], repeats: int, level: float) -> None:
    with pytest.raises(ValueError, match="wanted rows, repeats >= 1 and 0 < level < 1"):
        bootstrap_interval(lambda rows: 0.0, groups, repeats, level)


def test_all_scores_of_2000_rows_a_thousand_times_take_seconds() -> None:
    random = np.random.default_rng(4)
    probabilities, labels = random.dirichlet([1, 1, 1], size=2000), random.integers(0, 3, size=2000)
    ious = random.random(2000)

    def statistic(rows: np.ndarray) -> dict[str, float]:
        scores = grading_scores(probabilities[rows], labels[rows])
        return scores | {"tiou": tiou(ious[rows]), "macro": macro_tiou(ious[rows], labels[rows])}

    start = time.process_time()
    bootstrap_interval(statistic, random.integers(0, 300, size=2000))
    assert time.process_time() - start < 10
