"""PCAM's two terms by hand: λ, the masked image, where gradient goes and where it does not, and marks."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from semimed_monai.losses import MarkLoss, MaskedClassification, confidence
from semimed_monai.networks import PositiveCAMClassifier
from semimed_monai.vocabulary import UNLABELLED, Outputs, Step

MakeStep = Callable[..., Step]


@pytest.mark.parametrize(("accuracy", "expected"), [(0.0, 1 / math.e), (0.5, math.exp(-0.5)), (1.0, 1.0)])
def test_confidence(accuracy: float, expected: float) -> None:
    assert confidence(torch.tensor(accuracy)).item() == pytest.approx(expected)


def _step(make_step: MakeStep, run: Callable[[Tensor], Outputs], label: list[int] | None = None) -> Step:
    """Two rows on two pixels; the label's map of the first is 1 and 0.5, that of the second 0 and 0.5."""
    maps = torch.full((2, 2, 1, 2), 0.9)
    maps[0, 1], maps[1, 0] = torch.tensor([[1.0, 0.5]]), torch.tensor([[0.0, 0.5]])
    return make_step(
        Outputs(logits=torch.tensor([[0.0, 2.0], [0.0, 1.0]]), maps=maps),
        label=torch.tensor([1, 0] if label is None else label),
        image=torch.full((2, 1, 1, 2), 2.0),
        run=run,
    )


