"""Write what a network found on preprocessed slices in the geometry of the file that they came from.

Looked for: MONAI's `Invertd` and `SaveImage` invert a tensor that carries its own history; a volume that is put
together from slices of several batches has none, so the way back is computed from the file's header.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from semimed_monai.files import whole
from semimed_monai.transforms.grid import NIFTI, Grid, read_grid
from semimed_monai.transforms.squares import Aspect, from_square
from semimed_monai.vocabulary import RESULT_MARK

_LEVELS = 65535  # in 16 bits: a map's 1.0


def to_source_geometry(
    maps: Tensor | NDArray[Any], source: str | Grid, slices: Sequence[int] | None = None, aspect: Aspect = "pad"
) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """S x size x size maps of preprocessed slices -> the array in the file's own axes and shape, and its affine.

    Floats (maps) are interpolated, whole numbers and booleans (masks) are sampled. Pictures have rows x columns and no
    affine.

    Args:
        maps: one per slice.
        source: the image file or series folder, or its grid.
        slices: the slice of each map; the others are 0. All, in order, if None.
        aspect: what the preprocessing used.

    Raises:
        ValueError: the number of maps is not the number of slices, or a slice is not in the file.
    """
    grid = source if isinstance(source, Grid) else read_grid(source)
    count, rows, columns = grid.size
    squares = torch.as_tensor(maps)
    chosen = list(range(count)) if slices is None else [int(index) for index in slices]
    if squares.ndim != 3 or len(squares) != len(chosen):
        raise ValueError(
            f"{grid.path}: maps of shape {tuple(squares.shape)} for {len(chosen)} slices; one H x W map each is wanted"
        )
    if len(set(chosen)) != len(chosen) or not all(0 <= index < count for index in chosen):
        raise ValueError(f"{grid.path}: slices {chosen}; different ones from 0 to {count - 1} are wanted")
    if squares.dtype == torch.bool:
        squares = squares.to(torch.uint8)
    planes = torch.zeros((count, rows, columns), dtype=squares.dtype)
    planes[chosen] = from_square(squares.detach().cpu(), rows, columns, aspect)
    return grid.to_stored(planes.numpy()), grid.affine


def write_mask(
    mask: Tensor | NDArray[Any],
    source: str,
    out: str | Path,
    slices: Sequence[int] | None = None,
    aspect: Aspect = "pad",
) -> Path:
    """Write a mask of preprocessed slices as an 8-bit file in its image's own geometry; whole or not at all.

    Example:
        >>> write_mask(masks, "knee.nii.gz", "knee_cartilage.nii.gz")  # doctest: +SKIP

    Args:
        mask: S x H x W, or H x W for one slice; whole numbers, of any dtype.
        source: the image file or series folder.
        out: `.nii` or `.nii.gz` (same shape and affine as the image; a DICOM series' grid in RAS), or `.png` for
            a picture or a lone DICOM plane (same rows and columns; values as they are, 1 looks black).
        slices: the slice of each plane; the others are 0. All, in order, if None.
        aspect: what the preprocessing used.

    Raises:
        ValueError: values that 8 bits do not hold, or a file type that cannot hold the image's grid.
    """
    squares = torch.as_tensor(mask)
    squares = squares[None] if squares.ndim == 2 else squares
    labels = squares.to(torch.uint8)
    if not torch.equal(labels.to(squares.dtype), squares):
        raise ValueError(f"{out}: a mask holds whole numbers from 0 to 255; threshold the map first")
    return _save(*to_source_geometry(labels, source, slices, aspect), source, Path(out))


def write_map(
    maps: Tensor | NDArray[Any],
    source: str | Grid,
    out: str | Path,
    slices: Sequence[int] | None = None,
    aspect: Aspect = "pad",
    in_16_bits: bool = False,
) -> Path:
    """Write maps in [0, 1] of preprocessed slices in their image's own geometry; whole or not at all.

    As NIfTI they are 32-bit floats; a PNG, which has none, gets round(255 * map). In 16 bits both hold
    round(65535 * map), and the NIfTI's header says so: who reads it gets values in [0, 1] again.

    Example:
        >>> write_map(attention, "knee.nii.gz", "knee_attention.nii.gz")  # doctest: +SKIP

    Args:
        maps: S x H x W, or H x W for one slice.
        source: as in `write_mask`, or its grid; `out`, `slices` and `aspect` are as there.
        out: the file to write.
        slices: the slice of each plane.
        aspect: what the preprocessing used.
        in_16_bits: for large images, of which floats take much room, and for values that 8 bits do not tell apart.

    Raises:
        ValueError: values outside [0, 1] or nan, or a file type that cannot hold the image's grid.
    """
    squares = torch.as_tensor(maps).float()
    squares = squares[None] if squares.ndim == 2 else squares
    if not bool(((squares >= 0) & (squares <= 1)).all()):
        raise ValueError(f"{out}: a map holds values from 0 to 1, this one {squares.min():.3g} to {squares.max():.3g}")
    array, affine = to_source_geometry(squares, source, slices, aspect)
    array = array.clip(0, 1)  # interpolation weights add up to 1 only within rounding
    if in_16_bits:
        array = np.rint(_LEVELS * array).astype(np.uint16)
    elif str(out).lower().endswith(".png"):
        array = np.rint(255 * array).astype(np.uint8)
    return _save(array, affine, source.path if isinstance(source, Grid) else source, Path(out))


def _save(array: NDArray[Any], affine: NDArray[np.float64] | None, source: str, target: Path) -> Path:
    name = target.name.lower()
    if name.endswith(NIFTI) and affine is not None:
        picture: Any = nib.Nifti1Image(array, affine)  # type: ignore[no-untyped-call]
        picture.header.set_xyzt_units("mm")
        picture.header["descrip"] = RESULT_MARK
        if array.dtype == np.uint16:
            picture.header.set_slope_inter(1 / _LEVELS, 0)
    elif name.endswith(".png") and (affine is None or array.shape[2:] in {(), (1,)}):
        # A stored plane is x, y; a picture is rows, columns.
        picture = Image.fromarray(array if affine is None else array.reshape(array.shape[:2]).T)
    else:
        raise ValueError(f"{target}: cannot hold the geometry of {source}; write volumes as .nii.gz, pictures as .png")
    with whole(target) as part:  # its name ends as the target's does, and so says the format
        picture.save(part, pnginfo=result_mark()) if name.endswith(".png") else picture.to_filename(part)
    return target


def result_mark() -> PngInfo:
    """What a PNG that inference writes says of itself."""
    notes = PngInfo()
    notes.add_text("Software", RESULT_MARK)
    return notes
