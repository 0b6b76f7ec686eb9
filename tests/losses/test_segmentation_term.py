"""A segmenter's terms: Dice + cross-entropy over the rows that have a mask, consistency pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kornia.augmentation import RandomHorizontalFlip, RandomTranslate
from torch import Tensor, nn

from semimed_monai.losses import ClassConsistency, DiceCrossEntropy
from semimed_monai.views import SharedGeometry, Viewed, Views, WarpedGeometry
from semimed_monai.vocabulary import Outputs, Step

CLASSES = 3
SCORES = arrays(np.float32, (3, CLASSES, 2, 3), elements=st.floats(-6, 6, width=32))
MASKS = arrays(np.int64, (3, 1, 2, 3), elements=st.integers(0, CLASSES - 1))


def test_two_pixels_by_hand(make_step: Callable[..., Step]) -> None:
    """Every class at 1/2, one of two pixels foreground: Dice 2·½ / (1 + 1), cross-entropy ln 2."""
    step = make_step(Outputs(torch.zeros(1, 2, 1, 2)), mask=torch.tensor([[[[0.0, 1.0]]]]))
    assert DiceCrossEntropy()(step).item() == pytest.approx(1 - 0.5 + math.log(2), abs=1e-4)


def test_a_row_without_a_mask_does_not_count(make_step: Callable[..., Step]) -> None:
    logits = torch.randn(2, 2, 3, 3, requires_grad=True)
    mask = (torch.rand(2, 1, 3, 3) > 0.5).float()
    alone = DiceCrossEntropy()(make_step(Outputs(logits[:1]), mask=mask[:1]))
    both = DiceCrossEntropy()(make_step(Outputs(logits), mask=mask, has_mask=torch.tensor([True, False])))
    assert both.item() == pytest.approx(alone.item())
    both.backward()
    assert logits.grad is not None
    assert logits.grad[0].any()
    assert not logits.grad[1].any()


def test_no_mask_at_all_costs_nothing_and_has_a_graph(make_step: Callable[..., Step]) -> None:
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    value = DiceCrossEntropy()(make_step(Outputs(logits), has_mask=torch.tensor([False])))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_network_without_logits_is_told_so(make_step: Callable[..., Step]) -> None:
    with pytest.raises(ValueError, match="DiceCrossEntropy needs logits"):
        DiceCrossEntropy()(make_step(Outputs(maps=torch.rand(1, 1, 2, 2))))


def _of_an_image(scores: np.ndarray, mask: np.ndarray, first: int) -> float:
    """One image, C×H×W and H×W, pixel by pixel in double precision; classes from `first` on count in the Dice part."""
    shares = np.exp(scores.astype(np.float64))
    shares /= shares.sum(0)
    entropy = [-math.log(shares[mask[pixel]][pixel]) for pixel in np.ndindex(mask.shape)]
    dice = []
    for number in range(first, CLASSES):
        inside = mask == number
        both, sizes = shares[number][inside].sum(), shares[number].sum() + inside.sum()
        dice.append(1 - (2 * both + 1e-5) / (sizes + 1e-5))
    return float(np.mean(dice) + np.mean(entropy))


@settings(max_examples=40)
@given(scores=SCORES, mask=MASKS, has_mask=arrays(np.bool_, 3), include_background=st.booleans())
def test_each_image_by_itself_then_the_mean(
    make_step: Callable[..., Step], scores: np.ndarray, mask: np.ndarray, has_mask: np.ndarray, include_background: bool
) -> None:
    given_ = {"mask": torch.tensor(mask).float(), "has_mask": torch.tensor(has_mask)}
    found = DiceCrossEntropy(include_background)(make_step(Outputs(torch.tensor(scores)), **given_))
    first = 0 if include_background else 1
    each = [_of_an_image(scores[row], mask[row, 0], first) for row in range(3) if has_mask[row]]
    assert found.item() == pytest.approx(np.mean(each) if each else 0, rel=1e-4, abs=1e-5)


def _viewed(geometry: nn.Module, size: int = 8) -> Viewed:
    """Four rows; the teacher sees them unmoved."""
    images = torch.rand(4, 1, size, size, generator=torch.Generator().manual_seed(0))
    views = Views([geometry], share_geometry=False)
    return views.forward({"image": images, "mask": torch.zeros_like(images)}, step=1)


def _consistency(make_step: Callable[..., Step], student: Tensor, teacher: Tensor, **given_: object) -> float:
    return float(ClassConsistency()(make_step(Outputs(student), Outputs(teacher), **given_)))


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_a_pixelwise_network_is_consistent_under_a_flip(make_step: Callable[..., Step], p: float) -> None:
    """Who sees a pixel only knows no left and right: zero where the teacher's answer is carried over, else not."""
    viewed = _viewed(RandomHorizontalFlip(p=p))
    network = nn.Conv2d(1, CLASSES, 1).requires_grad_(False)
    nn.init.normal_(network.weight, std=5.0, generator=torch.Generator().manual_seed(0))
    nn.init.zeros_(network.bias)
    student, teacher = network(viewed.batch["image"]), network(viewed.teacher_images)
    assert isinstance(viewed.geometry, WarpedGeometry)
    assert not torch.equal(student, teacher)
    assert _consistency(make_step, student, teacher, geometry=viewed.geometry) < 1e-12
    assert _consistency(make_step, student, teacher, geometry=SharedGeometry()) > 1e-3


def test_a_pixels_probabilities_are_over_its_classes(make_step: Callable[..., Step]) -> None:
    """(1/4, 3/4) against (1/2, 1/2) in each of six pixels: a sixteenth; over a row of pixels nothing would differ."""
    student = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1).expand(1, 2, 2, 3)
    assert _consistency(make_step, student, torch.zeros(1, 2, 2, 3)) == pytest.approx(1 / 16)


def test_pixels_out_of_the_teachers_view_are_zero(make_step: Callable[..., Step]) -> None:
    """Of eight columns two come in from outside: the mean is over all eight, and what stands in the two is nothing."""
    geometry = _viewed(RandomTranslate(translate_x=(0.25, 0.25), p=1.0)).geometry
    student = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1).repeat(4, 1, 8, 8)
    student[..., :2] = torch.randn(4, 2, 8, 2) * 9
    student.requires_grad_()
    step = make_step(Outputs(student), Outputs(torch.zeros(4, 2, 8, 8)), geometry=geometry)
    value = ClassConsistency()(step)
    value.backward()
    assert value.item() == pytest.approx(6 / 8 / 16, rel=1e-4)
    assert student.grad is not None
    assert not student.grad[..., :2].any()
    assert student.grad[..., 2:].all()
