r"""Maps of several runs beside each other, as PCAM's Fig. 2, from what the runs have left.

    python -m semimed_monai.reports.side_by_side runs/stages/stage_1/100_marks/1:cam \
        runs/stages/stage_1/100_marks/1:positive_cam runs/stages/stage_3/100_marks/1:decoder --out maps.png

A run is an evaluation's output_dir with side_by_side.npz, of which all networks' maps are shown, or those of the one
that stands after a colon. Which images these are is settled where a run evaluates: drawn ones, or the recipe's
`shown_images`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context

from semimed_monai.files import whole
from semimed_monai.reports.page import figures
from semimed_monai.reports.page.maps import in_rows, shown_maps
from semimed_monai.reports.page.run import read_metrics


def draw_maps(runs: Sequence[str], out: Path, images: int | None = None) -> Path:
    """Draw the figure.

    Args:
        runs: folders, each with or without `:network`.
        out: the figure, a .png.
        images: how many at most; all, without it.

    Raises:
        ValueError: another kind of figure.
    """
    if out.suffix.lower() != ".png":
        raise ValueError(f"{out}: the figure is of pixels: give it a name that ends in .png")
    parts = [run.rpartition(":") if not Path(run).is_dir() and ":" in run else (run, "", "") for run in runs]
    mapped = shown_maps([Path(folder) for folder, _, _ in parts], [network or None for _, _, network in parts])
    facts: dict[str, Any] = read_metrics(Path(parts[0][0]))
    with rc_context(figures.STYLE):
        figure, _ = in_rows(mapped[:images], facts.get("tiou_threshold", 0.5))
        with whole(out) as file:
            figure.savefig(file, dpi=120, format="png")
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the figure and say where it is."""
    parser = argparse.ArgumentParser(
        prog="python -m semimed_monai.reports.side_by_side",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN_FOLDER[:NETWORK]", help="an evaluation's output_dir")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the figure, a .png")
    parser.add_argument("--images", type=int, metavar="N", help="show the first N only")
    given = parser.parse_args(arguments)
    if given.images is not None and given.images < 1:
        parser.error(f"--images {given.images}: give 1 or more")
    try:
        place = draw_maps(given.runs, given.out, given.images)
    except (OSError, ValueError) as error:
        parser.exit(1, f"error: {error}\n")
    print(place)  # noqa: T201 - this is a command


if __name__ == "__main__":
    main()
