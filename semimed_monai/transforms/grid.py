"""Where a file's pixels lie: its stored axes, its affine, and the way to sagittal slices x rows x columns and back.

Only headers are read here. One definition serves reading, counting slices and writing results back. Looked for:
`monai.transforms.Orientation` does the turning with the same nibabel functions, but cannot keep one axis "as stored",
wants the pixels, and its inverse needs the very tensor that it turned.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
from monai.data.utils import orientation_ras_lps
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray
from PIL import Image

from semimed_monai.transforms.series import has_place, series_files

# nibabel has no type hints.
turning: Any = nib.orientations

NIFTI = (".nii", ".nii.gz")
PICTURE = (".png", ".jpg", ".jpeg")
# Stored axes of a picture (row, column, 1) and of a lone plane (x, y, 1), as they go to slice, row, column.
PICTURE_AXES = np.array([[1, 1], [2, 1], [0, 1]])
PLANE_AXES = np.array([[2, 1], [1, 1], [0, 1]])


def kind_of(path: str) -> str:
    """How a file is read: "nifti", "picture" or "dicom" (a series folder, or any other file).

    Raises:
        FileNotFoundError: there is nothing at `path`.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}: no such file or folder; check the path in the datalist")
    name = path.lower()
    if Path(path).is_dir():
        return "dicom"
    if name.endswith(NIFTI):
        return "nifti"
    return "picture" if name.endswith(PICTURE) else "dicom"


@dataclass(frozen=True, eq=False)
class Grid:
    """A file's stored axes and their way to S x H x W planes: a permutation and flips, undone by `to_stored`.

    A volume is cut along the stored axis nearest left-right, slices in stored order; rows run from superior to
    inferior, columns from anterior to posterior. A picture, and a lone plane that is not sagittal (a radiograph), is
    one slice as it is displayed.

    Example:
        >>> affine = np.diag([4.0, 0.5, 0.5, 1.0])  # x to the right, y to the front, z up
        >>> knee = Grid("knee.nii", (6, 40, 30), affine)
        >>> knee.size
        (6, 30, 40)
        >>> knee.to_stored(knee.to_planes(np.zeros((6, 40, 30)))).shape
        (6, 40, 30)

    Args:
        path: the file, for messages.
        stored: the array's shape as nibabel, ITK (x, y, z) or Pillow (row, column) has it.
        affine: stored voxel indices to RAS millimetres; None for pictures.
        files: of a DICOM series, in order; no others.

    Raises:
        ValueError: no slices, more than three dimensions, or an affine that has no inverse.
    """

    path: str
    stored: tuple[int, ...]
    affine: NDArray[np.float64] | None
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if 0 in self.stored:
            raise ValueError(f"{self.path}: shape {self.stored}: it has no slices or pixels; export or copy it anew")
        if len(self.stored) < 2 or any(n != 1 for n in self.stored[3:]):
            raise ValueError(
                f"{self.path}: shape {self.stored}; one volume or one plane is wanted: split the file "
                "(a 4-D NIfTI with nibabel.four_to_three, say) and give one part"
            )
        if self.affine is not None and not abs(np.linalg.det(self.affine)) > 0:
            raise ValueError(f"{self.path}: its affine has no inverse ({self.affine.tolist()}); repair the header")

    @property
    def shape(self) -> tuple[int, int, int]:
        """The stored shape with exactly three axes."""
        x, y, z = (*self.stored, 1)[:3]
        return x, y, z

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Millimetres per stored axis; ones for pictures."""
        return np.ones(3) if self.affine is None else np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @cached_property
    def axes(self) -> NDArray[Any]:
        """The turn, in nibabel's form, from the stored axes to (slice, row, column)."""
        if self.affine is None:
            return PICTURE_AXES
        start = turning.io_orientation(self.affine)
        sagittal = int(np.flatnonzero(start[:, 0] == 0)[0])
        if self.shape[2] == 1 and sagittal != 2:
            return PLANE_AXES
        stored_order = "R" if start[sagittal, 1] > 0 else "L"
        return np.asarray(turning.ornt_transform(start, turning.axcodes2ornt((stored_order, "I", "P"))))

    @property
    def size(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        slices, rows, columns = (self.shape[int(axis)] for axis in np.argsort(self.axes[:, 0]))
        return slices, rows, columns

    def to_planes(self, array: NDArray[Any]) -> NDArray[Any]:
        """Turn an array in stored axes to slices x rows x columns."""
        return np.asarray(turning.apply_orientation(array.reshape(self.shape), self.axes))

    def to_stored(self, planes: NDArray[Any]) -> NDArray[Any]:
        """Undo `to_planes`: the same shape and axes as the file."""
        back = np.empty((3, 2))
        back[self.axes[:, 0].astype(int)] = np.stack([np.arange(3), self.axes[:, 1]], axis=1)
        return np.asarray(turning.apply_orientation(planes, back)).reshape(self.stored)

    def stored_index(self, slice_: float, row: float, column: float) -> tuple[float, ...]:
        """The position in the file's own axes of a position in the planes; fractions are between voxels.

        Example:
            >>> Grid("p.png", (30, 40), None).stored_index(0, 12, 5)
            (12, 5, 0)
        """
        point = (slice_, row, column)
        turned = [(point[int(axis)], flip) for axis, flip in self.axes]
        return tuple(at if flip > 0 else n - 1 - at for (at, flip), n in zip(turned, self.shape, strict=True))

    def align(self, array: NDArray[Any], other: Grid) -> NDArray[Any]:
        """Bring `other`'s array (a mask's) to these stored axes; both must be the same grid up to turns and flips.

        Raises:
            ValueError: the grids differ.
        """
        shift = 0.0
        if other.affine is None:
            # A picture drawn over a DICOM plane has its rows along y, its columns along x.
            turned = (array if self.affine is None else array.T)[..., None]
        elif self.affine is None:
            raise ValueError(f"{other.path}: the mask of the picture {self.path} must be a picture too (PNG)")
        else:
            turn = turning.ornt_transform(turning.io_orientation(other.affine), turning.io_orientation(self.affine))
            turned = np.asarray(turning.apply_orientation(array.reshape(other.shape), turn))
            moved = other.affine @ turning.inv_ornt_aff(turn, other.shape) - self.affine
            corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], [1])).reshape(4, -1)
            # In voxels. Half of one is above what rounded headers differ by, below any real displacement.
            shift = np.linalg.norm((moved @ corners)[:3], axis=0).max() / self.spacing.min()
        if turned.shape != self.shape or shift > 0.5:
            raise ValueError(
                f"{other.path}: {other.stored} pixels, up to {shift:.3g} of them away from {self.path} with its "
                f"{self.stored}; a mask must lie on its image's own grid: resample it, or correct the path"
            )
        return turned


