"""configs/metadata.json by itself, against the recipes and against the model card."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import metadata as installed
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from semimed_monai.zoo.bundles import METADATA, README, Bundle, section_of
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.layout import INFERENCE, TRAIN

SCHEMA = Path(__file__).with_name("metadata_schema.json")
"""Ours, which is stricter than the public zoo's: also what MONAI's verify_metadata may be given as --filepath."""

_LONGEST = 160


def against_schema(bundle: Bundle) -> Iterator[Finding]:
    """Keys that are missing, of another kind, or known to nobody."""
    validator = Draft7Validator(json.loads(SCHEMA.read_text()))
    for error in sorted(validator.iter_errors(bundle.metadata), key=lambda error: list(map(str, error.absolute_path))):
        where = "/".join(map(str, error.absolute_path)) or "the file"
        message = error.message if len(error.message) <= _LONGEST else f"{error.message[:_LONGEST]} …"
        yield Finding(bundle.name, METADATA, f"{where}: {message}", "correct it")


def versions(bundle: Bundle) -> Iterator[Finding]:
    """The version and its line in the changelog; packages that are not there, or older than said."""
    metadata = bundle.metadata
    version, changelog = metadata.get("version"), metadata.get("changelog")
    if isinstance(changelog, dict) and changelog:
        if version not in changelog:
            yield Finding(bundle.name, METADATA, f"the changelog has no version {version}", "say there what changed")
        known = [entry for entry in changelog if _version(entry)]
        newest = max(known, key=lambda entry: _version(entry) or Version("0"), default=version)
        if newest != version and version in changelog:
            yield Finding(
                bundle.name, METADATA, f"the changelog has {newest}, and the version is {version}", "raise the version"
            )
    required = {"monai": metadata.get("monai_version"), "torch": metadata.get("pytorch_version")}
    required |= {"numpy": metadata.get("numpy_version"), **_dict(metadata.get("required_packages_version"))}
    for name, least in required.items():
        yield from _installed(bundle, name, str(least))


def _installed(bundle: Bundle, name: str, least: str) -> Iterator[Finding]:
    try:
        there = Version(installed.version(Requirement(name).name))
    except installed.PackageNotFoundError:
        yield Finding(bundle.name, METADATA, f"there is no package {name} here", "correct its name, or install it")
        return
    wanted = _version(least)
    if wanted is not None and there < wanted:
        yield Finding(
            bundle.name, METADATA, f"it asks for {name} {least}, and {there} is installed", "lower it, or upgrade"
        )


def channels(bundle: Bundle) -> Iterator[Finding]:
    """A name for each channel; of a label map, for each of its values."""
    for side in ("inputs", "outputs"):
        for name, tensor in _tensors(bundle, side).items():
            count, names, kind = tensor.get("num_channels"), tensor.get("channel_def", {}), "channels"
            if tensor.get("format") == "labels" and tensor.get("value_range"):
                count, kind = 1 + int(tensor["value_range"][-1]), "values"
            if isinstance(count, int) and sorted(names) != sorted(map(str, range(count))):
                where = f"{side}/{name}: {count} {kind}, and channel_def names {', '.join(names) or 'none'}"
                yield Finding(bundle.name, METADATA, where, f"name 0 to {count - 1}")


def against_recipes(bundle: Bundle) -> Iterator[Finding]:
    """Classes and channels as the recipes have them, and the size that stands for the paper's in both."""
    train, inference = bundle.read(TRAIN), bundle.read(INFERENCE)
    card = _dict(inference.get("card"))
    classes = card["classes"] if isinstance(card.get("classes"), list) else []
    for name, tensor in _tensors(bundle, "outputs").items():
        named = [
            _dict(tensor.get("channel_def")).get(str(place)) for place in range(len(tensor.get("channel_def", [])))
        ]
        if classes and named[-len(classes) :] != classes:
            what = (
                f"outputs/{name}: the last channels are {_shown(named)}, and {INFERENCE} has classes {_shown(classes)}"
            )
            yield Finding(bundle.name, METADATA, what, "give both the same classes in the same order")
    labels = str(bundle.metadata.get("label_classes", "")).lower()
    if missing := [name for name in classes if name.lower() not in labels]:
        yield Finding(bundle.name, METADATA, f"label_classes does not name {_shown(missing)}", "name every class")
    for place in {train.get("in_channels"), _dict(card.get("arguments")).get("in_channels")}:
        for name, tensor in _tensors(bundle, "inputs").items():
            if isinstance(place, int) and place != tensor.get("num_channels"):
                what = f"inputs/{name} has {tensor.get('num_channels')} channels, and a recipe's in_channels is {place}"
                yield Finding(bundle.name, METADATA, what, "give both the same number")
    paper = _dict(_dict(train.get("profiles")).get("paper")).get("image_size")
    if paper is not None and card.get("size", paper) != paper:
        what = f"without a card the image is {card['size']}, and the profile paper of {TRAIN} has {paper}"
        yield Finding(bundle.name, INFERENCE, what, "give both the same size")


def against_card(bundle: Bundle) -> Iterator[Finding]:
    """Metrics stand in the model card, from where they say that they are."""
    metrics = _dict(bundle.metadata.get("eval_metrics"))
    text = (bundle.folder / README).read_text(encoding="utf-8")
    for name, value in metrics.items():
        if isinstance(value, int | float) and not _stands_in(text, value):
            what = f"eval_metrics/{name} is {value}, which does not stand in {README}"
            yield Finding(bundle.name, METADATA, what, "take the number from the card's table")
    if not metrics and re.search(r"^\|", section_of(text, "Performance"), re.MULTILINE):
        what = f"eval_metrics is empty, and {README} has a table under '## Performance'"
        yield Finding(bundle.name, METADATA, what, "take the most important numbers, and say whose they are")
    source = str(metrics.get("source", README)).split(":", 1)[0]
    if not (bundle.folder / source).is_file():
        yield Finding(bundle.name, METADATA, f"eval_metrics/source names {source}", "name a file of the bundle first")
    if "not a medical device" not in str(bundle.metadata.get("intended_use", "")).lower():
        yield Finding(bundle.name, METADATA, "intended_use does not say: not a medical device", "say it")


def _stands_in(text: str, value: float) -> bool:
    """As it is, or in percent."""
    forms = {f"{value:g}", f"{100 * value:.1f}", f"{100 * value:g}"}
    return any(re.search(rf"(?<![\d.]){re.escape(form)}(?![\d])", text) for form in forms)


def _tensors(bundle: Bundle, side: str) -> dict[str, Any]:
    return {
        name: _dict(tensor)
        for name, tensor in _dict(_dict(bundle.metadata.get("network_data_format")).get(side)).items()
    }


def _dict(value: Any) -> dict[str, Any]:
    """What is no object is the schema's business."""
    return value if isinstance(value, dict) else {}


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _shown(names: list[Any]) -> str:
    return ", ".join(map(str, names))
