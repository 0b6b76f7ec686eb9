"""What stands on an overlay: the slice, the outline of its attention, its caption."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semimed_monai.transforms import overlay
from semimed_monai.transforms.overlays import OUTLINE, enlargement

GREY = np.linspace(0, 1, 300)[:, None] * np.ones(400)


def yellow(picture: np.ndarray) -> np.ndarray:
    return np.argwhere((picture == OUTLINE).all(axis=2))


def test_the_outline_runs_around_what_is_attended() -> None:
    attention = np.zeros((300, 400))
    attention[100:141, 200:261] = 1
    points = yellow(overlay(GREY, attention, ""))
    assert points.min(axis=0).tolist() == pytest.approx([100, 200], abs=1)
    assert points.max(axis=0).tolist() == pytest.approx([140, 260], abs=1)
    inside = (points > [102, 202]).all(axis=1) & (points < [138, 258]).all(axis=1)
    assert not inside.any()


def test_the_threshold_and_the_border() -> None:
    assert len(yellow(overlay(GREY, np.full((300, 400), 0.4), ""))) == 0
    whole = yellow(overlay(GREY, np.full((300, 400), 0.4), "", threshold=0.3))
    assert whole.min(axis=0).tolist() == [0, 0]
    assert whole.max(axis=0).tolist() == [299, 399]


def test_the_slice_is_as_the_network_sees_it_and_the_caption_differs() -> None:
    none = np.zeros((300, 400))
    plain = overlay(GREY, none, "")
    assert plain.shape == (300, 400, 3)
    assert plain[0, 0].tolist() == [0, 0, 0]
    assert plain[-1, -1].tolist() == [255, 255, 255]
    first, second = overlay(GREY, none, "normal 0.90"), overlay(GREY, none, "full 0.90")
    assert (first[:60] != second[:60]).any()
    np.testing.assert_array_equal(first[60:], plain[60:])


@given(st.integers(1, 600), st.integers(1, 600))
def test_small_slices_are_enlarged_a_whole_number_of_times(rows: int, columns: int) -> None:
    times = enlargement(rows, columns)
    assert times == 1 or max(rows, columns) * times <= 1024
    assert min(rows, columns) * times >= 256 or max(rows, columns) * (times + 1) > 1024
    assert times == 1 or min(rows, columns) * (times - 1) < 256


def test_outlines_are_enlarged_with_their_slice() -> None:
    attention = np.zeros((128, 128))
    attention[32:64, 64:96] = 1
    points = yellow(overlay(np.zeros((128, 128)), attention, ""))
    assert points.min(axis=0).tolist() == pytest.approx([64, 128], abs=2)
    assert points.max(axis=0).tolist() == pytest.approx([127, 191], abs=2)
