"""Datalists, splits by group, and two-stream sampling."""

from __future__ import annotations

from semimed_monai.data.boxes import collate_boxes
from semimed_monai.data.coco import CocoImages, coco_images
from semimed_monai.data.datalist import Datalist, DatalistError, write_datalist
from semimed_monai.data.find import find_images
from semimed_monai.data.folds import Folds
from semimed_monai.data.marks import is_marked, marked, refuse_normal_marks, require_marks
from semimed_monai.data.roles import of_role, require_boxes, roles_of
from semimed_monai.data.section_dataset import SectionDataset
from semimed_monai.data.splits import choose_labelled, labels_of, require_label_form, split_by_group
from semimed_monai.data.streams import TwoStreamBatches
from semimed_monai.data.tolerant import TolerantDataset

__all__ = [
    "CocoImages",
    "Datalist",
    "DatalistError",
    "Folds",
    "SectionDataset",
    "TolerantDataset",
    "TwoStreamBatches",
    "choose_labelled",
    "coco_images",
    "collate_boxes",
    "find_images",
    "is_marked",
    "labels_of",
    "marked",
    "of_role",
    "refuse_normal_marks",
    "require_boxes",
    "require_label_form",
    "require_marks",
    "roles_of",
    "split_by_group",
    "write_datalist",
]
