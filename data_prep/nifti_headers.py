"""What a NIfTI file's header says: the grid of one grey volume, or why it is none."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from data_prep.faults import Fault, first
from semimed_monai.data.find import is_result
from semimed_monai.transforms.grid import Grid


def nifti_grid(file: Path, *, mask: bool = False) -> Grid | Fault:
    """The grid of a volume, without reading its voxels; only a mask may be what inference wrote."""
    try:
        image: Any = nib.load(file)
        shape, affine = tuple(int(n) for n in image.shape), np.asarray(image.affine, dtype=np.float64)
        kind, result = image.get_data_dtype().kind, not mask and is_result(file)
    # What nibabel raises over damaged headers; its texts can hold the file's path, which is not the same everywhere.
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError, WrapStructError) as error:
        return Fault(f"damaged header ({type(error).__name__}): copy it anew")
    size = " x ".join(map(str, shape))
    advice = "write each volume to a file of its own (nibabel.four_to_three, fslsplit)"
    fault = first(
        [
            (result, Fault("a result that inference wrote")),
            (any(n > 1 for n in shape[3:]), Fault(f"4-D ({size}): {advice}", stops=True)),
            (0 in shape, Fault(f"no slices ({size})", stops=True)),
            (len(shape) < 2 or kind not in "iuf", Fault(f"no grey volume ({size}, {image.get_data_dtype()})")),
            (not abs(np.linalg.det(affine)) > 0, Fault("its affine has no inverse: repair the header")),
        ]
    )
    return fault or Grid(str(file), shape, affine)
