"""The page's pictures of cases: image, mask and attention lie on each other as they lay in the data."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from semimed_monai.reports.cases import Case
from semimed_monai.reports.page.figures import Picture
from semimed_monai.reports.page.gallery import ATTENTION, CLASSES, MASK, attended, outlined

SIZE = 40
GREY = "#808080"  # the figure's own margin is white


def square(top: int, left: int, value: int) -> NDArray[np.uint8]:
    plane = np.zeros((SIZE, SIZE), np.uint8)
    plane[top : top + 8, left : left + 8] = value
    return plane


def panels(shown: Picture, count: int) -> list[NDArray[np.uint8]]:
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.source.split(",")[1]))).convert("RGB"))
    return np.array_split(pixels, count, axis=1)


def centre(panel: NDArray[np.uint8], colour: str) -> tuple[float, float]:
    """Row and column, in the image's pixels, of what has a colour, nearly."""
    distance = np.abs(panel.astype(float) / 255 - to_rgb(colour)).max(axis=2)
    found = np.argwhere(distance < 0.2)
    assert len(found)
    middle = (found.min(axis=0) + found.max(axis=0)) / 2 / panel.shape[:2] * SIZE
    return float(middle[0]), float(middle[1])


def near(found: tuple[float, float], top: int, left: int) -> bool:
    return bool(np.abs(np.subtract(found, (top + 4, left + 4))).max() < 1.5)


def test_mask_and_attention_lie_where_they_lay() -> None:
    pictures = {"image": square(28, 16, 128), "mask": square(4, 6, 255), "map": square(26, 6, 255)}
    bare, over = panels(attended(Case("a", 1, "best", 0.9, pictures), "a case", 0.5), 2)
    assert near(centre(bare, GREY), 28, 16)
    assert near(centre(over, GREY), 28, 16)
    assert near(centre(bare, MASK), 4, 6)
    assert near(centre(over, MASK), 4, 6)
    assert near(centre(over, ATTENTION), 26, 6)
    # The colours of the map, too, and not its outline only.
    row, column = 30 * len(over) // SIZE, 10 * over.shape[1] // SIZE
    assert over[row, column].min() > 50
    assert over[-row, column].max() == over[row, -column].max() == 0


def test_given_and_found_outlines_lie_where_they_lay() -> None:
    pictures = {"image": square(28, 16, 128), "given": square(4, 6, 1), "found": square(26, 6, 2)}
    colours = dict(zip(("femoral", "tibial"), CLASSES, strict=False))
    _, over = panels(outlined(Case("a", 0, "best", 0.9, pictures), "a case", colours), 2)
    assert near(centre(over, GREY), 28, 16)
    assert near(centre(over, CLASSES[0]), 4, 6)
    assert near(centre(over, CLASSES[1]), 26, 6)
