"""From a request of MONAI Label to what the network sees: all slices of the image, as `monai.bundle run` has them.

Looked for: MONAI Label runs a bundle's `preprocessing` on the request itself, one image at a time; ours takes an item
of one slice, and leaves out what else the request says. MONAI's `SliceInferer` wants volumes only, and blends windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from monai.inferers import SimpleInferer
from monai.transforms.transform import Transform
from torch import Tensor

from semimed_monai.transforms import slice_items
from semimed_monai.transforms.grid import kind_of

RESULT_EXTENSIONS = {"nifti": ".nii.gz", "dicom": ".nii.gz", "picture": ".png"}
"""In what an answer is written, unless the request says it: no DICOM, which would be one without a patient, and no
JPEG, which changes values.
"""


class ReadRequest(Transform):
    """A request whose `image` is a path → the same with `image` C×S×H×W, and `source`, the path.

    Args:
        preprocessing: from an item of one slice to a row, the recipe's own.
    """

    def __init__(self, preprocessing: Callable[[Any], Any]) -> None:
        self.preprocessing = preprocessing

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        path = str(request["image"])
        planes = [self.preprocessing(item)["image"] for item in slice_items(path)]
        extension = request.get("result_extension") or RESULT_EXTENSIONS[kind_of(path)]
        return {**request, "image": torch.stack(planes, dim=1), "source": path, "result_extension": extension}


class SlicesInferer(SimpleInferer):
    """The network on a batch of images, as it is; or on each slice of one volume, 1×C×S×H×W → 1×K×S×h×w.

    >>> SlicesInferer(2)(torch.zeros(1, 1, 5, 8, 8), lambda images: images[:, :, ::2, ::2]).shape
    torch.Size([1, 1, 5, 4, 4])

    Args:
        batch_size: slices at a time.
    """

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What the network gives."""
        if inputs.dim() == 4:
            return super().__call__(inputs, network, *args, **kwargs)
        slices = inputs[0].transpose(0, 1)
        answers = [network(part, *args, **kwargs) for part in slices.split(self.batch_size)]
        return torch.cat(answers).transpose(0, 1)[None]
