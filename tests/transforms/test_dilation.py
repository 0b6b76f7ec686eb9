"""Dilation is what its definition says, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from semimed_monai.transforms import Dilate, Dilated

PLANES = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1))
RADII = st.one_of(st.integers(0, 6), st.floats(0, 6))


@given(PLANES, RADII)
def test_every_pixel_within_the_radius_and_no_other(plane: NDArray[np.uint8], radius: float) -> None:
    marked = np.argwhere(plane)
    expected = [[any(np.hypot(*(at - (r, c))) <= radius for at in marked) for c in range(plane.shape[1])]
                for r in range(plane.shape[0])]  # fmt: skip

    dilated = Dilate(radius)(plane)

    assert dilated.dtype == plane.dtype
    np.testing.assert_array_equal(dilated, expected)


@given(PLANES, st.integers(0, 4), st.integers(0, 4))
def test_a_larger_radius_holds_a_smaller_one(plane: NDArray[np.uint8], radius: int, more: int) -> None:
    assert (Dilate(radius + more)(plane) >= Dilate(radius)(plane)).all()


def test_planes_of_a_stack_do_not_meet() -> None:
    stack = torch.zeros(2, 1, 5, 5)
    stack[0, 0, 2, 2] = 1

    dilated = Dilated("mask", radius=2)({"mask": stack, "id": "a"})

    assert dilated["id"] == "a"
    assert dilated["mask"].dtype == torch.float32
    assert dilated["mask"][0].sum() == 13
    assert not dilated["mask"][1].any()
    assert stack.sum() == 1


def test_chosen_labels_grow_and_the_others_stand() -> None:
    row = np.array([[1, 0, 0, 0, 2, 3, 0]])

    assert Dilate(1)(row).tolist() == [[1, 1, 0, 2, 2, 3, 3]]
    assert Dilate(2, labels=2)(row).tolist() == [[1, 0, 2, 2, 2, 3, 2]]
    assert Dilate(1, labels=[1, 3])(row).tolist() == [[1, 1, 0, 0, 2, 3, 3]]


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="radius=-1"):
        Dilate(-1)
    with pytest.raises(ValueError, match="background"):
        Dilate(1, labels=[0, 1])
