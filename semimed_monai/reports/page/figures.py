"""The page's charts, as pictures that stand in the HTML file itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import auc, average_precision_score, confusion_matrix, precision_recall_curve, roc_curve

from semimed_monai.metrics.calibration import Calibration
from semimed_monai.metrics.froc import RATES, reached
from semimed_monai.metrics.froc import Curve as FrocCurve
from semimed_monai.reports.page.answers import Classified, Grades, Overlaps
from semimed_monai.reports.page.run import Curve
from semimed_monai.reports.relations import RelationMatrices

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
"""Okabe and Ito's, told apart by colour-blind people; the yellow is too light for lines on white."""

STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "text.parse_math": False,  # class names are no formulas
    "svg.hashsalt": "semimed",
}
"""What matplotlib's rc_context is to be while figures are made."""


@dataclass(frozen=True)
class Picture:
    """A data URI, and what it shows in words."""

    source: str
    alt: str

    def save(self, stem: Path) -> Path:
        """Write it as a file of its own, with the ending of its kind."""
        head, _, content = self.source.partition(";base64,")
        file = stem.with_name(f"{stem.name}.{head.rsplit('/', 1)[1].removesuffix('+xml')}")
        file.write_bytes(base64.b64decode(content))
        return file


def picture(figure: Figure, alt: str, kind: str = "svg+xml") -> Picture:
    """`figure` as a data URI: lines as `svg+xml`, images as `png`; the same figure gives the same bytes."""
    file, name = io.BytesIO(), kind.removesuffix("+xml")
    figure.savefig(file, format=name, dpi=144, metadata={"Date" if name == "svg" else "Software": None})
    return Picture(f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}", alt)


def roc(answers: Classified, classes: Sequence[str]) -> Picture:
    """One curve per class against all others, with its AUC."""
    figure, axes = _square("1 − specificity", "Sensitivity", len(classes))
    axes.plot([0, 1], [0, 1], color="#767676", linewidth=1, linestyle=":")
    words = []
    for place, name, style in _styled(classes):
        own, given = answers.against_others(place)
        if own.all() or not own.any():
            axes.plot([], [], **style, label=f"{_short(name)}: not defined")
            words.append(f"{name} not defined")
            continue
        false, true, _ = roc_curve(own, given)
        area = auc(false, true)
        axes.plot(false, true, **style, label=f"{_short(name)}: AUC {area:.3f}")
        words.append(f"{name} {area:.3f}")
    figure.legend(loc="outside lower center")
    return picture(figure, f"ROC curves, one class against the others; area under the curve: {', '.join(words)}")


def precision_recall(answers: Classified, classes: Sequence[str]) -> Picture:
    """One curve per class against all others, with its average precision and the class's share."""
    figure, axes = _square("Recall (sensitivity)", "Precision", len(classes))
    words = []
    for place, name, style in _styled(classes):
        own, given = answers.against_others(place)
        if not own.any():
            axes.plot([], [], **style, label=f"{_short(name)}: not defined")
            words.append(f"{name} not defined")
            continue
        precision, recall, _ = precision_recall_curve(own, given, drop_intermediate=True)
        area = average_precision_score(own, given)
        axes.axhline(own.mean(), **{**style, "linewidth": 0.8, "alpha": 0.4})
        axes.step(recall, precision, where="post", **style, label=f"{_short(name)}: AP {area:.3f}")
        words.append(f"{name} {area:.3f} at a share of {own.mean():.3f}")
    figure.legend(loc="outside lower center")
    return picture(figure, f"Precision and recall, one class against the others; average precision: {', '.join(words)}")


