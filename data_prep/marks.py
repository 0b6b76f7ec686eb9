"""Where clinicians say that the lesion is, for a few images of a set that has only labels: as masks beside a datalist.

A file or folder marks images (`read_marks`):

    marks.json    COCO: an annotation's polygons or run lengths, else its box
    marks.csv     a line for each box, in pixels: image,x0,y0,x1,y1
    marks/        masks (PNG, of the image's size, above 0 inside), in folders and under names as the images are

It calls an image by its path, or the last parts of that, with or without the ending. All marks of an image are one
mask, which is above 0 inside any of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from data_prep.annotations import Naming, read_annotated
from data_prep.boxes import Annotated
from data_prep.names import Names, without_ending
from data_prep.outlines import MaskPicture, covered
from data_prep.pictures import Size, shrunk
from data_prep.placing import placed_before
from data_prep.progress import each
from data_prep.sections import Items
from semimed_monai.data import DatalistError
from semimed_monai.data.find import PICTURES
from semimed_monai.data.splits import group_of
from semimed_monai.files import digest_of, whole_folder

ABNORMALITY = ("normal", "abnormal")
"""The classes, in the labels' order."""

UNUSED = "marks of images that are not used"
FOLDER = "marks"
"""Below the dataset folder: where the masks are written."""


class Markable(NamedTuple):
    """An image that may be marked.

    Args:
        id: of its item.
        path: what the parts of its name are taken from.
        abnormal: whether there can be a lesion.
        size: its width and height; None where it is not used.
    """

    id: str
    path: str
    abnormal: bool
    size: Size | None


def read_marks(source: Path, naming: Naming | None = None) -> list[Annotated]:
    """What a COCO file, a table of boxes or a folder of masks says of each image.

    Raises:
        DatalistError: with all problems of the file.
        ValueError: it marks no image at all, or settings without sense.
        FileNotFoundError: there is no such file.
    """
    if source.is_dir():
        masks = [file for file in sorted(source.rglob("*")) if file.name.lower().endswith(PICTURES)]
        names = {file: file.relative_to(source).as_posix() for file in masks if not file.name.startswith(".")}
        found = [Annotated(name, name, [], outlines=[MaskPicture(file)]) for file, name in names.items()]
    else:
        found = read_annotated(source, naming or Naming(), outlines=True)
    marked = [one for one in found if one.boxes or one.outlines]
    if not marked:
        raise ValueError(f"{source} marks no image: give a COCO file, a table of boxes, or a folder of masks (PNG)")
    return marked


