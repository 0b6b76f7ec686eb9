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
from semimed_monai.overrides import unknown_keys
from semimed_monai.zoo.bundles import METADATA, Bundle
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.layout import INFERENCE, TRAIN

_KINDS = {TRAIN: "train", INFERENCE: "infer"}

_ROOT = {"_target_": "semimed_monai.recipes.bundle_root"}

_WEIGHTS = (
    "$@ckpt_dir + '/model.pt'",
    {"_target_": "semimed_monai.networks.weights_file", "weights": "@weights", "ckpt_dir": "@ckpt_dir"},
)
"""Those that training has left, or what somebody asks for in their place."""

_LOADING = [
    {"_target_": "semimed_monai.networks.load_weights", "network": "@network", "path": path} for path in _WEIGHTS
]

_SAMPLERS = ("validate#dataloader#sampler", "test#dataloader#sampler")

_LEFT_TO = {
    "evaluate.json": ("card", "image_size", "training"),
    "multi_gpu_train.json": ("device", "network", "initialize", "finalize", *_SAMPLERS),
    "inference_trt.json": ("network",),
}
"""What is an overlay's to set, by what it is called."""

_RUN_BY_MONAI = {"initialize", "run", "finalize"}


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
    for files in [[TRAIN], [INFERENCE], *([below, place] for place, below in _recipes_below(bundle).items())]:
        yield files[-1], _read(bundle, files)


def _recipes_below(bundle: Bundle) -> dict[str, str]:
    """For each overlay the recipe that it is over."""
    places = [file.as_posix() for file in bundle.files if file.parts[0] == "configs" and file.suffix == ".json"]
    above = [place for place in places if place not in (METADATA, *_KINDS)]
    return {place: INFERENCE if Path(place).name.startswith("inference_") else TRAIN for place in above}


def _read(bundle: Bundle, files: list[str]) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(bundle.folder / file) for file in files])
    return parser


def overlays(bundle: Bundle) -> Iterator[Finding]:
    """They set what is theirs, and nothing that neither the recipe below has nor they themselves ask for."""
    for place, below in _recipes_below(bundle).items():
        given, recipe = bundle.read(place), _read(bundle, [below])
        for key in _LEFT_TO.get(Path(place).name, ()):
            if given.get(key) in (None, recipe.get(key)):
                yield Finding(bundle.name, place, f"it leaves {key} as {below} has it", "set it there")
        asked = {name for text in _texts(given) for name in ReferenceResolver.match_refs_pattern(text)}
        settings = {key: value for key, value in given.items() if key not in asked | _RUN_BY_MONAI}
        for unknown in unknown_keys([bundle.folder / below], settings):
            yield Finding(bundle.name, place, f"{below} has no {unknown}", "correct the name, or take it out")


def bundle_roots(bundle: Bundle) -> Iterator[Finding]:
    """Recipes find their bundle in whatever folder a command is given."""
    for file in _KINDS:
        if bundle.read(file).get("bundle_root") != _ROOT:
            what = f"its bundle_root is not the component {_ROOT['_target_']}"
            yield Finding(bundle.name, file, what, "write it: paths are then the same wherever a command is given")


def loaded_weights(bundle: Bundle) -> Iterator[Finding]:
    """Inference puts the weights into its network before it runs."""
    config = bundle.read(INFERENCE)
    steps = [step for step in config.get("initialize", ()) if isinstance(step, dict)]
    if not any({**step, "path": named(config, step.get("path"))} in _LOADING for step in steps):
        what = f"its initialize does not load the weights in ckpt_dir into @network by {_LOADING[0]['_target_']}"
        yield Finding(bundle.name, INFERENCE, what, "add it: without, the network's weights are random")


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


def named(config: dict[str, Any], value: Any) -> Any:
    """What a reference to a key at the top of a config stands for; anything else as it is."""
    return config.get(value[1:], value) if isinstance(value, str) and value.startswith("@") else value
