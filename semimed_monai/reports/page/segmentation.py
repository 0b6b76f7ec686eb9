"""A segmenter's part of the page: how Dice is distributed over the images, where the outlines run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from semimed_monai.reports.page import figures
from semimed_monai.reports.page.answers import Overlaps
from semimed_monai.reports.page.gallery import class_colours, segmented
from semimed_monai.reports.page.kind import Kind
from semimed_monai.reports.page.run import Run

TITLES = {
    "dice": "Dice, mean of classes",
    "dice/": "Dice of",
    "hd95_px": "HD95 (px), mean of classes",
    "hd95_px/": "HD95 (px) of",
}


def _content(run: Run[Overlaps]) -> dict[str, Any]:
    dice = run.answers[run.first].dice
    return {
        "distributions": {name: figures.dice(overlaps, run.classes) for name, overlaps in run.answers.items()},
        "missing": [name for name, values in zip(run.classes, dice.T, strict=True) if np.isnan(values).all()],
        "gallery": segmented(run),
        "colours": class_colours(run),
    }


def _charts(content: Mapping[str, Any]) -> dict[str, figures.Picture]:
    return {f"dice_{network}": picture for network, picture in content["distributions"].items()}


SEGMENTATION = Kind("segmentation.html.j2", TITLES, ("dice", "hd95_px"), _content, _charts)
