"""Rows with different numbers of boxes in one batch, as a DataLoader of a recipe makes it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, list_data_collate

from semimed_monai.data import TolerantDataset, collate_boxes

COUNTS = (2, 0, 1, 3, 0)


def rows() -> list[dict[str, Any]]:
    return [
        {
            "id": f"film {n}",
            "image": torch.full((1, 4, 4), float(n)),
            "label": int(count > 0),
            "has_mask": n != 2,
            "boxes": torch.arange(4.0 * count).reshape(count, 4) + n,
        }
        for n, count in enumerate(COUNTS)
    ]


def test_all_but_boxes_is_as_monai_collates_it() -> None:
    batch = collate_boxes(rows())
    expected = list_data_collate([{key: row[key] for key in row if key != "boxes"} for row in rows()])
    assert {*batch} == {*expected, "boxes"}
    for key, value in expected.items():
        assert torch.equal(batch[key], value) if isinstance(value, torch.Tensor) else batch[key] == value
    assert all(torch.equal(found, row["boxes"]) for found, row in zip(batch["boxes"], rows(), strict=True))
    # A transform may make several rows of an item.
    nested = collate_boxes([rows()[:2], rows()[2:]])
    assert torch.equal(nested["image"], batch["image"])
    assert [len(found) for found in nested["boxes"]] == [*COUNTS]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_recipe_names_it_for_any_number_of_workers(workers: int) -> None:
    recipe = ConfigParser(
        {
            "loader": {
                "_target_": "DataLoader",
                "dataset": rows(),
                "batch_size": 2,
                "num_workers": workers,
                "collate_fn": {"_target_": "semimed_monai.data.collate_boxes", "_mode_": "callable"},
            }
        }
    )
    loader = recipe.get_parsed_content("loader")
    assert isinstance(loader, DataLoader)
    batches = list(loader)
    assert [[len(found) for found in batch["boxes"]] for batch in batches] == [[2, 0], [1, 3], [0]]
    assert torch.equal(batches[1]["boxes"][1], rows()[3]["boxes"])
    assert [batch["label"].tolist() for batch in batches] == [[1, 0], [1, 1], [0]]


def test_rows_without_the_key_have_no_box() -> None:
    without = [{key: row[key] for key in row if key != "boxes"} for row in rows()]
    assert [found.shape for found in collate_boxes(without)["boxes"]] == [(0, 4)] * 5
    mixed = collate_boxes([without[0], rows()[3]])
    assert [len(found) for found in mixed["boxes"]] == [0, 3]
    assert mixed["id"] == ["film 0", "film 3"]


def test_an_image_that_cannot_be_read_fits_among_rows_with_more_keys() -> None:
    def preprocess(item: dict[str, Any]) -> dict[str, Any]:
        if item["id"] == "bad":
            raise ValueError("cut short")
        image = torch.ones(1, 4, 4)
        known = {"label": -1, "mask": torch.zeros(1, 4, 4), "has_mask": False, "boxes": torch.zeros(0, 4), "role": -1}
        return {**item, "group": "p", "image": image, "source": item["image"], "slice": 0, **known}

    items = [{"id": name, "image": f"{name}.dcm"} for name in ("good", "bad")]
    blank = {"boxes": torch.zeros(0, 4), "role": -1}
    found = TolerantDataset(items, preprocess, size=4, blank=blank)
    for collate in (collate_boxes, list_data_collate):
        batch = collate([found[0], found[1]])
        assert batch["problem"] == ["", "cut short"]
        assert batch["role"].tolist() == [-1, -1]
        assert [len(boxes) for boxes in batch["boxes"]] == [0, 0]
