"""Grow masks by a radius, in the plane.

scikit-image's `expand_labels` (an exact Euclidean distance transform) does it for one label and for several that meet.
MONAI has no dilation transform of a set radius; `skimage.morphology.disk` gives the same set for whole radii only.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms.transform import MapTransform, Transform
from numpy.typing import NDArray
from skimage.segmentation import expand_labels


class Dilate(Transform):
    """Every zero pixel within `radius` of a labelled pixel gets the label of the nearest one.

    Example:
        >>> Dilate(1)(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]]))
        array([[0, 1, 0],
               [1, 1, 1],
               [0, 1, 0]])

    Args:
        radius: in pixels, centre to centre; 0 changes nothing.
        labels: the values that grow (all, if None); the others stay as they are and are not grown over.

    Raises:
        ValueError: a negative radius, or 0 among the labels.
    """

    def __init__(self, radius: float, labels: int | Sequence[int] | None = None) -> None:
        self.radius = radius
        self.labels = None if labels is None else np.atleast_1d(labels)
        if not radius >= 0:
            raise ValueError(f"radius={radius}: a number of pixels from 0 up is wanted")
        if self.labels is not None and (self.labels == 0).any():
            raise ValueError(f"labels={labels}: 0 is the background and does not grow")

    def __call__(self, mask: Any) -> Any:
        """Dilate each plane (the last two axes) of a tensor or array; type, shape and dtype stay."""
        if isinstance(mask, torch.Tensor):
            return torch.as_tensor(self(mask.detach().cpu().numpy())).to(mask)
        planes = np.asarray(mask).reshape(-1, *mask.shape[-2:])
        return np.stack([self._plane(plane) for plane in planes]).reshape(mask.shape)

    def _plane(self, plane: NDArray[Any]) -> NDArray[Any]:
        if self.radius == 0:
            return plane
        growing = plane if self.labels is None else np.where(np.isin(plane, self.labels), plane, 0)
        return np.where(plane != 0, plane, expand_labels(growing, self.radius))  # type: ignore[no-untyped-call]


class Dilated(MapTransform):
    """Dictionary form of `Dilate`."""

    def __init__(
        self, keys: str | Sequence[Hashable], radius: float, labels: int | Sequence[int] | None = None
    ) -> None:
        super().__init__(keys)
        self.dilate = Dilate(radius, labels)

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self.dilate(out[key])
        return out
