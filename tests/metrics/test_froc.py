"""FROC over every level of a map, against labelling the map anew at each."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from semimed_monai.metrics import LevelCounts, levels_of, read_curve, write_curve
from semimed_monai.metrics.froc import reached

SMALL = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)
FEW_LEVELS = arrays(np.uint16, SMALL, elements=st.sampled_from([0, 1, 2, 300, 301, 65534, 65535]))
ANY_LEVELS = arrays(np.uint16, SMALL, elements=st.integers(0, 65535))


def _labelled(levels: np.ndarray, boxes: np.ndarray, threshold: int, connectivity: int) -> tuple[int, int]:
    """False positives and recalled lesions at one threshold, by scipy's labelling."""
    active = levels >= threshold
    components, _ = ndimage.label(active, ndimage.generate_binary_structure(2, connectivity))
    false = 0
    for rows, columns in ndimage.find_objects(components):
        x, y = (columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2
        false += not any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in boxes)
    found = sum(bool(active[int((y0 + y1) / 2), int((x0 + x1) / 2)]) for x0, y0, x1, y1 in boxes)
    return false, found


@st.composite
def _boxes(draw: st.DrawFn, size: tuple[int, int]) -> np.ndarray:
    """Up to three boxes within an image of this many rows and columns; corners may lie between pixels."""
    boxes = []
    for _ in range(draw(st.integers(0, 3))):
        x0, y0 = draw(st.integers(0, 2 * size[1] - 1)) / 2, draw(st.integers(0, 2 * size[0] - 1)) / 2
        x1, y1 = (
            draw(st.integers(int(2 * x0) + 1, 2 * size[1])) / 2,
            draw(st.integers(int(2 * y0) + 1, 2 * size[0])) / 2,
        )
        boxes.append((x0, y0, x1, y1))
    return np.array(boxes).reshape(-1, 4)


@pytest.mark.parametrize("maps", [FEW_LEVELS, ANY_LEVELS], ids=["few levels", "any levels"])
@settings(max_examples=1000)
@given(st.data())
def test_every_level_counts_what_labelling_counts(maps: st.SearchStrategy, data: st.DataObject) -> None:
    levels = data.draw(maps)
    boxes = data.draw(_boxes(levels.shape))
    connectivity = data.draw(st.sampled_from([1, 2]))
    counts = LevelCounts.of(levels, boxes, connectivity)
    false_positives, recalled = counts.false_positives, counts.recalled
    for threshold in {1, 2, 65535, *levels.ravel().tolist(), *(levels.ravel().astype(int) + 1).tolist()} - {0, 65536}:
        seen = (false_positives[threshold], recalled[threshold])
        assert seen == _labelled(levels, boxes, threshold, connectivity), threshold


@pytest.mark.parametrize("smoothing", [0, 1, 5])
def test_a_larger_map_at_levels_all_over(smoothing: float) -> None:
    """Deep trees, as smooth maps have them, and broad ones."""
    maps = ndimage.gaussian_filter(np.random.default_rng(1).random((64, 80)), smoothing)
    levels = levels_of((maps - maps.min()) / np.ptp(maps))
    boxes = np.array([[3, 4, 20, 22.5], [40, 30, 41, 31]])
    counts = LevelCounts.of(levels, boxes)
    for threshold in range(1, 65536, 997):
        seen = (counts.false_positives[threshold], counts.recalled[threshold])
        assert seen == _labelled(levels, boxes, threshold, 2)


def test_a_map_worked_by_hand() -> None:
    """A lesion at 40000, a false peak at 50000 joined to it at 10000, and one at the border at 20000."""
    levels = np.zeros((5, 9), np.uint16)
    levels[2, 1:6] = 10000
    levels[2, 1], levels[2, 5], levels[0, 8] = 40000, 50000, 20000
    counts = LevelCounts.of(levels, [[0, 1, 3, 4]])
    at = [50001, 50000, 40001, 40000, 20001, 20000, 10001, 10000, 1]
    # from 10000 down the lesion and the false peak are one component, whose centre (3.5, 2.5) is outside the box
    assert counts.false_positives[at].tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert counts.recalled[at].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert counts.recall_at([0.99, 1.0]).tolist() == [0.0, 1.0]


def test_the_score_is_the_mean_recall_at_five_rates() -> None:
    """Ten images: two lesions found before any false find, a third at the cost of three."""
    levels = np.zeros((3, 12), np.uint16)
    levels[1, [1, 3]] = 60000
    levels[1, [5, 7, 9]] = 30000
    levels[1, 11] = 20000
    boxes = [[1, 1, 2, 2], [3, 1, 4, 2], [11, 1, 12, 2]]
    empty = LevelCounts.of(np.zeros((3, 12), np.uint16), [])
    counts = sum([empty] * 9, LevelCounts.of(levels, boxes))
    assert (counts.images, counts.lesions) == (10, 3)
    assert counts.recall_at() == pytest.approx([2 / 3, 2 / 3, 1, 1, 1])
    assert counts.score() == pytest.approx((2 * 2 / 3 + 3) / 5)


