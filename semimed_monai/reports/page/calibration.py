"""Whether a network's probabilities can be believed: of the cases that it was 80 % sure of, was it right in 80 %?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics import calibration_binning

from semimed_monai.metrics.grading import FloatArray, IntArray


@dataclass(frozen=True)
class Calibration:
    """Per bin of confidence that has a case: mean confidence, share of right grades, number of cases; and the ECE."""

    confidence: FloatArray
    accuracy: FloatArray
    count: IntArray
    ece: float


def calibration(probabilities: FloatArray, labels: IntArray, bins: int = 10) -> Calibration:
    """ECE = Σ_b n_b/N · |accuracy_b − confidence_b|, over bins of equal width of the predicted class's probability.

        >>> calibration(np.array([[0.9, 0.1], [0.7, 0.3]]), np.array([0, 1])).ece  # 1/2 · 0.1 + 1/2 · 0.7
        0.4

    Args:
        probabilities: N×C.
        labels: N class indices.
        bins: their number.
    """
    confidence = torch.from_numpy(probabilities.max(axis=1))
    right = torch.from_numpy(probabilities.argmax(axis=1) == labels)
    parts = calibration_binning(confidence[None, None], right[None, None], num_bins=bins)
    mean, accuracy, count = (part[0, 0].double().numpy() for part in parts)
    there = count > 0
    mean, accuracy, count = mean[there], accuracy[there], count[there]
    ece = float((count * np.abs(accuracy - mean)).sum() / count.sum())
    return Calibration(mean, accuracy, count.astype(int), round(ece, 6))  # the library counts in single precision
