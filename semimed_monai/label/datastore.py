"""What a training in MONAI Label learns from: the labelled images that the app gives, and the rest of its datastore.

MONAI Label hands a bundle a list of `{"image": path, "label": path}`, of labelled images only, in place of
`train#dataset#data`, and another in place of `validate#dataset#data`. The labels lie in the datastore's folder, whose
`datastore_v2.json` names all images: those without a label are the unlabelled ones.

Looked for: MONAI Label's bundle trainer has no hook for them, and its `LocalDatastore` writes into the folder when it
is opened.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from semimed_monai.data import Datalist
from semimed_monai.data.datalist import SECTIONS
from semimed_monai.data.find import is_result
from semimed_monai.data.splits import classes_of
from semimed_monai.transforms import read_grid, slice_items
from semimed_monai.transforms.grid import kind_of
from semimed_monai.transforms.volumes import LOSSY, read_mask
from semimed_monai.vocabulary import UNLABELLED, item_id

Item = dict[str, Any]

INDEX = "datastore_v2.json"
"""What MONAI Label calls the file that names a datastore's images."""


class Read(NamedTuple):
    """What a labelled image gives: items whose class is known, and slices of it that say nothing."""

    labelled: list[Item]
    rest: list[Item]


class Datastore:
    """MONAI Label's datastore as a recipe asks a `Datalist`: `labelled()`, `unlabelled()`, `section(…)`, `classes` …

    Unlabelled are the images that have no label, and the slices of a labelled training volume that have none. Nothing
    of a validation image is among them.

    Args:
        labelled: what MONAI Label gives to train on.
        validation: what it gives to validate on.
        classes: the names of the classes, in the network's order.
        read: makes items of an image and its label: `read_label_map`, `read_class` or `read_classes`.

    Raises:
        FileNotFoundError: the labels do not lie in a datastore.
        ValueError: there is nothing labelled, nothing to validate on or nothing unlabelled, or a label that cannot be
            read; all such labels are named.
    """

    version = ""
    labelled_share = 1.0

    def __init__(
        self,
        labelled: Sequence[Mapping[str, str]],
        validation: Sequence[Mapping[str, str]],
        classes: Sequence[str],
        read: Callable[[str, str, Sequence[str]], Read],
    ) -> None:
        if not labelled:
            raise ValueError("MONAI Label gives no labelled image to train on: label some, and submit the labels")
        self.root = datastore_of(labelled[0]["label"])
        self.name = self.root.name
        self.classes = list(classes)
        self._read = read
        self._problems: list[str] = []
        known, spare = self._all(labelled)
        self._labelled = known
        self._validation, _ = self._all(validation)
        if self._problems:
            raise ValueError("\n  - ".join([f"labels in {self.root} cannot be used:", *self._problems]))
        given = {Path(pair["image"]).resolve() for pair in (*labelled, *validation)}
        blank = [UNLABELLED] * len(self.classes) if _may_have_several(known) else UNLABELLED
        others = [item for image in self._others(given) for item in slice_items(image)]
        self._unlabelled = [{**item, "label": blank} for item in others + spare]
        self._refuse_gaps(len(labelled))

    def _all(self, pairs: Iterable[Mapping[str, str]]) -> Read:
        found = Read([], [])
        for pair in pairs:
            try:
                read = self._read(pair["image"], pair["label"], self.classes)
            except (FileNotFoundError, ValueError) as error:
                self._problems.append(str(error))
            else:
                found.labelled.extend(read.labelled)
                found.rest.extend(read.rest)
        return found

    def _others(self, given: set[Path]) -> list[str]:
        """The datastore's images that neither list has and nobody labelled; what inference wrote there is none."""
        try:
            index = json.loads((self.root / INDEX).read_text(encoding="utf-8"))
            images = self.root / index["images_dir"]
            others = [
                (images / f"{name}{entry['image']['ext']}").resolve()
                for name, entry in index["objects"].items()
                if "final" not in entry["labels"]
            ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.root / INDEX} is not what MONAI Label writes ({error!r}): start the server, which does it anew"
            ) from error
        return [str(one) for one in sorted(others) if one not in given and one.exists() and not is_result(one)]

    def _refuse_gaps(self, pairs: int) -> None:
        if not self._labelled:
            raise ValueError(f"none of the {pairs} labels in {self.root} marks anything: paint or name a class")
        if not self._validation:
            raise ValueError(
                f"there are {pairs} labelled images in {self.root}, and none is left to validate on: label more, or "
                "raise val_split in the request (0.2 takes a fifth of them)"
            )
        if len({str(item["label"]) for item in self._validation} - {str(UNLABELLED)}) == 1:
            raise ValueError(
                f"the {len(self._validation)} images or slices to validate on, the last labelled ones of {self.root}, "
                "are all of one class: label more, or raise val_split in the request"
            )
        if not self._unlabelled:
            raise ValueError(
                f"{self.root} has no unlabelled image, from which this bundle learns, too: put images without labels "
                "into it. To learn from labels alone, write a datalist and train with `monai.bundle run`"
            )

    def labelled(self) -> list[Item]:
        """The training items whose class is known."""
        return [dict(item) for item in self._labelled]

    def unlabelled(self) -> list[Item]:
        """The images, or slices, of which nothing is known."""
        return [dict(item) for item in self._unlabelled]

    def section(self, name: str) -> list[Item]:
        """The items of `validation`; a datastore has no other section.

        Raises:
            ValueError: another name.
        """
        if name != "validation":
            raise ValueError(f"section {name!r}: a datastore of MONAI Label has 'validation' only")
        return [dict(item) for item in self._validation]

    @cached_property
    def digest(self) -> str:
        """Of what is learned from: other labels are another run."""
        content = json.dumps([self._labelled, self._validation, self._unlabelled], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def summary(self) -> str:
        """How many images there are of which kind."""
        counts = Counter(label for item in self._labelled for label in classes_of(item) if label not in (None, -1))
        of_class = ", ".join(f"{name} {counts[index]}" for index, name in enumerate(self.classes) if counts[index])
        return (
            f"datastore {self.root}: {len(self._labelled)} labelled{f' ({of_class})' if of_class else ''}, "
            f"{len(self._unlabelled)} unlabelled and {len(self._validation)} validation images"
        )


def _may_have_several(items: Sequence[Item]) -> bool:
    return any(isinstance(item["label"], list) for item in items)


def training_images(
    data: str | Path | Sequence[Mapping[str, str]],
    validation: str | Path | Sequence[Mapping[str, str]],
    *,
    classes: Sequence[str],
    read: Callable[[str, str, Sequence[str]], Read],
    labelled_share: float = 1.0,
    seed: int = 0,
    sections: Sequence[str] = SECTIONS,
    check: bool = True,
) -> Datalist | Datastore:
    """What a recipe learns from: a dataset, or the datastore of which MONAI Label gives the labelled images.

    Args:
        data: `train#dataset#data`: the datalist or its folder; or what MONAI Label puts there, a list.
        validation: `validate#dataset#data`, likewise; the same as `data` where MONAI Label gives none.
        classes: the names of a datastore's classes; a datalist has its own.
        read: see `Datastore`.
        labelled_share: see `Datalist`; in a datastore all labels count.
        seed: see `Datalist`.
        sections: see `Datalist`.
        check: see `Datalist`.

    Raises:
        DatalistError, FileNotFoundError, ValueError: as from either.
    """
    if isinstance(data, (str, Path)):
        return Datalist(data, labelled_share=labelled_share, seed=seed, sections=sections, check=check)
    return Datastore(data, [] if validation == data else validation, classes, read)  # type: ignore[arg-type]


def datastore_of(label: str | Path) -> Path:
    """The folder of the datastore that a label lies in.

    Raises:
        FileNotFoundError: it lies in none.
    """
    for folder in Path(label).absolute().parents:
        if (folder / INDEX).is_file():
            return folder
    raise FileNotFoundError(
        f"{label}: no folder above it has a {INDEX}, so the unlabelled images cannot be found: start the server with "
        "--studies FOLDER, and have the labels in that folder"
    )


def read_label_map(image: str, label: str, classes: Sequence[str]) -> Read:
    """Slices with a label, whose one value besides 0 is the class index + 1; slices without one are the rest.

    Raises:
        ValueError: the label is no image on the image's grid, or a slice of it has several values or one too high.
    """
    grid = read_grid(image)
    if kind_of(label) == "dicom" or label.lower().endswith(LOSSY):
        raise ValueError(f"{label}: a label map is wanted (NIfTI, or PNG for a picture), with class index + 1 inside")
    planes = read_mask(label, grid)
    read = Read([], [])
    for item, plane in zip(slice_items(image), planes, strict=True):
        values = np.unique(plane[plane > 0]).tolist()
        if not values:
            read.rest.append(item)
        elif len(values) > 1 or values[0] > len(classes):
            numbered = ", ".join(f"{index} {name}" for index, name in enumerate(classes, 1))
            raise ValueError(f"{label}, slice {item['slice'] or 0}: values {values}; one of {numbered} is wanted")
        else:
            read.labelled.append({**item, "label": values[0] - 1, "label_map": label})
    return read


def read_class(image: str, label: str, classes: Sequence[str]) -> Read:
    """The image with the class that a small JSON or text file names, by name or index: `NV`, `1`, `{"label": "NV"}`.

    Raises:
        ValueError: the file is none, or names no class or several.
    """
    found = _indices(label, classes)
    if len(found) != 1:
        raise ValueError(f"{label}: {len(found)} classes, and one is wanted of {', '.join(classes)}")
    return Read([_picture(image, found[0])], [])


def read_classes(image: str, label: str, classes: Sequence[str]) -> Read:
    """The same where an image may have several classes, or none: `["Mass", "Nodule"]`, `{"label": []}`, or a name or
    index on each line.

    Raises:
        ValueError: the file is none, or names what is no class.
    """
    found = _indices(label, classes)
    return Read([_picture(image, [int(index in found) for index in range(len(classes))])], [])


def _picture(image: str, label: int | list[int]) -> Item:
    return {
        "id": item_id(image),
        "group": image,
        "image": image,
        "slice": None,
        "label": label,
        "mask": None,
        "label_map": None,
    }


def _indices(label: str, classes: Sequence[str]) -> list[int]:
    """The classes that a label file names."""
    text = _text_of(label)
    if not text:
        raise ValueError(
            f"{label}: no text; a JSON or text file with the class is wanted, and `[]` where there may be none: "
            f"{_known(classes)}"
        )
    try:
        content = json.loads(text)
    except (RecursionError, ValueError):
        content = text.splitlines()
    if isinstance(content, dict):
        content = content.get("label")
    names = content if isinstance(content, list) else [content]
    return sorted({_index(name, classes, label) for name in names})


def _text_of(label: str) -> str:
    """Of a file that may name classes; of another, or of one cut off, nothing."""
    if Path(label).stat().st_size > _LARGEST:
        return ""
    try:
        return Path(label).read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        return ""


_LARGEST = 10_000  # bytes of a class file: what is longer is another


def _index(name: object, classes: Sequence[str], label: str) -> int:
    """MONAI Label shows a bundle's classes in small letters, so names may be written so."""
    lowered = [one.casefold() for one in classes]
    if isinstance(name, str) and name.strip().casefold() in lowered:
        return lowered.index(name.strip().casefold())
    number = int(name) if isinstance(name, str) and name.strip().isdecimal() else name
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(classes):
        return number
    raise ValueError(f"{label}: {name!r} is no class; write one of {_known(classes)}")


def _known(classes: Sequence[str]) -> str:
    return ", ".join(f"{index} {name}" for index, name in enumerate(classes))
