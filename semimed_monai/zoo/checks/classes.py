"""Classes, channels and size: metadata.json has them as the recipes do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from semimed_monai.zoo.bundles import METADATA, Bundle
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.layout import INFERENCE, NETWORK, TRAIN
from semimed_monai.zoo.checks.recipes import section

_BACKGROUND = "background"
"""What MONAI Label drops from a label map's names."""


def output_names(bundle: Bundle) -> Iterator[Finding]:
    """All outputs name the classes, in one order, and last; a label map names first what is none of them."""
    classes = list(_classes(bundle))
    for name, tensor in bundle.metadata["network_data_format"]["outputs"].items():
        named = list(_names(tensor).values())
        if tensor["format"] == "labels" and named[0] != _BACKGROUND:
            what = f"outputs/{name}: the value 0 is called {named[0]}, and it is where no class was found"
            yield Finding(bundle.name, METADATA, what, f"call it {_BACKGROUND}, and the classes 1 and up")
        if classes and named[-len(classes) :] != classes:
            what = f"outputs/{name}: the last channels are {', '.join(named)}, and the classes {', '.join(classes)}"
            yield Finding(bundle.name, METADATA, what, "give both the same classes in the same order")


def label_names(bundle: Bundle) -> Iterator[Finding]:
    """label_classes names every class, in their order, and after no other number than its own."""
    classes, text = _classes(bundle), bundle.metadata["label_classes"]
    found = {name: re.search(rf"(?:\b(\d+) )?(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) for name in classes}
    if missing := [name for name, one in found.items() if one is None]:
        yield Finding(bundle.name, METADATA, f"label_classes does not name {', '.join(missing)}", "name every class")
        return
    places = [one.start() for one in found.values() if one]
    numbers = {name: int(one[1]) for name, one in found.items() if one and one[1]}
    if places != sorted(places) or not numbers.items() <= classes.items():
        what = f"label_classes has another order than the classes, {', '.join(classes)}"
        yield Finding(bundle.name, METADATA, what, "give both the same classes in the same order")


def one_naming(bundle: Bundle) -> Iterator[Finding]:
    """What a training in MONAI Label begins with and what one has left name the classes as inference does without a
    card; where inference names none, it asks no card for them.
    """
    wanted = _card(bundle).get("classes")
    for file, card in ((TRAIN, section(bundle.read(TRAIN), "weights_card")), (NETWORK, _trained_card(bundle))):
        named: Any = card.get("classes", wanted)
        if wanted and named != wanted:
            what = f"its card has the classes {', '.join(named)}, and {INFERENCE} {', '.join(wanted)}"
            yield Finding(bundle.name, file, what, f"give both, and {METADATA}, the same classes in the same order")


def input_channels(bundle: Bundle) -> Iterator[Finding]:
    """As many as the recipes' in_channels."""
    arguments = [section(card, "arguments") for card in (_card(bundle), _trained_card(bundle))]
    given = [owner.get("in_channels") for owner in (bundle.read(TRAIN), *arguments)]
    for name, tensor in bundle.metadata["network_data_format"]["inputs"].items():
        for count in {one for one in given if isinstance(one, int)} - {tensor["num_channels"]}:
            what = f"inputs/{name} has {tensor['num_channels']} channels, and a recipe's in_channels is {count}"
            yield Finding(bundle.name, METADATA, what, "give both the same number")


def image_size(bundle: Bundle) -> Iterator[Finding]:
    """The size that stands for the paper's where there is no card is the paper's; that of a card is a number."""
    paper = section(section(bundle.read(TRAIN), "profiles"), "paper").get("image_size")
    size = _card(bundle).get("size", paper)
    if paper is not None and size != paper:
        what = f"without a card the image is {size}, and the profile paper of {TRAIN} has {paper}"
        yield Finding(bundle.name, INFERENCE, what, "give both the same size")
    trained = _trained_card(bundle).get("size", 0)
    if not isinstance(trained, int):
        what = f"its size is {trained!r}, and no whole number"
        yield Finding(bundle.name, NETWORK, what, "take the one that training left")


def _classes(bundle: Bundle) -> dict[str, int]:
    """With their numbers: those of the card, or, where it has none, those that a request is answered with."""
    if named := _card(bundle).get("classes"):
        return {name: number for number, name in enumerate(named)}
    answer = bundle.metadata["network_data_format"]["outputs"].get("answer")
    return {name: number for number, name in _names(answer).items() if name != _BACKGROUND} if answer else {}


def _card(bundle: Bundle) -> dict[str, Any]:
    """What inference takes where training has left no card."""
    return section(bundle.read(INFERENCE), "card")


def _trained_card(bundle: Bundle) -> dict[str, Any]:
    """What training has left; {} before it has."""
    return bundle.read(NETWORK) if (bundle.folder / NETWORK).is_file() else {}


def _names(tensor: dict[str, Any]) -> dict[int, str]:
    return {number: tensor["channel_def"][str(number)] for number in sorted(map(int, tensor["channel_def"]))}
