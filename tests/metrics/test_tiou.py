"""TIoU, and the shapes that look at nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from discs import centred_disc
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from semimed_monai.metrics import baseline_ious, iou, macro_tiou, radial_profile, tiou

IOUS = arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1))


def test_an_iou_of_exactly_the_threshold_is_not_above_it() -> None:
    """1 of 10 pixels in single precision would be above .1."""
    maps, masks = torch.zeros(1, 1, 2, 5), torch.ones(1, 1, 2, 5)
    maps[..., 0, 0] = 1
    assert tiou(iou(maps, masks).numpy()) == 0.0


def test_tiou_worked_by_hand() -> None:
    """.35 passes three of seven thresholds, 1 all, .05 none; nan does not count."""
    assert tiou(np.array([0.35, 1.0, 0.05, np.nan])) == pytest.approx((3 / 7 + 1 + 0) / 3)
    assert math.isnan(tiou(np.array([np.nan])))


@given(IOUS, st.data())
def test_tiou_rises_with_any_iou_and_ignores_the_order(ious: np.ndarray, data: st.DataObject) -> None:
    better = ious.copy()
    row = data.draw(st.integers(0, len(ious) - 1))
    better[row] = data.draw(st.floats(ious[row], 1))
    assert 0 <= tiou(ious) <= tiou(better) <= 1
    assert tiou(ious[::-1]) == pytest.approx(tiou(ious))


def test_macro_is_the_mean_over_classes_with_cases() -> None:
    """Class 0: two full hits and one miss; class 1: one miss; class 2 has no mask; the last row no label."""
    ious = np.array([1.0, 1.0, 0.0, 0.0, np.nan, 1.0])
    labels = np.array([0, 0, 0, 1, 2, -1])
    assert macro_tiou(ious, labels) == pytest.approx((2 / 3 + 0) / 2)
    assert math.isnan(macro_tiou(ious[4:5], labels[4:5]))


@given(arrays(np.bool_, (2, 1, 40, 25)), st.integers(1, 500))
def test_profile_gives_the_iou_of_a_disc_without_the_mask(masks: np.ndarray, rings: int) -> None:
    inside = torch.tensor(masks).float()
    disc = centred_disc((40, 25), rings / 500).expand(2, 1, 40, 25)
    profile = radial_profile(inside)
    both, area = profile[:, rings - 1], profile[:, -1]
    expected = iou(disc, inside)
    known = ~torch.isnan(expected)
    assert torch.allclose((both / (rings / 500 + area - both))[known], expected[known])


def test_baselines_against_masks_worked_by_hand() -> None:
    """The disc itself as mask, twice, and an empty one: the disc meets it, the ones meet 20 %: one T of seven."""
    disc = centred_disc((50, 40), 0.2)
    masks = torch.stack([disc, disc, torch.zeros_like(disc)]).unsqueeze(1)
    ious = baseline_ious(radial_profile(masks).numpy())
    assert ious["ones"] == pytest.approx([0.2, 0.2, np.nan], nan_ok=True)
    assert {name: tiou(values) for name, values in ious.items()} == {"disc": 1.0, "ones": pytest.approx(1 / 7)}


def test_the_disc_takes_the_mean_area_of_the_masks() -> None:
    """Areas .1 and .3: the disc has .2; it holds the smaller (IoU .5) and lies in the larger (IoU 2/3)."""
    masks = torch.stack([centred_disc((50, 40), 0.1), centred_disc((50, 40), 0.3)]).unsqueeze(1)
    assert baseline_ious(radial_profile(masks).numpy())["disc"] == pytest.approx([0.5, 2 / 3])


def test_baselines_of_no_masks_are_unknown() -> None:
    ious = baseline_ious(radial_profile(torch.zeros(2, 1, 30, 30)).numpy())
    assert all(np.isnan(values).all() for values in ious.values())
