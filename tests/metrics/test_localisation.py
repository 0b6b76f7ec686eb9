"""How well a map finds what a mask marks: by hand, against scikit-learn, and what must not change a measure."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from semimed_monai.metrics import (
    LocalisationScore,
    energy_inside,
    given_masks,
    iou,
    measures,
    pixel_ap,
    pointing_game,
)

SHAPE = (3, 1, 4, 5)
BINARY = arrays(np.float32, SHAPE, elements=st.sampled_from([0.0, 1.0]))
# Few different values, so that ties abound; cubes and eighths of them are exact.
MAPS = arrays(np.float32, SHAPE, elements=st.integers(0, 8).map(lambda level: level / 8))
FEW = settings(max_examples=40)  # of three images each


def _images(*pixels: list[float]) -> torch.Tensor:
    return torch.tensor(pixels).view(len(pixels), 1, 2, 2)


def _all(maps: torch.Tensor, masks: torch.Tensor) -> dict[str, list[float]]:
    return {name: measure(maps, masks).tolist() for name, measure in measures().items()}


def test_four_pixels_worked_by_hand() -> None:
    """One of three; .5 is not above .5; an empty map against a mask; an empty mask."""
    maps = _images([0.9, 0.8, 0.1, 0.0], [0.5, 0.9, 0.0, 0.0], [0.1, 0.1, 0.1, 0.1], [0.9, 0.0, 0.0, 0.0])
    masks = _images([1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0])
    found = iou(maps, masks)
    assert found[:3].tolist() == [1 / 3, 1 / 2, 0.0]
    assert torch.isnan(found[3])
    assert iou(maps, masks, threshold=0.4)[1] == 1.0


@pytest.mark.parametrize(
    ("pixels", "inside", "pointing", "energy", "precision"),
    [
        # The mask's pixels are the first and the third: the precisions at their values are 1/1 and 2/3.
        ([1.0, 0.75, 0.25, 0.0], [1, 0, 1, 0], 1.0, 1.25 / 2, (1 + 2 / 3) / 2),
        # The highest is outside: 1/2 and 2/4.
        ([0.5, 1.0, 0.0, 0.25], [1, 0, 1, 0], 0.0, 0.5 / 1.75, (1 / 2 + 2 / 4) / 2),
        # Two are highest, one of them inside: 1/2, then 2/3 and 3/4.
        ([1.0, 1.0, 0.5, 0.0], [1, 0, 1, 1], 1 / 2, 1.5 / 2.5, (1 / 2 + 2 / 3 + 3 / 4) / 3),
        # Nothing is found, all pixels are alike.
        ([0.0, 0.0, 0.0, 0.0], [1, 0, 0, 0], 1 / 4, 0.0, 1 / 4),
    ],
)
def test_where_a_map_points_worked_by_hand(
    pixels: list[float], inside: list[float], pointing: float, energy: float, precision: float
) -> None:
    maps, masks = _images(pixels), _images(inside)
    assert pointing_game(maps, masks).tolist() == [pointing]
    assert energy_inside(maps, masks).tolist() == pytest.approx([energy])
    assert pixel_ap(maps, masks).tolist() == pytest.approx([precision])


def test_each_image_counts_by_itself() -> None:
    """Pooled over the set, the large case would hide the small one: (4 + 0) / (4 + 1)."""
    found = iou(_images([1, 1, 1, 1], [0, 0, 0, 0]), _images([1, 1, 1, 1], [1, 0, 0, 0]))
    assert found.tolist() == [1.0, 0.0]


@FEW
@given(MAPS, BINARY)
def test_each_measure_is_a_fraction_or_where_there_is_no_mask_nan(maps: np.ndarray, masks: np.ndarray) -> None:
    marked = masks.any(axis=(1, 2, 3))
    for values in _all(torch.tensor(maps), torch.tensor(masks)).values():
        assert (~np.isnan(values)).tolist() == marked.tolist()
        assert all(0 <= value <= 1 for value, counts in zip(values, marked, strict=True) if counts)


@FEW
@given(BINARY, BINARY)
def test_iou_is_symmetric(one: np.ndarray, other: np.ndarray) -> None:
    there, back = iou(torch.tensor(one), torch.tensor(other)), iou(torch.tensor(other), torch.tensor(one))
    both_known = ~(torch.isnan(there) | torch.isnan(back))
    assert torch.equal(there[both_known], back[both_known])


@FEW
@given(BINARY)
def test_the_mask_itself_is_the_perfect_map(masks: np.ndarray) -> None:
    marked = masks.any(axis=(1, 2, 3))
    for values in _all(torch.tensor(masks), torch.tensor(masks)).values():
        assert np.asarray(values)[marked] == pytest.approx(1)


@FEW
@given(BINARY)
def test_a_map_of_ones_has_the_masks_share(masks: np.ndarray) -> None:
    share = masks.mean(axis=(1, 2, 3))
    share[share == 0] = np.nan
    for values in _all(torch.ones(SHAPE), torch.tensor(masks)).values():
        assert values == pytest.approx(share, nan_ok=True)


@FEW
@given(MAPS, BINARY)
def test_order_is_all_that_the_maximum_and_the_precision_look_at(maps: np.ndarray, masks: np.ndarray) -> None:
    one, cubed, inside = torch.tensor(maps), torch.tensor(maps**3 / 4 + 0.125), torch.tensor(masks)
    for measure in (pointing_game, pixel_ap):
        assert measure(cubed, inside).tolist() == pytest.approx(measure(one, inside).tolist(), nan_ok=True)


@FEW
@given(MAPS, BINARY, st.sampled_from([0.01, 0.3, 7.0]))
def test_scale_changes_no_energy(maps: np.ndarray, masks: np.ndarray, factor: float) -> None:
    inside = torch.tensor(masks)
    found, scaled = (energy_inside(torch.tensor(values), inside).tolist() for values in (maps, maps * factor))
    assert scaled == pytest.approx(found, nan_ok=True)


@FEW
@given(MAPS, BINARY, st.permutations(range(20)))
def test_where_the_pixels_lie_does_not_matter(maps: np.ndarray, masks: np.ndarray, order: list[int]) -> None:
    moved = [torch.tensor(values.reshape(3, 20)[:, order].reshape(SHAPE)) for values in (maps, masks)]
    found = _all(*moved)
    for name, values in _all(torch.tensor(maps), torch.tensor(masks)).items():
        assert found[name] == pytest.approx(values, nan_ok=True)


@FEW
@given(MAPS, BINARY)
def test_the_precision_is_scikit_learns(maps: np.ndarray, masks: np.ndarray) -> None:
    found = pixel_ap(torch.tensor(maps), torch.tensor(masks)).tolist()
    for map_, mask, value in zip(maps, masks, found, strict=True):
        if mask.any():
            assert value == pytest.approx(average_precision_score(mask.ravel(), map_.ravel()), abs=1e-12)


def test_the_precision_of_a_large_map_is_scikit_learns_and_quick() -> None:
    random = torch.Generator().manual_seed(0)
    maps = torch.rand(20, 1, 256, 256, generator=random)
    masks = torch.zeros_like(maps)
    masks[:, :, 100:160, 80:150] = 1
    maps = (maps + 0.3 * masks).half().float()  # 2048 or so different values
    start = time.process_time()
    found = pixel_ap(maps, masks).tolist()
    assert time.process_time() - start < 2
    assert found[0] == pytest.approx(average_precision_score(masks[0].ravel(), maps[0].ravel()), abs=1e-12)
    assert len(set(found)) == 20


@pytest.mark.parametrize("name", list(measures()))
def test_maps_must_fit_the_masks_and_be_finite(name: str) -> None:
    measure = measures()[name]
    with pytest.raises(ValueError, match=r"map \(1, 1, 2, 2\) and mask \(1, 1, 4, 4\) differ"):
        measure(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 4, 4))
    with pytest.raises(ValueError, match="not finite"):
        measure(torch.full((1, 1, 2, 2), torch.nan), torch.ones(1, 1, 2, 2))


def test_masks_of_rows_without_one_are_emptied() -> None:
    found = given_masks(torch.ones(2, 1, 2, 2), torch.tensor([True, False]))
    assert found.sum(dim=(1, 2, 3)).tolist() == [4.0, 0.0]


def test_a_key_metric_is_the_mean_of_the_cases_that_count() -> None:
    """IoU 1/2 at .4 and 0 at .5; the second case finds all; the third was given no mask."""
    maps = _images([0.45, 0.45, 0.0, 0.0], [1, 0, 0, 0], [1, 0, 0, 0])
    masks = _images([1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1])
    given = (["a", "b", "c"], maps, masks, torch.tensor([True, True, False]))
    found = {}
    for name, threshold in (("iou", 0.4), ("iou", 0.5), ("pointing_game", 0.5)):
        metric = LocalisationScore(name, threshold)
        metric.update(given)
        found[name, threshold] = metric.compute()
    assert found == {("iou", 0.4): 0.75, ("iou", 0.5): 0.5, ("pointing_game", 0.5): 0.75}
    with pytest.raises(ValueError, match="no score 'ap': choose one of iou, pointing_game, energy_inside, pixel_ap"):
        LocalisationScore("ap")
