"""What a fold flatters by: scores on the runs' own folds less those on the section that no fold has a part of.

    python -m semimed_monai.ensembles.leakage runs/oai

reads the finished runs of members in a folder, at any depth, and prints a table: for folds by person, for folds by
image (where the person's other knee is in training), and what the second is above the first, means over runs, each with
a 95 % interval by bootstrap over people. Looked for: scikit-learn scores folds and has no interval over groups.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semimed_monai.ensembles.assembly import read_run_of_member
from semimed_monai.metrics import bootstrap_interval, quadratic_kappa
from semimed_monai.metrics.grading import FloatArray, IntArray, mean_of_known
from semimed_monai.reports.comparable import refuse_unequal
from semimed_monai.reports.page.answers import Grades

SPLITS = {True: "by person", False: "by image"}


@dataclass(frozen=True)
class FoldRun:
    """A member's run on a fold.

    Args:
        split: how the folds were cut.
        own, reported: its answers for its own fold and for the reported section.
    """

    split: str
    own: Grades
    reported: Grades


@dataclass(frozen=True)
class Flattery:
    """A mean over runs: on their own folds, on the reported section, and the difference with its interval."""

    own: float
    reported: float
    difference: float
    interval: tuple[float, float]


def read_runs(folder: Path) -> list[FoldRun]:
    """All finished runs of members below a folder.

    Raises:
        FileNotFoundError: there is none.
        ValueError: they were measured on different things.
    """
    runs, metrics = [], []
    for file in sorted(folder.rglob("metrics.json")):
        run = read_run_of_member(file.parent)
        if run is not None and run.own_fold is not None:
            runs.append(FoldRun(SPLITS[bool(run.card["trained"]["grouped_folds"])], run.own_fold, run.tested))
            metrics.append(run.metrics)
    if not runs:
        raise FileNotFoundError(f"there is no finished run of a member in {folder}: train some, or give their folder")
    refuse_unequal(metrics)
    return runs


def flattery(runs: Sequence[FoldRun], repeats: int = 1000) -> dict[tuple[str, str], Flattery]:
    """By split and score; with runs of both splits also what folds by image are above those by person.

    A person who is drawn is drawn in every run and both sections, so that runs are compared on the same people.
    """
    parts = [part for run in runs for part in (run.own, run.reported)]
    of = np.concatenate([np.full(len(part), place) for place, part in enumerate(parts)])
    labels = np.concatenate([part.label for part in parts])
    predicted = np.concatenate([part.probabilities.argmax(axis=1) for part in parts])
    groups = [group for part in parts for group in part.groups]
    classes = parts[0].probabilities.shape[1]
    splits = np.array([run.split for run in runs])

    def compared(drawn: IntArray) -> dict[tuple[str, str], FloatArray]:
        """By split and score own, reported and their difference; last those of the splits from each other."""
        rows = [drawn[of[drawn] == place] for place in range(len(parts))]
        scores = {
            "accuracy": [mean_of_known((predicted[row] == labels[row]).astype(float)) for row in rows],
            "quadratic_kappa": [quadratic_kappa(predicted[row], labels[row], classes) for row in rows],
        }
        found = {}
        for split in dict.fromkeys(splits.tolist()):
            for name, values in scores.items():
                own, reported = np.array(values).reshape(-1, 2)[splits == split].mean(axis=0)
                found[split, name] = np.array([own, reported, own - reported])
        person, image = SPLITS[True], SPLITS[False]
        if {person, image} <= {*splits.tolist()}:
            found |= {(f"{image} − {person}", name): found[image, name] - found[person, name] for name in scores}
        return found

    def differences(drawn: IntArray) -> dict[str, float]:
        return {f"{split}/{name}": float(values[2]) for (split, name), values in compared(drawn).items()}

    intervals = bootstrap_interval(differences, groups, repeats)
    return {
        (split, name): Flattery(own, reported, difference, intervals[f"{split}/{name}"])
        for (split, name), (own, reported, difference) in compared(np.arange(len(of))).items()
    }


def table(found: Mapping[tuple[str, str], Flattery]) -> str:
    """In Markdown, in points."""
    lines = ["| folds | score | own fold | reported section | difference |", "|---|---|---|---|---|"]
    for (split, name), one in found.items():
        low, high = (100 * end for end in one.interval)
        numbers = (
            f"{100 * one.own:.1f} | {100 * one.reported:.1f} | {100 * one.difference:+.1f} [{low:.1f}, {high:.1f}]"
        )
        lines.append(f"| {split} | {name} | {numbers} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m semimed_monai.ensembles.leakage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, help="the folder of an experiment's runs")
    given = parser.parse_args(arguments)
    try:
        print(table(flattery(read_runs(given.runs))))  # noqa: T201 - this is a command
    except (OSError, ValueError) as error:
        parser.exit(1, f"error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped\n")


if __name__ == "__main__":
    main()
