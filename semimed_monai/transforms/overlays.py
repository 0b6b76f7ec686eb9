"""Pictures for a reader's eyes: a slice with the outline of what the network attended to, boxes, and a line of text.

Looked for: `monai.visualize.blend_images` lays a colour map over the image, which hides the very texture to be judged;
contourpy finds the outline (as scikit-image does, in less time), Pillow draws it. matplotlib, whose part contourpy is,
takes a tenth of a second per picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from contourpy import contour_generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from semimed_monai.transforms.candidates import Box, Candidate
from semimed_monai.transforms.slices import ScalePercentilesd

SHORTEST_SIDE = 256
LONGEST_SIDE = 1024
OUTLINE = (255, 210, 0)
FOUND = (255, 110, 60)
GIVEN = (90, 190, 255)
TEXT = (255, 255, 255)


def enlargement(rows: int, columns: int) -> int:
    """How many times a slice is enlarged so that its text can be read: to 256 pixels on the shorter side, if it does
    not then have more than 1024 on the longer one.

    >>> enlargement(96, 128)
    3
    """
    return max(1, min(-(-SHORTEST_SIDE // min(rows, columns)), LONGEST_SIDE // max(rows, columns)))


def overlay(
    plane: NDArray[Any],
    attention: NDArray[Any],
    caption: str,
    threshold: float = 0.5,
    *,
    found: Sequence[Candidate] = (),
    given: Sequence[Box] = (),
    scaled: bool = False,
) -> NDArray[np.uint8]:
    """One slice as an RGB picture: as the network sees it, the outline of its attention, boxes, a caption.

    Example:
        >>> slice_, attention = np.random.default_rng(0).random((2, 128, 128))
        >>> overlay(slice_, attention, "full 0.93").shape
        (256, 256, 3)

    Args:
        plane: rows x columns, any range, or of a photograph rows x columns x 3, from 0 to 255, shown as it is.
        attention: rows x columns, in [0, 1].
        caption: what stands in the upper left corner.
        threshold: where the outline runs.
        found: what the network found: orange boxes with their scores.
        given: what is known to be there: blue boxes.
        scaled: the plane is in [0, 1], and shown as it is.
    """
    rows, columns = plane.shape[:2]
    times = enlargement(rows, columns)
    shown = plane if plane.ndim == 3 else 255 * (plane.astype(np.float32) if scaled else _grey(plane))
    picture = Image.fromarray(shown.round().astype(np.uint8)).convert("RGB")
    picture = picture.resize((times * columns, times * rows), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    line = max(1, times, max(rows, columns) // 500)
    # A margin of zeros closes outlines that run into the border.
    outlines: Any = contour_generator(z=np.pad(attention, 1)).lines(threshold)
    for outline in outlines:
        # Index i is the centre of the pixel that covers `times` pixels from i * times on.
        points = ((outline - 1 + 0.5) * times - 0.5).clip(0, [times * columns - 1, times * rows - 1])
        draw.line([(float(x), float(y)) for x, y in points], fill=OUTLINE, width=line)
    size = max(10, times * min(rows, columns) // 20)
    for box in given:
        _frame(draw, box, times, line, GIVEN)
    for candidate in found:
        _frame(draw, candidate.box, times, line, FOUND)
    small = max(10, 3 * size // 4)
    for candidate in found:  # after the frames, so that none runs through a score
        text, (x0, y0, _, y1) = f"{candidate.score:.2f}", (times * edge for edge in candidate.box)
        left = min(x0, times * columns - draw.textlength(text, _font(small)) - 1)
        above = y0 - size if y0 >= size else min(y1, times * rows - size)
        _write(draw, (max(0, left), above), text, small, FOUND)
    _write(draw, (size // 2, size // 3), caption, size, TEXT)
    return np.asarray(picture)


def _grey(plane: NDArray[Any]) -> NDArray[np.float32]:
    """By its percentiles in [0, 1]."""
    shades: torch.Tensor = ScalePercentilesd("plane")({"plane": torch.tensor(plane, dtype=torch.float32)})["plane"]
    return shades.numpy()


def _frame(draw: ImageDraw.ImageDraw, box: Box, times: int, line: int, colour: tuple[int, int, int]) -> None:
    """A box's outline, within the pixels that it covers."""
    x0, y0, x1, y1 = (round(times * edge) for edge in box)
    draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=line)


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, colour: tuple[int, int, int]
) -> None:
    draw.text(place, text, fill=colour, font=_font(size), stroke_width=1, stroke_fill=(0, 0, 0))


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)
