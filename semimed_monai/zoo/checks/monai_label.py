"""What MONAI Label's app reads of a bundle, and what it breaks on.

The app reads inference.json, train.json and metadata.json, each alone and without its overlays; what it looks up there
stands in its monailabel/tasks/infer/bundle.py and monailabel/tasks/train/bundle.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from monai.bundle import ConfigParser

from semimed_monai.zoo.bundles import METADATA, Bundle
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.layout import INFERENCE, TRAIN

_REPLACED = ("network", "train#dataset#data", "validate#dataset#data", "run")
"""What a training in the app replaces or begins with, beside what MONAI itself asks of a recipe."""

_KINDS = ("deepedit", "deepgrow", "detection", "segmentation", "classification")
"""Of models, in the order in which the app looks for them in a folder's name."""

_ANSWER = "answer"
_OURS = "semimed_monai.label."


def answers(bundle: Bundle) -> Iterator[Finding]:
    """Requests are read, and replies made, by what knows the app's form."""
    config = bundle.read(INFERENCE)
    for key, place, does in (("pre_transforms", 0, "begin"), ("post_transforms", -1, "end")):
        steps = config.get(key)
        if not (isinstance(steps, list) and steps and _target(steps[place]).startswith(_OURS)):
            what = f"{key} is no list that {does}s with a component of {_OURS[:-1]}"
            yield Finding(bundle.name, INFERENCE, what, f"let it {does} with one: MONAI Label calls these transforms")


def trains(bundle: Bundle) -> Iterator[Finding]:
    """What the app replaces is there, and its handlers are a list of objects, in which it looks for a loader."""
    parser = ConfigParser(bundle.read(TRAIN))
    for key in _REPLACED:
        if key not in parser:
            what = f"it has no {key}, which MONAI Label replaces or runs"
            yield Finding(bundle.name, TRAIN, what, "define it, or refer to it by this name")
    handlers = parser.get("train#handlers")
    if not isinstance(handlers, list) or not all(isinstance(one, dict) for one in handlers):
        what = "train#handlers is no list of objects, and MONAI Label looks for a CheckpointLoader in it"
        yield Finding(bundle.name, TRAIN, what, "write each handler there as an object with a _target_")


def shown_options(bundle: Bundle) -> Iterator[Finding]:
    """None: the app refuses every request that does not give all of them."""
    for file in (TRAIN, INFERENCE):
        if "displayable_configs" in bundle.read(file):
            what = "it has displayable_configs, and MONAI Label then fails on each request without all of its keys"
            yield Finding(bundle.name, file, what, "take it out")


def first_tensors(bundle: Bundle) -> Iterator[Finding]:
    """The app reads the first input and the first output, whatever it is called."""
    for side, wanted in (("inputs", "image"), ("outputs", _ANSWER)):
        first = next(iter(bundle.metadata["network_data_format"][side]))
        if first != wanted:
            what = f"{side} begins with {first}, and MONAI Label takes the first for {wanted}"
            yield Finding(bundle.name, METADATA, what, f"put {wanted} first")


def kind_of_model(bundle: Bundle) -> Iterator[Finding]:
    """What the folder is called says what the app expects: classes, or a label map."""
    taken = next((kind for kind in _KINDS if kind in bundle.name.lower()), "segmentation")
    gives = bundle.metadata["network_data_format"]["outputs"].get(_ANSWER, {}).get("format")
    if gives and taken != ("classification" if gives == "classes" else "segmentation"):
        what = f"MONAI Label takes a bundle of this name for one of {taken}, and outputs/{_ANSWER} is of {gives}"
        yield Finding(bundle.name, METADATA, what, "rename the folder, or correct the format")


def _target(step: Any) -> str:
    return str(step.get("_target_")) if isinstance(step, dict) else ""
