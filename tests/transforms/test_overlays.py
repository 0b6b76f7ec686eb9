"""What stands on an overlay: the slice, the outline of its attention, its caption."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semimed_monai.transforms import Candidate, overlay
from semimed_monai.transforms.overlays import FOUND, GIVEN, OUTLINE, enlargement

GREY = np.linspace(0, 1, 300)[:, None] * np.ones(400)


def coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere((picture == colour).all(axis=2))


def yellow(picture: np.ndarray) -> np.ndarray:
    return coloured(picture, OUTLINE)


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


def test_boxes_lie_on_the_pixels_that_they_cover() -> None:
    none = np.zeros((300, 400))
    boxes = {"found": [Candidate((50.0, 100.0, 90.0, 140.0), 0.93)], "given": [(200.0, 60.5, 260.0, 120.0)]}
    picture = overlay(GREY, none, "", **boxes)  # type: ignore[arg-type]
    framed = coloured(picture, GIVEN)
    assert framed.min(axis=0).tolist() == [60, 200]
    assert framed.max(axis=0).tolist() == [119, 259]
    assert not (picture[62:118, 202:258] == GIVEN).all(axis=2).any()
    inside = coloured(picture[90:150], FOUND)
    assert inside.min(axis=0).tolist() == [10, 50]
    assert inside.max(axis=0).tolist() == [49, 89]
    other = overlay(GREY, none, "", found=[Candidate((50.0, 100.0, 90.0, 140.0), 0.11)], given=boxes["given"])  # type: ignore[arg-type]
    scored = np.argwhere((picture != other).any(axis=2))
    assert scored.size
    assert (scored < [100, 90]).all()  # above the box


def test_boxes_are_enlarged_with_their_slice_and_scores_stay_within() -> None:
    none = np.zeros((100, 128))
    picture = overlay(none, none, "", found=[Candidate((0.0, 0.0, 20.0, 10.0), 0.5)])
    assert picture.shape == (300, 384, 3)
    assert (picture[0, 30] == FOUND).all()
    assert (picture[29, 30] == FOUND).all()
    assert picture[30:60].any()  # its score, for which there is no room above


@pytest.mark.parametrize("box", [(380.0, 100.0, 400.0, 120.0), (0.0, 0.0, 400.0, 300.0), (398.0, 0.0, 400.0, 300.0)])
def test_a_score_at_the_border_is_written_whole(box: tuple[float, float, float, float]) -> None:
    """Wherever its box lies, the two pictures differ in the digits: as wide and high as elsewhere."""

    def digits(place: tuple[float, float, float, float]) -> list[int]:
        one, other = (overlay(GREY * 0, GREY * 0, "", found=[Candidate(place, score)]) for score in (0.11, 0.88))
        changed = np.argwhere((one != other).any(axis=2))
        return np.ptp(changed, axis=0).tolist()  # type: ignore[no-any-return]

    assert digits(box) == pytest.approx(digits((100.0, 100.0, 150.0, 150.0)), abs=2)  # a frame may show between them


def test_a_plane_that_is_scaled_is_shown_as_it_is() -> None:
    faint = 0.2 + 0.1 * GREY
    shades = overlay(faint, np.zeros((300, 400)), "", scaled=True)
    assert (shades.min(), shades.max()) == (51, 76)
    stretched = overlay(faint, np.zeros((300, 400)), "")
    assert (stretched.min(), stretched.max()) == (0, 255)
