"""What a method is: the criterion and its terms, one family a file."""

from __future__ import annotations

from semimed_monai.losses.adversarial import Adversarial
from semimed_monai.losses.attention import AttentionConsistency, AttentionLoss
from semimed_monai.losses.classification import BinaryCrossEntropy, ClassConsistency, CrossEntropy
from semimed_monai.losses.criterion import Criterion, SigmoidRamp, StageRamp, Term
from semimed_monai.losses.ensembling import ClassEnsembling, TemporalEnsembling
from semimed_monai.losses.lesion_map import LesionCrossEntropy
from semimed_monai.losses.map_consistency import MapConsistency
from semimed_monai.losses.masked_image import MarkLoss, MaskedClassification, confidence
from semimed_monai.losses.relations import RelationConsistency, TemporalRelations, relation_matrix
from semimed_monai.losses.segmentation import DiceCrossEntropy
from semimed_monai.losses.self_training import SelfTraining
from semimed_monai.losses.sharpening import (
    DynamicSchedule,
    FixedSchedule,
    SharpenedConsistency,
    asymmetric_sharpening,
    dynamic_sharpening,
)

__all__ = [
    "Adversarial",
    "AttentionConsistency",
    "AttentionLoss",
    "BinaryCrossEntropy",
    "ClassConsistency",
    "ClassEnsembling",
    "Criterion",
    "CrossEntropy",
    "DiceCrossEntropy",
    "DynamicSchedule",
    "FixedSchedule",
    "LesionCrossEntropy",
    "MapConsistency",
    "MarkLoss",
    "MaskedClassification",
    "RelationConsistency",
    "SelfTraining",
    "SharpenedConsistency",
    "SigmoidRamp",
    "StageRamp",
    "TemporalEnsembling",
    "TemporalRelations",
    "Term",
    "asymmetric_sharpening",
    "confidence",
    "dynamic_sharpening",
    "relation_matrix",
]
