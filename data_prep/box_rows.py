"""The lines of a table of boxes, understood: one entry for each image, with all of its boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from data_prep.boxes import Annotated, Box, corners
from data_prep.tables import Row, Table, understood
from semimed_monai.data import DatalistError

CORNERS = ("x0", "y0", "x1", "y1")
SIZES = ("x", "y", "width", "height")


class Columns(NamedTuple):
    """What the table calls what it says of a box.

    Args:
        image: the image.
        box: four columns; none in a table of images without a lesion.
        sized: whether the last two are the box's width and height, and not its lower right corner.
        patient: None where the table does not say.
    """

    image: str
    box: tuple[str, ...] = ()
    sized: bool = False
    patient: str | None = None

    def options(self) -> dict[str, str]:
        """Option of the command -> the column that it names; those of the box are looked for by `box_columns`."""
        patient = {"--patient-column": self.patient} if self.patient else {}
        return {"--image-column": self.image, **patient}


def box_columns(table: Table, given: Sequence[str] | None, *, sized: bool) -> tuple[tuple[str, ...], bool]:
    """The four columns of a box, and whether the last two are its size: those that are given, or the usual names.

    Raises:
        ValueError: the table does not have them.
    """
    if given:
        option = "--size-columns" if sized else "--corner-columns"
        table.require({f"{option} (for {column})": column for column in given})
        return tuple(given), sized
    for names in (CORNERS, SIZES):
        if {*names} <= {*table.columns}:
            return names, names is SIZES
    raise ValueError(
        f"{table.file} has neither {', '.join(CORNERS)} nor {', '.join(SIZES)}: name its columns with --corner-columns "
        f"or --size-columns. Its columns are: {', '.join(table.columns)}"
    )


def read_boxes(table: Table, columns: Columns) -> list[Annotated]:
    """The images in the table's order; lines of the same image are put together, one without numbers is no box.

    Raises:
        DatalistError: with each line that cannot be understood, and images with and without boxes.
    """
    meant, problems = understood(table, lambda row: (_named(row, columns), row, _box(row, columns)))
    found: dict[str, list[tuple[Row, Box | None]]] = {}
    for name, row, box in meant:
        found.setdefault(name, []).append((row, box))
    images = []
    for name, lines in found.items():
        boxes = [box for _, box in lines if box]
        first = lines[0][0]
        patients = {row.cells[columns.patient] for row, _ in lines} if columns.patient else {""}
        if len(boxes) < len(lines) > 1:
            empty = next(row.number for row, box in lines if not box)
            what = "without and with a box" if boxes else "twice"
            problems.append(f"line {empty}: {name} is there {what}: remove one of its lines")
        if len(patients) > 1:
            problems.append(f"line {first.number}: {name} is of {', '.join(sorted(patients))}: give it one patient")
        images.append(Annotated(f"{table.file.name}, line {first.number}", name, boxes, patients.pop()))
    if problems:
        raise DatalistError(table.file, problems)
    return images


def _named(row: Row, columns: Columns) -> str:
    name = row.cells[columns.image]
    if not name:
        raise ValueError(f"column {columns.image!r} is empty: name the image")
    if columns.patient and not row.cells[columns.patient]:
        raise ValueError(f"{name}: column {columns.patient!r} is empty: give every image its patient")
    return name


def _box(row: Row, columns: Columns) -> Box | None:
    """None where all four cells are empty."""
    cells = [row.cells[column] for column in columns.box]
    if not any(cells):
        return None
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError as error:
        said = ", ".join(f"{column} {cell!r}" for column, cell in zip(columns.box, cells, strict=True))
        raise ValueError(f"{said}: write four numbers such as 12.5, or leave all empty for no box") from error
    x, y, right, below = numbers
    return corners(x, y, right, below) if columns.sized else numbers
