"""A classifier's part of the page: curves, confusion matrix, calibration, where it looked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from semimed_monai.metrics.calibration import calibration
from semimed_monai.reports.page import figures
from semimed_monai.reports.page.answers import Grades
from semimed_monai.reports.page.gallery import graded
from semimed_monai.reports.page.kind import Kind
from semimed_monai.reports.page.run import Run

TITLES = {
    "f1": "F1, mean of classes",
    "recall": "Recall, mean of classes",
    "recall/": "Recall of",
    "auc": "AUC, mean of classes",
    "specificity": "Specificity, mean of classes",
    "accuracy": "Accuracy",
    "class_accuracy": "Accuracy of one class against the others, mean of classes",
    "froc": "FROC: mean recall at 0.1 to 0.5 false positives per image",
    "recall_at_0.1": "Recall at 0.1 false positives per image",
    "tiou": "TIoU of attention and mask",
    "tiou_macro": "TIoU, mean of classes",
    "tiou_disc": "TIoU of a centred disc, for comparison",
    "tiou_ones": "TIoU of a map of ones, for comparison",
    "iou": "IoU of attention and mask, mean of cases",
    "pointing_game": "Pointing game: attention is highest inside the mask",
    "energy_inside": "Energy inside the mask: share of the attention",
    "pixel_ap": "Average precision of the attention's pixels",
    "ece": "Expected calibration error",
    "quadratic_kappa": "Quadratic-weighted kappa",
    "auc/": "AUC of",
    "study_accuracy": "Accuracy of studies",
    "study_auc": "AUC of studies, mean of classes",
    "study_kappa": "Cohen's kappa of studies",
}


def _content(run: Run[Grades]) -> dict[str, Any]:
    calibrations = {
        name: calibration(grades.probabilities.max(axis=1), grades.predicted == grades.label)
        for name, grades in run.answers.items()
    }
    alike = _alike(run.answers)
    return {
        "alike": alike,
        "calibrations": calibrations,
        "reliability": figures.reliability(
            {name: calibrations[name] for name in alike},
            "Confidence: probability of the predicted class",
            "Share of right grades",
        ),
        "networks": {
            name: (
                figures.roc(grades, run.classes),
                figures.precision_recall(grades, run.classes),
                figures.confusion(grades, run.classes),
            )
            for name, grades in run.answers.items()
            if name in alike
        },
        "missing": [name for place, name in enumerate(run.classes) if place not in run.answers[run.first].label],
        "gallery": graded(run),
    }


def _alike(answers: Mapping[str, Grades]) -> dict[str, list[str]]:
    """The networks by the first one that grades as they do: of those that differ in their maps, one is drawn."""
    found: dict[str, list[str]] = {}
    for name, grades in answers.items():
        same = (first for first in found if np.array_equal(answers[first].probabilities, grades.probabilities))
        found.setdefault(next(same, name), []).append(name)
    return found


def _charts(content: Mapping[str, Any]) -> dict[str, figures.Picture]:
    names = ("roc", "precision_recall", "confusion")
    each = {
        f"{name}_{network}": picture
        for network, pictures in content["networks"].items()
        for name, picture in zip(names, pictures, strict=True)
    }
    return {**each, "reliability": content["reliability"]}


GRADING = Kind(
    "grading.html.j2", TITLES, ("f1", "recall", "auc", "accuracy", "froc", "tiou"), _content, _charts, has_shares=True
)
