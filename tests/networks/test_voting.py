"""Voting against a plain restatement of the published rules, over all that three to eight members may say."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from semimed_monai.networks import RULES, carried, decided, votes

CLASSES = 5


@st.composite
def answers(draw: st.DrawFn) -> NDArray[np.float64]:
    """M×C probabilities in 64ths, so that sums are exact and ties are frequent."""
    members = draw(st.integers(3, 8))
    rows = []
    for _ in range(members):
        grid = range(0, 65, draw(st.sampled_from([1, 16])))
        cuts = draw(st.lists(st.sampled_from(grid), min_size=4, max_size=4))
        rows.append(np.diff([0, *sorted(cuts), 64]) / 64)
    return np.asarray(rows)


def soft(probabilities: NDArray[np.float64]) -> int:
    mean = probabilities.mean(axis=0)
    return int(min(place for place in range(CLASSES) if mean[place] == mean.max()))


def hard(probabilities: NDArray[np.float64], tied: int | None = None) -> int:
    """The mode of the members' classes; of several modes the smallest, or what is given for a tie."""
    ballots = Counter(int(min(np.flatnonzero(row == row.max()))) for row in probabilities)
    modes = [label for label, count in ballots.items() if count == max(ballots.values())]
    return min(modes) if len(modes) == 1 or tied is None else tied


def restated(probabilities: NDArray[np.float64], rule: str) -> int:
    if rule == "soft":
        return soft(probabilities)
    return hard(probabilities, soft(probabilities) if rule == "mix" else None)


@given(answers())
@settings(max_examples=150, deadline=None)
def test_every_subset_decides_as_the_rules_say(probabilities: NDArray[np.float64]) -> None:
    members = len(probabilities)
    subsets = [subset for size in range(2, members + 1) for subset in combinations(range(members), size)]
    chosen = torch.zeros(len(subsets), members, dtype=torch.float64)
    for row, subset in enumerate(subsets):
        chosen[row, list(subset)] = 1
    counts, sums = votes(torch.from_numpy(probabilities)[:, None], chosen)
    for rule in RULES:
        found = decided(counts, sums, rule)[:, 0].tolist()
        assert found == [restated(probabilities[list(subset)], rule) for subset in subsets]


@given(answers())
@settings(max_examples=150, deadline=None)
def test_those_who_carried_the_vote_agree_with_it(probabilities: NDArray[np.float64]) -> None:
    """A distribution whose largest is what was decided: who reads it as a classifier's answer reads the vote."""
    for rule in RULES:
        answer = carried(torch.from_numpy(probabilities)[:, None], rule)[0]
        assert float(answer.sum()) == pytest.approx(1)
        winner = restated(probabilities, rule)
        assert float(answer[winner]) == float(answer.max())
        assert int(answer.argmax()) == winner


def test_by_hand() -> None:
    """Two for 1, two for 2 and one for 0 of five members: a tie, which the mean gives to 2."""
    probabilities = torch.tensor([[0.1, 0.5, 0.4], [0.0, 0.5, 0.5], [0.0, 0.1, 0.9], [0.0, 0.1, 0.9], [0.5, 0.2, 0.3]])
    counts, sums = votes(probabilities[:, None], torch.ones(1, 5))
    assert counts[0, 0].tolist() == [1, 2, 2]
    assert [int(decided(counts, sums, rule)) for rule in RULES] == [1, 2, 2]
    assert carried(probabilities[:, None], "hard")[0].tolist() == pytest.approx([0.05, 0.5, 0.45])
    assert carried(probabilities[:, None], "mix")[0].tolist() == pytest.approx([0.12, 0.28, 0.6])
