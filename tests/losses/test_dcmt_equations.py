"""The four terms of DC-MT against an independent statement of Eq. 2-5 in numpy, and by hand on four pixels."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from semimed_monai.losses import (
    AttentionConsistency,
    AttentionLoss,
    ClassConsistency,
    Criterion,
    CrossEntropy,
    SigmoidRamp,
    Term,
)
from semimed_monai.vocabulary import Outputs, Step

ROWS, CLASSES = 4, 3
MAPS = arrays(np.float32, (ROWS, CLASSES, 2, 3), elements=st.floats(0, 1, width=32))
MASKS = arrays(np.float32, (ROWS, 1, 2, 3), elements=st.sampled_from([0.0, 1.0]))
LOGITS = arrays(np.float32, (ROWS, CLASSES), elements=st.floats(-8, 8, width=32))
LABELS = arrays(np.int64, ROWS, elements=st.integers(-1, CLASSES - 1))
FLAGS = arrays(np.bool_, ROWS)
UNSUPERVISED = [ClassConsistency(), AttentionConsistency()]
ALL = [CrossEntropy(), AttentionLoss(), *UNSUPERVISED]


def _name(term: Term) -> str:
    return type(term).__name__


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers: np.ndarray = np.exp(scores - scores.max())
    shares: np.ndarray = powers / powers.sum()
    return shares


def _equation_2(f: np.ndarray, s: np.ndarray) -> float:
    near = sum((x - y) ** 2 for x, y in zip(f.flat, s.flat, strict=True)) / max(f.sum() + s.sum(), 1e-5)
    within = sum(x * y for x, y in zip(f.flat, s.flat, strict=True)) / max(f.sum(), 1e-5)
    return float(0.5 * near + 0.001 * (1 - within))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


@settings(max_examples=60)
@given(
    z_s=LOGITS,
    z_t=LOGITS,
    f_s=MAPS,
    f_t=MAPS,
    mask=MASKS,
    label=LABELS,
    has_mask=FLAGS,
    progress=st.floats(0.01, 1),
)
def test_the_criterion_is_equations_2_to_5(
    make_step: Callable[..., Step],
    *,
    z_s: np.ndarray,
    z_t: np.ndarray,
    f_s: np.ndarray,
    f_t: np.ndarray,
    mask: np.ndarray,
    label: np.ndarray,
    has_mask: np.ndarray,
    progress: float,
) -> None:
    student = Outputs(torch.tensor(z_s), torch.tensor(f_s))
    teacher = Outputs(torch.tensor(z_t), torch.tensor(f_t))
    given_ = {"label": torch.tensor(label), "mask": torch.tensor(mask), "has_mask": torch.tensor(has_mask)}
    ramp = SigmoidRamp()
    found = Criterion(
        {
            "c": CrossEntropy(),
            "a": AttentionLoss(),
            "cc": ClassConsistency(weight=3.0, ramp=ramp),
            "ac": AttentionConsistency(ramp=ramp),
        }
    )(make_step(student, teacher, progress=progress, **given_))

    z_s, z_t, f_s, f_t, mask = (array.astype(np.float64) for array in (z_s, z_t, f_s, f_t, mask))
    labelled = [row for row in range(ROWS) if label[row] >= 0]
    chosen = [label[row] if label[row] >= 0 else int(np.argmax(z_t[row])) for row in range(ROWS)]
    c = _mean([-math.log(_softmax(z_s[row])[label[row]]) for row in labelled])
    a = _mean([_equation_2(f_s[row, label[row]], mask[row, 0]) for row in labelled if has_mask[row]])
    cc = _mean([float(np.mean((_softmax(z_s[row]) - _softmax(z_t[row])) ** 2)) for row in range(ROWS)])
    pairs = [(f_s[row, chosen[row]], f_t[row, chosen[row]]) for row in range(ROWS)]
    ac = _mean([float(np.sum((s - t) ** 2) / max(s.sum() + t.sum(), 1e-5)) for s, t in pairs])
    w = math.exp(-5 * (1 - progress) ** 2)
    expected = {"c": c, "a": a, "cc": cc, "ac": ac, "loss": c + a + 3 * w * cc + w * ac}
    assert {name: float(found[name]) for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)


def _map(*pixels: float) -> torch.Tensor:
    return torch.tensor(pixels).view(1, 1, 2, 2)


def test_attention_loss_by_hand(make_step: Callable[..., Step]) -> None:
    """f = 1 .5 0 .5, S = 1 1 0 0: near .25+.25 over 2+2, inside 1.5 of 2."""
    step = make_step(Outputs(maps=_map(1, 0.5, 0, 0.5)), mask=_map(1, 1, 0, 0))
    assert AttentionLoss(lambda_a=1, lambda_r=0)(step).item() == pytest.approx(0.5 / 4)
    assert AttentionLoss(lambda_a=0, lambda_r=1)(step).item() == pytest.approx(1 - 1.5 / 2)


def test_each_image_counts_by_itself(make_step: Callable[..., Step]) -> None:
    """A full map on an empty mask costs 4/4, a perfect small one nothing; pooled it would be 4/6."""
    maps, masks = torch.cat([_map(1, 1, 1, 1), _map(1, 0, 0, 0)]), torch.cat([_map(0, 0, 0, 0), _map(1, 0, 0, 0)])
    step = make_step(Outputs(maps=maps), mask=masks)
    assert AttentionLoss(lambda_a=1, lambda_r=0)(step).item() == pytest.approx((1 + 0) / 2)


def test_cross_entropy_by_hand(make_step: Callable[..., Step]) -> None:
    """Probabilities 1/4 and 3/4; the unlabelled row does not enter the mean."""
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)], [50.0, 0.0]])
    step = make_step(Outputs(logits), label=torch.tensor([1, 0, -1]))
    assert CrossEntropy()(step).item() == pytest.approx((-math.log(3 / 4) - math.log(1 / 4)) / 2)
    smoothed = 0.9 * (-math.log(3 / 4) - math.log(1 / 4)) / 2 + 0.1 * -(math.log(1 / 4) + math.log(3 / 4)) / 2
    assert CrossEntropy(label_smoothing=0.1)(step).item() == pytest.approx(smoothed)


def test_class_consistency_by_hand(make_step: Callable[..., Step]) -> None:
    """(1/4, 3/4) against (1/2, 1/2): the mean of two sixteenths. On probabilities, not on scores."""
    student, teacher = Outputs(torch.tensor([[0.0, math.log(3)]])), Outputs(torch.tensor([[7.0, 7.0]]))
    assert ClassConsistency()(make_step(student, teacher)).item() == pytest.approx(1 / 16)


def test_the_class_is_the_label_or_else_the_teachers_argmax(make_step: Callable[..., Step]) -> None:
    """Map c of the teacher is empty but for class c, so the value tells which class was compared."""
    maps = torch.zeros(2, 3, 2, 2)
    other = maps.clone()
    for number, pixels in enumerate((1, 2, 4)):
        other[:, number].view(2, -1)[:, :pixels] = 1
    student = Outputs(torch.tensor([[9.0, 0, 0], [9.0, 0, 0]]), maps + 0.5)
    teacher = Outputs(torch.tensor([[0, 9.0, 0], [0, 9.0, 0]]), other)
    step = make_step(student, teacher, label=torch.tensor([2, -1]))
    assert AttentionConsistency()(step).item() == pytest.approx((1 / 6 + 1 / 4) / 2)  # 4·¼ / (2+4), 4·¼ / (2+2)


class _Shifted:
    """The teacher's frame lies one column to the left; its last column has nothing to show."""

    def carry(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inside = torch.ones_like(maps[:, :1])
        inside[..., -1] = 0
        return torch.roll(maps, -1, dims=3) * inside, inside


def test_what_the_teacher_did_not_see_counts_on_neither_side(make_step: Callable[..., Step]) -> None:
    logits = torch.zeros(1, 1)
    teacher = Outputs(logits, torch.tensor([[[[0.3, 1.0, 0.5]]]]))
    same = make_step(Outputs(logits, torch.tensor([[[[1.0, 0.5, 0.9]]]])), teacher, geometry=_Shifted())
    assert AttentionConsistency()(same).item() == 0
    other = make_step(Outputs(logits, torch.tensor([[[[1.0, 0.0, 0.9]]]])), teacher, geometry=_Shifted())
    assert AttentionConsistency()(other).item() == pytest.approx(0.25 / 2.5)


@pytest.mark.parametrize("term", UNSUPERVISED, ids=_name)
def test_identical_outputs_cost_nothing_and_others_pull_the_student(make_step: Callable[..., Step], term: Term) -> None:
    logits, maps = torch.randn(4, 3, requires_grad=True), torch.rand(4, 3, 5, 5, requires_grad=True)
    same = Outputs(logits.detach().clone(), maps.detach().clone())
    assert term(make_step(Outputs(logits, maps), same)).item() == 0
    other = Outputs(torch.randn(4, 3), torch.rand(4, 3, 5, 5))
    term(make_step(Outputs(logits, maps), other, label=torch.tensor([0, 1, -1, -1]))).backward()
    gradient = maps.grad if logits.grad is None else logits.grad
    assert gradient is not None
    assert (gradient.flatten(1).norm(dim=1) > 0).all(), "every row, labelled or not"


@pytest.mark.parametrize("term", ALL, ids=_name)
def test_what_hidden_rows_hold_changes_neither_value_nor_gradient(make_step: Callable[..., Step], term: Term) -> None:
    """Row 1 is unlabelled with a mask flag left on, row 2 labelled without a mask."""

    def told(mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        random = torch.Generator().manual_seed(0)
        logits = torch.randn(3, 3, generator=random).requires_grad_()
        maps = torch.rand(3, 3, 4, 4, generator=random).requires_grad_()
        teacher = Outputs(torch.randn(3, 3, generator=random), torch.rand(3, 3, 4, 4, generator=random))
        has_mask = torch.tensor([True, True, False])
        label = torch.tensor([2, -1, 0])
        value = term(make_step(Outputs(logits, maps), teacher, label=label, mask=mask, has_mask=has_mask))
        value.backward()
        return value, *(torch.zeros(()) if leaf.grad is None else leaf.grad for leaf in (logits, maps))

    shown = torch.zeros(3, 1, 4, 4)
    shown[0, :, :2] = 1
    filled = shown.clone()
    filled[1:] = torch.rand(2, 1, 4, 4)
    assert all(torch.equal(one, other) for one, other in zip(told(shown), told(filled), strict=True))


@pytest.mark.parametrize("term", [CrossEntropy(), AttentionLoss()], ids=_name)
def test_a_batch_without_labels_costs_nothing_and_has_a_graph(make_step: Callable[..., Step], term: Term) -> None:
    logits, maps = torch.randn(2, 3, requires_grad=True), torch.rand(2, 3, 2, 2, requires_grad=True)
    value = term(make_step(Outputs(logits, maps), label=torch.tensor([-1, -1])))
    assert value.item() == 0
    value.backward()
    gradient = maps.grad if logits.grad is None else logits.grad
    assert gradient is not None
    assert not gradient.any()


@pytest.mark.parametrize("term", [AttentionLoss(), AttentionConsistency()], ids=_name)
@pytest.mark.parametrize("pixel", [0.0, 1.0])
def test_an_empty_map_stays_finite(make_step: Callable[..., Step], term: Term, pixel: float) -> None:
    maps = torch.zeros(1, 1, 2, 2, requires_grad=True)
    logits = torch.zeros(1, 1)
    mask = _map(pixel, 0, 0, 0)
    value = term(make_step(Outputs(logits, maps), Outputs(logits, mask), mask=mask))
    value.backward()
    assert torch.isfinite(value)
    assert maps.grad is not None
    assert torch.isfinite(maps.grad).all()


def test_empty_maps_of_counted_rows_are_observed(make_step: Callable[..., Step]) -> None:
    term = AttentionLoss()
    maps = torch.cat([_map(0.4, 0, 0, 0), _map(0.4, 0, 0, 0), _map(0.6, 0, 0, 0), _map(0, 0, 0, 0)])
    term(make_step(Outputs(maps=maps), label=torch.tensor([0, 0, 0, -1])))
    assert term.observed["empty_maps"].item() == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("term", "student", "teacher", "message"),
    [
        (CrossEntropy(), Outputs(maps=torch.ones(1, 1, 2, 2)), None, "CrossEntropy needs logits"),
        (AttentionLoss(), Outputs(torch.ones(1, 1)), None, "AttentionLoss needs maps"),
        (ClassConsistency(), Outputs(torch.ones(1, 1)), None, "ClassConsistency compares with the teacher"),
        (AttentionConsistency(), Outputs(torch.ones(1, 1)), None, "AttentionConsistency compares with the teacher"),
        (
            AttentionConsistency(),
            Outputs(torch.ones(1, 1)),
            Outputs(torch.ones(1, 1)),
            "AttentionConsistency needs maps",
        ),
    ],
    ids=str,
)
def test_a_term_says_what_it_misses(
    make_step: Callable[..., Step], term: Term, student: Outputs, teacher: Outputs | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        term(make_step(student, teacher))
