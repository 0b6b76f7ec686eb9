"""What a run leaves for people to read."""

from __future__ import annotations

from semimed_monai.reports.cases import Cases
from semimed_monai.reports.configuration import run_identity, save_configuration
from semimed_monai.reports.evaluation import Evaluation
from semimed_monai.reports.mapped import SideBySide, require_shown
from semimed_monai.reports.relations import Relations
from semimed_monai.reports.tracked_run import TrackedRun

__all__ = [
    "Cases",
    "Evaluation",
    "Relations",
    "SideBySide",
    "TrackedRun",
    "require_shown",
    "run_identity",
    "save_configuration",
]
