"""Dice and HD95: hand-worked pixels, what counts and what does not, and the collector on a real engine."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ignite.engine import Engine
from torch import Tensor

from semimed_monai.metrics import SegmentationPredictions, SegmentationScore, class_dice, class_hd95

CLASSES = ["background", "femoral", "tibial"]
YES = torch.tensor([True])


def plane(*rows: list[int]) -> Tensor:
    return torch.tensor(rows)[None, None]


def test_four_pixels_by_hand() -> None:
    found, mask = plane([1, 1], [2, 0]), plane([1, 0], [2, 2]).float()
    # femoral: |A∩S| 1, |A| 2, |S| 1; tibial: 1, 1, 2
    torch.testing.assert_close(class_dice(found, mask, YES, 3), torch.tensor([[2 / 3, 2 / 3]]))


def test_what_only_one_side_has_costs_all_and_what_none_has_does_not_count() -> None:
    found, mask = plane([1, 0, 0], [0, 0, 0]), plane([0, 0, 0], [0, 2, 0]).float()
    diagonal = math.hypot(2, 3)
    assert class_dice(found, mask, YES, 4)[0, :2].tolist() == [0, 0]
    assert class_hd95(found, mask, YES, 4)[0, :2].tolist() == pytest.approx([diagonal, diagonal])
    for measure in (class_dice, class_hd95):
        assert measure(found, mask, YES, 4)[0, 2].isnan()
        assert measure(found, mask, ~YES, 4).isnan().all()


def test_hausdorff_is_in_pixels_and_forgives_the_worst_twentieth() -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 10, 2:62] = 1
    moved = torch.roll(mask, 3, dims=2)
    assert class_hd95(moved, mask, YES, 2).item() == pytest.approx(3)
    speck = mask.clone()
    speck[..., 50, 30] = 1  # one outline pixel of 61
    assert class_hd95(speck, mask, YES, 2).item() == pytest.approx(0)


@given(st.lists(st.integers(0, 2), min_size=32, max_size=32))
def test_a_segmentation_agrees_with_itself_and_the_two_sides_are_alike(numbers: list[int]) -> None:
    one, other = torch.tensor(numbers).view(2, 1, 1, 4, 4)
    self_dice = class_dice(one, one, YES, 3)
    assert bool(((self_dice == 1) | self_dice.isnan()).all())
    for measure in (class_dice, class_hd95):
        torch.testing.assert_close(measure(one, other, YES, 3), measure(other, one, YES, 3), equal_nan=True)


def test_masks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="class number 3 in a mask, but 3 classes"):
        class_dice(plane([0, 0]), plane([0, 3]).float(), YES, 3)
    with pytest.raises(ValueError, match="wanted B×1×H×W twice"):
        class_dice(plane([0, 0]), plane([0], [1]).float(), YES, 3)
    with pytest.raises(ValueError, match="no score 'iou'"):
        SegmentationScore("iou")
    with pytest.raises(ValueError, match="choose one from 1 to 2"):
        SegmentationScore("dice", classes=3, only=3)


def batches() -> list[dict[str, Any]]:
    """Four items of two people, two to a batch. Femoral Dice 1, 2/3, nan, nan (no mask); tibial nan, nan, 0, nan."""
    found = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 2, 1, 2]]
    masks = [[1, 1, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]]
    return [
        {
            "id": ["a", "b", "c", "d"][start : start + 2],
            "group": ["p", "p", "q", "q"][start : start + 2],
            "segmentation": torch.tensor(found[start : start + 2]).view(-1, 1, 2, 2),
            "mask": torch.tensor(masks[start : start + 2]).view(-1, 1, 2, 2).float(),
            "has_mask": torch.tensor([True, True, True, False][start : start + 2]),
        }
        for start in (0, 2)
    ]


def test_an_engine_gives_means_over_items_then_over_classes() -> None:
    engine = Engine(lambda _, batch: batch)
    SegmentationScore("dice", classes=3).attach(engine, "dice")
    SegmentationScore("dice", classes=3, only=2).attach(engine, "tibial")
    SegmentationScore("hd95_px", classes=3, only=1).attach(engine, "hd95")
    predictions = SegmentationPredictions(classes=3)
    predictions.attach(engine)
    engine.run(batches(), max_epochs=2)

    femoral, tibial = (1 + 2 / 3) / 2, 0.0
    assert engine.state.metrics["dice"] == pytest.approx((femoral + tibial) / 2)
    assert engine.state.metrics["tibial"] == 0
    scores = predictions.scores(CLASSES, bootstrap_repeats=200)
    assert scores["dice/femoral"]["value"] == pytest.approx(femoral)
    assert scores["dice"]["value"] == pytest.approx((femoral + tibial) / 2)
    assert scores["hd95_px/tibial"]["value"] == pytest.approx(math.hypot(2, 2))
    assert scores["hd95_px/femoral"]["value"] == engine.state.metrics["hd95"]
    # Groups are drawn: of two p's the mean is p's, so femoral Dice never leaves it.
    assert scores["dice/femoral"]["low"] == pytest.approx(femoral)
    table = predictions.table(CLASSES)
    assert [(row["id"], row["group"]) for row in table] == [("a", "p"), ("b", "p"), ("c", "q"), ("d", "q")]
    np.testing.assert_allclose([row["dice/femoral"] for row in table], [1, 2 / 3, np.nan, np.nan])
    assert list(predictions.table()[0]) == ["id", "group", "dice/1", "dice/2", "hd95_px/1", "hd95_px/2"]


def test_a_key_metric_without_a_mask_is_an_error_and_a_missing_key_named() -> None:
    engine = Engine(lambda _, batch: {**batch, "has_mask": torch.zeros_like(batch["has_mask"])})
    SegmentationScore("dice", classes=3).attach(engine, "dice")
    engine.state.key_metric_name = "dice"
    with pytest.raises(ValueError, match="the key metric dice cannot be computed"):
        engine.run(batches())
    with pytest.raises(ValueError, match="lacks segmentation"):
        SegmentationPredictions(classes=3).update(
            {key: batches()[0][key] for key in ("id", "group", "mask", "has_mask")}
        )
