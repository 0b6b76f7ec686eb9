"""The weighted cross-entropy of lesion maps, worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semimed_monai.losses import LesionCrossEntropy
from semimed_monai.vocabulary import ROLES, Outputs, Step

COUNTS = {"P_hos": 1, "N_hos": 3}


def _roles(*names: str) -> torch.Tensor:
    return torch.tensor([ROLES.index(name) for name in names])


def test_two_images_by_hand(make_step: Callable[..., Step]) -> None:
    """α_l is 4/2 = 2 for the one positive, 4/6 for the three negatives; at ½ each pixel costs log 2, a lesion's ten.

    The third row is of a role that is not counted.
    """
    mask = torch.zeros(3, 1, 2, 2)
    mask[0, 0, 0, 0] = 1
    step = make_step(Outputs(torch.zeros(3, 1, 2, 2)), mask=mask, role=_roles("P_hos", "N_hos", "P_pub"))
    expected = (2 * 13 / 4 * math.log(2) + 2 / 3 * math.log(2)) / 2
    assert LesionCrossEntropy(COUNTS)(step).item() == pytest.approx(expected)


def test_a_cell_of_the_map_is_a_lesion_if_any_pixel_is(make_step: Callable[..., Step]) -> None:
    mask = torch.zeros(1, 1, 8, 8)
    mask[0, 0, 3, 5] = 1
    logits = torch.full((1, 1, 2, 2), -50.0)
    logits[0, 0, 0, 1] = 50
    assert LesionCrossEntropy(COUNTS)(make_step(Outputs(logits), mask=mask, role=_roles("P_hos"))).item() < 1e-12


@given(st.floats(-300, 300), st.sampled_from([0.0, 1.0]))
def test_the_gradient_is_finite_and_the_weighted_difference(
    make_step: Callable[..., Step], logit: float, lesion: float
) -> None:
    logits = torch.full((1, 1, 1, 1), logit, requires_grad=True)
    step = make_step(Outputs(logits), mask=torch.full((1, 1, 1, 1), lesion), role=_roles("P_hos"))
    LesionCrossEntropy(COUNTS)(step).backward()
    assert logits.grad is not None
    wanted = 2 * (10 if lesion else 1) * (torch.sigmoid(torch.tensor(logit)).item() - lesion)
    assert logits.grad.item() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("counts", [{"P": 3}, {"P_hos": 0}])
def test_counts_of_nothing_are_refused(counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="roles are P_hos, N_hos, P_pub, N_pub"):
        LesionCrossEntropy(counts)


def test_negatives_of_the_public_sets_want_a_map_of_zeros(make_step: Callable[..., Step]) -> None:
    """Their term alone: of one class, so that α_l is ½."""
    step = make_step(Outputs(torch.zeros(1, 1, 2, 2)), role=_roles("N_pub"))
    assert LesionCrossEntropy({"N_pub": 7})(step).item() == pytest.approx(math.log(2) / 2)