def test_by_hand(make_step: MakeStep) -> None:
    """ω = 2, σ0 = ½: the masks are σ(1) σ(0) and σ(−1) σ(0); L1 = (log(1 + e⁻²) + log(1 + e)) / 2; λ of P = 0."""
    seen: list[Tensor] = []

    def run(images: Tensor) -> Outputs:
        seen.append(images)
        return Outputs(logits=torch.zeros(2, 2))

    term = MaskedClassification(omega=2.0, sigma0=0.5, decay=0.75)
    value = term(_step(make_step, run))
    edge = 1 / (1 + math.exp(-1))
    assert seen[0].flatten().tolist() == pytest.approx([2 * edge, 1.0, 2 * (1 - edge), 1.0])
    plain, masked, trust = (math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 2, math.log(2), 1 / math.e
    assert value.item() == pytest.approx((1 - trust) * plain + trust * masked)
    observed = {name: found.item() for name, found in term.observed.items()}
    assert observed == pytest.approx({"plain": plain, "masked": masked, "confidence": trust, "inside": 0.5})
    assert term.accuracy.item() == pytest.approx(0.25 * 0.5)  # one of two is right
    term(_step(make_step, run))
    assert term.observed["confidence"].item() == pytest.approx(math.exp(0.125 - 1))
    assert "accuracy" in term.state_dict()


@pytest.mark.parametrize(
    ("mask_class", "shown"),
    [("label", [1.0, 0.5, 0.0, 0.5]), ("predicted", [1.0, 0.5, 0.9, 0.9]), (0, [0.9, 0.9, 0.0, 0.5])],
)
def test_whose_map_makes_the_mask(mask_class: str | int, shown: list[float], make_step: MakeStep) -> None:
    """Both rows are predicted to be of class 1, the second is of class 0."""
    seen: list[Tensor] = []

    def run(images: Tensor) -> Outputs:
        seen.append(images)
        return Outputs(logits=torch.zeros(2, 2))

    MaskedClassification(omega=2.0, mask_class=mask_class)(_step(make_step, run))
    expected = [2 / (1 + math.exp(-2 * (value - 0.5))) for value in shown]
    assert seen[0].flatten().tolist() == pytest.approx(expected)


def test_rows_without_a_label_count_for_nothing(make_step: MakeStep) -> None:
    def run(images: Tensor) -> Outputs:
        return Outputs(logits=torch.stack([images.sum((1, 2, 3)), torch.zeros(2)], dim=1))

    term = MaskedClassification()
    with_it = term(_step(make_step, run, label=[1, UNLABELLED]))
    assert term.accuracy.item() == pytest.approx(0.02)
    assert term.observed["plain"].item() == pytest.approx(math.log1p(math.exp(-2)))
    assert torch.isfinite(with_it)
    before = term.accuracy.clone()
    assert term(_step(make_step, run, label=[UNLABELLED, UNLABELLED])).item() == 0
    assert torch.equal(term.accuracy, before)


def test_gradient_goes_through_the_mask_and_not_through_confidence(make_step: MakeStep) -> None:
    """What reaches the map comes from L2 alone, and is λ times its slope."""
    torch.manual_seed(0)
    network = PositiveCAMClassifier(layers=(1, 1, 1, 1), widths=(4, 8, 8, 16)).eval()
    images, label = torch.rand(4, 1, 32, 32), torch.tensor([0, 1, 0, 1])
    term = MaskedClassification()
    term.accuracy = torch.tensor(0.5, requires_grad=True)
    outputs = network(images)
    maps = outputs.maps
    maps.retain_grad()
    step = make_step(outputs, label=label, image=images, run=network)
    trust = confidence(term.accuracy.detach())
    leaf = maps.detach()[torch.arange(4), label].unsqueeze(1).requires_grad_()
    masked = network(images * torch.sigmoid(10 * (leaf - 0.5))).logits
    (slope,) = torch.autograd.grad(functional.cross_entropy(masked, label), leaf)
    term(step).backward()
    assert torch.allclose(maps.grad[torch.arange(4), label].unsqueeze(1), trust * slope, atol=1e-7)
    assert slope.any()
    assert network.conv1.weight.grad.any()


def test_confidence_takes_no_gradient(make_step: MakeStep) -> None:
    """Of two steps the second's weights stand on what the first found right; nothing leads back to it."""
    logits = torch.tensor([[0.0, 2.0], [0.0, 1.0]], requires_grad=True)
    term = MaskedClassification()
    outputs = Outputs(logits=logits, maps=torch.full((2, 2, 1, 2), 0.5))
    for _ in range(2):
        term(make_step(outputs, label=torch.tensor([1, 0]), run=lambda _images: outputs))
    assert not term.accuracy.requires_grad


def test_marks_by_hand(make_step: MakeStep) -> None:
    """Drawn ¾ ½ on a mark 1 0 costs (1/16 + 1/4) / 2; the row without a mark costs nothing."""
    outputs = Outputs(logits=torch.zeros(2, 2), marks=torch.tensor([[[[0.75, 0.5]]], [[[1.0, 1.0]]]]))
    mask = torch.tensor([[[[1.0, 0.0]]], [[[0.0, 0.0]]]])
    given = {"mask": mask, "has_mask": torch.tensor([True, False])}
    assert MarkLoss()(make_step(outputs, label=torch.tensor([1, 1]), **given)).item() == pytest.approx(5 / 32)
    given["has_mask"] = torch.tensor([False, False])
    assert MarkLoss()(make_step(outputs, label=torch.tensor([1, 1]), **given)).item() == 0


def test_neither_a_normal_image_nor_an_empty_mask_is_a_mark(make_step: MakeStep) -> None:
    outputs = Outputs(logits=torch.zeros(2, 2), marks=torch.full((2, 1, 1, 2), 0.5))
    mask = torch.tensor([[[[1.0, 0.0]]], [[[1.0, 0.0]]]])
    given = {"mask": mask, "has_mask": torch.tensor([True, True])}
    assert MarkLoss()(make_step(outputs, label=torch.tensor([0, UNLABELLED]), **given)).item() == 0
    given["mask"] = torch.zeros_like(mask)
    assert MarkLoss()(make_step(outputs, label=torch.tensor([1, 1]), **given)).item() == 0


def test_a_network_that_lacks_something_is_told_so(make_step: MakeStep) -> None:
    outputs = Outputs(logits=torch.zeros(2, 2))
    with pytest.raises(ValueError, match="MarkLoss needs marks"):
        MarkLoss()(make_step(outputs))
    with pytest.raises(ValueError, match="MaskedClassification needs maps"):
        MaskedClassification()(make_step(outputs))


@pytest.mark.parametrize("given", [{"sigma0": 0.0}, {"decay": 1.0}, {"omega": -10.0}])
def test_settings_without_sense_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"give a number (between 0 and 1|above 0)"):
        MaskedClassification(**given)


@pytest.mark.parametrize("mask_class", ["abnormal", -1, True])
def test_a_mask_of_no_class_is_refused(mask_class: str | int) -> None:
    with pytest.raises(ValueError, match=r"give label, predicted, or a class's index"):
        MaskedClassification(mask_class=mask_class)
