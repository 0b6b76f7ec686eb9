"""Images as COCO's results know them: by ids, of an annotation file or counted here; and the boxes known in them.

Looked for: pycocotools reads such a file, but is not installed with MONAI, and does not know which file of a folder is
meant.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

logger = logging.getLogger("semimed")

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class CocoImage:
    """One image.

    Args:
        id: by which results name it.
        file_name: as the annotation file has it.
        boxes: x0, y0, x1, y1 in pixels, of what is known to be there.
    """

    id: int | str
    file_name: str
    boxes: list[Box] = field(default_factory=list)


@dataclass(frozen=True)
class CocoImages:
    """Images by their path.

    Args:
        category: id and name of what is looked for.
        of: path → image; what the annotation file does not list is not there.
    """

    category: Mapping[str, Any]
    of: Mapping[str, CocoImage]

    def boxes(self, path: str) -> list[Box]:
        """What is known to be in an image; nothing, where nobody says so."""
        return self.of[path].boxes if path in self.of else []


def coco_images(
    images: Sequence[str], root: str | Path = "", annotations: str | Path = "", category: str = "lesion"
) -> CocoImages:
    """Ids for images: those of an annotation file, or 1, 2, … in their order.

    A file name of the annotation file is that image whose path ends so.

    Example:
        >>> coco_images(["/data/a.png", "/data/new/b.png"], root="/data").of["/data/new/b.png"]
        CocoImage(id=2, file_name='new/b.png', boxes=[])

    Args:
        images: all that there will be results of.
        root: their common folder.
        annotations: a COCO file with the images' ids and, maybe, boxes.
        category: what is looked for; of the file that category, or the only one.

    Raises:
        FileNotFoundError: there is no such annotation file.
        ValueError: it is no COCO file, does not have the category, lists none of the images, or two of them as one.
    """
    if not annotations:
        names = {image: _below(Path(image), Path(root).absolute()) for image in images}
        numbered = {image: CocoImage(number, name) for number, (image, name) in enumerate(names.items(), start=1)}
        return CocoImages({"id": 1, "name": category}, numbered)
    known, listed = _read(Path(annotations), category)
    found = {image: entry for image in images if (entry := _entry(Path(image), listed))}
    if not found:
        raise ValueError(f"{annotations} lists none of the images, such as {images[0]}: give the file that is of them")
    owners: dict[str, str] = {}
    for image, entry in found.items():
        if (other := owners.setdefault(entry.file_name, image)) != image:
            raise ValueError(f"{other} and {image} are both {entry.file_name} of {annotations}: leave one of them out")
    if silent := [image for image in images if image not in found]:
        logger.warning("%d images, such as %s, are not in %s: no COCO results", len(silent), silent[0], annotations)
    return CocoImages(known, found)


def _below(image: Path, top: Path) -> str:
    """Its path below a folder; its name, where it is given by itself."""
    if image == top:
        return image.name
    return image.relative_to(top).as_posix() if image.is_relative_to(top) else image.as_posix()


def _read(file: Path, name: str) -> tuple[dict[str, Any], dict[str, list[CocoImage]]]:
    """The category, and its images by the last part of their names."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: there is no such file: give the COCO file with the images' ids")
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        categories = {str(category["name"]): category["id"] for category in content["categories"]}
        boxes: dict[tuple[Any, Any], list[Box]] = defaultdict(list)
        for one in content["annotations"]:
            x, y, width, height = map(float, one["bbox"])
            boxes[one["category_id"], one["image_id"]].append((x, y, x + width, y + height))
        images = {image["id"]: str(image["file_name"]) for image in content["images"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} is no COCO file with images, annotations and categories ({type(error).__name__}: {error}): "
            "export it again"
        ) from error
    if name not in categories and len(categories) != 1:
        raise ValueError(f"{file} has no category {name!r}: set it to one of {', '.join(categories) or 'its own'}")
    name = name if name in categories else next(iter(categories))
    listed: dict[str, list[CocoImage]] = defaultdict(list)
    for key, path in images.items():
        listed[PurePosixPath(path).name].append(CocoImage(key, path, boxes.get((categories[name], key), [])))
    return {"id": categories[name], "name": name}, listed


def _entry(image: Path, listed: Mapping[str, Sequence[CocoImage]]) -> CocoImage | None:
    """The entry whose name is the longest end of the image's path."""
    parts = [(PurePosixPath(one.file_name).parts, one) for one in listed.get(image.name, ())]
    fitting = [(len(own), one) for own, one in parts if image.parts[-len(own) :] == own]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None
