"""The sum of named, weighted, ramped terms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ignite.engine import Engine
from torch import Tensor, nn

from semimed_monai.losses import ClassConsistency, Criterion, CrossEntropy, SigmoidRamp, Term
from semimed_monai.losses.criterion import mean_over
from semimed_monai.vocabulary import Outputs, Step


class Constant(Term):
    """Costs a number, remembers how often it was asked, and learns a factor."""

    def __init__(self, cost: float, weight: float = 1.0, ramp: Callable[[float], float] | None = None) -> None:
        super().__init__(weight, ramp)
        self.cost = cost
        self.scale = nn.Parameter(torch.ones(()))
        self.asked: Tensor
        self.register_buffer("asked", torch.zeros(()))
        self.attached_to: list[object] = []

    def attach(self, engine: Engine) -> None:
        self.attached_to.append(engine)

    def forward(self, step: Step) -> Tensor:
        self.asked += 1
        self.observed = {"asked": self.asked.clone()}
        return self.scale * self.cost


@pytest.fixture
def step(make_step: Callable[..., Step]) -> Step:
    return make_step(Outputs(torch.zeros(1, 2)), progress=0.5)


def test_the_sum_by_hand(step: Step) -> None:
    criterion = Criterion({"a": Constant(3.0), "b": Constant(5.0, weight=2.0, ramp=lambda progress: progress / 5)})
    values = criterion(step)
    assert {name: value.item() for name, value in values.items()} == pytest.approx(
        {"loss": 3 + 5 * 2 * 0.1, "a": 3, "b": 5, "a/asked": 1, "b/asked": 1}
    )


def test_a_term_that_has_not_begun_costs_nothing_and_is_not_said(step: Step) -> None:
    later, unweighted = Constant(5.0, ramp=SigmoidRamp(start=0.6)), Constant(7.0, weight=0.0)
    criterion = Criterion({"a": Constant(3.0), "later": later, "unweighted": unweighted})
    values = criterion(step)
    assert {name: value.item() for name, value in values.items() if "/" not in name} == {
        "loss": 3,
        "a": 3,
        "unweighted": 7,
    }
    assert later.asked == 0
    assert "later" in criterion(replace(step, progress=0.7))


def test_the_teacher_is_wanted_once_a_term_that_compares_has_begun() -> None:
    criterion = Criterion({"a": CrossEntropy(), "b": ClassConsistency(ramp=SigmoidRamp(start=0.5))})
    assert criterion.uses_teacher
    assert [criterion.compares(progress) for progress in (0.4, 0.5, 1.0)] == [False, True, True]


def test_a_criterion_of_which_nothing_has_begun_is_refused(step: Step) -> None:
    with pytest.raises(ValueError, match="nothing to learn from at the start of the run: each of a, b begins later"):
        Criterion({name: Constant(3.0, ramp=SigmoidRamp(start=0.6)) for name in "ab"})(step)


def test_the_factor_reaches_the_gradient(step: Step) -> None:
    term = Constant(5.0, weight=2.0, ramp=SigmoidRamp())
    Criterion({"b": term})(step)["loss"].backward()
    assert term.scale.grad is not None
    assert term.scale.grad.item() == pytest.approx(5 * 2 * math.exp(-5 / 4))


def test_a_disabled_term_is_left_out(step: Step) -> None:
    criterion = Criterion({"a": Constant(3.0), "b": None})
    assert set(criterion(step)) == {"loss", "a", "a/asked"}
    assert not criterion.uses_teacher
    assert Criterion({"a": Constant(3.0), "b": ClassConsistency()}).uses_teacher


@pytest.mark.parametrize(("terms", "message"), [({"a": None}, "no term left"), ({"loss": CrossEntropy()}, "'loss'")])
def test_refused(terms: dict[str, Term | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Criterion(terms)


def test_what_a_term_remembers_and_learns_is_the_criterions(step: Step) -> None:
    criterion = Criterion({"a": Constant(3.0)})
    criterion(step)
    assert {name: value.item() for name, value in criterion.state_dict().items()} == {
        "terms.a.asked": 1,
        "terms.a.scale": 1,
    }
    other = Criterion({"a": Constant(3.0)})
    other.load_state_dict(criterion.state_dict())
    assert other(step)["a/asked"].item() == 2


def test_attach_reaches_every_term() -> None:
    engine = Engine(lambda _engine, _batch: None)
    one, other = Constant(1), Constant(2)
    Criterion({"one": one, "other": other}).attach(engine)
    assert one.attached_to == other.attached_to == [engine]


def test_a_term_without_forward_says_so(step: Step) -> None:
    with pytest.raises(NotImplementedError, match="Term does not define forward"):
        Term()(step)


@pytest.mark.parametrize(("progress", "expected"), [(0.0, math.exp(-5)), (0.5, math.exp(-1.25)), (1.0, 1.0)])
def test_the_ramp_by_hand(progress: float, expected: float) -> None:
    assert SigmoidRamp()(progress) == pytest.approx(expected, rel=1e-12)


def test_a_ramp_within_the_run() -> None:
    """Nothing before .2, half-way at .4, whole from .6 on."""
    ramp = SigmoidRamp(steepness=2.0, start=0.2, end=0.6)
    assert [ramp(progress) for progress in (0.1, 0.2, 0.4, 0.6, 0.9)] == pytest.approx(
        [0, math.exp(-2), math.exp(-0.5), 1, 1]
    )


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.4), st.floats(0.5, 1))
def test_a_ramp_never_falls(one: float, other: float, start: float, end: float) -> None:
    ramp = SigmoidRamp(start=start, end=end)
    assert 0 <= ramp(min(one, other)) <= ramp(max(one, other)) <= 1


@pytest.mark.parametrize(("start", "end"), [(-0.1, 1), (0.5, 0.5), (0.6, 0.5)])
def test_a_ramp_that_runs_backwards_is_refused(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="start < end"):
        SigmoidRamp(start=start, end=end)


def test_the_mean_over_counted_rows_by_hand() -> None:
    """(1 + 2) / 2, whatever stands in the row that does not count; each counted row pulls with 1/2."""
    each = torch.tensor([1.0, 2.0, 9.0], requires_grad=True)
    mean = mean_over(each, torch.tensor([True, True, False]))
    mean.backward()
    assert mean.item() == 1.5
    assert each.grad is not None
    assert each.grad.tolist() == [0.5, 0.5, 0.0]


def test_the_mean_over_no_row_is_zero_and_has_a_graph() -> None:
    each = torch.tensor([1.0, 2.0], requires_grad=True)
    mean = mean_over(each, torch.tensor([False, False]))
    mean.backward()
    assert mean.item() == 0
    assert each.grad is not None
    assert each.grad.tolist() == [0.0, 0.0]


@given(st.lists(st.tuples(st.floats(-100, 100), st.booleans()), min_size=1, max_size=9))
def test_the_mean_over_rows_is_that_of_the_counted_ones(rows: list[tuple[float, bool]]) -> None:
    values, counted = (torch.tensor(column) for column in zip(*rows, strict=True))
    expected = values[counted].mean() if counted.any() else torch.zeros(())
    assert torch.allclose(mean_over(values, counted), expected, atol=1e-4)


def test_a_row_with_several_labels_is_known_or_not(make_step: Callable[..., Step]) -> None:
    label = torch.tensor([[0, 1, 0], [-1, -1, -1], [0, 0, 0]])
    step = make_step(Outputs(torch.zeros(3, 3)), label=label, has_mask=torch.zeros(3, dtype=torch.bool))
    assert step.labelled.tolist() == [True, False, True]
