"""Phantoms: procedural images, deterministic by (seed, index), written as the files that a patient's come in."""

from semimed_monai.data.phantoms.anatomy import (
    KNEE_CLASSES,
    KNEE_PHANTOM_VERSION,
    KNEE_TISSUES,
    STANDARD_KNEE,
    KneeAnatomy,
    grade_of,
)
from semimed_monai.data.phantoms.chest import (
    CHEST_PHANTOM_VERSION,
    STANDARD_CHEST,
    ChestAnatomy,
    ChestPhantom,
    chest_phantom,
)
from semimed_monai.data.phantoms.figure import draw_phantoms
from semimed_monai.data.phantoms.files import write_dicom_series, write_nifti
from semimed_monai.data.phantoms.knee import KneePhantom, knee_phantom
from semimed_monai.data.phantoms.knee_set import cartilage_mask, knee_phantom_set

__all__ = [
    "CHEST_PHANTOM_VERSION",
    "KNEE_CLASSES",
    "KNEE_PHANTOM_VERSION",
    "KNEE_TISSUES",
    "STANDARD_CHEST",
    "STANDARD_KNEE",
    "ChestAnatomy",
    "ChestPhantom",
    "KneeAnatomy",
    "KneePhantom",
    "cartilage_mask",
    "chest_phantom",
    "draw_phantoms",
    "grade_of",
    "knee_phantom",
    "knee_phantom_set",
    "write_dicom_series",
    "write_nifti",
]
