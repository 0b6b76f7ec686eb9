"""The files that a bundle has and has not, what it is called, and what they name outside of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from semimed_monai.zoo.bundles import METADATA, NAME, README, Bundle
from semimed_monai.zoo.checks.finding import Finding

TRAIN, INFERENCE = "configs/train.json", "configs/inference.json"
LICENCE = "LICENSE"
WEIGHTS, NETWORK = "models/model.pt", "models/network.json"

_NEEDED = {
    LICENCE: "add the licence's text",
    METADATA: "add it: MONAI reads version, classes and formats there",
    INFERENCE: "add it: MONAI Label and the public zoo run this one",
    TRAIN: "add it: a bundle of this project trains",
    "configs/evaluate.json": "add it: a bundle of this project is evaluated by it",
    "configs/multi_gpu_train.json": "add it: torchrun and MONAI Label train with it on several GPUs",
    "configs/logging.conf": "add it: MONAI takes its own settings of logging without",
    README: "add the model card",
}

_WRITTEN = (".json", ".yaml", ".yml", ".conf", ".md")

_PLACE = re.compile(
    r"""
    (?<=")(?:\$')?/[^/"\s]+/[^"'\s]*                                # a value that begins at the root
    | (?<![\w.:/~\\-])(?:
        ~/(?!\.)                                                    # not ~/.cache, which is everybody's
        | file:/
        | /(?:home|Users|root|mnt|media|data|scratch|srv|work)/
        | [A-Za-z]:[\\/]                                            # of Windows
        | \\\\[\w.-]+\\                                             # of a network
    )[^\s"'`,;)>]+
    """,
    re.VERBOSE,
)


def missing_files(bundle: Bundle, weights: bool) -> Iterator[Finding]:
    """What is not there, or empty."""
    needed = {**_NEEDED, **({WEIGHTS: f"train: monai.bundle run training --config_file {TRAIN}"} if weights else {})}
    for file, remedy in needed.items():
        path = bundle.folder / file
        if not path.is_file():
            yield Finding(bundle.name, file, "there is none", remedy)
        elif not path.stat().st_size:
            yield Finding(bundle.name, file, "it is empty", remedy)


def own_places(bundle: Bundle) -> Iterator[Finding]:
    """Paths of one machine: they lead nowhere on another, and may name a patient."""
    for file in bundle.files:
        if file.suffix not in _WRITTEN:
            continue
        text = (bundle.folder / file).read_text("utf-8")
        plain = text.replace("\\\\", "\\") if file.suffix == ".json" else text
        for found in dict.fromkeys(_PLACE.findall(plain)):
            yield Finding(bundle.name, file.as_posix(), f"it names {found}, a place on one machine", "take it out")


def links(bundle: Bundle) -> Iterator[Finding]:
    """To what is not the bundle's own, and would be published with it."""
    for file in bundle.links_out:
        what = "it lies outside the bundle, a link leads there"
        yield Finding(bundle.name, file.as_posix(), what, "put the file in its place, or remove it")


def strange_names(bundle: Bundle) -> Iterator[Finding]:
    """A name that MONAI cuts in two, code that is imported nowhere, and weights that MONAI Label would offer."""
    if not NAME.fullmatch(bundle.name):
        yield Finding(bundle.name, ".", "the folder's name has characters beside letters, digits, _ and -", "rename it")
    if re.search(r"_v\d*.", bundle.name):
        yield Finding(bundle.name, ".", "MONAI takes what follows _v in a name for the version", "rename the folder")
    for file in sorted(bundle.folder.rglob("*.py")):
        place = file.relative_to(bundle.folder).as_posix()
        yield Finding(bundle.name, place, "a bundle has no Python: it is importable only while it runs", "move it")
    for file in sorted((bundle.folder / "models").glob("*.pt")):
        if file.name != "model.pt":
            place = file.relative_to(bundle.folder).as_posix()
            yield Finding(bundle.name, place, "MONAI Label offers every .pt here as a model", "keep it elsewhere")
