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
from semimed_monai.data.phantoms.chest_set import CHEST_CLASSES, STANDARD_COUNTS, ChestCounts, chest_phantom_set
from semimed_monai.data.phantoms.figure import draw_phantoms
from semimed_monai.data.phantoms.files import write_dicom_radiograph, write_dicom_series, write_nifti, write_png
from semimed_monai.data.phantoms.knee import KneePhantom, knee_phantom
from semimed_monai.data.phantoms.knee_set import cartilage_mask, knee_phantom_set

__all__ = [
    "CHEST_CLASSES",
    "CHEST_PHANTOM_VERSION",
    "KNEE_CLASSES",
    "KNEE_PHANTOM_VERSION",
    "KNEE_TISSUES",
    "STANDARD_CHEST",
    "STANDARD_COUNTS",
    "STANDARD_KNEE",
    "ChestAnatomy",
    "ChestCounts",
    "ChestPhantom",
    "KneeAnatomy",
    "KneePhantom",
    "cartilage_mask",
    "chest_phantom",
    "chest_phantom_set",
    "draw_phantoms",
    "grade_of",
    "knee_phantom",
    "knee_phantom_set",
    "write_dicom_radiograph",
    "write_dicom_series",
    "write_nifti",
    "write_png",
]
