"""Maps of several networks, and of several runs, beside each other over the same images."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from semimed_monai.reports.comparable import refuse_unequal
from semimed_monai.reports.mapped import Mapped, SideBySide, joined, load_mapped
from semimed_monai.reports.page.gallery import MASK, bare, outline, overlay
from semimed_monai.reports.page.names import run_names
from semimed_monai.reports.page.run import MAKES, read_metrics


def shown_maps(runs: Sequence[Path], networks: Sequence[str | None] | None = None) -> list[Mapped]:
    """The images that all runs have kept, with the maps of each.

    Args:
        runs: their folders; one may stand there several times, for several of its networks.
        networks: whose maps, run by run; None: all of the run's.

    Raises:
        FileNotFoundError: a run has no metrics.json or no side_by_side.npz.
        ValueError: broken files, runs on different data, a network that a run does not have.
    """
    metrics = {run: read_metrics(run) for run in runs}
    refuse_unequal(metrics.values())
    names = run_names(metrics)
    if len(set(names.values())) < len(names):  # seeds of one method
        names = {run: f"{name} ({run})" for run, name in names.items()}
    kept: dict[str, list[Mapped]] = {}
    for run, network in zip(runs, networks or [None] * len(runs), strict=True):
        mapped = _of(run, network)
        before = kept.get(names[run])
        kept[names[run]] = mapped if before is None else _with(before, mapped)
    return joined(kept)


def _of(run: Path, network: str | None) -> list[Mapped]:
    file = run / SideBySide.file
    if not file.is_file():
        raise FileNotFoundError(f"there is no {file}: {MAKES}, if their recipe keeps maps side by side")
    mapped = load_mapped(file)
    there = list(mapped[0].maps)
    if network is not None and network not in there:
        raise ValueError(f"{run} has no maps of {network!r}: it has those of {', '.join(there)}")
    wanted = there if network is None else [network]
    return [Mapped(one.id, one.image, one.mask, {name: one.maps[name] for name in wanted}) for one in mapped]


def _with(mapped: Sequence[Mapped], further: Sequence[Mapped]) -> list[Mapped]:
    """The same run's images, with another network's maps."""
    return [
        Mapped(one.id, one.image, one.mask, {**one.maps, **other.maps})
        for one, other in zip(mapped, further, strict=True)
    ]


def in_rows(mapped: Sequence[Mapped], threshold: float) -> tuple[Figure, str]:
    """A row an image: as it is, with each map over it, and with the mask's outline.

    Returns:
        the figure, and what it shows in words.
    """
    titles = ["image", *mapped[0].maps, "mark"]
    side, shape = 1.5, np.mean([np.divide(*one.image.shape[:2]) for one in mapped])
    figure = Figure(figsize=(side * len(titles), side * shape * len(mapped) + 0.4), layout="constrained")
    rows = figure.subplots(len(mapped), len(titles), squeeze=False)
    for axes, title in zip(rows[0], titles, strict=True):
        axes.set_title(textwrap.fill(title, 18), fontsize=8)
    for row, one in zip(rows, mapped, strict=True):
        for axes in row:
            bare(axes, one.image)
        for axes, shown in zip(row[1:-1], one.maps.values(), strict=True):
            overlay(axes, shown, threshold)
        outline(row[-1], one.mask > 127, MASK)
    return figure, f"Maps of {len(mapped)} images beside each other: {', '.join(titles)}"
