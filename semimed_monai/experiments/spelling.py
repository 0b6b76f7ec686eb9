"""What a name in an experiment's file must be the name of, said before a table is run for hours without it."""

from __future__ import annotations

from collections.abc import Sequence

from semimed_monai.experiments.plan import Cell, Experiment
from semimed_monai.overrides import unknown_keys
from semimed_monai.reports.page.run import read_metrics


def refuse_unknown_keys(experiment: Experiment, cells: Sequence[Cell]) -> None:
    """Raise if a config is missing, or a cell overrides what the recipe does not have.

    Raises:
        FileNotFoundError: which config.
        ValueError: which keys, with the nearest that there are.
    """
    for config in experiment.configs:
        if not config.is_file():
            raise FileNotFoundError(
                f"{experiment.file}: there is no {config}: correct 'configs', paths relative to the bundle's folder"
            )
    different = {tuple(cell.settings): cell for cell in cells}.values()
    unknown = dict.fromkeys(key for cell in different for key in unknown_keys(experiment.configs, cell.settings))
    if unknown:
        recipe = " + ".join(str(config) for config in experiment.configs)
        raise ValueError(
            "\n  - ".join([f"{recipe} has no such keys; correct them in {experiment.file} or here:", *unknown])
        )


def refuse_unknown_results(experiment: Experiment, cell: Cell) -> None:
    """Raise if a finished cell lacks a network that a row of its runs names, or no network has one of the scores.

    Raises:
        ValueError: which networks or scores, and those that there are.
    """
    scores = read_metrics(cell.folder)["scores"]
    named = [row.network for name, row in experiment.methods.items() if cell.method in (name, row.run) and row.network]
    _refuse_missing("network", named, list(scores), experiment, cell)
    _refuse_missing("score", experiment.scores, [name for of in scores.values() for name in of], experiment, cell)


def _refuse_missing(what: str, wanted: Sequence[str], there: Sequence[str], experiment: Experiment, cell: Cell) -> None:
    if missing := [name for name in wanted if name not in there]:
        raise ValueError(
            f"{cell.metrics} has no {what} {', '.join(map(repr, missing))}: correct each {what!r} in "
            f"{experiment.file}; there are {', '.join(dict.fromkeys(there))}"
        )
