"""What an evaluation is measured by: scores of grades, maps and masks, their intervals, and their ignite handlers."""

from __future__ import annotations

from semimed_monai.metrics.bootstrap import bootstrap_interval
from semimed_monai.metrics.collected import Collected
from semimed_monai.metrics.froc import LevelCounts, levels_of, read_curve, write_curve
from semimed_monai.metrics.grading import auc_one_vs_rest, finding_scores, grading_scores
from semimed_monai.metrics.key_scores import GradingScore, RowScore, TIoUScore
from semimed_monai.metrics.lesions import FrocScore, LesionPredictions
from semimed_monai.metrics.predictions import Predictions, SegmentationPredictions
from semimed_monai.metrics.rows import Rows
from semimed_monai.metrics.segmentation import SegmentationScore, class_dice, class_hd95
from semimed_monai.metrics.tiou import (
    THRESHOLDS,
    baseline_ious,
    given_masks,
    iou,
    macro_tiou,
    radial_profile,
    tiou,
)

__all__ = [
    "THRESHOLDS",
    "Collected",
    "FrocScore",
    "GradingScore",
    "LesionPredictions",
    "LevelCounts",
    "Predictions",
    "RowScore",
    "Rows",
    "SegmentationPredictions",
    "SegmentationScore",
    "TIoUScore",
    "auc_one_vs_rest",
    "baseline_ious",
    "bootstrap_interval",
    "class_dice",
    "class_hd95",
    "finding_scores",
    "given_masks",
    "grading_scores",
    "iou",
    "levels_of",
    "macro_tiou",
    "radial_profile",
    "read_curve",
    "tiou",
    "write_curve",
]
