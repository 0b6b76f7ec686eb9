"""From a map to boxes in the image's own pixels, against scikit-image's labels and against the way to the square."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label

from semimed_monai.transforms import Candidate, find_candidates, to_square

SIZES = st.integers(1, 90)
VALUES = st.sampled_from([0.0, 0.2, 0.5, 0.7, 0.9, 1.0])
MAPS = st.integers(1, 9).flatmap(lambda side: arrays(np.float64, (side, side), elements=VALUES))


def shown(map_: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Cells that a fine picture of the square's pixels says to show the image, by sampling it densely."""
    side, cells = max(rows, columns), map_.shape[0]
    picture = np.zeros((side, side), bool)
    top, left = (side - rows) // 2, (side - columns) // 2
    picture[top : top + rows, left : left + columns] = True
    fine = picture.repeat(cells, axis=0).repeat(cells, axis=1)  # each pixel is cells × cells, each cell side × side
    found: np.ndarray = fine.reshape(cells, side, cells, side).any(axis=(1, 3))
    return found


def test_a_map_worked_by_hand() -> None:
    """8 × 8 cells of five pixels each, over an image of 20 rows and 40 columns: rows 2 to 5 show it."""
    map_ = np.zeros((8, 8))
    map_[3, 1], map_[4, 2], map_[4, 1] = 0.6, 0.8, 0.5  # joined, at a corner too
    map_[2, 6] = 0.5
    map_[1, 4] = 0.99  # padding
    map_[5, 0:8] = 0.4
    assert find_candidates(map_, 20, 40, 0.5) == [
        Candidate((5.0, 5.0, 15.0, 15.0), 0.8),
        Candidate((30.0, 0.0, 35.0, 5.0), 0.5),
    ]
    assert [found.box for found in find_candidates(map_, 20, 40, 0.51)] == [(5.0, 5.0, 15.0, 15.0)]
    assert find_candidates(map_, 20, 40, 0.9) == []


def test_a_cell_over_the_edge_of_the_image_is_cut_there() -> None:
    """Two cells of eight pixels each, over two columns in the middle: pixels 7 and 8 of sixteen."""
    map_ = np.array([[0.9, 0.0], [0.0, 0.6]])
    assert find_candidates(map_, 16, 2, 0.5) == [Candidate((0.0, 0.0, 2.0, 16.0), 0.9)]
    map_[0, 0] = 0
    assert find_candidates(map_, 16, 2, 0.5) == [Candidate((1.0, 8.0, 2.0, 16.0), 0.6)]


def test_a_squashed_image_has_no_padding() -> None:
    map_ = np.zeros((4, 4))
    map_[0, 3] = 0.7
    assert find_candidates(map_, 20, 40, 0.5, "squash") == [Candidate((30.0, 0.0, 40.0, 5.0), 0.7)]


@pytest.mark.parametrize("threshold", [0, 1, -0.1, True])
def test_a_threshold_is_a_share(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"threshold is .*: give a number between 0 and 1"):
        find_candidates(np.zeros((4, 4)), 4, 4, threshold)


@given(MAPS, SIZES, SIZES, st.sampled_from([0.1, 0.5, 0.8]))
def test_a_candidate_for_each_label_and_its_peak_within(
    map_: np.ndarray, rows: int, columns: int, threshold: float
) -> None:
    inside = np.where(shown(map_, rows, columns), map_, 0)
    found = find_candidates(map_, rows, columns, threshold)
    labels = label(inside >= threshold, connectivity=2)
    assert len(found) == labels.max()
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert sorted(one.score for one in found) == sorted(inside[labels == n].max() for n in range(1, len(found) + 1))
    pixel = max(rows, columns) / len(map_)
    top, left = ((max(rows, columns) - n) // 2 for n in (rows, columns))
    for one in found:
        x0, y0, x1, y1 = one.box
        assert 0 <= x0 < x1 <= columns
        assert 0 <= y0 < y1 <= rows
        peaks = np.argwhere(inside == one.score) * pixel - [top, left]
        assert any(y < y1 and y + pixel > y0 and x < x1 and x + pixel > x0 for y, x in peaks)


@given(st.data(), st.integers(40, 90), st.integers(40, 90), st.integers(8, 40))
def test_a_box_carried_to_the_square_comes_back_to_within_a_cell(
    data: st.DataObject, rows: int, columns: int, cells: int
) -> None:
    side = max(rows, columns)
    least = -(-3 * side // cells)  # three cells: smaller ones may fade below the threshold
    x0, y0 = data.draw(st.integers(0, columns - least)), data.draw(st.integers(0, rows - least))
    x1, y1 = data.draw(st.integers(x0 + least, columns)), data.draw(st.integers(y0 + least, rows))
    plane = torch.zeros(1, rows, columns)
    plane[0, y0:y1, x0:x1] = 1
    (found,) = find_candidates(to_square(plane, cells)[0].numpy(), rows, columns, 0.3)
    assert np.abs(np.subtract(found.box, (x0, y0, x1, y1))).max() <= side / cells + 1e-9
