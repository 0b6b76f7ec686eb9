"""Recipes as configs: what MONAI wants of them, what they refer to, what tables set of them.

Looked for: MONAI's check_properties builds trainer and data first; a reference that is misspelt shows when it is asked
for, which may be after the training.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow, ReferenceResolver

from semimed_monai.experiments.plan import Experiment
from semimed_monai.experiments.spelling import refuse_unknown_keys
from semimed_monai.zoo.bundles import METADATA, Bundle
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.layout import INFERENCE, TRAIN

_KINDS = {TRAIN: "train", INFERENCE: "infer"}


class _Unbuilt(ConfigWorkflow):
    """A workflow that says what its recipe has, and builds nothing of it."""

    def _get_property(self, name: str, property: dict[str, Any]) -> Any:  # noqa: A002 - MONAI's name
        if property["id"] not in self.parser:
            raise AttributeError(name)
        return self.parser[property["id"]]


def properties(bundle: Bundle) -> Iterator[Finding]:
    """MONAI's check_properties."""
    for file, kind in _KINDS.items():
        known = logging.getLogger("monai.bundle.workflows")
        known.disabled = True  # it logs what is said here
        try:
            workflow = _Unbuilt(
                config_file=str(bundle.folder / file),
                meta_file=str(bundle.folder / METADATA),
                logging_file=False,
                workflow_type=kind,
            )
            workflow.parser.parse()  # references as MONAI writes them
            missing = workflow.check_properties() or []
        finally:
            known.disabled = False
        for name in missing:
            place = workflow.properties[name]["id"]
            yield Finding(bundle.name, file, f"MONAI misses {place} in it", "define it, or refer to it by this name")


def recipes(bundle: Bundle) -> Iterator[tuple[str, ConfigParser]]:
    """Each config as it is run: training and inference alone, then overlays, those that are called inference_….json
    over the inference, and all others over the training.
    """
    places = [file.as_posix() for file in bundle.files if file.parts[0] == "configs" and file.suffix == ".json"]
    overlays = [place for place in places if place not in (METADATA, *_KINDS)]
    under = {place: INFERENCE if Path(place).name.startswith("inference_") else TRAIN for place in overlays}
    for files in [[TRAIN], [INFERENCE], *([below, place] for place, below in under.items())]:
        parser = ConfigParser()
        parser.read_config([str(bundle.folder / file) for file in files])
        yield files[-1], parser


def references(bundle: Bundle) -> Iterator[Finding]:
    """`@something` that the recipe does not have; of an overlay, what the recipe below it has not shown already."""
    shown: set[str] = set()
    for file, parser in recipes(bundle):
        names = (name for value in _texts(parser.get()) for name in ReferenceResolver.match_refs_pattern(value))
        missing = [name for name in dict.fromkeys(names) if name not in parser and name not in shown]
        shown.update(missing)
        for name in missing:
            yield Finding(bundle.name, file, f"it refers to @{name}, which it does not have", "correct the name")


def experiments(bundle: Bundle) -> Iterator[Finding]:
    """Tables that set what no recipe has."""
    for path in sorted((bundle.folder / "experiments").glob("*.json")):
        try:
            experiment = Experiment.read(path)
            refuse_unknown_keys(experiment, experiment.cells(Path("runs"), 1, {"dataset_dir": "data"}))
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            what = " ".join(str(error).replace(f"{bundle.folder}/", "").split())
            yield Finding(bundle.name, f"experiments/{path.name}", what, "correct the experiment")


def _texts(config: Any) -> Iterator[str]:
    if isinstance(config, str):
        yield config
    entries = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    for inner in entries:
        yield from _texts(inner)


def section(config: dict[str, Any], name: str) -> dict[str, Any]:
    """An object in a config; {} where there is none, which other checks say."""
    found = config.get(name)
    return found if isinstance(found, dict) else {}
