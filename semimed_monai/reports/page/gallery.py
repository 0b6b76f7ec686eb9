"""The pictures of best, typical and worst cases: what was there, what was asked for, what the network made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from semimed_monai.reports.cases import Case
from semimed_monai.reports.page.answers import Answers, Findings, Grades, Overlaps
from semimed_monai.reports.page.figures import Picture, picture
from semimed_monai.reports.page.run import Run

MASK, ATTENTION = "#56B4E9", "#E69F00"
CLASSES = ("#56B4E9", "#E69F00", "#CC79A7", "#F0E442", "#009E73", "#D55E00")
"""Okabe and Ito's that are light enough for outlines on dark images."""

A = TypeVar("A", bound=Answers)


@dataclass(frozen=True)
class Shown:
    """A case as it stands on the page."""

    picture: Picture
    kind: str
    id: str
    group: str


@dataclass(frozen=True)
class Graded(Shown):
    """Its true and predicted class; the probabilities of both; the IoU of map and mask where there are any."""

    true: str
    predicted: str
    given: float
    confidence: float
    iou: float | None


@dataclass(frozen=True)
class Found(Shown):
    """The finding of which it is a case, the probability of it, and what else is known to be there."""

    finding: str
    given: float
    others: list[str]


@dataclass(frozen=True)
class Segmented(Shown):
    """Its mean Dice, and that of each class; None where the class does not count."""

    score: float
    dice: dict[str, float | None]


def graded(run: Run[Grades]) -> dict[str, list[Graded]]:
    """The pictured cases by true class, in the classes' order."""
    classes: dict[str, list[Graded]] = {}
    for case, grades, row in _answered(run):
        true, predicted = run.classes[grades.label[row]], run.classes[grades.predicted[row]]
        shown = Graded(
            picture=attended(case, f"{case.kind} case of {true}: {case.id}", run.facts.get("tiou_threshold", 0.5)),
            kind=case.kind,
            id=case.id,
            group=grades.groups[row],
            true=true,
            predicted=predicted,
            given=float(grades.probabilities[row, grades.label[row]]),
            confidence=float(grades.probabilities[row].max()),
            iou=None if grades.iou is None else _number(grades.iou[row]),
        )
        classes.setdefault(f"True class: {true}", []).append(shown)
    return classes


def found(run: Run[Findings]) -> dict[str, list[Found]]:
    """The pictured cases by finding, in the findings' order."""
    classes: dict[str, list[Found]] = {}
    for case, findings, row in _answered(run):
        name = run.classes[case.label]
        others = [run.classes[place] for place in np.flatnonzero(findings.label[row] == 1) if place != case.label]
        shown = Found(
            picture=attended(case, f"{case.kind} case of {name}: {case.id}", run.facts.get("tiou_threshold", 0.5)),
            kind=case.kind,
            id=case.id,
            group=findings.groups[row],
            finding=name,
            given=findings.score(row, case.label),
            others=others,
        )
        classes.setdefault(f"With {name}", []).append(shown)
    return classes


def segmented(run: Run[Overlaps]) -> dict[str, list[Segmented]]:
    """The pictured cases, all under one heading."""
    shown = [
        Segmented(
            picture=outlined(case, f"{case.kind} case: {case.id}", class_colours(run)),
            kind=case.kind,
            id=case.id,
            group=overlaps.groups[row],
            score=overlaps.score(row, case.label),
            dice={name: _number(dice) for name, dice in zip(run.classes, overlaps.dice[row], strict=True)},
        )
        for case, overlaps, row in _answered(run)
    ]
    return {"All classes": shown} if shown else {}


def class_colours(run: Run[Overlaps]) -> dict[str, str]:
    """Of each class's outlines."""
    return dict(zip(run.classes, cycle(CLASSES), strict=False))


def attended(case: Case, alt: str, threshold: float) -> Picture:
    """The bare image; beside it, where there is a map, the map over it. The mask's outline is on both.

    Args:
        case: what to draw.
        alt: the words before what the picture shows.
        threshold: b, what of the map counts as attended: its outline is drawn.
    """
    attention, mask = case.pictures.get("map"), case.pictures.get("mask")
    figure, panels = _panels(case, 1 if attention is None else 2)
    words = ["the image"]
    if mask is not None:
        for axes in panels:
            outline(axes, mask > 127, MASK)
        words.append("the mask's outline")
    if attention is not None:
        overlay(panels[1], attention, threshold)
        words.append("beside it the map")
    return picture(figure, f"{alt}; {', '.join(words)}", kind="png")


def outlined(case: Case, alt: str, colours: dict[str, str]) -> Picture:
    """The bare image; beside it the image with each class's outline in the given mask, and dashed in the found one.

    Args:
        case: what to draw.
        alt: the words before what the picture shows.
        colours: of the classes 1, 2, …, by name.
    """
    figure, panels = _panels(case, 2)
    for number, colour in enumerate(colours.values(), start=1):
        outline(panels[1], case.pictures["given"] == number, colour)
        outline(panels[1], case.pictures["found"] == number, colour, "--")
    words = f"the image, beside it the outlines of the given and the found mask: {', '.join(colours)}"
    return picture(figure, f"{alt}; {words}", kind="png")


def _answered(run: Run[A]) -> Iterator[tuple[Case, A, int]]:
    """Each pictured case with its network's answers and its row there."""
    for case in run.cases:
        answers = run.answers[run.pictured]
        yield case, answers, answers.ids.index(case.id)


def _panels(case: Case, count: int) -> tuple[Figure, list[Axes]]:
    """The image, so many times side by side."""
    image = case.pictures["image"]
    figure = Figure(figsize=(1.7 * count, 1.7 * image.shape[0] / image.shape[1]))
    figure.subplots_adjust(left=0, right=1, bottom=0, top=1, wspace=0.02)
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in panels:
        bare(axes, image)
    return figure, panels


def bare(axes: Axes, image: NDArray[np.uint8]) -> None:
    """The image itself."""
    axes.set_axis_off()
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="bicubic")


def overlay(axes: Axes, attention: NDArray[np.uint8], threshold: float) -> None:
    """A map, the brighter the stronger, and the outline of what of it counts as attended."""
    share = attention / 255.0
    axes.imshow(share, cmap="inferno", vmin=0, vmax=1, alpha=0.4 * share, interpolation="bilinear")
    if share.max() > threshold >= share.min():
        axes.contour(share, levels=[threshold], colors=ATTENTION, linewidths=1.1, linestyles="--")


def outline(axes: Axes, area: NDArray[np.bool_], colour: str, style: str = "-") -> None:
    """Around an area, unless it is empty or everything."""
    if area.any() and not area.all():
        axes.contour(area, levels=[0.5], colors=colour, linewidths=1.1, linestyles=style)


def _number(value: float) -> float | None:
    """None for nan."""
    return None if np.isnan(value) else float(value)
