"""The files that a bundle has and has not, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Iterator

from semimed_monai.zoo.bundles import METADATA, NAME, README, Bundle
from semimed_monai.zoo.checks.finding import Finding

TRAIN, INFERENCE = "configs/train.json", "configs/inference.json"
WEIGHTS = "models/model.pt"

_NEEDED = {
    "LICENSE": "add the licence's text",
    METADATA: "add it: MONAI reads version, classes and formats there",
    INFERENCE: "add it: MONAI Label and the public zoo run this one",
    TRAIN: "add it: a bundle of this project trains",
    README: "add the model card",
}


def missing_files(bundle: Bundle, weights: bool) -> Iterator[Finding]:
    """What is not there, or empty."""
    needed = {**_NEEDED, **({WEIGHTS: f"train: monai.bundle run training --config_file {TRAIN}"} if weights else {})}
    for file, remedy in needed.items():
        path = bundle.folder / file
        if not path.is_file():
            yield Finding(bundle.name, file, "there is none", remedy)
        elif not path.stat().st_size:
            yield Finding(bundle.name, file, "it is empty", remedy)
    licence = bundle.folder / "LICENSE"
    if licence.is_file() and not re.search("licen[cs]e", licence.read_text(errors="replace"), re.IGNORECASE):
        yield Finding(bundle.name, "LICENSE", "it holds no licence", "put the licence's whole text there")


def broken_files(bundle: Bundle) -> Iterator[Finding]:
    """JSON that is none."""
    for file in bundle.files:
        if file.suffix == ".json" and file.parts[0] in ("configs", "experiments"):
            try:
                bundle.read(file.as_posix())
            except ValueError as error:
                what = str(error).removeprefix(f"{bundle.folder / file} ").split(":", 1)[0]
                yield Finding(bundle.name, file.as_posix(), what, "correct it")


def own_places(bundle: Bundle) -> Iterator[Finding]:
    """Paths of one machine: they lead nowhere on another, and may name a patient."""
    for file in bundle.files:
        if file.suffix != ".json":
            continue
        for text in re.findall(
            r'"(?:/[^"/]+(?:/[^"]*)|[A-Za-z]:[\\/][^"]*)"', (bundle.folder / file).read_text("utf-8")
        ):
            yield Finding(bundle.name, file.as_posix(), f"it names {text}, a place on one machine", "take it out")


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
