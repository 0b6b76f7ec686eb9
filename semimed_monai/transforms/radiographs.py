"""The deterministic preprocessing of chest radiographs and the boxes in them: train.json and inference.json share it.

In a bundle:

    "preprocessing": {"_target_": "semimed_monai.transforms.chest_xray", "size": 512}

Looked for: ITK, which reads the knees, applies neither windows nor lookup tables; `highdicom.Image` does, but only
where highdicom is new enough to have it. `monai.apps.detection` rounds a box to whole pixels for its mask, so that a
small one may have none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import torch
from monai.transforms.compose import Compose
from monai.transforms.transform import Transform
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from torch import Tensor

from semimed_monai.transforms.codecs import has_decoder, without_decoder
from semimed_monai.transforms.grid import kind_of
from semimed_monai.transforms.slices import Item, ToSquared, as_label, study_of
from semimed_monai.transforms.squares import boxes_to_square
from semimed_monai.transforms.volumes import read_grey_picture
from semimed_monai.vocabulary import DAMAGED_HEADER, UNLABELLED, flag, item_id

_PYDICOM_2 = int(pydicom.__version__.split(".")[0]) < 3
processing: Any = import_module("pydicom.pixel_data_handlers.util" if _PYDICOM_2 else "pydicom.pixels")

Plane = NDArray[np.float32]  # rows x columns

_PITCHES = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
SQUARE_WITHIN = 0.01  # what headers round to; beyond it shapes are seen to be stretched


def chest_xray(size: int, refuse_blank: bool = False) -> Compose:
    """A datalist item of a chest radiograph -> image 1 x size x size in [0, 1], its boxes there, their mask, label.

    Read what is displayed (`read_radiograph`), pad to a square with zeros, resize. A row has `id`, `group`, `study` if
    its item has one, `image`, `label` (-1 if it is not known; a vector where there may be several findings), `boxes`
    (N x 4, [x0, y0, x1, y1] in pixels of the square, N may be 0), `mask` (the boxes' pixels), `has_mask` (whether it is
    known where the lesions are: there are boxes, or it is a negative), `role` (-1 if it has none), `source` and
    `slice`. A mask file that the item names is not read: lesions are boxes here.

    Example:
        >>> preprocess = chest_xray(size=512)
        >>> preprocess({"image": "chest.dcm", "boxes": [[310, 402, 390, 466]]})["boxes"]  # doctest: +SKIP
        tensor([[ 77.5000, 100.5000,  97.5000, 116.5000]])

    Args:
        size: pixels along each side of the square.
        refuse_blank: raise where all pixels of an image have one value, as inference wants it.
    """
    return Compose([LoadRadiograph(refuse_blank), LesionsToSquare(size), ToSquared("image", size=size)])


class LoadRadiograph(Transform):
    """Item of paths -> item of tensors: the image 1 x H x W in [0, 1], and the boxes in the file's own pixels.

    Args:
        refuse_blank: see `chest_xray`.

    Raises:
        ValueError: a file that is no radiograph, a slice of it other than 0, a box outside it, a blank image that is
            not wanted.
    """

    def __init__(self, refuse_blank: bool = False) -> None:
        self.refuse_blank = flag("refuse_blank", refuse_blank)

    def __call__(self, item: Item) -> dict[str, Any]:
        path = os.fspath(item["image"])
        if item.get("slice"):
            raise ValueError(
                f'{path}: slice {item["slice"]} is wanted of a radiograph, which has one: leave "slice" out'
            )
        image = read_radiograph(path)
        if self.refuse_blank and not np.ptp(image):
            raise ValueError(f"{path}: every pixel is displayed as {image.flat[0]:g}; export or copy the image anew")
        label, boxes, role = as_label(item.get("label", UNLABELLED)), item.get("boxes"), item.get("role")
        return {
            "id": str(item.get("id") or item_id(path, item.get("slice"))),
            "group": str(item.get("group") or path),
            **study_of(item),
            "image": torch.tensor(image[None]),
            "label": label,
            "boxes": _boxes_inside(boxes or [], image.shape, path),
            "has_mask": boxes is not None or not torch.as_tensor(label).any(),
            "role": UNLABELLED if role is None else int(role),
            "source": path,
            "slice": 0,
        }


def _boxes_inside(boxes: Any, shape: tuple[int, ...], path: str) -> Tensor:
    found = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    rows, columns = shape
    inside = (found[:, :2] >= 0).all(1) & (found[:, 2] <= columns) & (found[:, 3] <= rows)
    if not (right := inside & (found[:, :2] < found[:, 2:]).all(1)).all():
        raise ValueError(
            f"{path}: box {found[~right][0].tolist()} is no [x0, y0, x1, y1] inside its {columns} x {rows} pixels: "
            "correct it, or give the image that it was drawn on"
        )
    return found


class LesionsToSquare(Transform):
    """The boxes of an image that is still to be squared, as they will lie in the square, and a mask of them there.

    Example:
        >>> row = {"image": torch.zeros(1, 2, 4), "boxes": torch.tensor([[0.0, 0.0, 2.0, 1.0]])}
        >>> LesionsToSquare(4)(row)["mask"][0, 1]
        tensor([1., 1., 0., 0.])
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        rows, columns = row["image"].shape[-2:]
        boxes = boxes_to_square(row["boxes"], rows, columns, self.size)
        return {**row, "boxes": boxes, "mask": box_mask(boxes, self.size)}


