"""Read an image or a mask once, whole, as sagittal slices; the last few stay in memory.

The items of a volume come one after another, so reading (and N4) is done once per volume and not once per slice.
Looked for: `functools.lru_cache` would read a volume twice when two loading threads ask for it at once;
`monai.data.CacheDataset` and `PersistentDataset` keep items, not what several items share.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from monai.data.image_reader import ImageReader, ITKReader, NibabelReader, PILReader
from numpy.typing import NDArray
from PIL import Image

from semimed_monai.transforms.bias_field import correct_bias
from semimed_monai.transforms.grid import Grid, kind_of, read_grid, stamp

Planes = NDArray[Any]  # slices x channels x rows x columns, read-only
LOSSY = (".jpg", ".jpeg")
# Red, green and blue of a grey picture that was saved in colours differ by JPEG's rounding at most.
GREY_WITHIN = 8


class Recent:
    """The results of the last `keep` different calls; two threads that ask for the same wait for one result.

    Example:
        >>> recent = Recent(keep=2)
        >>> recent.get("a", lambda: 1), recent.get("a", lambda: 2)
        (1, 1)
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._lock = threading.Lock()
        self._made: OrderedDict[Any, Future[Any]] = OrderedDict()

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """The result for `key`, made now if it is not at hand; an error is raised, and not kept."""
        with self._lock:
            future = self._made.pop(key, None)
            first = future is None
            future = future or Future()
            self._made[key] = future
            while len(self._made) > self.keep:
                self._made.popitem(last=False)
        if first:
            try:
                future.set_result(make())
            except BaseException as error:  # noqa: BLE001 - also an interrupt must reach the threads that wait
                with self._lock:
                    self._made.pop(key, None)
                future.set_exception(error)
        return future.result()


# A few images and their masks; a knee volume has up to 100 MB.
RECENT = Recent(keep=6)
if hasattr(os, "register_at_fork"):
    # A data loader's child must not wait for a volume that only its parent's thread is reading.
    os.register_at_fork(after_in_child=RECENT.clear)


def read_image(path: str, *, n4: bool = False, colour: bool = False) -> tuple[Planes, Grid]:
    """An image as float32 slices x channels x rows x columns, and its grid.

    Args:
        path: NIfTI, PNG, JPEG, DICOM file or DICOM series folder.
        n4: correct the bias field of the whole stack.
        colour: a picture, as RGB; otherwise everything is grey.

    Raises:
        ValueError: the file has NaN or infinite values, several channels, colours where grey is wanted, is no picture
            where colours are, or no readable image.
    """
    if colour and kind_of(path) != "picture":
        raise ValueError(f"{path}: a photograph is a PNG or JPEG: name such a file, or export it as one")

    def make() -> tuple[Planes, Grid]:
        array, grid = _load(path, _rgb if colour else _grey_image)
        planes = np.stack([grid.to_planes(channel) for channel in array.astype(np.float32)], axis=1)
        if n4:
            planes[:, 0] = correct_bias(np.ascontiguousarray(planes[:, 0]))
        return _frozen(planes), grid

    result: tuple[Planes, Grid] = RECENT.get((path, n4, colour, stamp(path)), make)
    return result


def read_grey_picture(path: str) -> NDArray[Any]:
    """A PNG's or JPEG's rows x columns, in the type that they are stored in; not kept in memory.

    Raises:
        ValueError: as `read_image`.
    """
    stored: NDArray[Any] = _load(path, _grey_image)[0][0]
    return stored


def read_mask(path: str, image: Grid) -> NDArray[Any]:
    """A mask's integer values in the slices x rows x columns of its image.

    Raises:
        ValueError: it is a JPEG, has values that are not whole numbers, or is not on the image's grid.
    """

    def make() -> NDArray[Any]:
        if path.lower().endswith(LOSSY):
            raise ValueError(f"{path}: JPEG changes a mask's values; save the mask as PNG")
        array, grid = _load(path, _indices)
        whole = np.rint(array[0]).astype(np.int32)
        if not np.array_equal(whole, array[0]) or whole.min() < 0:
            raise ValueError(
                f"{path}: a mask holds whole numbers from 0 up; this file has {array.min()}..{array.max()}"
            )
        planes = image.to_planes(image.align(whole.reshape(grid.stored), grid))
        return _frozen(planes.astype(np.uint8) if planes.max() < 256 else planes)

    result: NDArray[Any] = RECENT.get((path, image.path, stamp(path), stamp(image.path)), make)
    return result


def _load(path: str, converter: Callable[[Image.Image], Image.Image]) -> tuple[NDArray[Any], Grid]:
    """Channels x stored axes, and the grid. ITK turns MONOCHROME1 (white is 0) to its opposite by itself."""
    grid = read_grid(path)
    # MONAI's readers, without LoadImage: where one refuses a file it tries all others, and so reads what was refused.
    readers: dict[str, Callable[[], ImageReader]] = {
        "nifti": NibabelReader,
        "picture": lambda: PILReader(converter=converter, reverse_indexing=False),
        "dicom": ITKReader,
    }
    kind = kind_of(path)
    reader = readers[kind]()
    try:
        array = np.asarray(reader.get_data(reader.read(path))[0])
    except (OSError, EOFError, RuntimeError, zlib.error) as error:
        raise ValueError(f"{path}: the file is damaged or cut short ({error}); copy it anew") from error
    array = np.moveaxis(array, -1, 0) if kind == "picture" and array.ndim == 3 else array[None]
    if array[0].size != np.prod(grid.stored):
        raise ValueError(f"{path}: {array[0].shape} values for {grid.stored} pixels; a grey image or volume is wanted")
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: {np.count_nonzero(~np.isfinite(array))} values are NaN or infinite; repair the file")
    return array, grid


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        raise ValueError(f"{getattr(picture, 'filename', '')}: {picture.mode} pixels; an 8-bit photograph is wanted")
    return picture.convert("RGB")


def _grey_image(picture: Image.Image) -> Image.Image:
    if picture.mode in {"RGB", "RGBA", "P", "CMYK", "YCbCr"}:
        channels = np.asarray(picture.convert("RGB")).astype(np.int16)
        if np.ptp(channels, axis=2).max() > GREY_WITHIN:
            raise ValueError(
                f"{getattr(picture, 'filename', '')}: a colour picture, and the network takes grey ones; save it as "
                "grey if it is a scan in false colours, or use a network for photographs"
            )
    return _grey(picture)


def _grey(picture: Image.Image) -> Image.Image:
    return picture if picture.mode in {"1", "L", "F"} or picture.mode.startswith("I") else picture.convert("L")


def _indices(picture: Image.Image) -> Image.Image:
    """A palette's indices are the labels; anything else as grey."""
    return picture if picture.mode == "P" else _grey(picture)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array = np.ascontiguousarray(array)
    array.setflags(write=False)
    return array
