"""Images, maps and masks as the small 8-bit pictures that a run's folder keeps of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

Picture = NDArray[np.uint8]


def row_pictures(output: Mapping[str, Any], row: int, side: int, label: int | None = None) -> dict[str, Picture]:
    """`image` of a row of an evaluator's output and, where there are any, `map` and `mask`.

    Args:
        output: what the evaluator gave for a batch.
        row: of the batch.
        side: the longer side of a picture at most.
        label: of which class the map is, where there is one of each.
    """
    image = output["image"][row]
    pictures = {"image": small(image if len(image) == 3 else image[:1], side)}
    if "map" in output or "maps" in output:
        found = output["map"][row] if "map" in output else output["maps"][row, label, None]
        # A map may be coarser than its image: cell by cell at the picture's size, so that it lies where it belongs.
        cells = found[None].float()
        pictures["map"] = small(interpolate(cells, size=image.shape[-2:], mode="nearest-exact")[0], side)
    if "mask" in output and bool(output["has_mask"][row]):
        pictures["mask"] = small((output["mask"][row] > 0).float(), side)
    return pictures


def small(image: Tensor, side: int) -> Picture:
    """C×H×W in [0, 1] as H×W or H×W×3 in 0 … 255, of at most `side` pixels."""
    fewer = interpolate(image[None].float(), size=_size(image, side), mode="area")[0]
    pixels = (fewer.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return cast(Picture, pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def small_labels(labels: Tensor, side: int) -> Picture:
    """1×H×W class numbers as H×W: of the classes that meet in a pixel one is taken, there is none in between."""
    fewer = interpolate(labels[None].float(), size=_size(labels, side), mode="nearest-exact")
    return cast(Picture, fewer[0, 0].byte().cpu().numpy())


def _size(image: Tensor, side: int) -> tuple[int, int]:
    height, width = image.shape[-2:]
    shrunk = min(1.0, side / max(height, width))
    return max(1, round(height * shrunk)), max(1, round(width * shrunk))
