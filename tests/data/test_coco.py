"""Ids and boxes of images, from COCO files as people have them."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from semimed_monai.data import coco_images

CONTENT: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "a.png"},
        {"id": 8, "file_name": "new/b.png"},
        {"id": "nine", "file_name": "b.png"},
        {"id": 10, "file_name": "c[1].png"},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4.5]},
        {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 1, 1]},
        {"id": 3, "image_id": 7, "category_id": 2, "bbox": [5, 6, 1, 1]},
    ],
    "categories": [{"id": 2, "name": "fracture"}, {"id": 3, "name": "pin"}],
}


def written(folder: Path, **changed: Any) -> str:
    file = folder / "coco.json"
    file.write_text(json.dumps({**CONTENT, **changed}))
    return str(file)


def test_ids_and_boxes_are_those_of_the_file_whose_name_the_path_ends_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = ["/d/old/a.png", "/d/new/b.png", "/d/old/b.png", "/d/c[1].png", "/d/other.png"]
    with caplog.at_level(logging.WARNING):
        coco = coco_images(images, "/d", written(tmp_path), "fracture")
    assert {image: one.id for image, one in coco.of.items()} == dict(zip(images, (7, 8, "nine", 10), strict=False))
    assert coco.boxes("/d/old/a.png") == [(1, 2, 4, 6.5), (5, 6, 6, 7)]
    assert coco.boxes("/d/new/b.png") == coco.boxes("/d/other.png") == []
    assert coco.category == {"id": 2, "name": "fracture"}
    assert "1 images, such as /d/other.png, are not in" in caplog.text


def test_without_a_file_images_are_counted_and_named_below_their_folder() -> None:
    coco = coco_images(["/d/a.png", "/d/new/b.png", "/elsewhere/c.png"], "/d", category="fracture")
    assert [(one.id, one.file_name) for one in coco.of.values()] == [
        (1, "a.png"),
        (2, "new/b.png"),
        (3, "/elsewhere/c.png"),
    ]
    assert coco_images(["/d/a.png"], "/d/a.png").of["/d/a.png"].file_name == "a.png"
    assert coco_images([]).of == {}


def test_the_only_category_is_meant_whatever_its_name(tmp_path: Path) -> None:
    file = written(tmp_path, categories=CONTENT["categories"][:1], annotations=CONTENT["annotations"][:1])
    assert coco_images(["/d/a.png"], "", file, "lesion").category == {"id": 2, "name": "fracture"}


@pytest.mark.parametrize(
    ("changed", "images", "message"),
    [
        ({}, ["/d/x.png"], "lists none of the images, such as /d/x.png"),
        ({}, ["/d/1/a.png", "/d/2/a.png"], "/d/1/a.png and /d/2/a.png are both a.png of .*: leave one of them out"),
        ({"categories": []}, ["/d/a.png"], "has no category 'fracture': set it to one of its own"),
        ({"annotations": [{"image_id": 7, "category_id": 2, "bbox": [1, 2]}]}, ["/d/a.png"], "is no COCO file"),
        ({"images": [{"id": 7}]}, ["/d/a.png"], "is no COCO file .*KeyError: 'file_name'.*export it again"),
        ({"categories": 5}, ["/d/a.png"], "is no COCO file"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, changed: dict[str, Any], images: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        coco_images(images, "/d", written(tmp_path, **changed), "fracture")


def test_other_categories_are_named_and_a_missing_or_broken_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no category 'nodule': set it to one of fracture, pin"):
        coco_images(["/d/a.png"], "", written(tmp_path), "nodule")
    with pytest.raises(FileNotFoundError, match="give the COCO file with the images' ids"):
        coco_images(["/d/a.png"], "", tmp_path / "none.json")
    (tmp_path / "cut.json").write_text("{")
    with pytest.raises(ValueError, match=r"cut\.json is no COCO file"):
        coco_images(["/d/a.png"], "", tmp_path / "cut.json")
