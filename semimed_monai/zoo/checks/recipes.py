"""Recipes as configs: what MONAI wants of them, what they name, what they refer to.

Looked for: MONAI's check_properties builds trainer and data first; a component or a reference that is misspelt shows
when it is asked for, which may be after the training.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from pydoc import ErrorDuringImport, locate
from typing import Any

from monai.bundle import ComponentLocator, ConfigParser, ConfigWorkflow, ReferenceResolver

from semimed_monai.experiments.plan import Experiment
from semimed_monai.experiments.spelling import refuse_unknown_keys
from semimed_monai.zoo.bundles import METADATA, Bundle
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.layout import INFERENCE, TRAIN

_KINDS = {TRAIN: "train", INFERENCE: "infer"}
_MONAIS = ComponentLocator()


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
    """Each config as it is run: inference alone, its overlays (inference_….json) over it, others over the training."""
    for file in bundle.files:
        place = file.as_posix()
        if file.parts[0] == "configs" and file.suffix == ".json" and place != METADATA:
            parser = ConfigParser()
            below = INFERENCE if file.name.startswith("inference_") else TRAIN
            parser.read_config([str(bundle.folder / one) for one in ([place] if place in _KINDS else [below, place])])
            yield place, parser


def targets(bundle: Bundle) -> Iterator[Finding]:
    """Components of which there is none of that name."""
    for file in bundle.files:
        if file.suffix == ".json" and file.parts[0] == "configs":
            for value in dict.fromkeys(_values(bundle.read(file.as_posix()), "_target_")):
                if not value.startswith(("$", "@")) and not _is_known(value):
                    what = f"there is no component {value}"
                    yield Finding(bundle.name, file.as_posix(), what, "correct its _target_, or install what it is of")


def references(bundle: Bundle) -> Iterator[Finding]:
    """`@something` that the recipe does not have."""
    for file, parser in recipes(bundle):
        missing = dict.fromkeys(
            name
            for value in _texts(parser.get())
            for name in ReferenceResolver.match_refs_pattern(value)
            if name not in parser
        )
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


def _is_known(target: str) -> bool:
    try:
        return locate(target) is not None or _MONAIS.get_component_module_name(target) is not None
    except ErrorDuringImport:
        return False


def _values(config: Any, key: str) -> Iterator[str]:
    """What stands under a key, at any depth."""
    entries = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    if isinstance(config, dict) and isinstance(config.get(key), str):
        yield config[key]
    for inner in entries:
        yield from _values(inner, key)


def _texts(config: Any) -> Iterator[str]:
    if isinstance(config, str):
        yield config
    entries = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    for inner in entries:
        yield from _texts(inner)