def test_recall_may_fall_where_components_join_and_the_best_counts() -> None:
    """At 100 one false component; at 50 two; at 10 all is one component, centred on the lesion: no false one."""
    levels = np.full((1, 5), 10, np.uint16)
    levels[0, [0, 4]] = 100, 50
    counts = LevelCounts.of(levels, [[2, 0, 3, 1]])
    assert counts.false_positives[[100, 50, 10]].tolist() == [1, 2, 0]
    rates, recalls = counts.curve()
    assert rates.tolist() == [0, 1, 2]
    assert recalls.tolist() == [1, 1, 1]


def test_sets_with_nothing_to_find() -> None:
    """No lesion: no recall to speak of. Nothing active: nothing is found. No false positive: all that is found."""
    blank, bright = np.zeros((4, 4), np.uint16), np.full((4, 4), 65535, np.uint16)
    assert math.isnan(LevelCounts.of(bright, []).score())
    assert LevelCounts.of(blank, [[0, 0, 4, 4]]).score() == 0
    assert LevelCounts.of(bright, [[0, 0, 4, 4]]).score() == 1
    with pytest.raises(ValueError, match="no FROC curve of 0 images"):
        LevelCounts.none().curve()


def test_the_edges_of_a_box_belong_to_it() -> None:
    """The centre of pixel (1, 1) is (1.5, 1.5)."""
    levels = np.zeros((4, 4), np.uint16)
    levels[1, 1] = 9
    ends_there = LevelCounts.of(levels, [[0, 0, 1.5, 1.5]])
    ends_before = LevelCounts.of(levels, [[0, 0, 1.4, 1.5]])
    assert (ends_there.false_positives[9], ends_before.false_positives[9]) == (0, 1)


@given(st.lists(ANY_LEVELS, min_size=1, max_size=4))
def test_a_set_is_the_sum_of_its_parts_in_any_order(maps: list[np.ndarray]) -> None:
    parts = [LevelCounts.of(levels, [[0, 0, 1, 1]]) for levels in maps]
    there, back = sum(parts, LevelCounts.none()), sum(reversed(parts), LevelCounts.none())
    assert np.array_equal(there.starts, back.starts)
    assert there.score() == back.score()
    assert (there.images, there.lesions) == (len(maps), len(maps))


def test_a_box_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match=r"midpoint of box \[6.0, 0.0, 8.0, 2.0\] lies outside the map of 4 x 4"):
        LevelCounts.of(np.zeros((4, 4), np.uint16), [[6, 0, 8, 2]])


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_what_is_no_map_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        levels_of(np.array([[0.5, value]]))


def test_a_written_curve_is_read_again(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).integers(0, 65536, (3, 12, 12)).astype(np.uint16)
    counts = LevelCounts.none()
    for levels in maps:
        counts += LevelCounts.of(levels, [[1, 1, 4, 4], [6, 6, 9, 10]])
    write_curve(tmp_path / "run" / "froc.csv", counts)
    curve = read_curve(tmp_path / "run" / "froc.csv")
    for read, made in zip(curve, counts.curve(), strict=True):
        np.testing.assert_array_equal(read, made)
    rates = [0.0, 0.1, 0.5, 1.0, 1000.0]
    np.testing.assert_array_equal(reached(curve, rates), counts.recall_at(rates))
    assert (tmp_path / "run" / "froc.csv").read_text().splitlines()[0] == "false_positives_per_image,recall"


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), max_size=8), st.floats(0, 6))
def test_the_recall_at_a_rate_is_the_best_of_those_reached(points: list[tuple[float, float]], rate: float) -> None:
    by_rate = dict(sorted([(0.0, 0.0), *points]))
    rates = np.array(list(by_rate))
    recall = np.maximum.accumulate(list(by_rate.values()))
    (found,) = reached((rates, recall), [rate])
    assert found == max(value for at, value in zip(rates, recall, strict=True) if at <= rate + 1e-12)


@pytest.mark.parametrize(
    "text",
    [
        *("", "rate,recall\n0,1\n", "false_positives_per_image,recall\n"),
        *("false_positives_per_image,recall\n0,x\n", "false_positives_per_image,recall\n0.1,0.5\n"),
        *("false_positives_per_image,recall\n0,0.5\n1,0.4\n", "false_positives_per_image,recall\n0,0.5\n1,1.5\n"),
        *("false_positives_per_image,recall\n0,nan\n", "false_positives_per_image,recall\n0\n"),
    ],
)
def test_what_is_no_curve_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "froc.csv").write_text(text)
    with pytest.raises(ValueError, match=r"froc\.csv is no FROC curve, .*evaluate again, or remove it"):
        read_curve(tmp_path / "froc.csv")
    with pytest.raises(FileNotFoundError, match="the evaluation of a detector writes it"):
        read_curve(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="no FROC curve of 0 images"):
        write_curve(tmp_path / "x.csv", LevelCounts.none())
