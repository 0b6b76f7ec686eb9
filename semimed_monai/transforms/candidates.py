"""Where a detector's map says that lesions are: its connected components as boxes in the image's own pixels.

Looked for: monai.apps.detection and torchvision find boxes by anchors and non-maximum suppression, and have none from a
map; monai.apps.pathology's LesionCNN evaluation takes points. scikit-image labels the components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.measure import label, regionprops

from semimed_monai.transforms.squares import Aspect, boxes_from_square
from semimed_monai.vocabulary import share

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels: pixel j lies from j to j + 1."""


@dataclass(frozen=True)
class Candidate:
    """A place that may be a lesion.

    Args:
        box: in the image's pixels.
        score: the map's highest value there.
    """

    box: Box
    score: float


def find_candidates(
    map_: NDArray[Any], rows: int, columns: int, threshold: float, aspect: Aspect = "pad"
) -> list[Candidate]:
    """The 8-connected components of {p ≥ threshold}, each as the smallest box around its cells; the best first.

    A map of w × w cells covers the square that `to_square` made of the image. With side = max(rows, columns) and
    left = ⌊(side − columns) / 2⌋ the edge between cells j − 1 and j lies at x = j · side/w − left, and y likewise;
    boxes end where the image does. Cells that show padding alone, and nothing of the image, are in no component.

        >>> map_ = np.zeros((4, 4))
        >>> map_[1, 2], map_[2, 3], map_[2, 0] = 0.9, 0.6, 0.7
        >>> for found in find_candidates(map_, rows=20, columns=40, threshold=0.5):
        ...     print(found.box, found.score)
        (20.0, 0.0, 40.0, 20.0) 0.9
        (0.0, 10.0, 10.0, 20.0) 0.7

    Args:
        map_: w × w, in [0, 1].
        rows: of the image.
        columns: of the image.
        threshold: what belongs to a lesion, in (0, 1): FROC's, which takes a value at the threshold for active.
        aspect: what the preprocessing used.
    """
    share("threshold", threshold)
    shown = [
        _shown(cells, pixels, pixels if aspect == "squash" else max(rows, columns))
        for cells, pixels in zip(map_.shape, (rows, columns), strict=True)
    ]
    inside = np.where(np.outer(*shown), map_, 0)
    regions = regionprops(label(inside >= threshold, connectivity=2), intensity_image=inside)
    cells = torch.tensor([[x0, y0, x1, y1] for y0, x0, y1, x1 in (region.bbox for region in regions)]).reshape(-1, 4)
    boxes = boxes_from_square(cells.double(), rows, columns, len(map_), aspect)
    boxes = boxes.clamp(torch.zeros(4), torch.tensor([columns, rows, columns, rows]))
    found = [
        Candidate((x0, y0, x1, y1), float(region.intensity_max))
        for (x0, y0, x1, y1), region in zip(boxes.tolist(), regions, strict=True)
    ]
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.box))


def _shown(cells: int, pixels: int, side: int) -> NDArray[np.bool_]:
    """Of the cells along a side: which show some of the pixels in its middle. In whole numbers, as edges may meet."""
    before, edges = (side - pixels) // 2, np.arange(cells + 1) * side
    shown: NDArray[np.bool_] = (edges[1:] > before * cells) & (edges[:-1] < (before + pixels) * cells)
    return shown
