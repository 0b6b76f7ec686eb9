"""From what the network gives for a request to what MONAI Label writes: a label map in the image's own geometry, or the
classes with their probabilities.

MONAI Label writes `pred`, and names its values by the first output in metadata.json; which it also turns back into the
geometry that MONAI tracked. That output is `answer`, and what it does to it reaches nobody: `pred` is in its place.

Looked for: MONAI Label's own `Restored` samples nearest, and knows one resizing only; maps are interpolated here before
they are cut off at the threshold, as `monai.bundle run` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform
from numpy.typing import NDArray
from torch import Tensor

from semimed_monai.transforms import Grid, from_square, read_grid, read_plane_grid, to_source_geometry
from semimed_monai.transforms.squares import Aspect
from semimed_monai.vocabulary import share


class MaskAnswer(Transform):
    """A request's `pred`, a 1×S×H×W mask of preprocessed slices → its label map, 8 bits, in the image's geometry."""

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        grid = read_grid(request["source"])
        array, _ = to_source_geometry(request["pred"][0].to(torch.uint8), grid)
        return _with_label_map(request, array, grid)


class MapAnswer(Transform):
    """A request's `pred`, (1+C)×S×h×w: a map and each class's probability → its label map: where the map of a slice is
    above the threshold, 1 + the class most probable there; without classes 1.

    The reply's `params` have the class of each slice, also of one where the map is nowhere above the threshold.

    Args:
        threshold: of the map.
        classes: the names of the C classes.
        plane: the image is a radiograph, whose rows and columns are the file's own.
        aspect: what the preprocessing used.

    Raises:
        ValueError: the threshold is not between 0 and 1.
    """

    def __init__(
        self, threshold: float = 0.5, classes: Sequence[str] = (), plane: bool = False, aspect: Aspect = "pad"
    ) -> None:
        self.threshold = share("threshold", threshold)
        self.classes = list(classes)
        self.read_grid = read_plane_grid if plane else read_grid
        self.aspect = aspect

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        grid = self.read_grid(request["source"])
        pred: Tensor = torch.as_tensor(request["pred"]).cpu()
        found = from_square(pred[0].float(), *grid.size[1:], self.aspect) > self.threshold
        chosen = pred[1:, :, 0, 0].argmax(dim=0) if self.classes else torch.zeros(pred.shape[1], dtype=torch.long)
        labels = (found * (1 + chosen)[:, None, None]).to(torch.uint8)
        answer = _with_label_map(request, grid.to_stored(labels.numpy()), grid)
        if self.classes:
            answer["result"] = {"classes": [self.classes[index] for index in chosen.tolist()]}
        return answer


class ClassAnswer(Transform):
    """A request's `pred`, (1+C)×1×H×W → the C probabilities, in MONAI Label's form for them.

    >>> pred = torch.tensor([0.3, 0.2, 0.8])[:, None, None, None]
    >>> answer = ClassAnswer()({"pred": pred, "image": pred, "source": "skin.png"})["pred"]
    >>> [round(float(chance), 1) for chance in answer]
    [0.2, 0.8]

    Raises:
        ValueError: when called with several slices, of which each has its class.
    """

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        pred: Tensor = torch.as_tensor(request["pred"]).cpu()
        if (slices := pred.shape[1]) > 1:
            raise ValueError(
                f"{request['source']}: {slices} slices, and MONAI Label asks for the class of one picture: give one, "
                "or classify the slices with `monai.bundle run` of the bundle's inference.json"
            )
        chances = pred[1:, 0, 0, 0].float()
        return {**_without_image(request), "pred": MetaTensor(chances), "answer": chances}


def _with_label_map(request: Mapping[str, Any], array: NDArray[Any], grid: Grid) -> dict[str, Any]:
    """The request with the label map as the app's writer takes it: x, y and, where it has a place, z."""
    stored = array.T if grid.affine is None else array.reshape(grid.shape)
    return {**_without_image(request), "pred": stored, "answer": stored, "pred_meta_dict": {"affine": grid.affine}}


def _without_image(request: Mapping[str, Any]) -> dict[str, Any]:
    """The image is not needed any more, and what the app looks up in it is its geometry, which it does not have."""
    return {key: value for key, value in request.items() if key != "image"}
