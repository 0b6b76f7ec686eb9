"""Boxes around lesions as an annotation file has them, and whether they lie in their image.

Looked for: `torchvision.ops.clip_boxes_to_image` cuts a box however far outside it lies, and leaves one without area.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from data_prep.pictures import Size

Box = list[float]

_SLACK = 1.0  # pixels by which rounding and inclusive ends carry boxes over the border; what is farther out is wrong


class Outline(Protocol):
    """What is drawn more finely than a box, or by pixels (`data_prep.outlines`)."""

    def pixels(self, size: Size) -> NDArray[np.bool_]:
        """Height x width booleans of an image of this width and height: what is inside.

        Raises:
            ValueError: it does not lie in such an image.
        """
        ...


class Annotated(NamedTuple):
    """An image as an annotation file has it.

    Args:
        where: the file and the place in it: "boxes.csv, line 3".
        name: what the file calls it.
        boxes: [x0, y0, x1, y1] in pixels each; none for an image without a lesion.
        patient: "" where the file does not say.
        size: width and height that the boxes were drawn at, if the file says so.
        outlines: of lesions that have one; these have no box.
    """

    where: str
    name: str
    boxes: list[Box]
    patient: str = ""
    size: Size | None = None
    outlines: Sequence[Outline] = ()


def corners(x: float, y: float, width: float, height: float) -> Box:
    """[x0, y0, x1, y1] of a box given by its upper left corner and its size; sums lose what is no more than rounding.

    >>> corners(165.64, 123.88, 36.44, 19.64)
    [165.64, 123.88, 202.08, 143.52]
    """
    return [x, y, round(x + width, 6), round(y + height, 6)]


def fitted(annotated: Annotated, size: Size) -> list[Box] | str:
    """The boxes, cut to an image of this width and height where they reach over its border by up to a pixel; or what is
    wrong with them.

    >>> fitted(Annotated("line 2", "a.png", [[3, 2, 8.5, 6]]), (8, 6))
    [[3, 2, 8, 6]]
    >>> fitted(Annotated("line 2", "a.png", [[3, 2, 3, 6]]), (8, 6))
    'box [3, 2, 3, 6] has no area: correct or remove it'
    """
    if annotated.size and annotated.size != size:
        drawn, real = (f"{width} x {height}" for width, height in (annotated.size, size))
        what = "outlines" if annotated.outlines else "boxes"
        return f"its {what} were drawn at {drawn} pixels, and it has {real}: scale them"
    problem = next(filter(None, (misplaced(box, size) for box in annotated.boxes)), None)
    if problem:
        return problem
    width, height = size
    cut = [[max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)] for x0, y0, x1, y1 in annotated.boxes]
    if twice := [box for place, box in enumerate(cut) if box in cut[:place]]:
        return f"box {_said(twice[0])} is there twice: remove one"
    return cut


def misplaced(box: Sequence[float], size: Size, name: str = "box") -> str | None:
    """What is wrong with a box, by itself: it has no area, or reaches outside an image of this width and height.

    >>> misplaced([0, 2, 9.5, 4], (8, 6), "outline within")
    'outline within [0, 2, 9.5, 4] reaches outside the image of 8 x 6 pixels: correct it'
    """
    x0, y0, x1, y1 = box
    width, height = size
    if not (x0 < x1 and y0 < y1):  # also where one of them is no number
        return f"{name} {_said(box)} has no area: correct or remove it"
    inside = min(x0, y0, width - x1, height - y1) >= -_SLACK
    if inside and x0 < width and y0 < height and x1 > 0 and y1 > 0:
        return None
    return f"{name} {_said(box)} reaches outside the image of {width} x {height} pixels: correct it"


def _said(box: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:g}' for value in box)}]"
