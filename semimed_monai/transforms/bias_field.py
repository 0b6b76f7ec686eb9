"""N4 bias field correction (Tustison 2010) of a stack of slices, with ITK.

Looked for: ITK's Python package wraps the N4 filter, but not the B-spline filter that would evaluate its control points
at full size. So the log field of the pooled stack is enlarged linearly, which for a field this smooth is enough.
"""

from __future__ import annotations

from typing import Any

import itk
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from torch.nn import functional as F

# Knee stacks have few, thick slices: an axis of fewer pixels is not pooled, one of fewer pooled pixels gets one level.
POOLED_FROM = 64
REFINED_FROM = 16


def correct_bias(
    planes: NDArray[np.float32], shrink: int = 4, levels: int = 3, iterations: int = 50
) -> NDArray[np.float32]:
    """Divide by exp(field): the field is N4's, found on means of `shrink` x `shrink` pixels above Otsu's threshold.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> correct_bias(rng.random((2, 64, 64), dtype=np.float32)).shape
        (2, 64, 64)

    Args:
        planes: S x H x W intensities.
        shrink: pixels that are averaged along each long axis before the fit.
        levels: fitting levels, each with twice the control points of the one before.
        iterations: at most so many at each level.
    """
    factors = [shrink if n >= POOLED_FROM else 1 for n in planes.shape]
    beyond = [(0, -n % f) for n, f in zip(planes.shape, factors, strict=True)]
    padded = torch.from_numpy(np.pad(planes, beyond, mode="edge"))[None, None]
    small = F.avg_pool3d(padded, factors)[0, 0].numpy()
    # In logarithms, as N4 works: air falls on one side and every tissue on the other; of plain intensities Otsu may
    # part the dark tissues from the bright ones. A hundredth of the range keeps noise near 0 from spreading out.
    logs = np.log(np.maximum(small, 0) + 0.01 * small.max() + np.finfo(np.float32).tiny)
    inside = logs > threshold_otsu(logs)  # type: ignore[no-untyped-call]
    if not inside.any():
        return planes
    log_field = torch.from_numpy(_log_field(small, inside, levels, iterations))[None, None]
    full = F.interpolate(log_field, size=padded.shape[2:], mode="trilinear", align_corners=False)[0, 0].numpy()
    s, h, w = planes.shape
    corrected: NDArray[np.float32] = planes * np.exp(-full[:s, :h, :w])
    return corrected


def _log_field(small: NDArray[np.float32], inside: NDArray[np.bool_], levels: int, iterations: int) -> Any:
    """N4's log field everywhere, read off as log(input / output)."""
    # One slice is fitted as a 2-D image: a spline along an axis of one voxel has no extent. N4 takes logarithms, so
    # what is not positive is lifted to a small value; such voxels are not inside.
    positive = np.maximum(small, 1e-6 * small.max()).astype(np.float32).squeeze()
    image = itk.image_from_array(positive)
    mask = itk.image_from_array(inside.astype(np.uint8).squeeze())
    n4 = itk.N4BiasFieldCorrectionImageFilter[type(image), type(mask), type(image)].New(Input=image, MaskImage=mask)
    # ITK's axes run the other way round.
    per_axis = [levels if n >= REFINED_FROM else 1 for n in positive.shape[::-1]]
    n4.SetNumberOfFittingLevels(per_axis)
    # A list: an itk.Array that is handed over arrives empty.
    n4.SetMaximumNumberOfIterations([iterations] * max(per_axis))
    n4.Update()
    return np.log(positive / np.asarray(itk.array_from_image(n4.GetOutput()))).reshape(small.shape)