def confusion(grades: Grades, classes: Sequence[str]) -> Picture:
    """Counts; shades are shares of the true class."""
    counts = confusion_matrix(grades.label, grades.predicted, labels=range(len(classes)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(3.6, 1.4 + 0.62 * len(classes))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(visible=False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.55 else "black"
        text = f"{count}\n{shares[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    names = [_short(name) for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=30 if max(map(len, names)) > 8 else 0)
    axes.set_yticks(range(len(classes)), names)
    axes.set(xlabel="Predicted", ylabel="True")
    rows = [
        f"of {line.sum()} {name}: "
        + ", ".join(f"{count} as {other}" for count, other in zip(line, classes, strict=True))
        for name, line in zip(classes, counts, strict=True)
    ]
    return picture(figure, f"Confusion matrix; {'; '.join(rows)}")


def reliability(calibrations: Mapping[str, Calibration], confidence: str, right: str) -> Picture:
    """Confidence against accuracy, a line per network; below, how many cases have which confidence.

    Args:
        calibrations: by network.
        confidence: what it is, in words.
        right: what the share is of, in words.
    """
    figure = Figure(figsize=(4.2, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color="#767676", linewidth=1, linestyle=":", label="perfect")
    for _, name, style in _styled(list(calibrations)):
        found = calibrations[name]
        above.plot(
            found.confidence, found.accuracy, marker="o", **style, label=f"{_short(name)}: ECE {100 * found.ece:.1f} %"
        )
        below.plot(found.confidence, found.count, marker="o", **style)
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel=right)
    above.legend(loc="upper left")
    below.set(xlabel=confidence, ylabel="Cases", ylim=(0, None))
    words = [f"{name} {100 * found.ece:.1f} %" for name, found in calibrations.items()]
    return picture(figure, f"Reliability diagram; expected calibration error: {', '.join(words)}")


def dice(overlaps: Overlaps, classes: Sequence[str]) -> Picture:
    """Per class, which share of the images has at most a Dice."""
    figure, axes = _square("Dice", "Share of images with at most this Dice", len(classes))
    words = []
    for place, name, style in _styled(classes):
        values = overlaps.dice[:, place]
        values = values[~np.isnan(values)]
        if not values.size:
            axes.plot([], [], **style, label=f"{_short(name)}: not defined")
            words.append(f"{name} not defined")
            continue
        quarter, median = (100 * float(value) for value in np.quantile(values, (0.25, 0.5)))
        axes.ecdf(values, **style, label=f"{_short(name)}: median {median:.1f} %")
        words.append(f"{name} median {median:.1f} %, a quarter at most {quarter:.1f} %, {values.size} images")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.legend(loc="outside lower center")
    return picture(figure, f"Dice of the images, as cumulative share; {'; '.join(words)}")


def froc(curves: Mapping[str, Sequence[FrocCurve]], most: float = 1.0) -> tuple[Figure, str]:
    """Recall by false positives per image, a line per method: the mean of its runs, within ± their standard deviation.

    Args:
        curves: method → the curve of each of its runs.
        most: where the axis of false positives ends.

    Returns:
        the figure, and what it shows in words.
    """
    figure = Figure(figsize=(4.8, 4.2 + 0.2 * len(curves)), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(0, most), ylim=(0, 1), xlabel="False positives per image", ylabel="Recall")
    words = []
    for _, name, style in _styled(list(curves)):
        runs = curves[name]
        rates = np.unique(np.concatenate([[0, most], *(rate[rate < most] for rate, _ in runs)]))
        recall = np.stack([reached(run, rates) for run in runs])
        score = f"{np.mean([reached(run, RATES).mean() for run in runs]):.3f}"
        if len(runs) > 1:
            mean, spread = recall.mean(axis=0), recall.std(axis=0, ddof=1)
            band = {"color": style["color"], "alpha": 0.15, "linewidth": 0, "step": "post"}
            axes.fill_between(rates, (mean - spread).clip(0), (mean + spread).clip(max=1), **band)
            score += f" ± {np.std([reached(run, RATES).mean() for run in runs], ddof=1):.3f}, {len(runs)} runs"
        axes.step(rates, recall.mean(axis=0), where="post", **style, label=f"{_short(name, 40)}: {score}")
        words.append(f"{name} {score}")
    figure.legend(loc="outside lower center", title="Mean recall at 0.1 to 0.5 false positives per image")
    return figure, f"FROC curves; mean recall at 0.1 to 0.5 false positives per image: {', '.join(words)}"


def relations(matrices: RelationMatrices) -> Picture:
    """R of each network, and how far two of them differ; lines part the classes."""
    panels = dict(matrices.of)
    if len(panels) == 2:
        one, other = panels.values()
        panels["difference"] = abs(one - other)
    figure = Figure(figsize=(2.6 * len(panels), 2.9), layout="constrained")
    borders = np.flatnonzero(np.diff(matrices.label)) + 0.5
    for axes, (name, matrix) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        axes.grid(visible=False)
        shown = axes.imshow(matrix, cmap="viridis", vmin=0, vmax=max(float(matrix.max()), 1e-6))
        figure.colorbar(shown, ax=axes, location="bottom", shrink=0.8)
        for border in borders:
            axes.axhline(border, color="white", linewidth=0.6)
            axes.axvline(border, color="white", linewidth=0.6)
        axes.set_title(_short(name), fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    distance = matrices.distance()
    words = "" if distance is None else f", and their difference; L_sc between them: {distance:.3g}"
    return picture(figure, f"Relation matrices of {len(matrices.label)} images: {', '.join(matrices.of)}{words}", "png")


def term(name: str, curve: Curve) -> Picture:
    """A term's mean by epoch."""
    figure, axes = _by_epoch(name)
    axes.plot(curve.epochs, curve.values, color=COLOURS[0], marker="o" if len(curve.epochs) == 1 else "")
    ends = f"{curve.values[0]:.4g} in epoch {curve.epochs[0]}, {curve.values[-1]:.4g} in epoch {curve.epochs[-1]}"
    return picture(figure, f"Training: {name} by epoch; {ends}")


def together(title: str, curves: Mapping[str, Curve]) -> Picture:
    """Curves of one scale by epoch: validation's scores, or what a term observed."""
    figure, axes = _by_epoch(title)
    for _, name, style in _styled(list(curves)):
        curve = curves[name]
        axes.plot(curve.epochs, curve.values, marker="o" if len(curve.epochs) == 1 else "", **style, label=_short(name))
    axes.legend()
    words = [f"{name} {curve.values[-1]:.3f}" for name, curve in curves.items()]
    return picture(figure, f"{title[0].upper()}{title[1:]} by epoch; in the last one: {', '.join(words)}")


def by_labelled_share(score: str, networks: Mapping[str, Mapping[float, Sequence[float]]]) -> Picture:
    """A dot per run, a line through the means of each labelled share.

    Args:
        score: its name.
        networks: network → labelled share → the score in each run.
    """
    figure = Figure(figsize=(4.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    words = []
    for _, name, style in _styled(list(networks)):
        shares = sorted(networks[name])
        means = [100 * float(np.mean(networks[name][share])) for share in shares]
        axes.plot(shares, means, marker="o", **style, label=_short(name))
        for share in shares:
            axes.plot(
                [share] * len(networks[name][share]),
                [100 * value for value in networks[name][share]],
                ".",
                color=style["color"],
                alpha=0.6,
            )
        words += [f"{name} {mean:.1f} % at {share:.0%}" for share, mean in zip(shares, means, strict=True)]
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlabel="Labelled share of the training items", ylabel=f"{score}, %", xlim=(0, None))
    axes.legend(loc="best")
    return picture(figure, f"{score} by labelled share: {', '.join(words)}")


def _square(across: str, up: str, lines: int) -> tuple[Figure, Axes]:
    """A square chart above a legend of so many lines."""
    figure = Figure(figsize=(4.2, 4.2 + 0.2 * lines), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", xlabel=across, ylabel=up)
    return figure, axes


def _by_epoch(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(3.6, 2.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(_short(title, 36), fontsize=10, loc="left")
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes


def _styled(names: Sequence[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Place, name and line style: colours, and beyond the last one other dashes."""
    dashes = [dash for dash in ("-", "--", "-.", ":") for _ in COLOURS]
    for place, (name, colour, dash) in enumerate(
        zip(names, cycle(COLOURS), islice(cycle(dashes), len(names)), strict=False)
    ):
        yield place, name, {"color": colour, "linestyle": dash, "linewidth": 1.8}


def _short(name: str, length: int = 18) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