def box_mask(boxes: Tensor, size: int) -> Tensor:
    """1 x size x size: 1 where a pixel's centre lies in a box, and at the pixel of each box's midpoint.

    So no box is too small to be seen, however far an image is reduced.

    Example:
        >>> box_mask(torch.tensor([[0.0, 1.0, 2.4, 2.0], [3.1, 3.6, 3.4, 3.8]]), 4)[0]
        tensor([[0., 0., 0., 0.],
                [1., 1., 0., 0.],
                [0., 0., 0., 0.],
                [0., 0., 0., 1.]])
    """
    mask = torch.zeros(1, size, size)
    centres = torch.arange(size) + 0.5
    for box in boxes.double():
        columns, rows = ((box[axis] <= centres) & (centres < box[axis + 2]) for axis in (0, 1))
        mask[0, rows[:, None] & columns] = 1
        column, row = ((box[:2] + box[2:]) / 2).long().clamp(max=size - 1)
        mask[0, row, column] = 1
    return mask


def read_radiograph(path: str) -> Plane:
    """A radiograph's rows x columns in [0, 1], as it is displayed: bones bright.

    DICOM: the modality's table or rescaling, the first view's lookup table or window, and only then white and black
    exchanged where MONOCHROME1 or PresentationLUTShape INVERSE (which say the same, not twice) want it. The window's
    range, or 0 to a table's highest entry, becomes 0 to 1; without either the image's own minimum and maximum do. Rows
    and columns stay as they are stored, which is as they are displayed: PatientOrientation and a detector's flips
    (FieldOfViewHorizontalFlip) say what was done, not what is to do.

    Pictures: 8 bits as they are, 16 bits by their minimum and maximum.

    Args:
        path: a DICOM file, a PNG or a JPEG; grey, and one image.

    Raises:
        ValueError: it is something else, is damaged, has pixels that are not square, or cannot be displayed as its
            header says.
    """
    kind = kind_of(path)
    if kind == "nifti" or Path(path).is_dir():
        raise ValueError(f"{path}: a radiograph is one DICOM file, PNG or JPEG: name such a file, or export it as one")
    return _dicom(path) if kind == "dicom" else _picture(path)


def _picture(path: str) -> Plane:
    pixels = read_grey_picture(path)
    if pixels.dtype.itemsize == 1:
        return _scaled(pixels, 0, 1 if pixels.dtype == bool else 255)
    return _scaled(pixels, pixels.min(), pixels.max())


