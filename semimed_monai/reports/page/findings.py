"""A classifier's part of the page where an image may have several classes: curves and calibration of each finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from semimed_monai.metrics.calibration import Calibration, calibration
from semimed_monai.reports.page import figures
from semimed_monai.reports.page.answers import Findings
from semimed_monai.reports.page.gallery import found
from semimed_monai.reports.page.kind import Kind
from semimed_monai.reports.page.run import Run

TITLES = {"auc": "AUC, mean of findings", "auc/": "AUC of"}


def _calibrated(findings: Findings) -> Calibration:
    """Of all findings together: of those that got 20 %, is one in five there?"""
    parts = [findings.against_others(place) for place in range(findings.label.shape[1])]
    own, given = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return calibration(given, own)


def _content(run: Run[Findings]) -> dict[str, Any]:
    calibrations = {name: _calibrated(findings) for name, findings in run.answers.items()}
    return {
        "calibrations": calibrations,
        "reliability": figures.reliability(
            calibrations, "Probability of a finding", "Share of these findings that are there"
        ),
        "networks": {
            name: (figures.roc(findings, run.classes), figures.precision_recall(findings, run.classes))
            for name, findings in run.answers.items()
        },
        "missing": [
            name for place, name in enumerate(run.classes) if not run.answers[run.first].against_others(place)[0].any()
        ],
        "gallery": found(run),
    }


def _charts(content: Mapping[str, Any]) -> dict[str, figures.Picture]:
    each = {
        f"{name}_{network}": picture
        for network, pictures in content["networks"].items()
        for name, picture in zip(("roc", "precision_recall"), pictures, strict=True)
    }
    return {**each, "reliability": content["reliability"]}


FINDINGS = Kind("findings.html.j2", TITLES, ("auc",), _content, _charts, has_shares=True)
