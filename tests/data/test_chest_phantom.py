"""Phantom chests: the same number gives the same picture, and a fracture is where its box says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from semimed_monai.data.phantoms import STANDARD_CHEST, ChestAnatomy, chest_phantom

GAPS_ONLY = replace(STANDARD_CHEST, stepped_share=0.0)


def _in_boxes(boxes: tuple[tuple[float, float, float, float], ...], size: int) -> np.ndarray:
    inside = np.zeros((size, size), bool)
    for x0, y0, x1, y1 in boxes:
        inside[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
    return inside


def test_a_person_is_the_same_whenever_asked_for() -> None:
    one, again = (chest_phantom(1, 5, broken=True) for _ in range(2))
    assert np.array_equal(one.image, again.image)
    assert one.boxes == again.boxes
    assert not np.array_equal(one.image, chest_phantom(1, 6, broken=True).image)
    assert not np.array_equal(one.image, chest_phantom(2, 5, broken=True).image)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_boxes_lie_in_the_picture_and_have_a_size(index: int) -> None:
    person = chest_phantom(0, index, broken=True)
    assert 1 <= len(person.boxes) <= 3
    for x0, y0, x1, y1 in person.boxes:
        assert 0 <= x0 < x1 <= 128
        assert 0 <= y0 < y1 <= 128
        assert min(x1 - x0, y1 - y0) >= 3
    assert person.image.dtype == np.uint16
    assert person.image.max() <= 4095


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_a_gap_changes_its_box_and_nothing_else(index: int) -> None:
    """The same person without fractures has the same anatomy, distractors and noise; what an edge's blur carries
    further is below the least noise (19 of 4095 at most, in four of 10,000).
    """
    broken, whole = (chest_phantom(0, index, broken, GAPS_ONLY) for broken in (True, False))
    change = np.abs(broken.image.astype(int) - whole.image.astype(int))
    inside = _in_boxes(broken.boxes, 128)
    assert change[~binary_dilation(inside, iterations=2)].max() < 4095 * GAPS_ONLY.noise[0]
    for box in broken.boxes:
        assert change[_in_boxes((box,), 128)].max() > 4095 * GAPS_ONLY.noise[0]


def test_a_gap_is_darker_than_the_bone_was() -> None:
    anatomy = replace(GAPS_ONLY, depth=(1.0, 1.0), gap=(6.0, 6.0))
    for index in range(5):
        broken, whole = (chest_phantom(0, index, broken, anatomy) for broken in (True, False))
        for box in broken.boxes:
            part = _in_boxes((box,), 128)
            assert broken.image[part].mean() < whole.image[part].mean() - 20


def test_sizes_and_numbers_that_make_no_chest_are_refused() -> None:
    with pytest.raises(ValueError, match="64 pixels"):
        ChestAnatomy(size=32)
    with pytest.raises(ValueError, match="must not be negative"):
        chest_phantom(-1, 0, broken=False)


@pytest.mark.parametrize("size", [64, 256])
def test_the_picture_scales(size: int) -> None:
    """Boxes are the same places at any size, in that size's pixels."""
    person = chest_phantom(0, 2, broken=True, anatomy=replace(STANDARD_CHEST, size=size))
    standard = chest_phantom(0, 2, broken=True)
    assert person.image.shape == (size, size)
    assert np.allclose(np.array(person.boxes) * 128 / size, standard.boxes, atol=0.05)
