"""The lines of a table of images, understood: label, group, section, slice and mask of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from data_prep.tables import Row, Table, class_index, classes_in, closest, understood, whole_number
from semimed_monai.data import DatalistError
from semimed_monai.data.datalist import SECTIONS

_SHORT = {"train": "training", "val": "validation", "valid": "validation", "testing": "test"}


class Columns(NamedTuple):
    """What the table calls what it says of an image; None is not in the table."""

    image: str = "image"
    label: str | None = "label"
    group: str | None = None
    mask: str | None = None
    section: str | None = None
    slice: str | None = None
    labels: tuple[str, ...] = ()
    study: str | None = None

    def options(self) -> dict[str, str]:
        """Option of the command -> the column that it names."""
        single = {f"--{field}-column": column for field, column in self._asdict().items() if isinstance(column, str)}
        return {**single, **{f"--label-columns (for {column})": column for column in self.labels}}


class Entry(NamedTuple):
    """What a line says of an image; image and mask are the table's names."""

    line: int
    image: str
    slice: int | None
    label: int | list[int] | None
    mask: str
    group: str | None
    section: str | None
    study: str | None = None


def read_entries(
    table: Table, columns: Columns, classes: Sequence[str] | None, slice_base: int
) -> tuple[list[Entry], list[str]]:
    """The entries, and the classes: those given, else those that the label column shows, or the label columns.

    Raises:
        DatalistError: with each line that cannot be understood.
        ValueError: no classes where the table cannot tell them.
    """
    if columns.labels:
        found = list(columns.labels)
    elif columns.label:
        found = classes_in(row.cells[columns.label] for row in table.rows)
    else:
        found = []
    names = list(classes or found)
    if not names or (columns.labels and len(names) != len(columns.labels)):
        raise ValueError(f"{table.file}: set --classes: {_why(columns)}")
    entries, problems = understood(table, lambda row: _entry(row, columns, names, slice_base))
    if problems:
        raise DatalistError(table.file, problems)
    return entries, names


def _why(columns: Columns) -> str:
    if columns.labels:
        return f"a name for each of the {len(columns.labels)} label columns"
    if columns.label:
        return f"column {columns.label!r} is empty, so it tells none"
    return "what the values 0, 1, ... of the masks stand for"


def _entry(row: Row, columns: Columns, classes: Sequence[str], slice_base: int) -> Entry:
    cells = row.cells
    image = cells[columns.image]
    if not image:
        raise ValueError(f"column {columns.image!r} is empty: name the image")
    if columns.group and not cells[columns.group]:
        raise ValueError(f"{image}: column {columns.group!r} is empty: give every image a group")
    if columns.study and not cells[columns.study]:
        raise ValueError(f"{image}: column {columns.study!r} is empty: give every image a study")
    place = whole_number(cells[columns.slice], slice_base) if columns.slice else None
    label: int | list[int] | None = None
    if columns.labels:
        label = _findings([cells[column] for column in columns.labels], columns.labels)
    elif columns.label:
        label = class_index(cells[columns.label], classes)
    return Entry(
        line=row.number,
        image=image,
        slice=None if place is None else place - slice_base,
        label=label,
        mask=cells[columns.mask] if columns.mask else "",
        group=cells[columns.group] if columns.group else None,
        section=_section(cells[columns.section]) if columns.section else None,
        study=cells[columns.study] if columns.study else None,
    )


def _findings(marks: Sequence[str], columns: Sequence[str]) -> list[int] | None:
    """0 or 1 for each class; None where no cell says anything."""
    if not any(marks):
        return None
    for mark, column in zip(marks, columns, strict=True):
        if mark not in ("0", "1", "0.0", "1.0"):
            raise ValueError(f"{mark!r} under {column!r} must be 0 or 1, or all label columns of the line empty")
    return [int(float(mark)) for mark in marks]


def _section(text: str) -> str:
    name = _SHORT.get(text.lower(), text.lower())
    if name in SECTIONS:
        return name
    near = closest(text, SECTIONS)
    hint = f"did you mean {near!r}? " if near else ""
    raise ValueError(f"section {text!r}: {hint}write {', '.join(SECTIONS)}")
