"""Whether a network's probabilities can be believed: of the cases that it was 80 % sure of, was it right in 80 %?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics import calibration_binning
from numpy.typing import NDArray

from semimed_monai.metrics.grading import FloatArray, IntArray


@dataclass(frozen=True)
class Calibration:
    """Per bin of confidence that has a case: mean confidence, share of right grades, number of cases; and the ECE."""

    confidence: FloatArray
    accuracy: FloatArray
    count: IntArray
    ece: float


def calibration(confidence: FloatArray, right: NDArray[np.bool_], bins: int = 10) -> Calibration:
    """ECE = Σ_b n_b/N · |accuracy_b − confidence_b|, over bins of equal width of the confidence.

        >>> calibration(np.array([0.9, 0.7]), np.array([True, False])).ece  # 1/2 · 0.1 + 1/2 · 0.7
        0.4

    Args:
        confidence: N probabilities: of the predicted class, or of a finding.
        right: whether the prediction was right, or the finding there.
        bins: their number.
    """
    cases = torch.from_numpy(confidence)[None, None], torch.from_numpy(right)[None, None]
    parts = calibration_binning(*cases, num_bins=bins)
    mean, accuracy, count = (part[0, 0].double().numpy() for part in parts)
    there = count > 0
    mean, accuracy, count = mean[there], accuracy[there], count[there]
    ece = float((count * np.abs(accuracy - mean)).sum() / count.sum())
    return Calibration(mean, accuracy, count.astype(int), round(ece, 6))  # the library counts in single precision
