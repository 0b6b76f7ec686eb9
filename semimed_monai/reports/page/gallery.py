"""The pictures of best, typical and worst cases: what was there, what was asked for, where the network looked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from semimed_monai.reports.cases import Case
from semimed_monai.reports.page.figures import Picture, picture
from semimed_monai.reports.page.run import Run

MASK, ATTENTION = "#56B4E9", "#E69F00"


@dataclass(frozen=True)
class Shown:
    """A case as it stands on the page."""

    picture: Picture
    kind: str
    id: str
    group: str
    true: str
    predicted: str
    given: float
    confidence: float
    iou: float | None


def gallery(run: Run) -> dict[str, list[Shown]]:
    """The pictured cases by true class, in the classes' order."""
    classes: dict[str, list[Shown]] = {}
    for case in run.cases:
        shown = _shown(run, case)
        classes.setdefault(shown.true, []).append(shown)
    return classes


def _shown(run: Run, case: Case) -> Shown:
    grades = run.grades[run.pictured]
    row = grades.ids.index(case.id)
    true, predicted = run.classes[grades.label[row]], run.classes[grades.predicted[row]]
    iou = None if grades.iou is None or np.isnan(grades.iou[row]) else float(grades.iou[row])
    return Shown(
        picture=drawn(case, f"{case.kind} case of {true}: {case.id}", run.facts.get("tiou_threshold", 0.5)),
        kind=case.kind,
        id=case.id,
        group=grades.groups[row],
        true=true,
        predicted=predicted,
        given=float(grades.probabilities[row, grades.label[row]]),
        confidence=float(grades.probabilities[row].max()),
        iou=iou,
    )


def drawn(case: Case, alt: str, threshold: float) -> Picture:
    """The bare image; beside it, where there is a map, the map over it. The mask's outline is on both.

    Args:
        case: what to draw.
        alt: the words before what the picture shows.
        threshold: b, what of the map counts as attended: its outline is drawn.
    """
    panels = 1 if case.map is None else 2
    figure = Figure(figsize=(1.7 * panels, 1.7 * case.image.shape[0] / case.image.shape[1]))
    figure.subplots_adjust(left=0, right=1, bottom=0, top=1, wspace=0.02)
    words = ["the image"]
    for number in range(panels):
        axes = figure.add_subplot(1, panels, number + 1)
        axes.set_axis_off()
        axes.imshow(case.image, cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
        if case.mask is not None:
            axes.contour(case.mask > 127, levels=[0.5], colors=MASK, linewidths=1.1)
    if case.mask is not None:
        words.append("the mask's outline")
    if case.map is not None:
        share = case.map / 255.0
        axes.imshow(share, cmap="inferno", vmin=0, vmax=1, alpha=0.4 * share, interpolation="bilinear")
        if share.max() > threshold >= share.min():
            axes.contour(share, levels=[threshold], colors=ATTENTION, linewidths=1.1, linestyles="--")
        words.append("beside it the attention")
    return picture(figure, f"{alt}; {', '.join(words)}", kind="png")