class PlaneGrid(Grid):
    """Of one plane, whose rows and columns are the file's own whichever way it lies in the patient: a radiograph's.

    Example:
        >>> lateral = np.array([[0.0, 0, 1, 0], [0.2, 0, 0, 0], [0, -0.2, 0, 0], [0, 0, 0, 1]])  # y to the front
        >>> picture = np.arange(6).reshape(1, 2, 3)
        >>> PlaneGrid("chest.dcm", (3, 2, 1), lateral).to_stored(picture)[:, :, 0].T.tolist()
        [[0, 1, 2], [3, 4, 5]]

    Raises:
        ValueError: several planes.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shape[2] != 1:
            raise ValueError(f"{self.path}: shape {self.stored}; one plane is wanted, so give each of them by itself")

    @cached_property
    def axes(self) -> NDArray[Any]:
        return PICTURE_AXES if self.affine is None else PLANE_AXES


def read_grid(path: str) -> Grid:
    """The geometry of a NIfTI file, picture, DICOM file or DICOM series folder, from its header alone.

    Raises:
        ValueError: it is not what its name says, or holds no single grey volume or plane.
    """
    return _read_grid(path, stamp(path))


def read_plane_grid(path: str) -> PlaneGrid:
    """The same of a file of one plane, which is displayed as it is stored.

    Raises:
        ValueError: as from `read_grid`, or several planes.
    """
    grid = read_grid(path)
    return PlaneGrid(grid.path, grid.stored, grid.affine)


def stamp(path: str) -> tuple[int, int]:
    """Changes when the file does, or one of the folder's: what was read before is not taken for it."""
    kind_of(path)
    stats = [Path(path).stat()]
    if Path(path).is_dir():
        with os.scandir(path) as files:
            stats += [file.stat() for file in files]
    return max(stat.st_mtime_ns for stat in stats), sum(stat.st_size for stat in stats)


@lru_cache(maxsize=8)  # whoever lists an image's slices reads them next, and then writes their results
def _read_grid(path: str, _stamp: tuple[int, int]) -> Grid:
    readers = {"picture": _picture_grid, "nifti": _nifti_grid, "dicom": _dicom_grid}
    kind = kind_of(path)
    try:
        return readers[kind](path)
    # What Pillow and nibabel raise over a file of another kind, or a part of one.
    except (OSError, EOFError, zlib.error, ImageFileError, HeaderDataError, WrapStructError) as error:
        kinds = {"picture": "PNG or JPEG", "nifti": "NIfTI", "dicom": "DICOM"}
        raise ValueError(f"{path}: is no {kinds[kind]}: empty, damaged or misnamed ({error}); copy it anew") from error


def _picture_grid(path: str) -> Grid:
    with Image.open(path) as picture:
        return Grid(path, (picture.height, picture.width), None)


def _nifti_grid(path: str) -> Grid:
    header: Any = nib.load(path)
    kind = header.get_data_dtype()
    if kind.kind not in "iufb":
        found, remedy = ("complex", "its magnitude") if kind.kind == "c" else ("colours", "one grey volume")
        raise ValueError(f"{path}: its values are {found} ({kind}), and grey ones are wanted: save {remedy}")
    return Grid(path, tuple(int(n) for n in header.shape), np.asarray(header.affine, dtype=np.float64))


def _dicom_grid(path: str) -> Grid:
    plane_stack = itk.Image[itk.F, 3]
    files = tuple(series_files(path)) if Path(path).is_dir() else ()
    if files:
        reader = itk.ImageSeriesReader[plane_stack].New(FileNames=files)
    else:
        reader = itk.ImageFileReader[plane_stack].New(FileName=path)
    try:
        reader.UpdateOutputInformation()
    except RuntimeError as error:
        raise ValueError(
            f"{path}: not a file that can be read as NIfTI, PNG, JPEG or DICOM; copy it anew if it is cut short or "
            "damaged, or convert it to one of these"
        ) from error
    image = reader.GetOutput()
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(itk.array_from_matrix(image.GetDirection())) @ np.diag(list(image.GetSpacing()))
    affine[:3, 3] = list(image.GetOrigin())
    size = tuple(int(n) for n in image.GetLargestPossibleRegion().GetSize())
    if Path(path).is_file() and size[2] > 1 and not has_place(path):
        raise ValueError(
            f"{path}: {size[2]} frames without ImagePositionPatient, so nobody knows how they lie: export them as a "
            "series of slices, or give one frame as a picture"
        )
    return Grid(path, size, np.asarray(orientation_ras_lps(affine)), files)
