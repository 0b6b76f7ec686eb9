"""What serves every method: the moving teacher, checkpoints, the console."""

from __future__ import annotations

from semimed_monai.handlers.candidate_table import CandidateTable
from semimed_monai.handlers.console import Console, announce, announce_phantoms, say_where
from semimed_monai.handlers.ema_teacher import EMATeacher
from semimed_monai.handlers.finding_results import FindingResults, FindingTable
from semimed_monai.handlers.grade_table import GradeTable
from semimed_monai.handlers.graded_results import GradedResults
from semimed_monai.handlers.keep_best import KeepBest
from semimed_monai.handlers.lesion_results import LesionResults
from semimed_monai.handlers.result_writer import ResultWriter, UnreadableImagesError
from semimed_monai.handlers.run_state import RunState, RunStateError

__all__ = [
    "CandidateTable",
    "Console",
    "EMATeacher",
    "FindingResults",
    "FindingTable",
    "GradeTable",
    "GradedResults",
    "KeepBest",
    "LesionResults",
    "ResultWriter",
    "RunState",
    "RunStateError",
    "UnreadableImagesError",
    "announce",
    "announce_phantoms",
    "say_where",
]
