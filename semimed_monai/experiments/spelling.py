"""What a name in an experiment's file must be the name of, said before a table is run for hours without it.

Looked for: MONAI takes an override of any name, and ignores what no component asks for.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Sequence
from pydoc import locate
from typing import Any

from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser
from monai.bundle import run as run_bundle

from semimed_monai.experiments.plan import Cell, Experiment
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
    unknown: dict[str, str] = {}
    for cell in {tuple(cell.settings): cell for cell in cells}.values():
        parser = ConfigParser()
        parser.read_config([str(config) for config in experiment.configs])
        for key, value in cell.settings.items():
            if _is_known(key, parser):
                parser[key] = value  # which later keys may be part of
            else:
                unknown.setdefault(key, f"{key!r}{_hint(key, parser)}")
    if unknown:
        recipe = " + ".join(str(config) for config in experiment.configs)
        raise ValueError(
            "\n  - ".join([f"{recipe} has no such keys; correct them in {experiment.file} or here:", *unknown.values()])
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


def _is_known(key: str, parser: ConfigParser) -> bool:
    """Whether the recipe has it, or a component of the recipe, or the command, takes it."""
    if key in parser or key in inspect.signature(run_bundle).parameters:
        return True
    owner, _, last = key.replace("::", "#").rpartition("#")
    component: Any = parser.get(owner)
    if not ConfigComponent.is_instantiable(component):
        return False
    return last in ConfigComponent.non_arg_keys or _takes(component, last)


def _takes(component: dict[str, Any], argument: str) -> bool:
    found: Any = ConfigComponent(component, locator=ComponentLocator())  # MONAI has no type hints here
    target = found.resolve_module_name()
    called: Any = locate(target) if isinstance(target, str) else target
    try:
        parameters = inspect.signature(called).parameters
    except (TypeError, ValueError):  # one that does not say: the run will
        return True
    return argument in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())


def _hint(key: str, parser: ConfigParser) -> str:
    near = difflib.get_close_matches(key.replace("::", "#"), list(_ids(parser.get())), 1)
    return f": did you mean {near[0]!r}?" if near else ""


def _ids(config: Any, above: str = "") -> Iterator[str]:
    """All keys of a recipe, at any depth, as they are overridden."""
    entries = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for name, inner in entries:
        yield f"{above}{name}"
        yield from _ids(inner, f"{above}{name}#")
