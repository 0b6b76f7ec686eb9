"""Terms on class scores where several classes may be there, and sums over classes, by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from semimed_monai.losses import BinaryCrossEntropy, ClassConsistency
from semimed_monai.vocabulary import Outputs, Step

MakeStep = Callable[..., Step]
ZEROS, LOG3 = [0.0, 0.0], [math.log(3.0), -math.log(3.0)]  # sigmoids of one half; of three quarters and one quarter


def test_binary_cross_entropy_is_the_mean_over_classes_and_labelled_rows(make_step: MakeStep) -> None:
    """Row 1: labels 1, 0 at 3/4, 1/4 → log(4/3). Row 2: 0, 0 at 1/2 → log 2. Row 3 is unlabelled."""
    label = torch.tensor([[1, 0], [0, 0], [-1, -1]])
    step = make_step(Outputs(torch.tensor([LOG3, ZEROS, [9.0, 9.0]])), label=label)
    assert BinaryCrossEntropy()(step).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


def test_binary_cross_entropy_of_unlabelled_rows_is_zero_with_a_graph(make_step: MakeStep) -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    value = BinaryCrossEntropy()(make_step(Outputs(logits), label=torch.full((2, 3), -1)))
    value.backward()
    assert value.item() == 0
    assert torch.equal(logits.grad, torch.zeros(2, 3))  # type: ignore[arg-type]


@pytest.mark.parametrize(("summed", "expected"), [(False, 1 / 16), (True, 1 / 8)])
def test_consistency_of_sigmoids_or_softmax_as_mean_or_sum(make_step: MakeStep, summed: bool, expected: float) -> None:
    """Sigmoids 3/4, 1/4 against 1/2, 1/2: 1/16 each. A softmax of (log 3, 0) against (0, 0): the same."""
    step = make_step(Outputs(torch.tensor([LOG3])), Outputs(torch.tensor([ZEROS])))
    assert ClassConsistency(summed, multi_label=True)(step).item() == pytest.approx(expected)
    step = make_step(Outputs(torch.tensor([[math.log(3.0), 0.0]])), Outputs(torch.tensor([ZEROS])))
    assert ClassConsistency(summed)(step).item() == pytest.approx(expected)


def test_of_a_segmenter_too_the_sum_is_over_classes(make_step: MakeStep) -> None:
    scores = torch.tensor([[math.log(3.0)], [0.0]]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    step = make_step(Outputs(scores), Outputs(torch.zeros(1, 2, 4, 4)))
    assert ClassConsistency(summed=True)(step).item() == pytest.approx(1 / 8)
    assert ClassConsistency()(step).item() == pytest.approx(1 / 16)


def test_a_setting_must_be_a_bool() -> None:
    with pytest.raises(ValueError, match="multi_label is 'false', which is no bool"):
        ClassConsistency(multi_label="false")  # type: ignore[arg-type]