class Marks:
    """The marks of a set's abnormal images, each of which lies inside its image.

    Example:
        >>> line = Annotated("boxes.csv, line 2", "hand", [[0, 0, 2, 2]])
        >>> marks = Marks(Path("boxes.csv"), [line], [Markable("hand", "hand.png", True, (8, 8))], "films")
        >>> marks.on([{"id": "hand", "label": 1}])
        [{'id': 'hand', 'label': 1, 'mask': 'marks/hand.png'}]

    Args:
        source: where the marks are from.
        annotated: what it says of each image.
        images: those that may be meant.
        place: where these are.

    Raises:
        DatalistError: marks of images that are not there, or are normal, and those that do not lie in their image.
    """

    def __init__(
        self, source: Path, annotated: Iterable[Annotated], images: Sequence[Markable], place: str | Path
    ) -> None:
        self.source = source
        self.unused: list[str] = []
        self._sizes: dict[str, Size] = {}
        self._of: defaultdict[str, list[Annotated]] = defaultdict(list)
        names = Names((image.path, image) for image in images)
        problems = []
        for one in annotated:
            try:
                self._add(one, names.only(one.name, place))
            except ValueError as error:
                problems.append(f"{one.where}: {error}")
        if problems:
            raise DatalistError(source, problems)

    @property
    def origin(self) -> dict[str, Any]:
        """What the datalist's provenance says of them."""
        content = {"sha256": digest_of(self.source)} if self.source.is_file() else {"masks": len(self._of)}
        return {"from": self.source.name, **content}

    def on(self, items: Items) -> Items:
        """The items, those that are marked with their mask."""
        return [{**item, "mask": _file_of(item)} if item["id"] in self._of else item for item in items]

    def keep(self, training: Items, count: int, seed: int) -> Items:
        """Training items of which only so many keep their mask; a smaller number of them is inside a larger one.

        They are of as many patients as can be: nobody has two before each has one.

        Raises:
            ValueError: fewer are marked.
        """
        marked = sorted((item for item in training if "mask" in item), key=lambda item: str(item["id"]))
        if len(marked) < count:
            raise ValueError(
                f"{self.source}: {count} marked training images are wanted, and there are {len(marked)}, of "
                f"{len(self._of)} marked ones in all sections: mark more, or ask for fewer"
            )
        turns: defaultdict[str, int] = defaultdict(int)
        order: list[tuple[int, int, str]] = []
        for place in np.random.default_rng(seed).permutation(len(marked)):
            group = group_of(marked[place])
            order.append((turns[group], len(order), marked[place]["id"]))
            turns[group] += 1
        kept = {name for _, _, name in sorted(order)[:count]}
        return [{key: value for key, value in item.items() if key != "mask" or item["id"] in kept} for item in training]

    def write(self, out: Path, items: Iterable[Mapping[str, Any]], longest: int | None = None) -> None:
        """The masks that the items name, into the dataset folder `out`: all of them, or none.

        Args:
            out: the folder.
            items: of all sections.
            longest: the longest side of their images' copies; larger ones become that.
        """
        with whole_folder(out / FOLDER, placed_before(out)) as draft:
            marked = [item for item in items if "mask" in item]
            each(lambda item: self._draw(item, draft, longest), marked, "drawing marks")

    def _add(self, one: Annotated, image: Markable) -> None:
        if not image.abnormal:
            raise ValueError(f"{image.path} is normal, and marked: remove its mark, or correct its label")
        if image.size is None:
            self.unused.append(image.path)
            return
        try:
            covered(one, image.size)
        except ValueError as error:
            raise ValueError(f"{image.path}: {error}") from error
        self._of[image.id].append(one)
        self._sizes[image.id] = image.size

    def _draw(self, item: Mapping[str, Any], folder: Path, longest: int | None) -> None:
        size = self._sizes[item["id"]]
        inside = np.any([covered(one, size) for one in self._of[item["id"]]], axis=0)
        picture = Image.fromarray(inside.astype(np.uint8) * 255)
        file = folder / Path(item["mask"]).relative_to(FOLDER)
        file.parent.mkdir(parents=True, exist_ok=True)
        _reduced(picture, shrunk(picture.size, longest)).save(file)


def check_count(count: int | None) -> None:
    """Raise unless so many marked training images can be wanted."""
    if count is not None and count < 1:
        raise ValueError(f"{count} marked training images are wanted: give 1 or more")


def _reduced(mask: Image.Image, size: Size) -> Image.Image:
    """A mask of 0 and 255 at a smaller size: inside is what is so by half, or what is most so, as no mark may vanish.

    >>> small = _reduced(Image.fromarray(np.pad(np.full((2, 2), 255, np.uint8), ((0, 4), (0, 4)))), (2, 2))
    >>> np.asarray(small)
    array([[255,   0],
           [  0,   0]], dtype=uint8)
    """
    if size == mask.size:
        return mask
    shares = np.asarray(mask.convert("F").resize(size, Image.Resampling.BOX))
    return Image.fromarray((shares >= min(127.5, shares.max())).astype(np.uint8) * 255)


def _file_of(item: Mapping[str, Any]) -> str:
    return f"{FOLDER}/{without_ending(item['id'])}.png"
