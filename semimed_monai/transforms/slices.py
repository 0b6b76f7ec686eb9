"""The deterministic preprocessing of each modality: one definition, used by train.json and by inference.json alike.

In a bundle:

    "preprocessing": {"_target_": "semimed_monai.transforms.knee_mr", "size": 256, "n4": true}

Looked for: MONAI's readers read the files (see volumes.py). Its dictionary transforms read image and mask
independently of each other; its `ScaleIntensityRangePercentiles` leaves an image without range unscaled, unclipped.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import ScaleIntensityRanged
from monai.transforms.transform import MapTransform, Transform
from monai.transforms.utility.dictionary import EnsureTyped
from numpy.typing import NDArray
from torch import Tensor

from semimed_monai.transforms.grid import Grid, read_grid
from semimed_monai.transforms.squares import Aspect, to_square
from semimed_monai.transforms.volumes import read_image, read_mask
from semimed_monai.vocabulary import flag, item_id

Item = Mapping[str, Any]
MaskKind = Literal["binary", "labels"]


def knee_mr(
    size: int,
    n4: bool = False,
    percentiles: Sequence[float] = (1, 99),
    mask: MaskKind = "binary",
    refuse_blank: bool = False,
) -> Compose:
    """A datalist item of a knee MR slice -> image 1 x size x size in [0, 1], mask, label.

    Load, orient (rows superior to inferior, columns anterior to posterior), N4 on the whole stack if wanted, take the
    slice, scale its percentiles to [0, 1] with clipping, pad to a square with zeros, resize. Radiographs and grey
    pictures pass as one slice, as they are displayed. Pixels are taken to be square.

    Example:
        >>> preprocess = knee_mr(size=256)
        >>> preprocess({"image": "knee.nii.gz", "slice": 3})["image"].shape  # doctest: +SKIP
        torch.Size([1, 256, 256])

    Args:
        size: pixels along each side of the square.
        n4: N4 bias field correction; seconds per volume.
        percentiles: of the slice, mapped to 0 and 1.
        mask: "binary" (above 0), or "labels" to keep the whole numbers. Also what a file path under `label`
            (MONAI Label's form) means: a label map (class and mask in one) or, with "labels", the mask.
        refuse_blank: raise where all slices of an image have one value, as inference wants it.
    """
    return Compose(
        [
            LoadSlice(n4=n4, mask=mask, refuse_blank=refuse_blank),
            ScalePercentilesd("image", percentiles=percentiles),
            ToSquared(("image", "mask"), size=size),
        ]
    )


def photograph(size: int, aspect: Aspect = "pad", mask: MaskKind = "binary", *, refuse_blank: bool = False) -> Compose:
    """A datalist item of a PNG or JPEG photograph -> RGB image 3 x size x size in [0, 1], mask, label.

    Args:
        size: pixels along each side of the square.
        aspect: "pad" keeps shapes as they are, on zeros (a lesion's shape is a sign of its class); "squash" stretches
            the picture to the square.
        mask: as in `knee_mr`.
        refuse_blank: as in `knee_mr`.
    """
    return Compose(
        [
            LoadSlice(colour=True, mask=mask, refuse_blank=refuse_blank),
            ScaleIntensityRanged("image", a_min=0, a_max=255, b_min=0, b_max=1, clip=True),
            EnsureTyped("image", track_meta=False),
            ToSquared(("image", "mask"), size=size, aspect=aspect),
        ]
    )


def bone_xray(size: int, mask: MaskKind = "binary", *, refuse_blank: bool = False) -> Compose:
    """A datalist item of a bone radiograph (DICOM, PNG, JPEG) -> image 1 x size x size in [0, 1], mask, label.

    As `knee_mr` does it, of what is displayed, bones bright; percentiles are scaled since published films come as
    pictures of any exposure.

    Args:
        size: pixels along each side of the square, which is padded with zeros.
        mask: as in `knee_mr`.
        refuse_blank: as in `knee_mr`.
    """
    return knee_mr(size, mask=mask, refuse_blank=refuse_blank)


def slice_items(path: str) -> list[dict[str, Any]]:
    """One unlabelled item per slice of a volume (one in all for a picture), from the header alone.

    Example:
        >>> [item["slice"] for item in slice_items("knee.nii.gz")]  # doctest: +SKIP
        [0, 1, 2, 3, 4, 5]
    """
    path = str(Path(path).absolute())
    grid = read_grid(path)
    slices: list[int | None] = [None] if grid.affine is None else list(range(grid.size[0]))
    return [
        {
            "id": item_id(path, index),
            "group": path,
            "image": path,
            "slice": index,
            "label": -1,
            "mask": None,
            "label_map": None,
        }
        for index in slices
    ]


def slice_items_of(images: Sequence[str]) -> list[dict[str, Any]]:
    """The `slice_items` of many images, in order; one whose header cannot be read is one item, and fails when loaded.

    Example:
        >>> [item["id"] for item in slice_items_of(["no such file.nii"])]
        ['no such file.nii']
    """
    return [item for image in images for item in _slices_or_whole(image)]


def _slices_or_whole(image: str) -> list[dict[str, Any]]:
    try:
        return slice_items(image)
    except Exception:  # noqa: BLE001 - every reader has errors of its own; loading the item raises it again
        return [{"id": image, "group": image, "image": image, "slice": None}]


class LoadSlice(Transform):
    """Item of paths -> item of tensors: the slice C x H x W as stored numbers, its mask 1 x H x W, its label.

    Beside the contract's keys the item keeps `source` (path) and `slice` (0 for a picture), with which the writers find
    the way back. What inference leaves out is filled in: no label is -1, no mask is zeros with has_mask False.

    Args:
        n4, colour: see `read_image`.
        mask, refuse_blank: see `knee_mr`.

    Raises:
        ValueError: a blank image that is not wanted, a volume without a slice, a slice beyond the volume, a label map
            that does not hold exactly one value in the slice.
    """

    def __init__(
        self, n4: bool = False, colour: bool = False, mask: MaskKind = "binary", refuse_blank: bool = False
    ) -> None:
        if mask not in ("binary", "labels"):
            raise ValueError(f'mask="{mask}": choose "binary" or "labels"')
        self.n4, self.colour, self.mask = flag("n4", n4), colour, mask
        self.refuse_blank = flag("refuse_blank", refuse_blank)

    def __call__(self, item: Item) -> dict[str, Any]:
        path = os.fspath(item["image"])
        planes, grid = read_image(path, n4=self.n4, colour=self.colour)
        wanted = item.get("slice")
        index = _slice_index(wanted, grid)
        # One blank slice among others is a volume's edge; where this one is not blank, the others need no look.
        if self.refuse_blank and not np.ptp(planes[index]) and not np.ptp(planes):
            raise ValueError(f"{path}: every pixel has the value {planes.flat[0]:g}; export or copy the image anew")
        label, mask, label_map = item.get("label", -1), item.get("mask"), item.get("label_map")
        if isinstance(label, (str, os.PathLike)):
            label, mask, label_map = (-1, label, None) if self.mask == "labels" else (-1, None, label)
        plane = np.zeros(grid.size[1:], np.uint8)
        if label_map is not None:
            label, plane = _class_and_mask(read_mask(os.fspath(label_map), grid)[index], f"{label_map}, slice {index}")
        elif mask is not None:
            plane = read_mask(os.fspath(mask), grid)[index]
            plane = plane if self.mask == "labels" else plane > 0
        return {
            "id": str(item.get("id") or item_id(path, wanted)),
            "group": str(item.get("group") or path),
            **study_of(item),
            "image": torch.tensor(planes[index]),
            "label": as_label(label),
            "mask": torch.tensor(plane[None].astype(np.int32)),
            "has_mask": label_map is not None or mask is not None,
            "source": path,
            "slice": index,
        }


def study_of(item: Item) -> dict[str, str]:
    """What a row has of the study that its item names: nothing where it names none, as in inference.

    Example:
        >>> study_of({"image": "wrist.png", "study": "p1/s1"}), study_of({"image": "wrist.png"})
        ({'study': 'p1/s1'}, {})
    """
    return {"study": str(item["study"])} if item.get("study") else {}


def as_label(label: Any) -> int | Tensor:
    """A class index; a list (several findings) becomes a vector, so that a batch of them is B x C.

    Example:
        >>> as_label(2), as_label([0, 1])
        (2, tensor([0., 1.]))
    """
    return torch.tensor(label, dtype=torch.float32) if isinstance(label, (list, tuple)) else int(label)


def _slice_index(wanted: int | None, grid: Grid) -> int:
    count = grid.size[0]
    if wanted is None and count > 1:
        raise ValueError(
            f'{grid.path}: a volume of {count} slices, and its item names none. Give the item a "slice" '
            f"(0 to {count - 1}), or make one item per slice with semimed_monai.transforms.slice_items"
        )
    index = int(wanted or 0)
    if not 0 <= index < count:
        raise ValueError(f"{grid.path}: slice {index} is wanted, the file has slices 0 to {count - 1}")
    return index


def _class_and_mask(plane: NDArray[Any], name: str) -> tuple[int, NDArray[np.bool_]]:
    values = np.unique(plane[plane > 0])
    if len(values) != 1:
        raise ValueError(
            f"{name}: a label map holds one value (class index + 1) beside 0, here: {values.tolist() or 'none'}. "
            f'If it is a segmentation, give it as the mask, with mask="labels"'
        )
    return int(values[0]) - 1, plane > 0


class ScalePercentilesd(MapTransform):
    """clip((x - p_low) / (p_high - p_low), 0, 1); an image of one value becomes 0.

    Example:
        >>> ScalePercentilesd("x", (0, 50))({"x": torch.tensor([0.0, 2.0, 4.0])})["x"]
        tensor([0., 1., 1.])

    Raises:
        ValueError: the percentiles are not 0 <= low < high <= 100.
    """

    def __init__(self, keys: str | Sequence[Hashable], percentiles: Sequence[float] = (1, 99)) -> None:
        super().__init__(keys)
        self.low, self.high = percentiles
        if not 0 <= self.low < self.high <= 100:
            raise ValueError(f"percentiles={tuple(percentiles)}: 0 <= low < high <= 100 is wanted")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            image: Tensor = out[key]
            low, high = np.percentile(image.numpy(), [self.low, self.high])
            # Without a range (a constant slice) the smallest number: 0 stays 0, and nothing is divided by 0.
            span = max(float(high) - float(low), float(np.finfo(np.float32).tiny))
            out[key] = ((image - float(low)) / span).clamp(0, 1)
        return out


class ToSquared(MapTransform):
    """`to_square` on each key; floats in, or labels in, float32 out."""

    def __init__(self, keys: str | Sequence[Hashable], size: int, aspect: Aspect = "pad") -> None:
        super().__init__(keys)
        if size < 1 or aspect not in ("pad", "squash"):
            raise ValueError(f'size={size}, aspect="{aspect}": a positive size and "pad" or "squash" are wanted')
        self.size, self.aspect = size, aspect

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            square = to_square(out[key], self.size, self.aspect)
            # Interpolation weights add up to 1 only within rounding.
            out[key] = square.clamp(0, 1) if square.dtype.is_floating_point else square.float()
        return out
