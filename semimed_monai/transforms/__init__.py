"""Deterministic preprocessing, dilation and writers; every name here can be a bundle's `_target_`."""

from __future__ import annotations

from semimed_monai.transforms.bias_field import correct_bias
from semimed_monai.transforms.candidates import Candidate, find_candidates
from semimed_monai.transforms.class_masks import ChosenClassesd
from semimed_monai.transforms.dicom_report import write_report
from semimed_monai.transforms.dicom_results import (
    write_capture,
    write_captures,
    write_lesion_segmentation,
    write_segmentation,
)
from semimed_monai.transforms.dicom_source import Author, Source
from semimed_monai.transforms.dilation import Dilate, Dilated
from semimed_monai.transforms.grid import Grid, PlaneGrid, read_grid, read_plane_grid
from semimed_monai.transforms.overlays import overlay
from semimed_monai.transforms.radiographs import LesionsToSquare, LoadRadiograph, box_mask, chest_xray, read_radiograph
from semimed_monai.transforms.slices import (
    LoadSlice,
    ScalePercentilesd,
    ToSquared,
    bone_xray,
    knee_mr,
    photograph,
    slice_items,
    slice_items_of,
)
from semimed_monai.transforms.squares import boxes_from_square, boxes_to_square, from_square, to_square
from semimed_monai.transforms.volumes import read_image
from semimed_monai.transforms.writers import result_mark, to_source_geometry, write_map, write_mask

__all__ = [
    "Author",
    "Candidate",
    "ChosenClassesd",
    "Dilate",
    "Dilated",
    "Grid",
    "LesionsToSquare",
    "LoadRadiograph",
    "LoadSlice",
    "PlaneGrid",
    "ScalePercentilesd",
    "Source",
    "ToSquared",
    "bone_xray",
    "box_mask",
    "boxes_from_square",
    "boxes_to_square",
    "chest_xray",
    "correct_bias",
    "find_candidates",
    "from_square",
    "knee_mr",
    "overlay",
    "photograph",
    "read_grid",
    "read_image",
    "read_plane_grid",
    "read_radiograph",
    "result_mark",
    "slice_items",
    "slice_items_of",
    "to_source_geometry",
    "to_square",
    "write_capture",
    "write_captures",
    "write_lesion_segmentation",
    "write_map",
    "write_mask",
    "write_report",
    "write_segmentation",
]
