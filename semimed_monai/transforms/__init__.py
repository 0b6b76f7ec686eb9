"""Deterministic preprocessing, dilation and writers; every name here can be a bundle's `_target_`."""

from __future__ import annotations

from semimed_monai.transforms.bias_field import correct_bias
from semimed_monai.transforms.class_masks import ChosenClassesd
from semimed_monai.transforms.dilation import Dilate, Dilated
from semimed_monai.transforms.grid import Grid, read_grid
from semimed_monai.transforms.slices import (
    LoadSlice,
    ScalePercentilesd,
    ToSquared,
    knee_mr,
    photograph,
    slice_items,
    slice_items_of,
)
from semimed_monai.transforms.squares import from_square, to_square
from semimed_monai.transforms.writers import to_source_geometry, write_map, write_mask

__all__ = [
    "ChosenClassesd",
    "Dilate",
    "Dilated",
    "Grid",
    "LoadSlice",
    "ScalePercentilesd",
    "ToSquared",
    "correct_bias",
    "from_square",
    "knee_mr",
    "photograph",
    "read_grid",
    "slice_items",
    "slice_items_of",
    "to_source_geometry",
    "to_square",
    "write_map",
    "write_mask",
]
