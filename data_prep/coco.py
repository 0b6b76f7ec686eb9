"""A COCO file's images and the boxes or outlines that count, one entry for each image; its faults are said all at once.

Looked for: pycocotools (not installed with MONAI) indexes a file without checking it: of an image that is there twice
it keeps one, and an annotation of an image that is not there it never shows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from data_prep.boxes import Annotated, Box, Outline, corners
from data_prep.outlines import read_outline
from data_prep.pictures import Size
from data_prep.tables import closest
from semimed_monai.data import DatalistError


def read_coco(
    file: Path, categories: Sequence[str] = (), patient_key: str | None = None, *, outlines: bool = False
) -> list[Annotated]:
    """The images in the file's order.

    Args:
        file: the JSON file.
        categories: those whose boxes count, by name; may be left out where all boxes are of one category.
        patient_key: what an image's entry calls its patient.
        outlines: take an annotation's segmentation, and its box only where it has none.

    Raises:
        DatalistError: with all problems of the file.
        FileNotFoundError: there is no such file.
    """
    lists = _lists(file)
    problems: list[str] = []
    wanted = _wanted(lists, categories, problems)
    images = _images(lists["images"], problems)
    boxes: defaultdict[Any, list[Box]] = defaultdict(list)
    drawn: defaultdict[Any, list[Outline]] = defaultdict(list)
    for annotation in lists["annotations"]:
        where, key = f"annotation {annotation.get('id')}", annotation.get("image_id")
        if key not in images:
            problems.append(f"{where}: image {key!r} is not among the images: add or remove it")
        elif annotation.get("category_id") in wanted:
            try:
                if outlines and annotation.get("segmentation"):
                    drawn[key].append(read_outline(annotation["segmentation"]))
                else:
                    boxes[key].append(_box(annotation.get("bbox")))
            except ValueError as error:
                problems.append(f"{where}: {error}")
    found = []
    for key, image in images.items():
        patient = str(image.get(patient_key) or "").strip() if patient_key else ""
        if patient_key and not patient:
            problems.append(f"image {key} ({image['file_name']}) has no {patient_key!r}: give every image its patient")
        where = f"{file.name}, image {key}"
        found.append(Annotated(where, image["file_name"], boxes[key], patient, _size(image), drawn[key]))
    if problems:
        raise DatalistError(file, problems)
    return found


def _lists(file: Path) -> dict[str, list[dict[str, Any]]]:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: there is no such file: give the COCO file with the boxes")
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DatalistError(file, [f"it is not JSON ({error}): export it again"]) from error
    parts = ("images", "annotations", "categories")
    lists = {part: content.get(part) if isinstance(content, dict) else None for part in parts}
    wrong = [
        part
        for part, rows in lists.items()
        if not isinstance(rows, list) or any(not isinstance(row, dict) for row in rows)
    ]
    if wrong:
        raise DatalistError(file, [f"{', '.join(wrong)} must be a list of objects, as COCO has it: export it again"])
    return {part: rows for part, rows in lists.items() if rows is not None}


def _wanted(lists: Mapping[str, Sequence[Mapping[str, Any]]], names: Sequence[str], problems: list[str]) -> set[Any]:
    """The ids of the categories whose boxes count."""
    there = {str(category.get("name")): category.get("id") for category in lists["categories"]}
    for name in names:
        if name not in there:
            near = closest(name, there)
            hint = f"did you mean {near!r}? " if near else ""
            problems.append(f"there is no category {name!r}: {hint}they are {', '.join(there)}")
    used = {annotation.get("category_id") for annotation in lists["annotations"]}
    if not names and len(used) > 1:
        problems.append(
            f"its boxes are of several categories ({', '.join(there)}): name those that count (--categories)"
        )
    if unknown := sorted(map(repr, used - {*there.values()})):
        problems.append(f"annotations have category_id {', '.join(unknown)}, which is no category: add or correct it")
    return {there.get(name) for name in names} if names else used


def _images(rows: Sequence[dict[str, Any]], problems: list[str]) -> dict[Any, dict[str, Any]]:
    """The entries by their ids; those of one file twice, or without a name, are problems."""
    images: dict[Any, dict[str, Any]] = {}
    names: dict[str, Any] = {}
    for image in rows:
        key, name = image.get("id"), image.get("file_name")
        if not isinstance(name, str) or not name:
            problems.append(f"image {key} has no file_name: add it")
        elif key in images:
            problems.append(f"images {images[key]['file_name']} and {name} have the same id {key}: number them anew")
        elif name in names:
            problems.append(f"{name} is there twice, as image {names[name]} and {key}: remove one, with its boxes")
        else:
            images[key], names[name] = image, key
    return images


def _box(box: Any) -> Box:
    if not _numbers(box, 4):
        raise ValueError(f"bbox {box!r} must be [x, y, width, height]: correct it")
    return corners(*box)


def _size(image: Mapping[str, Any]) -> Size | None:
    sides = [image.get("width"), image.get("height")]
    return (int(sides[0]), int(sides[1])) if _numbers(sides, 2) else None


def _numbers(values: Any, count: int) -> TypeGuard[list[float]]:
    numbers = isinstance(values, list) and len(values) == count
    return numbers and all(type(value) in {int, float} for value in values)
