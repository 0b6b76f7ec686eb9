"""Runs that differ in their seed, side by side: mean ± sd of every score, one line per method.

    python -m semimed_monai.reports.seeds runs/supervised runs/dcmt [--scores f1 auc tiou] [--out table.md]

A method's folder holds a run per seed: `runs/dcmt/0/metrics.json`, …, as `--output_dir runs/dcmt/0` leaves them.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SCORES = ("recall", "f1", "auc", "tiou", "tiou_macro")


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """The metrics of each run of one method, by seed.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the runs are not comparable: same seed twice, other data, share or section.
    """
    runs = [json.loads(path.read_text()) for path in sorted(folder.glob("*/metrics.json"))]
    if not runs:
        raise FileNotFoundError(f"{folder} holds no run: expected {folder}/<seed>/metrics.json")
    seeds = [run["seed"] for run in runs]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{folder} holds a seed twice: {seeds}")
    for key in ("dataset", "dataset_version", "section", "labelled_share", "profile"):
        values = {json.dumps(run[key]) for run in runs}
        if len(values) > 1:
            raise ValueError(f"the runs in {folder} differ in {key}: {', '.join(sorted(values))}")
    return sorted(runs, key=lambda run: int(run["seed"]))


def cell(values: Sequence[float | None]) -> str:
    """Mean ± sample standard deviation in percent.

    >>> cell([0.5, 0.7])
    '60.0 ± 14.1'
    """
    if any(value is None for value in values):
        return "not defined"
    known = [100 * value for value in values if value is not None]
    spread = statistics.stdev(known) if len(known) > 1 else float("nan")
    return f"{statistics.mean(known):.1f} ± {spread:.1f}"


def table(folders: Sequence[Path], scores: Sequence[str] = SCORES) -> str:
    """A Markdown table: methods × networks in rows, scores in columns, the shapes' TIoU below."""
    lines = [f"| method | network | {' | '.join(scores)} |", "|---|---|" + "---|" * len(scores)]
    notes = []
    for folder in folders:
        runs = read_runs(folder)
        for network in runs[0]["scores"]:
            found = [run["scores"][network] for run in runs]
            cells = [
                cell([scored[score]["value"] for scored in found]) if score in found[0] else "" for score in scores
            ]
            lines.append(f"| {folder.name} | {network} | {' | '.join(cells)} |")
        first = runs[0]
        seeds = ", ".join(str(run["seed"]) for run in runs)
        share = first["labelled_share"]
        what = f"{first['dataset']} {first['dataset_version']}, {first['section']}"
        notes.append(f"{folder.name}: {what}, {share:.0%} labelled, seeds {seeds}")
    shapes = read_runs(folders[0])[0]["scores"]["teacher"]
    if "tiou_disc" in shapes:
        disc, ones = (100 * shapes[name]["value"] for name in ("tiou_disc", "tiou_ones"))
        notes.append(f"TIoU of a centred disc {disc:.1f}, of a map of ones {ones:.1f}")
    return "\n".join([*lines, "", *notes])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", type=Path, help="folders with a run per seed")
    parser.add_argument("--scores", nargs="+", default=SCORES)
    parser.add_argument("--out", type=Path, help="a file to write instead of printing")
    given = parser.parse_args(arguments)
    try:
        text = table(given.methods, given.scores)
    except (FileNotFoundError, ValueError) as error:
        parser.exit(1, f"error: {error}\n")
    if given.out is None:
        print(text)  # noqa: T201 - this is a command
    else:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
