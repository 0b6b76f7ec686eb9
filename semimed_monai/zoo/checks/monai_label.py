"""What MONAI Label's app reads of a bundle, and what it breaks on.

The app reads inference.json, train.json and metadata.json, each alone and without its overlays; what it looks up there
stands in its monailabel/tasks/infer/bundle.py and monailabel/tasks/train/bundle.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from monai.bundle import ConfigParser

from semimed_monai.zoo.bundles import METADATA, Bundle
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.layout import INFERENCE, TRAIN
from semimed_monai.zoo.checks.recipes import section

_REPLACED = ("network", "train#dataset#data", "validate#dataset#data", "run")
"""What a training in the app replaces or begins with, beside what MONAI itself asks of a recipe."""

_KINDS = ("deepedit", "deepgrow", "detection", "segmentation", "classification")
"""Of models, in the order in which the app looks for them in a folder's name."""

_ANSWER = "answer"

_ASKED = {
    "pre_transforms": [{"_target_": "semimed_monai.label.ReadRequest", "preprocessing": "@preprocessing"}],
    "inferer": {"_target_": "semimed_monai.label.SlicesInferer", "batch_size": "@batch_size"},
}
"""How every bundle reads a request, and runs its network on all slices."""

_OF_IMAGES = {"plane", "aspect"}
"""What an answer is told of how images lie."""


def answers(bundle: Bundle) -> Iterator[Finding]:
    """Requests are read, run and answered in the app's form, and answered by what outputs/answer is."""
    config, outputs = bundle.read(INFERENCE), bundle.metadata["network_data_format"]["outputs"]
    for key, form in _ASKED.items():
        if config.get(key) != form:
            yield Finding(bundle.name, INFERENCE, f"{key} is not {json.dumps(form)}", "write it so for MONAI Label")
    steps = [
        {name: value for name, value in step.items() if name not in _OF_IMAGES} if isinstance(step, dict) else step
        for step in config.get("post_transforms", ())
    ]
    kind = outputs.get(_ANSWER, {}).get("format")
    forms = _answering(kind, "classes" in section(config, "card"))
    if steps not in forms:
        what = f"post_transforms is not {' or '.join(map(json.dumps, forms))}, which make an answer of {kind}"
        yield Finding(bundle.name, INFERENCE, what, f"write it so for MONAI Label, or correct the format in {METADATA}")


def _answering(kind: str | None, of_classes: bool) -> list[list[Any]]:
    """What post_transforms may be for an answer of this format."""
    if kind == "classes":
        return [[{"_target_": "semimed_monai.label.ClassAnswer"}]]
    answer = {"_target_": "semimed_monai.label.MapAnswer", "threshold": "@threshold"}
    if of_classes:
        answer["classes"] = "$@card['classes']"
    return [[answer], ["@postprocessing", {"_target_": "semimed_monai.label.MaskAnswer"}]]


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
