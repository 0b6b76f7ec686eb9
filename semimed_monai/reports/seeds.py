"""Runs that differ in their seed, side by side: mean ± sd of every score, one line per method.

    python -m semimed_monai.reports.seeds runs/supervised runs/dcmt [--scores f1 auc tiou] [--out table.md]

A method's folder holds a run per seed: `runs/dcmt/0/metrics.json`, …, as `--output_dir runs/dcmt/0` leaves them.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SCORES = ("recall", "f1", "auc", "tiou", "tiou_macro")


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """The metrics of each run of one method, by seed.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a seed stands there twice.
    """
    runs = [json.loads(path.read_text()) for path in sorted(folder.glob("*/metrics.json"))]
    if not runs:
        raise FileNotFoundError(f"{folder} holds no run: expected {folder}/<seed>/metrics.json")
    seeds = [run["seed"] for run in runs]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{folder} holds a seed twice: {seeds}")
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


def refuse_unequal(methods: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Methods stand in one table only if they were measured on the same: section of the same data.

    Raises:
        ValueError: they differ in one of these, or runs of one method in their labelled share.
    """
    for key in ("dataset", "dataset_version", "dataset_digest", "section", "profile"):
        values = sorted({str(run.get(key)) for runs in methods.values() for run in runs})
        if len(values) > 1:
            raise ValueError(f"these runs cannot be compared, they differ in {key}: {', '.join(values)}")
    for name, runs in methods.items():
        shares = sorted({run["labelled_share"] for run in runs})
        if len(shares) > 1:
            raise ValueError(f"the runs of {name} differ in labelled_share: {', '.join(map(str, shares))}")


def table(folders: Sequence[Path], scores: Sequence[str] = SCORES) -> str:
    """A Markdown table: methods × networks in rows, scores in columns, what was measured below."""
    methods = {folder.name: read_runs(folder) for folder in folders}
    refuse_unequal(methods)
    lines = [f"| method | labels | network | {' | '.join(scores)} |", "|---|---|---|" + "---|" * len(scores)]
    for name, runs in methods.items():
        for network, example in runs[0]["scores"].items():
            found = [run["scores"][network] for run in runs]
            cells = [cell([one[score]["value"] for one in found]) if score in example else "" for score in scores]
            lines.append(f"| {name} | {runs[0]['labelled_share']:.0%} | {network} | {' | '.join(cells)} |")
    first = next(iter(methods.values()))[0]
    seeds = "; ".join(f"{name} {', '.join(str(run['seed']) for run in runs)}" for name, runs in methods.items())
    lines += ["", f"{first['dataset']} {first['dataset_version']}, {first['section']} section; seeds: {seeds}."]
    shapes = next(iter(first["scores"].values()))
    if "tiou_disc" in shapes:
        disc, ones = (100 * shapes[name]["value"] for name in ("tiou_disc", "tiou_ones"))
        lines.append(f"TIoU of a centred disc {disc:.1f}, of a map of ones {ones:.1f}.")
    return "\n".join(lines)


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
