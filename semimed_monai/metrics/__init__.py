"""What an evaluation is measured by: scores of grades, maps and masks, their intervals, and their ignite handlers."""

from __future__ import annotations

from semimed_monai.metrics.bootstrap import bootstrap_interval
from semimed_monai.metrics.calibration import Calibration, calibration
from semimed_monai.metrics.collected import Collected
from semimed_monai.metrics.froc import LevelCounts, levels_of, read_curve, write_curve
from semimed_monai.metrics.grading import auc_one_vs_rest, cohen_kappa, finding_scores, grading_scores
from semimed_monai.metrics.key_scores import GradingScore, LocalisationScore, LogLikelihood, RowScore, TIoUScore
from semimed_monai.metrics.lesions import FrocScore, LesionPredictions
from semimed_monai.metrics.localisation import energy_inside, given_masks, iou, measures, pixel_ap, pointing_game
from semimed_monai.metrics.ordinal import ordinal_statistic, quadratic_kappa
from semimed_monai.metrics.predictions import Predictions, SegmentationPredictions
from semimed_monai.metrics.rows import Rows
from semimed_monai.metrics.segmentation import SegmentationScore, class_dice, class_hd95
from semimed_monai.metrics.studies import study_statistic
from semimed_monai.metrics.tiou import THRESHOLDS, baseline_ious, macro_tiou, radial_profile, tiou

__all__ = [
    "THRESHOLDS",
    "Calibration",
    "Collected",
    "FrocScore",
    "GradingScore",
    "LesionPredictions",
    "LevelCounts",
    "LocalisationScore",
    "LogLikelihood",
    "Predictions",
    "RowScore",
    "Rows",
    "SegmentationPredictions",
    "SegmentationScore",
    "TIoUScore",
    "auc_one_vs_rest",
    "baseline_ious",
    "bootstrap_interval",
    "calibration",
    "class_dice",
    "class_hd95",
    "cohen_kappa",
    "energy_inside",
    "finding_scores",
    "given_masks",
    "grading_scores",
    "iou",
    "levels_of",
    "macro_tiou",
    "measures",
    "ordinal_statistic",
    "pixel_ap",
    "pointing_game",
    "quadratic_kappa",
    "radial_profile",
    "read_curve",
    "study_statistic",
    "tiou",
    "write_curve",
]
