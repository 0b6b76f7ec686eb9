"""Terms that remember what the network said of each row: averaged, or taken for its label."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semimed_monai.losses import ClassEnsembling, SelfTraining
from semimed_monai.losses.memory import Average
from semimed_monai.vocabulary import Outputs, Step

MakeStep = Callable[..., Step]
ITEMS = [{"id": "a"}, {"id": "b"}]


def _step(make_step: MakeStep, ids: Sequence[str], *first: float, **given: Any) -> Step:
    """Rows whose first of two classes has this probability, by softmax and, with its opposite, by sigmoid."""
    logits = torch.tensor([[math.log(p / (1 - p)), 0.0] for p in first])
    return make_step(Outputs(logits.requires_grad_()), id=list(ids), **{"label": torch.full((len(ids),), -1), **given})


@given(st.lists(st.floats(0, 1, width=16), min_size=1, max_size=6), st.sampled_from([0.0, 0.5, 0.9]))
def test_an_average_is_the_weighted_mean_of_the_visits_before(values: list[float], decay: float) -> None:
    average = Average(["a"], (1,), decay)
    for number, value in enumerate(values):
        before, known = average.visit(["a"], torch.tensor([[value]]))
        weights = [decay ** (number - 1 - place) for place in range(number)]
        assert known.item() == (number > 0)
        if number:
            mean = sum(w * v for w, v in zip(weights, values, strict=False)) / sum(weights)
            assert before.item() == pytest.approx(mean, abs=5e-3)


def test_ensembling_by_hand(make_step: MakeStep) -> None:
    """α .6: .9 then .5 average to .65; now .8: two classes, each .15 away. The first visit counts for nothing."""
    term = ClassEnsembling(ITEMS, classes=2, decay=0.6)
    assert term(_step(make_step, "a", 0.9)).item() == 0
    assert term(_step(make_step, "a", 0.5)).item() == pytest.approx(2 * 0.4**2, abs=1e-3)
    step = _step(make_step, "ab", 0.8, 0.3)
    value = term(step)
    assert value.item() == pytest.approx(2 * 0.15**2, abs=1e-3)
    value.backward()
    gradient = step.student.logits.grad  # type: ignore[union-attr]
    assert gradient[0].abs().sum() > 0  # type: ignore[index]
    assert gradient[1].abs().sum() == 0  # type: ignore[index]
    assert term.begun(0.0)


def test_ensembling_of_many_classes_by_hand(make_step: MakeStep) -> None:
    """Sigmoids: the first class .9 then .5, where the second is .5 at each visit: now only the first is away, by .4."""
    term = ClassEnsembling(ITEMS, classes=2, decay=0.6, multi_label=True)
    term(_step(make_step, "a", 0.9))
    assert term(_step(make_step, "a", 0.5)).item() == pytest.approx(0.4**2, abs=1e-3)


def test_what_it_was_sure_of_becomes_the_label(make_step: MakeStep) -> None:
    """a was sure of class 0, b not: now a's cross-entropy is −log .6."""
    term = SelfTraining(ITEMS, classes=2, threshold=0.9)
    assert term(_step(make_step, "ab", 0.95, 0.7)).item() == 0
    assert term(_step(make_step, "ab", 0.6, 0.6)).item() == pytest.approx(-math.log(0.6), abs=1e-5)
    assert term(_step(make_step, "ab", 0.6, 0.6)).item() == 0  # at that visit it was sure of neither


def test_labelled_rows_are_neither_taught_nor_remembered(make_step: MakeStep) -> None:
    term = SelfTraining(ITEMS, classes=2, threshold=0.9)
    for _ in range(2):
        assert term(_step(make_step, "a", 0.99, label=torch.tensor([1]))).item() == 0
    assert term.memory.marks.tolist() == [0, 0]


def test_each_of_many_classes_is_there_not_there_or_not_known(make_step: MakeStep) -> None:
    """a: .95 is there, .5 is not known. Now .6 for the first: −log .6."""
    term = SelfTraining(ITEMS, classes=2, threshold=0.9, multi_label=True)
    label = torch.full((1, 2), -1)
    assert term(_step(make_step, "a", 0.95, label=label)).item() == 0
    assert term(_step(make_step, "a", 0.6, label=label)).item() == pytest.approx(-math.log(0.6), abs=1e-5)
    term(_step(make_step, "a", 0.05, label=label))
    assert term(_step(make_step, "a", 0.6, label=label)).item() == pytest.approx(-math.log(0.4), abs=1e-5)


@pytest.mark.parametrize("term", [ClassEnsembling(ITEMS, 2), SelfTraining(ITEMS, 2, threshold=0.6)])
def test_the_bank_is_part_of_the_state(term: Any, make_step: MakeStep) -> None:
    resumed = type(term)(ITEMS, 2, **({"threshold": 0.6} if isinstance(term, SelfTraining) else {}))
    term(_step(make_step, "ab", 0.9, 0.2))
    resumed.load_state_dict(term.state_dict())
    values = [each(_step(make_step, "ba", 0.7, 0.3)).item() for each in (term, resumed)]
    assert values[0] == values[1] > 0


def test_settings_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"threshold is 0\.5: give more"):
        SelfTraining(ITEMS, 2, threshold=0.5)
    with pytest.raises(ValueError, match="decay is 1"):
        ClassEnsembling(ITEMS, 2, decay=1)
