"""FROC curves of several methods in one figure, from what their runs have left.

    python -m semimed_monai.reports.froc runs/sharpening/0 runs/sharpening/1 runs/mean_teacher/0 --out froc.png

A run is the folder of an evaluation, with metrics.json and froc.csv; configuration.json, which training writes, names
its method. Runs of a method that differ in nothing but their seed are one line, their mean, within a band of ± one
standard deviation; where they differ in other settings, these are told in the line's name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context

from semimed_monai.files import whole
from semimed_monai.metrics.froc import Curve, read_curve
from semimed_monai.reports.comparable import refuse_unequal
from semimed_monai.reports.page import figures
from semimed_monai.reports.page.names import run_names
from semimed_monai.reports.page.run import read_metrics
from semimed_monai.vocabulary import above_zero

KINDS = (".png", ".svg", ".pdf")


def draw_froc(runs: Sequence[str | Path], out: str | Path, most: float = 1.0) -> Path:
    """Draw the curves of runs on the same data.

    Args:
        runs: their folders.
        out: the figure, whose ending is its kind: .png, .svg or .pdf.
        most: where the axis of false positives per image ends.

    Raises:
        FileNotFoundError: a run has no metrics.json or no froc.csv.
        ValueError: broken files, runs on different data, a run that is given twice, or another kind of figure.
    """
    above_zero("most", most)
    out = Path(out)
    if out.suffix.lower() not in KINDS:
        raise ValueError(f"{out}: a figure's name ends in one of {', '.join(KINDS)}")
    folders = [Path(run) for run in runs]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ValueError("a run is given twice, and would count twice: give each folder once")
    metrics = {folder: read_metrics(folder) for folder in folders}
    refuse_unequal(metrics.values())
    curves: dict[str, list[Curve]] = {}
    for folder, name in run_names(metrics).items():
        curves.setdefault(name, []).append(read_curve(folder / "froc.csv"))
    with rc_context(figures.STYLE):
        figure, _ = figures.froc(curves, most)
        with whole(out) as file:
            figure.savefig(file, dpi=200, format=out.suffix[1:].lower())
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the figure and say where it is."""
    parser = argparse.ArgumentParser(
        prog="python -m semimed_monai.reports.froc",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_FOLDER", help="an evaluation's output_dir")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the figure: .png, .svg or .pdf")
    parser.add_argument("--most", type=float, default=1.0, help="false positives per image to show, at most: 1")
    given = parser.parse_args(arguments)
    try:
        place = draw_froc(given.runs, given.out, given.most)
    except (OSError, ValueError) as error:
        parser.exit(1, f"error: {error}\n")
    print(place)  # noqa: T201 - this is a command


if __name__ == "__main__":
    main()
