"""What a run leaves for people to read."""

from __future__ import annotations

from semimed_monai.reports.evaluation import Evaluation

__all__ = ["Evaluation"]
