"""The datalist: which images a dataset has and what is known of each, checked once, with the hidden labels gone.

A datalist is a JSON file; its paths are relative to its own folder:

    {"format": "semimed-datalist/1", "name": "knees", "version": "1", "provenance": {},
     "classes": ["normal", "partial", "full"],
     "training": [{"image": "scans/1.nii", "slice": 3, "label": 1, "mask": "masks/1.nii", "group": "p1"}],
     "validation": [], "test": []}

An item is an image (NIfTI, PNG, JPEG, a DICOM file or the folder of a DICOM series) and what is known of it: `slice`
(from 0, along a NIfTI's left-right axis, or the place in the DICOM series; needed where there are several), `label`
(class index, or 0 or 1 per class), `mask` (whole numbers; above 0 is inside), `label_map` (a file whose nonzero value
is class index + 1, in place of label and mask), `boxes` ([x0, y0, x1, y1] in pixels; pixel j lies from j to j + 1),
`group` (what may not be split: person, lesion, study), `study` (whose images, of one group, are judged together), `id`,
and in training `labelled` (its group keeps or loses its labels, whatever the share) and `role`
(`semimed_monai.data.roles`). In a list without any label, for segmentation, the items with a mask are the labelled
ones, and a mask's values are class indices.

Looked for: MONAI's `load_decathlon_datalist` reads one section and checks nothing; JSON Schema would check the form,
but neither files nor groups.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from semimed_monai.data.contents import Use, file_problems
from semimed_monai.data.roles import keeps_boxes, role_problem, roles_problems
from semimed_monai.data.splits import choose_labelled, classes_of, group_of, group_problems, study_problems
from semimed_monai.files import whole
from semimed_monai.vocabulary import ROLES, UNLABELLED, item_id

FORMAT = "semimed-datalist/1"
SECTIONS = ("training", "validation", "test")
_HEAD_KEYS = ("format", "name", "version", "provenance", "classes", *SECTIONS)
FILE_KEYS = ("image", "mask", "label_map")
_GRADES = ("label", "label_map")
_ITEM_KEYS = ("image", "slice", "label", "mask", "label_map", "boxes", "group", "study", "id", "labelled", "role")
_SHOWN = 50  # problems in one message: those after so many are seldom of another kind


class DatalistError(ValueError):
    """Everything that is wrong with a datalist, in one message; `problems` has each by itself."""

    def __init__(self, source: Path, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        super().__init__("\n  - ".join([f"{source} cannot be used:", *self.problems[:_SHOWN], *more]))


class Datalist:
    """A dataset's items as plain dicts with absolute paths; what is hidden is in none of them, nor in this object.

    Training items that have a label are labelled; with `labelled_share` below 1 only that part of them stays so, chosen
    by group and stratified by class (`choose_labelled`; the class inside a label map counts as not known). All other
    training items are unlabelled: label -1 (a list of them in a multi-label set), no mask, no label map, no boxes.

    Example:
        >>> from tempfile import mkdtemp
        >>> items = [{"image": "0.png", "label": 0}, {"image": "1.png", "label": 1}]
        >>> file = write_datalist(mkdtemp(), name="two", classes=["a", "b"], sections={"training": items})
        >>> [item["label"] for item in Datalist(file, check=False).labelled()]
        [0, 1]

    Args:
        path: the JSON file, or the dataset folder with `datalist.json` in it.
        labelled_share: the part of the labelled training items that keep their labels, above 0 and up to 1.
        seed: decides which; with the same seed a larger share contains a smaller one.
        sections: those that are used: what is in the others must have its form, but need not be labelled, nor be there.
        segmentation: whether masks are to be learned: `segmentation.json` of the folder comes before its
            `datalist.json`, and a list with labels or label maps, whose masks are no class numbers, is refused.
        check: also open every file; once, for the cache folder (SEMIMED_CACHE, else XDG_CACHE_HOME/semimed, else
            ~/.cache/semimed) keeps a note of the datalist's digest and its files' sizes and times.

    Raises:
        DatalistError: with all problems of the datalist and its files.
        ValueError: a labelled share outside (0, 1], a seed that is none.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        labelled_share: float = 1.0,
        seed: int = 0,
        sections: Sequence[str] = SECTIONS,
        segmentation: bool = False,
        check: bool = True,
    ) -> None:
        if not 0 < labelled_share <= 1:
            raise ValueError(
                f"labelled_share {labelled_share} must be above 0 and at most 1: 0.1 keeps 10 % of the labels"
            )
        if type(seed) is not int or seed < 0:
            raise ValueError(f"seed must be a whole number from 0, got {seed!r}")
        file = _file_of(path, segmentation)
        content = file.read_bytes()
        head = _head(file, content, sections)
        rows = [_Row(section, n, item) for section in SECTIONS for n, item in enumerate(head.get(section, []))]
        self.root = file.parent.resolve()
        self.digest = hashlib.sha256(content).hexdigest()
        self.name: str = head["name"]
        self.version: str = head["version"]
        self.classes: list[str] = head["classes"]
        self.provenance: dict[str, Any] = head.get("provenance", {})
        self.labelled_share = labelled_share
        self._setting = f"labelled_share {labelled_share}, seed {seed}"
        self._known = sum(rows[place].section == "training" for place in _known(rows))

        problems = [f"{row}: {problem}" for row in rows for problem in _item_problems(row, self.classes)]
        problems += _repeated(rows, self.root)
        if segmentation and _graded(rows):
            problems.append("it has labels, so its masks are no class numbers: give a list of images and masks only")
        problems += roles_problems(head.get("training", []))
        named = [row for row in rows if "image" in row.files]
        by_section = {name: [row.item for row in named if row.section == name] for name in SECTIONS}
        problems += group_problems(by_section) + study_problems(by_section)
        keep: set[int] = set()
        if not problems:  # labels that are wrong one by one cannot be judged together
            keep = _kept(rows, labelled_share, seed)
            problems = _label_problems(rows, keep, sections)
            if "training" in sections:
                problems += _training_problems(rows, keep, self.classes, self._setting)
        if check:
            uses = [Use(str(row), row.files, row.item.get("slice"), _boxes(row.item)) for row in rows]
            problems += file_problems(uses, self.root, self.digest, classes=len(self.classes), graded=_graded(rows))
        if problems:
            raise DatalistError(file, problems)

        multi_label = any(isinstance(row.item.get("label"), list) for row in rows)
        blank: int | list[int] = [UNLABELLED] * len(self.classes) if multi_label else UNLABELLED
        self._items: dict[str, list[dict[str, Any]]] = {"labelled": [], "unlabelled": [], "validation": [], "test": []}
        for place, row in enumerate(rows):
            kept = place in keep
            name = row.section if row.section != "training" else "labelled" if kept else "unlabelled"
            self._items[name].append(row.for_reader(self.root, kept, blank))

    def labelled(self, roles: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The training items that keep their labels; with `roles`, those of them that have one of these.

        Raises:
            ValueError: an unknown role, or one that no such item has.
        """
        items = [dict(item) for item in self._items["labelled"]]
        if not roles:
            return items
        if unknown := [role for role in roles if role not in ROLES]:
            raise ValueError(f"role {unknown[0]!r} is unknown: choose among {', '.join(ROLES)}")
        numbers = {role: ROLES.index(role) for role in roles}
        there = {item.get("role") for item in items}
        if missing := [role for role, number in numbers.items() if number not in there]:
            raise ValueError(
                f"datalist {self.name!r} has no training item of role {', '.join(missing)}: add some, or leave the "
                "role out of `roles`"
            )
        return [item for item in items if item.get("role") in numbers.values()]

    def unlabelled(self) -> list[dict[str, Any]]:
        """The training items whose labels are hidden or were never known."""
        return [dict(item) for item in self._items["unlabelled"]]

    def section(self, name: str) -> list[dict[str, Any]]:
        """The items of `validation` or `test`, with labels and masks.

        Raises:
            ValueError: another name, or a section without items.
        """
        if name not in ("validation", "test"):
            raise ValueError(f"section {name!r}: give 'validation' or 'test'; training is labelled() and unlabelled()")
        if not self._items[name]:
            raise ValueError(
                f"datalist {self.name!r} has no {name} items: add some (split_by_group) or use another section"
            )
        return [dict(item) for item in self._items[name]]

    def summary(self) -> str:
        """A table of items, groups, masks and classes for each section; what is hidden is not counted either.

        Above it stands which share is labelled in fact: whole groups, one of each class at least, may be more.
        """
        lines = [["section", "items", "groups", "masks", *self.classes]]
        for name, items in self._items.items():
            seen = [label for item in items for label in classes_of(item)]
            masks = sum(item["mask"] is not None or item["label_map"] is not None for item in items)
            counts = [seen.count(label) for label in range(len(self.classes))]
            title = f"training, {name}" if name.endswith("labelled") else name
            numbers = [len(items), len({item["group"] for item in items}), masks, *counts]
            lines.append([title, *(str(number or "-") for number in numbers)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        padded = [[cell.rjust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
        table = ["  ".join([line[0].ljust(widths[0]), *cells[1:]]) for line, cells in zip(lines, padded, strict=True)]
        title = f"{self.name}, version {self.version} ({self._setting}{self._share()})"
        return "\n".join([title, *table, *self._roles()])

    def _share(self) -> str:
        """How many of the training items that have a label keep it, where there are any."""
        kept = len(self._items["labelled"])
        return f": {kept} of {self._known} keep their labels, {kept / self._known:.1%}" if self._known else ""

    def _roles(self) -> list[str]:
        """A line of how many training items have which role, where they have some."""
        found = Counter(ROLES[item["role"]] for item in self.labelled() if item.get("role", -1) >= 0)
        return ["training roles: " + ", ".join(f"{role} {found[role]}" for role in ROLES)] if found else []


def write_datalist(
    path: str | Path,
    *,
    name: str,
    classes: Sequence[str],
    sections: Mapping[str, Sequence[Mapping[str, Any]]],
    version: str = "1",
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write a datalist to a JSON file, or as `datalist.json` into a folder, whole or not at all; returns the file.

    Raises:
        ValueError: a section or a key of an item that a datalist does not have.
    """
    file = Path(path) if Path(path).suffix == ".json" else Path(path) / "datalist.json"
    wrong = {*sections} - {*SECTIONS} | {key for rows in sections.values() for item in rows for key in item} - {
        *_ITEM_KEYS
    }
    if wrong:
        raise ValueError(f"{sorted(wrong)}: sections are {', '.join(SECTIONS)}, an item's keys {', '.join(_ITEM_KEYS)}")
    head = {"format": FORMAT, "name": name, "version": version, "provenance": dict(sorted((provenance or {}).items()))}
    rows = {
        section: [{key: item[key] for key in _ITEM_KEYS if key in item} for item in sections.get(section, [])]
        for section in SECTIONS
    }
    text = json.dumps({**head, "classes": list(classes), **rows}, indent=1, allow_nan=False)
    with whole(file) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return file


class _Row(NamedTuple):
    """An item as it stands in the file, and where."""

    section: str
    number: int
    item: dict[str, Any]

    @property
    def files(self) -> dict[str, str]:
        """The names of its files, but not what is no name."""
        return {key: self.item[key] for key in FILE_KEYS if self.item.get(key) and isinstance(self.item[key], str)}

    @property
    def id(self) -> str:
        return str(self.item.get("id") or item_id(str(self.item.get("image")), self.item.get("slice")))

    def __str__(self) -> str:
        return f"{self.section}[{self.number}] ({self.id})"

    def for_reader(self, root: Path, kept: bool, blank: int | list[int]) -> dict[str, Any]:
        """The item that the transforms get; unless it is kept, nothing that is known of the image is in it."""
        known = self.item if kept else {}
        files = {key: str(root / known[key]) if known.get(key) else None for key in ("mask", "label_map")}
        label = blank if known.get("label") is None else known["label"]
        boxes = {"boxes": known["boxes"]} if known.get("boxes") is not None and keeps_boxes(known) else {}
        role = {"role": ROLES.index(self.item["role"])} if self.item.get("role") else {}
        image = {"image": str(root / self.item["image"]), "slice": self.item.get("slice")}
        study = {"study": self.item["study"]} if self.item.get("study") else {}
        return {"id": self.id, "group": group_of(self.item), **study, **image, "label": label, **files, **boxes, **role}


def _file_of(path: str | Path, segmentation: bool) -> Path:
    path = Path(path)
    if path.suffix != ".json":
        if not path.is_dir():
            raise DatalistError(path, ["there is no such folder: set dataset_dir to one that holds a datalist.json"])
        preferred = path / "segmentation.json"
        path = preferred if segmentation and preferred.is_file() else path / "datalist.json"
    if not path.is_file():
        advice = "write it as in README.md, or with a module of data_prep (`python -m data_prep.from_csv --help`)"
        raise DatalistError(path, [f"there is no such file: {advice}"])
    return path


def _head(file: Path, content: bytes, sections: Sequence[str]) -> dict[str, Any]:
    """The JSON object with its sections and classes in the right form, or a DatalistError."""
    try:
        head = json.loads(content)
    except ValueError as error:
        raise DatalistError(file, [f"it is not JSON ({error}): correct it there, or write it again"]) from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise DatalistError(file, [f'the file must be an object with "format": "{FORMAT}"'])
    problems = [_unknown(key, _HEAD_KEYS) for key in head if key not in _HEAD_KEYS]
    problems += [f"{key!r} must be a text" for key in ("name", "version") if not isinstance(head.get(key), str)]
    classes = head.get("classes")
    if not isinstance(classes, list) or not classes or any(not isinstance(name, str) for name in classes):
        problems.append("'classes' must be a list of names: give one for each label, in the labels' order")
    elif len({*classes}) < len(classes):
        problems.append(f"'classes' names one twice ({', '.join(classes)}): give each label a name of its own")
    for name in SECTIONS:
        rows = head.get(name, [])
        if not isinstance(rows, list) or any(not isinstance(item, dict) for item in rows):
            problems.append(f'section {name!r} must be a list of objects such as {{"image": "a.png", "label": 0}}')
    if "training" in sections and head.get("training", []) == []:
        problems.append("section 'training' is empty: list at least one image with a label or mask there")
    if problems:
        raise DatalistError(file, problems)
    return head


def _unknown(key: str, keys: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, keys, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"remove it; the keys are {', '.join(keys)}"
    return f"unknown key {key!r}: {hint}"


def _repeated(rows: Sequence[_Row], root: Path) -> list[str]:
    """Items that are there twice, in one section or in two, however their paths are spelt."""
    first: dict[str, _Row] = {}
    pairs = []
    for row in rows:
        image = os.path.normpath(root / str(row.item.get("image")))
        other = first.setdefault(f"{image}#{row.item.get('slice')}", row)
        pairs.append((row, other if other is not row else first.setdefault(row.id, row)))
    same = "the same image and slice, or the same id, as"
    return [f"{row}: {same} {other}: remove one of them" for row, other in pairs if other is not row]


def _item_problems(row: _Row, classes: Sequence[str]) -> list[str]:
    """What is wrong with the form of one item."""
    item, problems = row.item, [_unknown(key, _ITEM_KEYS) for key in row.item if key not in _ITEM_KEYS]
    if item.get("image") is None:
        problems.append("it has no 'image': name its file, relative to the datalist")
    given = [key for key in (*FILE_KEYS, "group", "study", "id") if item.get(key) is not None]
    no_text = [key for key in given if not isinstance(item[key], str) or not item[key]]
    problems += [f"{key} {item[key]!r} must be a text: write it in quotes, or leave {key!r} out" for key in no_text]
    place, label, boxes = item.get("slice"), item.get("label"), item.get("boxes")
    if place is not None and (type(place) is not int or place < 0):
        problems.append(f"slice {place!r} must be a whole number from 0")
    if label is not None and (wrong := _label_problem(label, classes)):
        problems.append(wrong)
    if item.get("label_map") is not None and (label is not None or item.get("mask") is not None):
        problems.append("a label_map is class and mask in one: remove 'label' and 'mask', or the label_map")
    if boxes is not None and not (isinstance(boxes, list) and all(map(_is_box, boxes))):
        problems.append(f"boxes {boxes!r} must be a list of [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
    if wrong := role_problem(item, row.section):
        problems.append(wrong)
    if item.get("labelled") is not None and (row.section != "training" or type(item["labelled"]) is not bool):
        problems.append(f"labelled {item['labelled']!r}: it may only be true or false, and only in training")
    return problems


def _boxes(item: Mapping[str, Any]) -> Sequence[Sequence[float]]:
    """Those that have the form of one."""
    boxes = item.get("boxes")
    return [box for box in boxes if _is_box(box)] if isinstance(boxes, list) else []


def _is_box(box: Any) -> bool:
    numbers = isinstance(box, list) and len(box) == 4 and all(type(value) in {int, float} for value in box)
    return numbers and box[0] < box[2] and box[1] < box[3]


def _label_problem(label: Any, classes: Sequence[str]) -> str | None:
    if isinstance(label, list):
        if len(label) == len(classes) and all(type(value) is int and value in (0, 1) for value in label):
            return None
        return f"label {label} must have a 0 or a 1 for each of the {len(classes)} classes"
    numbered = ", ".join(f"{index} = {name}" for index, name in enumerate(classes))
    if isinstance(label, str):
        index = f"index {classes.index(label)}" if label in classes else f"class's index: {numbered}"
        return f"label {label!r} is text; write its {index}"
    if type(label) is not int or not 0 <= label < len(classes):
        return f"label {label!r} is not a class: write {numbered}, or leave it out if it is not known"
    return None


def _graded(rows: Sequence[_Row]) -> bool:
    """Whether any item has a label; a list without any is for segmentation."""
    return any(row.item.get(key) is not None for row in rows for key in _GRADES)


def _known(rows: Sequence[_Row]) -> list[int]:
    """The places of the rows that have a label; in a list without any, a mask."""
    keys = _GRADES if _graded(rows) else ("mask",)
    return [place for place, row in enumerate(rows) if any(row.item.get(key) is not None for key in keys)]


def _kept(rows: Sequence[_Row], share: float, seed: int) -> set[int]:
    """The places of the rows whose labels may be seen: all that have one outside training, the chosen ones in it."""
    known = _known(rows)
    training = [place for place in known if rows[place].section == "training"]
    chosen = choose_labelled([rows[place].item for place in training], share, seed)
    return {*known} - {*training} | {training[index] for index in chosen}


def _label_problems(rows: Sequence[_Row], keep: set[int], sections: Sequence[str]) -> list[str]:
    """What is wrong with the labels together: none to evaluate with, mixed forms."""
    without = [row for place, row in enumerate(rows) if row.section != "training" and place not in keep]
    problems = [
        f"{row}: evaluation needs a label (or, if no item has one, a mask): add it"
        for row in without
        if row.section in sections
    ]
    if len({type(row.item["label"]) for row in rows if row.item.get("label") is not None}) > 1:
        problems.append("some labels are numbers and some are lists: write all of them as numbers or all as lists")
    return problems


def _training_problems(rows: Sequence[_Row], keep: set[int], classes: Sequence[str], setting: str) -> list[str]:
    """What is wrong with the labels to learn from: none there, a class missing."""
    kept = [rows[place].item for place in sorted(keep) if rows[place].section == "training"]
    if not kept:
        return [f"no training item is labelled ({setting}): give some a label, or a mask if no item has a label"]
    if any(item.get("label") is None for item in kept):  # what a label map holds is not known here
        return []
    seen = {label for item in kept for label in classes_of(item)}
    missing = [name for index, name in enumerate(classes) if index not in seen]
    need = f"has no labelled training item ({setting}): label one of it, or remove it from 'classes'"
    return [f"class {name!r} {need}" for name in missing]
