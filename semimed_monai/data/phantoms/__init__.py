"""Phantoms: procedural images, deterministic by (seed, index), written as the files that a patient's come in."""

from semimed_monai.data.phantoms.anatomy import (
    KNEE_CLASSES,
    KNEE_PHANTOM_VERSION,
    KNEE_TISSUES,
    STANDARD_KNEE,
    KneeAnatomy,
    grade_of,
)
from semimed_monai.data.phantoms.bone_lesions import BONE_LESIONS, LesionAppearance
from semimed_monai.data.phantoms.bone_set import BONE_CLASSES, bone_phantom_set, bone_studies
from semimed_monai.data.phantoms.bones import (
    BONE_PHANTOM_VERSION,
    STANDARD_BONES,
    BoneAppearance,
    BonePhantom,
    bone_phantom,
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
from semimed_monai.data.phantoms.files import (
    Projection,
    write_dicom_radiograph,
    write_dicom_series,
    write_nifti,
    write_png,
)
from semimed_monai.data.phantoms.findings import (
    FINDING_PHANTOM_VERSION,
    FINDINGS,
    STANDARD_FINDINGS,
    FindingAppearance,
    FindingPhantom,
    finding_phantom,
)
from semimed_monai.data.phantoms.findings_set import finding_phantom_set
from semimed_monai.data.phantoms.knee import KneePhantom, knee_phantom
from semimed_monai.data.phantoms.knee_set import cartilage_mask, knee_phantom_set
from semimed_monai.data.phantoms.knee_xray import (
    KNEE_XRAY_PHANTOM_VERSION,
    STANDARD_KNEE_XRAY,
    BothKneesPhantom,
    KneeXrayAppearance,
    KneeXrayPhantom,
    both_knees_xray_phantom,
    knee_xray_phantom,
)
from semimed_monai.data.phantoms.knee_xray_set import knee_xray_grades, knee_xray_phantom_set, write_both_knees
from semimed_monai.data.phantoms.knee_xray_signs import KNEE_XRAY_CLASSES, KneeSigns, KneeSignsAppearance
from semimed_monai.data.phantoms.skin import (
    SKIN_CLASSES,
    SKIN_PHANTOM_VERSION,
    STANDARD_SKIN,
    SkinAppearance,
    SkinPhantom,
    skin_phantom,
)
from semimed_monai.data.phantoms.skin_set import skin_phantom_set

__all__ = [
    "BONE_CLASSES",
    "BONE_LESIONS",
    "BONE_PHANTOM_VERSION",
    "CHEST_CLASSES",
    "CHEST_PHANTOM_VERSION",
    "FINDINGS",
    "FINDING_PHANTOM_VERSION",
    "KNEE_CLASSES",
    "KNEE_PHANTOM_VERSION",
    "KNEE_TISSUES",
    "KNEE_XRAY_CLASSES",
    "KNEE_XRAY_PHANTOM_VERSION",
    "SKIN_CLASSES",
    "SKIN_PHANTOM_VERSION",
    "STANDARD_BONES",
    "STANDARD_CHEST",
    "STANDARD_COUNTS",
    "STANDARD_FINDINGS",
    "STANDARD_KNEE",
    "STANDARD_KNEE_XRAY",
    "STANDARD_SKIN",
    "BoneAppearance",
    "BonePhantom",
    "BothKneesPhantom",
    "ChestAnatomy",
    "ChestCounts",
    "ChestPhantom",
    "FindingAppearance",
    "FindingPhantom",
    "KneeAnatomy",
    "KneePhantom",
    "KneeSigns",
    "KneeSignsAppearance",
    "KneeXrayAppearance",
    "KneeXrayPhantom",
    "LesionAppearance",
    "Projection",
    "SkinAppearance",
    "SkinPhantom",
    "bone_phantom",
    "bone_phantom_set",
    "bone_studies",
    "both_knees_xray_phantom",
    "cartilage_mask",
    "chest_phantom",
    "chest_phantom_set",
    "draw_phantoms",
    "finding_phantom",
    "finding_phantom_set",
    "grade_of",
    "knee_phantom",
    "knee_phantom_set",
    "knee_xray_grades",
    "knee_xray_phantom",
    "knee_xray_phantom_set",
    "skin_phantom",
    "skin_phantom_set",
    "write_both_knees",
    "write_dicom_radiograph",
    "write_dicom_series",
    "write_nifti",
    "write_png",
]
