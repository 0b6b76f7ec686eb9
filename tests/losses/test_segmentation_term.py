"""Dice + cross-entropy over the rows that have a mask."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from semimed_monai.losses import DiceCrossEntropy
from semimed_monai.vocabulary import Outputs, Step


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
