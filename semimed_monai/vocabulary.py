"""The words that all rooms share: what a network gives back, how a view's geometry is asked, what a term is given."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from pydicom.errors import BytesLengthException
from torch import Tensor

UNLABELLED = -1
"""The label of a row whose class is unknown or hidden."""

ROLES = ("P_hos", "N_hos", "P_pub", "N_pub")
"""What is known of a training image with or without a lesion: where it is (from one's own hospital), or only whether
there is one (public sets). A batch's `role` counts them from 0; -1 is none.
"""

RESULT_MARK = "result of semimed-monai"
"""Stands in every mask and map that inference writes, so that none is ever taken for an image."""

DICOM = (".dcm", ".dicom", ".ima")
"""The names of DICOM files end so; many have no ending."""

DAMAGED_HEADER = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, KeyError, NotImplementedError),
    *(struct.error, BytesLengthException),
)
"""What pydicom raises over a damaged DICOM header, where it is read or where a value is converted."""


@dataclass
class Outputs:
    """What a trained network returns: whichever of these it has.

    Args:
        logits: B×C class scores, or B×C×H×W for a segmenter.
        maps: one map per class, B×C×h×w in [0, 1]; who needs the map of one class takes it with `class_map`.
        embedding: B×D features.
        marks: B×1×H×W in [0, 1], what the network draws where a clinician would mark something.
    """

    logits: Tensor | None = None
    maps: Tensor | None = None
    embedding: Tensor | None = None
    marks: Tensor | None = None


class Geometry(Protocol):
    """How a batch's student view lies relative to its teacher view."""

    def carry(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """B×C×h×w maps of the teacher's frame in the student's; and the pixels that were in view, None for all."""
        ...


@dataclass
class Step:
    """What every term of the criterion is given.

    Args:
        batch: the rows: `label` (B, -1 = unlabelled), `mask` in the student's frame (B×1×H×W), `has_mask` (B), `id`, ….
        student: the student's outputs on its view, in fp32.
        teacher: the teacher's outputs on its view, without gradient; None when no term asks for them.
        geometry: carries maps from the teacher's frame to the student's.
        progress: τ/τmax in (0, 1], of optimiser steps; 1 at the last one.
        run: another pass of the student over images of the same size, which moves none of its running averages.
    """

    batch: Mapping[str, Any]
    student: Outputs
    teacher: Outputs | None
    geometry: Geometry
    progress: float
    run: Callable[[Tensor], Outputs]

    @property
    def labelled(self) -> Tensor:
        """B booleans: the rows whose class, or classes where there may be several, are known."""
        label: Tensor = self.batch["label"]
        known = label != UNLABELLED
        return known if known.dim() == 1 else known.all(dim=1)


def item_id(image: str, place: int | None = None) -> str:
    """How an image, or the slice at a place of it, is called where nobody gave it a name.

    >>> item_id("knee.nii", 3)
    'knee.nii#3'
    """
    return image if place is None else f"{image}#{place}"


def flag(name: str, value: object) -> bool:
    """A setting that is on or off; text such as 'false', which a command line gives, would count as on: refused.

    >>> flag("resume", True)
    True
    """
    if not isinstance(value, bool):
        raise ValueError(  # noqa: TRY004 - to a user of recipes it is a wrong value
            f"{name} is {value!r}, which is no bool: write --{name} True or --{name} False"
        )
    return value


def above_zero(name: str, value: object) -> None:
    """Refuse a setting that must be a number above 0, and is none.

    >>> above_zero("clip_norm", 1.5)
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{name} is {value!r}: give a number above 0")


def share(name: str, value: float) -> float:
    """A setting that lies between 0 and 1.

    >>> share("threshold", 0.5)
    0.5
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ValueError(f"{name} is {value!r}: give a number between 0 and 1")
    return value


def in_roles(batch: Mapping[str, Any], roles: Sequence[str]) -> Tensor:
    """B booleans: the rows that have one of these roles.

    >>> in_roles({"role": torch.tensor([0, 1, 2, 3, -1])}, ["P_hos", "N_hos"])
    tensor([ True,  True, False, False, False])
    """
    role: Tensor = batch["role"]
    return torch.isin(role, torch.tensor([ROLES.index(name) for name in roles], device=role.device))


def class_map(maps: Tensor, classes: Tensor) -> Tensor:
    """The map of one class per row: B×C×h×w and B class indices give B×1×h×w."""
    rows = torch.arange(len(maps), device=maps.device)
    return maps[rows, classes].unsqueeze(1)


def soft_mask(maps: Tensor, omega: float, sigma0: float) -> Tensor:
    """σ(ω·(f − σ0)) of a map f in [0, 1]: how much of an image is shown at each place.

    >>> soft_mask(torch.tensor([0.5, 1.0]), omega=2.0, sigma0=0.5)
    tensor([0.5000, 0.7311])
    """
    return torch.sigmoid(omega * (maps - sigma0))


def required(value: Tensor | None, owner: object, missing: str) -> Tensor:
    """`value`, or an error in which `owner` says what the network lacks for it."""
    if value is None:
        raise ValueError(f"{type(owner).__name__} needs {missing}, which this network does not return")
    return value
