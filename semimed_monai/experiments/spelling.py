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


def refuse_unknown_scores(experiment: Experiment, cell: Cell) -> None:
    """Raise if no network of a finished cell has one of the experiment's scores.

    Raises:
        ValueError: which scores, and those that there are.
    """
    there = dict.fromkeys(name for scores in read_metrics(cell.folder)["scores"].values() for name in scores)
    if missing := [score for score in experiment.scores if score not in there]:
        raise ValueError(
            f"{cell.metrics} has no score {', '.join(map(repr, missing))}: correct 'scores' in {experiment.file}; "
            f"there are {', '.join(there)}"
        )
