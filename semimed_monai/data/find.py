"""Find the images in a folder, and which files are results that inference wrote there before.

Looked for: MONAI finds files by a pattern only; what makes a folder of DICOM files one image, and what is a result and
no image, is not in their names.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import pydicom
from nibabel.filebasedimages import ImageFileError
from PIL import Image
from pydicom.errors import InvalidDicomError

from semimed_monai.vocabulary import DAMAGED_HEADER, DICOM, RESULT_MARK

NIFTI = (".nii", ".nii.gz")
PICTURES = (".png", ".jpg", ".jpeg")
_DAMAGED = (*DAMAGED_HEADER, ImageFileError, InvalidDicomError)


def find_images(path: str | Path, series: bool = True) -> list[str]:
    """Every image under a folder, as absolute paths in order of name: files, and folders of one DICOM series.

    NIfTI, PNG and JPEG are known by their name, DICOM by its name or its first bytes. A folder's DICOM files are one
    image if they are one series, and an image each if each is a series of its own (radiographs). Hidden files, and
    masks and maps that this library wrote, are none. A file that only looks like an image is listed: who reads it says
    what is wrong with it.

    Example:
        >>> find_images("study")  # doctest: +SKIP
        ['/data/study/left.nii.gz', '/data/study/right']

    Args:
        path: a folder, or one image.
        series: False: a DICOM file is an image by itself, also where several are one series, as the exposures of a
            radiograph may be.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: there is no image in it, or it is a result.
    """
    path = Path(path).absolute()
    if not path.exists():
        # MONAI's config parser writes :: for every # that it is given.
        sign = "; a recipe cannot hold the # that may be in its name: rename it" if "::" in str(path) else ""
        raise FileNotFoundError(f"{path}: no such file or folder; give a folder with images, or one image{sign}")
    if path.is_file():
        if is_result(path):
            raise ValueError(f"{path}: a result that inference wrote, and no image; give the image beside it")
        return [str(path)]
    found: list[Path] = []
    for folder, names, files in os.walk(path):
        names[:] = sorted(name for name in names if not name.startswith("."))
        found += _images_in(Path(folder), sorted(name for name in files if not name.startswith(".")), series)
    if not found:
        raise ValueError(f"{path}: no NIfTI, DICOM, PNG or JPEG file in this folder or below; give the images' folder")
    return sorted(str(image) for image in found)


def is_result(path: Path) -> bool:
    """Whether a file is a mask, map or picture that this library wrote; it says so in its header."""
    name = path.name.lower()
    try:
        if name.endswith(NIFTI):
            header: Any = nib.load(path).header
            note = bytes(header["descrip"]) if "descrip" in header else b""
            return note.rstrip(b"\0") == RESULT_MARK.encode()
        if name.endswith(".png"):
            with Image.open(path) as picture:
                return bool(picture.info.get("Software") == RESULT_MARK)
        if _is_dicom(path):
            return str(_header(path).get("ManufacturerModelName")) == RESULT_MARK
    except _DAMAGED:  # whoever reads it as an image says so
        return False
    return False


def _images_in(folder: Path, names: list[str], series: bool) -> list[Path]:
    """The images directly in a folder."""
    files = [folder / name for name in names]
    known = [file for file in files if file.name.lower().endswith(NIFTI + PICTURES)]
    scans = [file for file in files if file not in known and _is_dicom(file) and not is_result(file)]
    images = [file for file in known if not is_result(file)]
    one_each = not series or max(Counter(map(_series_of, scans)).values(), default=1) == 1
    # Several series of several files are left to the reader of the folder, which says what to do about them.
    return images + (scans if one_each else [folder])


def _is_dicom(file: Path) -> bool:
    if file.name.lower().endswith(DICOM):
        return True
    if file.name == "DICOMDIR" or not file.is_file():
        return False
    with file.open("rb") as start:
        return start.read(132)[128:] == b"DICM"


def _series_of(scan: Path) -> str:
    """A file's series; one that has none, or is damaged, is by itself."""
    try:
        return str(_header(scan).get("SeriesInstanceUID") or scan)
    except _DAMAGED:
        return str(scan)


def _header(scan: Path) -> Any:
    return pydicom.dcmread(scan, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "ManufacturerModelName"])
