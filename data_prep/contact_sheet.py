"""Many small pictures with a line below each, as one picture to look over.

Looked for: `torchvision.utils.make_grid` writes no text; matplotlib takes a second for what are a hundred thumbnails.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw

from semimed_monai.files import whole

_SIDE, _LINE, _ACROSS, _MOST = 128, 14, 10, 200  # pixels of a picture and of its line; pictures in a row, and at most


class Shown(NamedTuple):
    """A picture, and the line below it."""

    file: Path
    line: str


def draw_sheet(file: Path, pictures: Sequence[Shown]) -> None:
    """Write the first 200 pictures, row by row, as a PNG."""
    shown = pictures[:_MOST]
    height = _SIDE + _LINE
    across, down = min(len(shown), _ACROSS), -(-len(shown) // _ACROSS)
    sheet = Image.new("L", (across * _SIDE, down * height), 255)
    pen = ImageDraw.Draw(sheet)
    for place, (picture, line) in enumerate(shown):
        left, top = place % _ACROSS * _SIDE, place // _ACROSS * height
        with Image.open(picture) as opened:
            sheet.paste(opened.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), (left, top))
        pen.text((left + 2, top + _SIDE), line, fill=0)
    with whole(file) as temporary:
        sheet.save(temporary, format="PNG")
