"""A file that says where lesions are, COCO or a table of boxes; and what the command line says of its names."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.box_rows import CORNERS, SIZES, Columns, box_columns, read_boxes
from data_prep.boxes import Annotated
from data_prep.coco import read_coco
from data_prep.tables import read_table


class Naming(NamedTuple):
    """What a file calls what it says.

    Args:
        image_column: a table's name for the image.
        corner_columns: its names for x0, y0, x1 and y1, in pixels; by default these, or those of the sizes.
        size_columns: in their place, the names for x, y, width and height.
        categories: a COCO file's categories that count; may be left out where there is one.
        patient_column: who an image is of, in a table or in the entries of a COCO file's images.
    """

    image_column: str = "image"
    corner_columns: Sequence[str] | None = None
    size_columns: Sequence[str] | None = None
    categories: Sequence[str] = ()
    patient_column: str | None = None


def read_annotated(file: Path, naming: Naming, *, outlines: bool = False) -> list[Annotated]:
    """What the file says of each image.

    Args:
        file: a COCO file (.json) or a CSV table.
        naming: what it calls things.
        outlines: take a COCO file's outlines, and boxes only where there is none.

    Raises:
        DatalistError: with all problems of the file.
        ValueError: the table's columns, or settings without sense.
        FileNotFoundError: there is no such file.
    """
    if file.suffix.lower() == ".json":
        return read_coco(file, naming.categories, naming.patient_column, outlines=outlines)
    if naming.categories:
        raise ValueError(f"{file} is no COCO file (.json): a table has no --categories; leave out the lines of others")
    table = read_table(file)
    columns = Columns(naming.image_column, patient=naming.patient_column)
    table.require(columns.options())
    four, sized = box_columns(table, naming.size_columns or naming.corner_columns, sized=bool(naming.size_columns))
    return read_boxes(table, columns._replace(box=four, sized=sized))


def add_naming(parser: argparse.ArgumentParser, lesion: str) -> None:
    """--image-column, --corner-columns, --size-columns and --categories; `lesion` is what these are: "a fracture"."""
    parser.add_argument(
        "--image-column", default="image", metavar="NAME", help="the tables' name for the image; default image"
    )
    names = parser.add_mutually_exclusive_group()
    names.add_argument(
        "--corner-columns", nargs=4, metavar=CORNERS, help="the table's names for a box's corners; default as here"
    )
    names.add_argument(
        "--size-columns", nargs=4, metavar=SIZES, help="or for its upper left corner and its size; default as here"
    )
    parser.add_argument(
        "--categories", nargs="+", default=(), metavar="NAME", help=f"the COCO categories that are {lesion}"
    )
