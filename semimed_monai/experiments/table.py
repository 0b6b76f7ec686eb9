"""The runs of an experiment side by side: mean ± sd over seeds beside the paper's numbers, and a paired test.

Looked for: MLflow and TensorBoard list runs, neither makes a table of means. scipy has the test.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from scipy.stats import ttest_rel

from semimed_monai.experiments.plan import Cell, Experiment
from semimed_monai.files import whole, write_table
from semimed_monai.reports.comparable import refuse_unequal
from semimed_monai.reports.evaluation import scale_of
from semimed_monai.reports.page.run import read_metrics

_FACTS = ("method", "network", "column", "seed")


class Found(NamedTuple):
    """One cell's metrics."""

    cell: Cell
    metrics: dict[str, Any]


class Results:
    """What the finished cells of an experiment say.

    A score that a run does not define makes its method's mean "not defined": leaving a run out would flatter.

    Args:
        experiment: whose columns, methods, scores and paper's numbers.
        cells: those of its cells that may be finished.

    Raises:
        ValueError: no cell is finished, a metrics.json is damaged, or runs were measured on different data.
    """

    def __init__(self, experiment: Experiment, cells: Sequence[Cell]) -> None:
        self.experiment = experiment
        self.found = [Found(cell, read_metrics(cell.folder)) for cell in cells if cell.metrics.is_file()]
        if not self.found:
            raise ValueError(f"no cell of {experiment.file} is finished yet")
        for seed in {one.cell.seed if experiment.folds else None for one in self.found}:
            refuse_unequal(one.metrics for one in self.found if seed in (None, one.cell.seed))
        self.rows = [
            {
                **dict(zip(_FACTS, (one.cell.method, network, one.cell.column, one.cell.seed), strict=True)),
                **{name: scores[name]["value"] if name in scores else None for name in experiment.scores},
            }
            for one in self.found
            for network, scores in one.metrics["scores"].items()
        ]
        """One row per run and network, with its scores: what table.csv holds."""

    def networks(self, method: str) -> list[str]:
        """The networks of a method's row; the one that is compared comes first."""
        methods = self.experiment.methods
        chosen, run = methods[method].network, methods[method].run
        there = dict.fromkeys(row["network"] for row in self.rows if row["method"] == (run or method))  # deployed first
        if run:
            return [network for network in there if network == chosen]
        elsewhere = {other.network for other in methods.values() if other.run == method}
        return sorted((name for name in there if name not in elsewhere), key=lambda network: network != chosen)

    def values(self, method: str, column: str, network: str, score: str) -> dict[int, float | None]:
        """The score by seed."""
        place = (self.experiment.methods[method].run or method, network, column)
        return {row["seed"]: row[score] for row in self.rows if (row["method"], row["network"], row["column"]) == place}

    def markdown(self) -> str:
        """The table, the paired tests and what was measured."""
        lines = self._head("method", "network")
        for method in self.experiment.methods:
            for place, network in enumerate(self.networks(method)):
                cells = [
                    self._cell(method, network, column, score, beside=not place) for column, score in self._columns
                ]
                lines.append(f"| {method} | {network} | {' | '.join(cells)} |")
        tests = [*self._tests(), ""] if len(self.experiment.methods) > 1 else []
        return "\n".join([*lines, "", *tests, *self._facts()])

    def _head(self, *titles: str) -> list[str]:
        """The first two lines of a table with a column for each score in each column of the experiment."""
        names = [*titles, *(f"{score}, {column}" for column, score in self._columns)]
        return [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]

    @property
    def _columns(self) -> list[tuple[str, str]]:
        return [(column, score) for column in self.experiment.columns for score in self.experiment.scores]

    def _cell(self, method: str, network: str, column: str, score: str, beside: bool) -> str:
        """Mean ± sd; in brackets the paper's number, beside the network that it is of."""
        values = self.values(method, column, network, score)
        paper = self.experiment.methods[method].paper.get(column, {}).get(score) if beside else None
        text = mean_and_deviation(list(values.values()), scale_of(score)) + self._seeds_of(values)
        return text + ("" if paper is None else f" ({paper})")

    def _seeds_of(self, values: Sized) -> str:
        """How many seeds a number is of, where it lacks some."""
        count = len({one.cell.seed for one in self.found})
        return f", {len(values)} of {count} seeds" if 0 < len(values) < count else ""

    def _tests(self) -> list[str]:
        """Each method against the baseline, over the seeds that both have."""
        base = self.experiment.baseline
        lines = [
            f"Difference from {base} in points, mean over paired seeds; p of a paired t-test:",
            "",
            *self._head("method"),
        ]
        for method in self.experiment.methods:
            if method != base and self.networks(method) and self.networks(base):
                cells = [self._difference(method, column, score) for column, score in self._columns]
                lines.append(f"| {method} | {' | '.join(cells)} |")
        return lines

    def _difference(self, method: str, column: str, score: str) -> str:
        mine, theirs = (
            self.values(name, column, self.networks(name)[0], score) for name in (method, self.experiment.baseline)
        )
        pairs = [(mine[seed], theirs[seed]) for seed in mine if seed in theirs]
        known = [(one, other) for one, other in pairs if one is not None and other is not None]
        if not known:
            return ""
        differences = [scale_of(score) * (one - other) for one, other in known]
        text = f"{statistics.mean(differences):+.1f}{self._seeds_of(known)}"
        if len(known) < 2 or len(set(differences)) == 1:
            return text
        return f"{text}, p {ttest_rel(*zip(*known, strict=True)).pvalue:.2f}"

    def _facts(self) -> list[str]:
        """What was measured, and what two maps that look at nothing would reach."""
        first = self.found[0].metrics
        seeds = sorted({one.cell.seed for one in self.found})
        measured = f"{first['dataset']}, version {first['dataset_version']}, section {first['section']}"
        kind = "folds" if self.experiment.folds else "seeds"
        how = f"profile {first['profile']}, {kind} {', '.join(map(str, seeds))}"
        papers = "; in brackets the paper's numbers" if any(m.paper for m in self.experiment.methods.values()) else ""
        lines = [f"{measured}; {how}{papers}."]
        shapes = next(iter(first["scores"].values()))
        disc, ones = (shapes.get(name, {}).get("value") for name in ("tiou_disc", "tiou_ones"))
        if disc is not None and not self.experiment.folds:  # there are masks, the same for all runs
            disc, ones = 100 * disc, 100 * ones
            lines.append(f"TIoU of a centred disc {disc:.1f}, of a map of ones {ones:.1f}.")
        return lines

    def figure(self) -> Figure:
        """One panel per score: mean ± sd by method and column, the paper's numbers as open diamonds."""
        scores, columns, methods = self.experiment.scores, list(self.experiment.columns), list(self.experiment.methods)
        figure = Figure(figsize=(1.6 + 2.6 * len(scores), 1.4 + 0.45 * len(methods)), layout="constrained")
        axes = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
        for axis, score in zip(axes, scores, strict=True):
            for shift, column in enumerate(columns):
                offset = 0.6 * ((shift + 0.5) / len(columns) - 0.5)
                for place, method in enumerate(methods):
                    self._mark(axis, place + offset, f"C{shift}", method, column, score)
            axis.set_title(score)
            axis.set_xlabel("percent" if scale_of(score) == 100 else "pixels")
            axis.grid(axis="x", alpha=0.3)
        axes[0].set_yticks(range(len(methods)), methods)
        axes[0].invert_yaxis()
        handles = [
            axes[0].plot([], [], "o", color=f"C{shift}", label=column)[0] for shift, column in enumerate(columns)
        ]
        if any(method.paper for method in self.experiment.methods.values()):
            handles += axes[0].plot([], [], "D", mfc="none", color="grey", label="paper")
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        return figure

    def _mark(self, axis: Any, height: float, colour: str, method: str, column: str, score: str) -> None:
        for network in self.networks(method)[:1]:
            values = [value for value in self.values(method, column, network, score).values() if value is not None]
            if values:
                values = [scale_of(score) * value for value in values]
                spread = statistics.stdev(values) if len(values) > 1 else 0
                axis.errorbar(statistics.mean(values), height, xerr=spread, fmt="o", color=colour, capsize=3)
        paper = self.experiment.methods[method].paper.get(column, {}).get(score)
        if paper is not None:
            axis.plot(paper, height, "D", mfc="none", color=colour)

    def write(self, out: Path) -> list[Path]:
        """table.md, table.csv and table.png into the folder; returns them."""
        files = [out / f"table.{ending}" for ending in ("md", "csv", "png")]
        with whole(files[0]) as file:
            file.write_text(f"# {self.experiment.title}\n\n{self.markdown()}\n")
        write_table(files[1], self.rows)
        with whole(files[2]) as file:
            self.figure().savefig(file, dpi=150, format="png")
        return files


def mean_and_deviation(values: Sequence[float | None], scale: int = 100) -> str:
    """Mean ± sample standard deviation, of percent unless told otherwise.

    >>> mean_and_deviation([0.5, 0.7])
    '60.0 ± 14.1'
    """
    known = [scale * value for value in values if value is not None]
    if len(known) < len(values):
        return "not defined"
    if len(known) < 2:
        return "".join(f"{value:.1f}" for value in known)
    return f"{statistics.mean(known):.1f} ± {statistics.stdev(known):.1f}"
