"""The engines: one trainer for every method, one evaluator for every task."""

from __future__ import annotations

from semimed_monai.engines.evaluator import (
    SectionEvaluator,
    read_findings,
    read_grading,
    read_lesions,
    read_planes,
    read_segmentation,
)
from semimed_monai.engines.mask_alone import MaskAlone
from semimed_monai.engines.memory import keep_freed_memory
from semimed_monai.engines.precision import fastest_precision
from semimed_monai.engines.processes import is_not_first, join_processes, local_device, on_device
from semimed_monai.engines.propagation import PropagationEvaluator, propagate
from semimed_monai.engines.schedule import StageRate
from semimed_monai.engines.trainer import NonFiniteLossError, OptimiserEvents, SemiSupervisedTrainer, term_values

__all__ = [
    "MaskAlone",
    "NonFiniteLossError",
    "OptimiserEvents",
    "PropagationEvaluator",
    "SectionEvaluator",
    "SemiSupervisedTrainer",
    "StageRate",
    "fastest_precision",
    "is_not_first",
    "join_processes",
    "keep_freed_memory",
    "local_device",
    "on_device",
    "propagate",
    "read_findings",
    "read_grading",
    "read_lesions",
    "read_planes",
    "read_segmentation",
    "term_values",
]
