"""Outlines become the pixels whose centres they enclose; those that do not lie in their image are refused."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from data_prep.boxes import Annotated
from data_prep.outlines import MaskPicture, Polygons, RunLengths, covered, read_outline

WIDTH, HEIGHT = 12, 9
SIZE = (WIDTH, HEIGHT)
POINTS = st.tuples(st.floats(0, WIDTH, width=32), st.floats(0, HEIGHT, width=32))


def flat(*points: tuple[float, float]) -> list[float]:
    return [value for point in points for value in point]


def side_of(centres: np.ndarray, start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """How far pixels lie to the left of a line."""
    (x0, y0), (x1, y1) = start, end
    across, down = centres
    return ((x1 - x0) * (down - y0) - (y1 - y0) * (across - x0)) / np.hypot(x1 - x0, y1 - y0)


@given(POINTS, POINTS, POINTS)
def test_a_triangle_is_the_pixels_whose_centres_are_on_the_same_side_of_all_edges(one, two, three):
    corners = [one, two, three]
    edges = [(corners[n], corners[(n + 1) % 3]) for n in range(3)]
    assume(all(np.hypot(x1 - x0, y1 - y0) > 0.01 for (x0, y0), (x1, y1) in edges))
    bounds = np.ptp(np.array(corners), axis=0)
    assume(bounds.min() > 0.01)
    centres = np.array(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5))
    sides = np.array([side_of(centres, *edge) for edge in edges])
    inside = (sides > 0).all(axis=0) | (sides < 0).all(axis=0)
    clear = (abs(sides) > 1e-3).all(axis=0)  # what is on an edge may be either
    found = Polygons([flat(*corners)]).pixels(SIZE)
    assert (found == inside)[clear].all()


@given(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(1, WIDTH), st.integers(1, HEIGHT))
def test_a_box_is_the_same_as_box_polygon_or_run_lengths(x0, y0, width, height):
    x1, y1 = min(x0 + width, WIDTH), min(y0 + height, HEIGHT)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[y0:y1, x0:x1] = True
    ring = flat((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    assert (Polygons([ring]).pixels(SIZE) == expected).all()
    assert (covered(Annotated("", "", [[x0, y0, x1, y1]]), SIZE) == expected).all()


@given(arrays(bool, (HEIGHT, WIDTH)))
def test_run_lengths_give_the_mask_that_they_were_counted_in(mask):
    """As COCO has it: down the columns, and the first run is outside, even if it has no pixel."""
    runs = [(value, len(list(group))) for value, group in groupby(mask.T.ravel().tolist())]
    counts = [0] * bool(runs[0][0]) + [length for _, length in runs]
    outline = read_outline({"counts": counts, "size": [HEIGHT, WIDTH]})
    assert (outline.pixels(SIZE) == mask).all()


def test_all_polygons_boxes_and_outlines_of_an_image_are_one_mask():
    left, right = [0, 0, 2, 0, 2, 2, 0, 2], [10, 7, 12, 7, 12, 9, 10, 9]
    lengths = RunLengths([1, 1, WIDTH * HEIGHT - 2], SIZE)  # the second pixel of the first column
    found = covered(Annotated("", "", [[4.4, 4, 6, 5]], outlines=[Polygons([left, right]), lengths]), SIZE)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[:2, :2] = expected[7:, 10:] = expected[4, 4:6] = True
    assert (found == expected).all()


def test_an_outline_may_reach_over_the_border_by_a_pixel_and_no_farther():
    over = Polygons([flat((-0.9, 2), (3, 2), (3, 9.9), (-0.9, 9.9))]).pixels(SIZE)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[2:, :3] = True
    assert (over == expected).all()
    with pytest.raises(ValueError, match=r"the outline within \[10, 2, 13.5, 4\] reaches outside the image of 12 x 9"):
        Polygons([flat((1, 1), (2, 1), (2, 2)), flat((10, 2), (13.5, 2), (13.5, 4))]).pixels(SIZE)


@pytest.mark.parametrize(
    ("annotated", "said"),
    [
        (Annotated("", "", [[1.6, 1, 2.4, 5]]), "the box from [1.6, 1] to [2.4, 5] covers no pixel of the image"),
        (Annotated("", "", [[1, 1, 13.5, 5]]), "box [1, 1, 13.5, 5] reaches outside the image of 12 x 9 pixels"),
        (Annotated("", "", [], outlines=[Polygons([flat((1, 1), (3, 1), (5, 1))])]), "within [1, 1, 5, 1] has no area"),
        (Annotated("", "", [], outlines=[Polygons([flat((1, 1), (3, 3), (1, 1))])]), "its outline covers no pixel"),
        (
            Annotated("", "", [], outlines=[RunLengths([108], SIZE)]),
            "its outline covers no pixel of the image: correct",
        ),
        (Annotated("", "", [], outlines=[RunLengths([0, 108], (9, 12))]), "are of 9 x 12 pixels, and it has 12 x 9"),
        (
            Annotated("", "", [], size=(24, 18), outlines=[RunLengths([0, 108], SIZE)]),
            "its outlines were drawn at 24 x 18 pixels, and it has 12 x 9: scale them",
        ),
    ],
)
def test_marks_that_are_not_in_the_image_are_refused(annotated, said):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at
        covered(annotated, SIZE)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ({"counts": "eW`1", "size": [9, 12]}, "its run lengths are compressed, which is not read: export polygons"),
        ({"counts": [100, 9], "size": [9, 12]}, "that add up to all pixels: export it again"),
        ({"counts": [54.0, 54], "size": [9, 12]}, "a list of whole numbers"),
        ({"counts": [120, -12], "size": [9, 12]}, "a list of whole numbers"),
        ({"counts": [108]}, "must have size [height, width]"),
        ([1, 1, 3, 1, 3, 3], "must be polygons [[x, y, x, y, ...], ...] of three corners or more"),
        ([[1, 1, 3, 1]], "of three corners or more"),
        ([[1, 1, 3, 1, 3, 3, 4]], "of three corners or more"),
        ([[1, 1, 3, 1, 3, "3"]], "must be polygons"),
        ([[1, 1, 3, 1, 3, float("nan")]], "must be polygons"),
        ("polygon", "must be polygons"),
    ],
)
def test_segmentations_of_another_form_are_refused(segmentation, said):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at
        read_outline(segmentation)
    assert said in str(caught.value)


def write_mask(file: Path, mask: np.ndarray, mode: str) -> MaskPicture:
    picture = Image.fromarray(mask.astype(np.uint8) * (1 if mode == "P" else 255))
    if mode == "P":
        picture.putpalette([0] * 3 + [9] * 3)
    elif mode == "I;16":
        picture = Image.fromarray(mask.astype(np.uint16) * 300)
    elif mode != "L":
        picture = picture.convert(mode)
    picture.save(file)
    return MaskPicture(file)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGB", "RGBA"])
def test_a_mask_may_be_a_png_of_any_kind(tmp_path, mode):
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) > 0.5
    assert (write_mask(tmp_path / "a.png", mask, mode).pixels(SIZE) == mask).all()


def test_masks_that_are_empty_broken_or_of_another_size_are_refused(tmp_path):
    mask = np.eye(HEIGHT, WIDTH, dtype=bool)
    cases = {
        "the mask has 9 x 12 pixels, and the image 12 x 9: scale it": write_mask(tmp_path / "a.png", mask.T, "L"),
        "its mask covers no pixel of the image: correct or remove it": write_mask(
            tmp_path / "b.png", mask & False, "L"
        ),
        "a mask must be a PNG: what JPEG stores is not quite 0 outside": write_mask(tmp_path / "c.jpg", mask, "L"),
        "the mask is broken (not a picture): copy it anew": MaskPicture(tmp_path / "d.png"),
    }
    (tmp_path / "d.png").write_text("no picture")
    for said, outline in cases.items():
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at
            covered(Annotated("", "", [], outlines=[outline]), SIZE)
        assert said in str(caught.value)
