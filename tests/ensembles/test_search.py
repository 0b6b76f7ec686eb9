"""The search over subsets and rules: every one is there, judged as one by one, and the best comes first."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from semimed_monai.ensembles import search
from semimed_monai.networks import decided, votes


def answers(members: int, images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(5, size=images)
    logits = rng.normal(size=(members, images, 5)) + 1.5 * np.eye(5)[labels]
    probabilities = np.exp(logits)
    return probabilities / probabilities.sum(axis=2, keepdims=True), labels


def test_eight_members_have_247_subsets_by_three_rules() -> None:
    found = search(*answers(8, 40))
    assert len(found) == 247 * 3
    assert len({(vote.members, vote.rule) for vote in found}) == 247 * 3
    assert min(len(vote.members) for vote in found) == 2
    order = [(-vote.f1, -vote.accuracy, len(vote.members), vote.members) for vote in found]
    assert order == sorted(order)


def test_each_is_judged_as_scikit_learn_judges_it() -> None:
    probabilities, labels = answers(4, 60, seed=1)
    labels[labels == 4] = 3  # a class that is voted for and never there
    for vote in search(probabilities, labels):
        subset = torch.zeros(1, 4, dtype=torch.float64)
        subset[0, list(vote.members)] = 1
        voted = decided(*votes(torch.from_numpy(probabilities), subset), vote.rule)[0].numpy()
        assert vote.accuracy == pytest.approx(accuracy_score(labels, voted))
        assert vote.f1 == pytest.approx(f1_score(labels, voted, average="macro", zero_division=0))


def test_of_equal_ones_the_smaller_comes_first() -> None:
    probabilities, labels = answers(3, 30)
    probabilities[:] = probabilities[0]  # all say the same
    assert search(probabilities, labels)[0].members == (0, 1)


def test_what_cannot_be_judged_is_refused() -> None:
    probabilities, labels = answers(2, 10)
    with pytest.raises(ValueError, match="2 members are fewer than the 3 of the smallest subset"):
        search(probabilities, labels, fewest=3)
    with pytest.raises(ValueError, match="10 answers and 9 labels"):
        search(probabilities, labels[:9])
