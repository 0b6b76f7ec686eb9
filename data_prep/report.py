"""How every preparation ends: the datalist is written, its table and what was left out are printed."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.sections import known_by
from semimed_monai.data import Datalist, DatalistError, write_datalist
from semimed_monai.vocabulary import ROLES

_NAMED = 10  # names in a line of the report: the datalist's provenance has them all


def deliver(
    out: Path,
    *,
    name: str,
    classes: Sequence[str],
    sections: Mapping[str, Sequence[Mapping[str, Any]]],
    provenance: Mapping[str, Any],
    left_out: Mapping[str, Sequence[str]],
    notes: Sequence[str] = (),
    place_files: Callable[[], None] | None = None,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json` and print what is in it; returns the file.

    Args:
        out: the folder; in a dry run nothing is written there.
        name: as in `write_datalist`, and so are the next three.
        classes: the labels' names.
        sections: the items.
        provenance: where they come from.
        left_out: reason ("images broken") -> the names of what it holds for; becomes part of the provenance, too.
        notes: printed below that: what was not looked at, or may not be meant.
        place_files: puts the files there that the datalist names, after it was checked and before it is written.
        dry_run: only print.

    Raises:
        DatalistError: what the sections hold is no usable datalist.
        FileExistsError: there is a file where the folder is to be.
    """
    if in_the_way := [path for path in (out, *out.parents) if path.exists() and not path.is_dir()]:
        raise FileExistsError(f"{in_the_way[0]} is a file: give a folder as --out")
    facts = {**provenance, "left_out": {reason: sorted(names) for reason, names in left_out.items() if names}}
    with tempfile.TemporaryDirectory() as trial:
        file = write_datalist(trial, name=name, classes=classes, sections=sections, provenance=facts)
        # The files were opened by the preparation; here they would be looked for in the trial's folder.
        try:
            print(Datalist(file, check=False).summary())
        except DatalistError as error:
            raise DatalistError(out / "datalist.json", error.problems) from None  # the trial's folder is gone
    print(f"labelled: {_labelled_shares(sections)}")
    for line in [*_without_class(sections), *_lesions(sections)]:
        print(line)
    for reason, names in facts["left_out"].items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        print(f"{reason}: {len(names)} ({', '.join(names[:_NAMED])}{more})")
    for note in [*notes, *_missing(classes, sections)]:
        print(f"note: {note}")
    if dry_run:
        print(f"dry run: {out / 'datalist.json'} is not written")
        return out / "datalist.json"
    if place_files is not None:
        place_files()
    file = write_datalist(out, name=name, classes=classes, sections=sections, provenance=facts)
    print(f"written: {file}")
    return file


def _missing(classes: Sequence[str], sections: Mapping[str, Sequence[Any]]) -> list[str]:
    """What no training can do without."""
    instead = ": set --test#section validation there" if sections.get("validation") else ""
    uses = {
        "validation": "training keeps the best weights by it",
        "test": f"training ends with its evaluation{instead}",
    }
    notes = [f"no {name} items: {use}" for name, use in uses.items() if not sections.get(name)]
    alone = len(classes) == 1 and not any(_lists_of_marks(sections).values())  # a finding is there, or it is not
    return notes + ([f"only one class ({classes[0]}): there is nothing to tell apart"] if alone else [])


def _lists_of_marks(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[list[int]]]:
    """The labels of each section that are lists: those of a multi-label set."""
    labels = {name: [item.get("label") for item in items] for name, items in sections.items()}
    return {name: [label for label in there if isinstance(label, list)] for name, there in labels.items()}


def _without_class(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """For a multi-label set: how many items have no class at all, as they are in none of the table's columns."""
    counts = [
        f"{name} {sum(not any(marks) for marks in labels)} of {len(labels)}"
        for name, labels in _lists_of_marks(sections).items()
        if labels
    ]
    return [f"of none of the classes: {', '.join(counts)}"] if counts else []


def _lesions(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """For a detector: how many training images have each role, and how many boxes each section has."""
    roles = Counter(item["role"] for item in sections.get("training", []) if item.get("role"))
    lines = ["roles: " + ", ".join(f"{name} {roles[name]}" for name in ROLES)] if roles else []
    boxes = {name: [len(item["boxes"]) for item in items if item.get("boxes")] for name, items in sections.items()}
    counts = [f"{name} {sum(numbers)} in {len(numbers)} images" for name, numbers in boxes.items() if numbers]
    return [*lines, f"boxes: {', '.join(counts)}"] if counts else lines


def _labelled_shares(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The part of each section's items that has a label (in a list without labels: a mask)."""
    key = known_by([item for items in sections.values() for item in items])
    counts = {name: (sum(item.get(key) is not None for item in items), len(items)) for name, items in sections.items()}
    return ", ".join(f"{name} {known} of {all_} ({known / all_:.0%})" for name, (known, all_) in counts.items() if all_)