def _dicom(path: str) -> Plane:
    try:
        data = pydicom.dcmread(path)
        reason = _no_radiograph(data)
    except InvalidDicomError as error:
        raise ValueError(f"{path}: is no DICOM, PNG or JPEG: empty, damaged or misnamed; copy it anew") from error
    except DAMAGED_HEADER as error:
        raise ValueError(f"{path}: damaged header ({error}); copy it anew") from error
    if reason:
        raise ValueError(f"{path}: {reason}")
    try:
        return _displayed(data)
    except (*DAMAGED_HEADER, RuntimeError, IndexError) as error:
        raise ValueError(
            f"{path}: its pixels cannot be decoded, or not be displayed as its header says ({error}); copy it anew, or "
            "export it as a PNG"
        ) from error


def _no_radiograph(data: Dataset) -> str | None:
    """Why a DICOM object is not one grey picture that can be read, and what to do."""
    if "PixelData" not in data:
        return "it holds no image (a report, a presentation state or the like): leave it out"
    if (frames := int(data.get("NumberOfFrames") or 1)) > 1:
        return f"it holds {frames} frames, and a radiograph is one: export the frame that is meant"
    photometric, shape = data.get("PhotometricInterpretation"), data.get("PresentationLUTShape")
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or int(data.get("SamplesPerPixel") or 1) > 1:
        return f"its colours are {photometric}, and a radiograph is grey: export it as MONOCHROME2"
    if photometric == "MONOCHROME1" and shape == "IDENTITY":
        return "MONOCHROME1 says that 0 is white, PresentationLUTShape IDENTITY that it is black: remove what is wrong"
    for name in _PITCHES:
        down, across = map(float, data.get(name) or (1, 1))
        if abs(down / across - 1) > SQUARE_WITHIN:
            return f"its pixels are not square ({name} {down:g} x {across:g}): resample it to square ones"
    syntax = data.file_meta.TransferSyntaxUID
    packed = syntax.is_compressed and not syntax.is_deflated
    return f"it is {without_decoder(syntax)}" if packed and not has_decoder(syntax) else None


def _displayed(data: Dataset) -> Plane:
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        for table in data.get(name) or ():
            # pydicom would index a table of 8-bit entries by 8 bits, and has no type for one of 12 (its issue 2317).
            table.LUTDescriptor = [*table.LUTDescriptor[:2], 16]
    # Wider than stored, for a table may begin below 0.
    values = processing.apply_modality_lut(data.pixel_array.astype(np.int64), data)
    shown = _viewed(values, data)
    inverse = data.PhotometricInterpretation == "MONOCHROME1" or data.get("PresentationLUTShape") == "INVERSE"
    return 1 - shown if inverse else shown


def _viewed(values: NDArray[Any], data: Dataset) -> Plane:
    """The first view's table, else its window, else from the lowest to the highest value."""
    if views := data.get("VOILUTSequence"):
        entries, start, _ = views[0].LUTDescriptor
        last = start + (entries or 2**16) - 1
        # Some tables say 16 bits and use 12: their highest entry is white, whatever they say.
        table = processing.apply_voi(np.arange(start, last + 1), data)
        return _scaled(table[np.clip(np.rint(values), start, last).astype(np.int64) - start], 0, table.max())
    if data.get("WindowCenter") is None or data.get("WindowWidth") is None:
        return _scaled(values, values.min(), values.max())
    if not data.get("VOILUTFunction"):
        data.VOILUTFunction = "LINEAR"  # what it is where nothing is said
    black, white = processing.apply_windowing(np.array([-np.inf, np.inf]), data)
    return _scaled(processing.apply_windowing(values, data), black, white)


def _scaled(values: NDArray[Any], black: float, white: float) -> Plane:
    """From [black, white] to [0, 1]; 0 where they are one."""
    span = float(white) - float(black)
    return np.asarray(((values - float(black)) / (span or 1)).clip(0, 1), dtype=np.float32)
