"""Boxes that are cut to their image, or refused: never moved, never outside."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from data_prep.boxes import Annotated, corners, fitted
from semimed_monai.data.roles import box_problem

NUMBERS = st.floats(-3, 15, width=32)


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), st.integers(1, 12), st.integers(1, 12))
def test_a_box_is_inside_after_a_cut_of_a_pixel_at_most_or_refused(box, width, height):
    x0, y0, x1, y1 = box
    found = fitted(Annotated("line 2", "a.png", [list(box)]), (width, height))
    beyond = max(-x0, -y0, x1 - width, y1 - height)
    apart = x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0
    if x0 >= x1 or y0 >= y1 or beyond > 1 or apart:
        assert isinstance(found, str)
        return
    assert not isinstance(found, str)
    assert box_problem(found, width, height) is None  # what a datalist is held to
    assert all(abs(new - old) <= 1 for new, old in zip(found[0], box, strict=True))
    assert beyond > 0 or found == [list(box)]


@given(st.tuples(NUMBERS, NUMBERS), st.tuples(NUMBERS, NUMBERS))
def test_corners_and_sizes_say_the_same(start, size):
    x0, y0, x1, y1 = corners(*start, *size)
    assert (x0, y0) == start
    assert abs(x1 - x0 - size[0]) < 1e-5
    assert abs(y1 - y0 - size[1]) < 1e-5
