"""An image is prepared for inference as it was for training: one definition, one set of settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from semimed_monai.zoo.bundles import Bundle
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.layout import INFERENCE, TRAIN
from semimed_monai.zoo.checks.recipes import named, section

GUARDS = {"refuse_blank"}
"""Settings that refuse an image, and change none."""

_TRAINED = "train#preprocessing"


def one_preprocessing(bundle: Bundle) -> Iterator[Finding]:
    """Training, validation and inference."""
    train, inference = bundle.read(TRAIN), bundle.read(INFERENCE)
    trained, used = section(train, "train").get("preprocessing"), inference.get("preprocessing")
    validated = section(train, "validate").get("preprocessing", f"@{_TRAINED}")
    if validated not in (f"@{_TRAINED}", trained):
        what = f"validate#preprocessing is not that of training, {_TRAINED}"
        yield Finding(bundle.name, TRAIN, what, f"write @{_TRAINED} there")
    if not isinstance(trained, dict) or not isinstance(used, dict):
        what = f"{_TRAINED} of {TRAIN} and preprocessing of {INFERENCE} are not both a component"
        yield Finding(bundle.name, INFERENCE, what, "give each a _target_, the same")
        return
    for what in _differences(trained, used, inference):
        yield Finding(bundle.name, INFERENCE, f"preprocessing: {what}", f"prepare images as {_TRAINED} does")


def _differences(trained: dict[str, Any], used: dict[str, Any], inference: dict[str, Any]) -> Iterator[str]:
    if trained.get("_target_") != used.get("_target_"):
        yield f"it is {used.get('_target_')}, and training's {trained.get('_target_')}"
        return
    for name in sorted((trained.keys() | used.keys()) - GUARDS):
        if name not in used:
            yield f"it does not set {name}, and training does"
        elif name not in trained:
            yield f"it sets {name}, and training does not"
        elif not _is_the_same(name, trained[name], used[name], inference):
            yield f"its {name} is {used[name]!r}, and training's {trained[name]!r}"


def _is_the_same(name: str, trained: Any, used: Any, inference: dict[str, Any]) -> bool:
    """The same value or expression, or what training wrote into the card."""
    used = named(inference, used)
    from_card = isinstance(used, str) and used.startswith("$@card[")
    if from_card and isinstance(trained, str) and trained.startswith(("@", "$")):
        return bool(used == f"$@card['{name}']")
    return bool(trained == used)
