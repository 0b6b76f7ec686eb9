"""One HTML file from a run's folder.

    python -m semimed_monai.reports.page runs/dcmt/0 [runs/dcmt_30/0 ...] [--out page.html]

The first run is shown in full: its metrics with intervals, cases, training and configuration; a classifier's also with
curves, confusion matrix and calibration, a segmenter's with the distribution of Dice. Others, of classifiers on the
same section of the same data, join the curve of scores by labelled share, and the maps side by side.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from semimed_monai.reports.page import write_page


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page and say where it is."""
    parser = argparse.ArgumentParser(
        prog="python -m semimed_monai.reports.page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR", help="a run's output_dir")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page; else report.html in the first RUN_DIR")
    given = parser.parse_args(arguments)
    try:
        place = write_page(given.runs[0], others=given.runs[1:], out=given.out)
    except (OSError, ValueError) as error:
        parser.exit(1, f"error: {error}\n")
    print(place)  # noqa: T201 - this is a command


if __name__ == "__main__":
    main()
