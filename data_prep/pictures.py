"""The pictures of a published set: each opened to its last byte, and copied, smaller if wanted; many at a time.

Looked for: `Datalist` opens every file, too, but refuses the whole set for one that is broken, where a preparation
leaves it out by name. MONAI's and torchvision's resizing work on tensors and would decode what need only be copied.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from data_prep.progress import each

Size = tuple[int, int]


class Copy(NamedTuple):
    """A picture's copy to make.

    Args:
        source: the picture.
        target: where to; a smaller copy is written in the format of this name's ending.
        size: the picture's width and height.
        mask: its values are kept as they are, not mixed with their neighbours'.
    """

    source: Path
    target: Path
    size: Size
    mask: bool = False


def examine(files: Iterable[Path]) -> dict[Path, Size | str]:
    """`picture_size` of each."""
    listed = list(files)
    return dict(zip(listed, each(picture_size, listed, "opening pictures"), strict=True))


def copy(copies: Iterable[Copy], longest: int | None = None) -> None:
    """Make the copies, creating their folders; those larger than `longest` along a side become that size, in shape."""
    listed = list(copies)
    for folder in {one.target.parent for one in listed}:
        folder.mkdir(parents=True, exist_ok=True)
    each(lambda one: _copy(one, longest), listed, "copying pictures")


def check_longest(longest: int | None) -> None:
    """Raise unless it is a length."""
    if longest is not None and longest < 1:
        raise ValueError(f"resize {longest}: give the longest side in pixels, 1 or more")


def shrunk(size: Size, longest: int | None) -> Size:
    """The size in the same shape whose longer side is `longest`; a smaller one stays.

    >>> shrunk((600, 450), 128)
    (128, 96)
    """
    if longest is None or max(size) <= longest:
        return size
    width, height = (max(1, round(side * longest / max(size))) for side in size)
    return width, height


def picture_size(file: Path) -> Size | str:
    """A picture's width and height, or what is wrong with it, found by decoding all of it."""
    try:
        with Image.open(file) as picture:
            picture.load()
            width, height = picture.size
            return width, height
    except UnidentifiedImageError:  # its text is the file's path, which is not the same on every machine
        return "not a picture"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # all of Pillow's complaints
        return str(error)


def _copy(each: Copy, longest: int | None) -> None:
    size = shrunk(each.size, longest)
    if size == each.size and each.source.suffix == each.target.suffix:
        shutil.copyfile(each.source, each.target)
        return
    with Image.open(each.source) as picture:
        # A bit per pixel or a palette's indices cannot be mixed: they are turned into colours first.
        as_it_is = each.mask or picture.mode == "L"
        picture = picture if as_it_is else picture.convert("RGB")  # noqa: PLW2901 - the same picture
        sampling = Image.Resampling.NEAREST if each.mask else Image.Resampling.LANCZOS
        settings = {} if each.mask else {"quality": 95, "subsampling": 0}  # so small a copy has no pixels to lose
        picture.resize(size, sampling).save(each.target, **settings)
