"""Outlines of lesions as COCO files have them, and masks: the pixels of an image that they cover.

Coordinates are [x, y] in pixels, pixel j from j to j + 1; a pixel is inside if its centre is.

Looked for: pycocotools (not installed with MONAI) rasters polygons on a grid of its own that is finer by five, and
takes whatever lies outside; `PIL.ImageDraw.polygon` rounds corners to whole pixels and draws the border, too, so that a
polygon grows by half a pixel around. `skimage.draw.polygon` asks where centres are, and is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.draw import polygon

from data_prep.boxes import Annotated, Outline, fitted, misplaced
from data_prep.pictures import Size, picture_size

_NO_PIXEL = "covers no pixel of the image: correct or remove it"


class Polygons(NamedTuple):
    """One or more polygons, each as the x and y of its corners in turn; what is in one of them is inside.

    >>> Polygons([[1, 0, 3, 0, 3, 2, 1, 2]]).pixels((4, 3)).astype(int)
    array([[0, 1, 1, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0]])
    """

    rings: Sequence[Sequence[float]]

    def pixels(self, size: Size) -> NDArray[np.bool_]:
        """See `Outline`; an outline may reach over the border by up to a pixel, where it is cut."""
        found = np.zeros(size[::-1], dtype=bool)
        for ring in self.rings:
            across, down = np.reshape(ring, (-1, 2)).T
            bounds = [across.min(), down.min(), across.max(), down.max()]
            if problem := misplaced(bounds, size, "the outline within"):
                raise ValueError(problem)
            inside = polygon(down - 0.5, across - 0.5, found.shape)  # which counts from the first pixel's centre
            found[inside] = True
        return found


class RunLengths(NamedTuple):
    """Lengths of the runs of pixels that are outside, inside, outside, ..., from top to bottom and then to the right.

    >>> RunLengths([1, 2, 3], (2, 3)).pixels((2, 3)).astype(int)
    array([[0, 0],
           [1, 0],
           [1, 0]])
    """

    counts: Sequence[int]
    size: Size

    def pixels(self, size: Size) -> NDArray[np.bool_]:
        """See `Outline`."""
        if size != self.size:
            own, real = (f"{width} x {height}" for width, height in (self.size, size))
            raise ValueError(f"its run lengths are of {own} pixels, and it has {real}: export them again")
        inside = np.arange(len(self.counts)) % 2 == 1
        return np.asarray(np.repeat(inside, self.counts).reshape(size).T)


class MaskPicture(NamedTuple):
    """A picture of the image's size that is above 0 inside; one in colours counts by its brightness."""

    file: Path

    def pixels(self, size: Size) -> NDArray[np.bool_]:
        """See `Outline`."""
        if self.file.suffix.lower() != ".png":
            raise ValueError("a mask must be a PNG: what JPEG stores is not quite 0 outside; write it as PNG")
        found = picture_size(self.file)
        if isinstance(found, str):
            raise ValueError(f"the mask is broken ({found}): copy it anew")  # noqa: TRY004 - the file's fault
        if found != size:
            own, real = (f"{width} x {height}" for width, height in (found, size))
            raise ValueError(f"the mask has {own} pixels, and the image {real}: scale it")
        with Image.open(self.file) as picture:
            single = picture.mode in {"1", "L", "P"} or picture.mode.startswith("I")
            return np.asarray(picture if single else picture.convert("L")) > 0


def read_outline(segmentation: Any) -> Outline:
    """A COCO annotation's segmentation: polygons, or run lengths that are not compressed.

    >>> read_outline({"counts": [1, 2, 3], "size": [3, 2]})
    RunLengths(counts=[1, 2, 3], size=(2, 3))

    Raises:
        ValueError: it is neither.
    """
    if isinstance(segmentation, Mapping):
        return _run_lengths(segmentation.get("counts"), segmentation.get("size"))
    rings = segmentation if isinstance(segmentation, list) else []
    if not rings or not all(map(_is_ring, rings)):
        raise ValueError(
            "its segmentation must be polygons [[x, y, x, y, ...], ...] of three corners or more, or run lengths: "
            "export it again"
        )
    return Polygons(rings)


def covered(annotated: Annotated, size: Size) -> NDArray[np.bool_]:
    """Height x width booleans: the pixels inside any of the boxes and outlines of an image of this size.

    >>> covered(Annotated("line 2", "a.png", [[1, 0.5, 3, 1.6]]), (4, 2)).astype(int)
    array([[0, 1, 1, 0],
           [0, 1, 1, 0]])

    Raises:
        ValueError: what is wrong with the first of them that is.
    """
    boxes = fitted(annotated, size)
    if isinstance(boxes, str):
        raise ValueError(boxes)  # noqa: TRY004 - it says what is wrong
    found = np.zeros(size[::-1], dtype=bool)
    across, down = (np.arange(side) + 0.5 for side in size)
    for x0, y0, x1, y1 in boxes:
        inside = ((y0 <= down) & (down < y1))[:, None] & (x0 <= across) & (across < x1)
        if not inside.any():
            raise ValueError(f"the box from [{x0:g}, {y0:g}] to [{x1:g}, {y1:g}] {_NO_PIXEL}")
        found |= inside
    for outline in annotated.outlines:
        inside = outline.pixels(size)
        if not inside.any():
            raise ValueError(f"its {'mask' if isinstance(outline, MaskPicture) else 'outline'} {_NO_PIXEL}")
        found |= inside
    return found


def _run_lengths(counts: Any, size: Any) -> RunLengths:
    if isinstance(counts, str | bytes):
        raise ValueError("its run lengths are compressed, which is not read: export polygons, or counts as a list")  # noqa: TRY004
    if not (_whole_numbers(size) and len(size) == 2 and _whole_numbers(counts) and sum(counts) == math.prod(size)):
        raise ValueError(
            "its segmentation must have size [height, width], and as counts a list of whole numbers that add up to "
            "all pixels: export it again"
        )
    return RunLengths(counts, (size[1], size[0]))


def _whole_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _is_ring(values: Any) -> bool:
    numbers = isinstance(values, list) and all(type(value) in {int, float} for value in values)
    return numbers and len(values) >= 6 and len(values) % 2 == 0 and all(map(math.isfinite, values))
