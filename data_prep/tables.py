"""The table that someone wrote about their images: a CSV file with columns of any name, and the classes in its cells.

Looked for: `csv.Sniffer` guesses the separator from the cells, and is wrong where they hold commas of another kind;
pandas reads "1" as 1.0 where another cell is empty, and "NA" as nothing.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, TextIO, TypeVar

from semimed_monai.files import digest_of

_SEPARATORS = ",;\t|"
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_NO_FRACTION = re.compile(r"\.0+$")
_Meaning = TypeVar("_Meaning")


class Row(NamedTuple):
    """A line of the table; `number` is the line of the file on which it ends."""

    number: int
    cells: dict[str, str]


class Table(NamedTuple):
    """A CSV file: its columns in their order, and its rows without those that are empty."""

    file: Path
    columns: list[str]
    rows: list[Row]

    def require(self, columns: Mapping[str, str]) -> None:
        """Raise unless all columns are there.

        Args:
            columns: the option that names a column ("--image-column") -> the column.

        Raises:
            ValueError: naming the columns that there are, the option to set, and the nearest name.
        """
        missing = [
            f"no column {column!r}: set {option}{_suggestion(column, self.columns)}"
            for option, column in columns.items()
            if column not in self.columns
        ]
        if missing:
            raise ValueError(f"{self.file} has {'; '.join(missing)}. Its columns are: {', '.join(self.columns)}")

    @property
    def origin(self) -> dict[str, str]:
        """What the datalist's provenance says of the table."""
        return {"table": self.file.name, "table_sha256": digest_of(self.file)}


def read_table(file: Path, header: Sequence[str] = ()) -> Table:
    """Read a CSV file in UTF-8 whose cells are separated by comma, semicolon, tab or |.

    Cells lose the spaces around them. A file whose name ends in .gz is unpacked on the way. Columns at the end that
    have neither a name nor a cell are none.

    Args:
        file: the table.
        header: the columns' names where the file does not begin with a line of them.

    Raises:
        ValueError: it is no such table, has no rows or a column twice, or a row longer than its first line.
        FileNotFoundError: there is no such file.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: there is no such file: give the CSV table")
    try:
        with _opened(file) as lines:
            first = lines.readline()
            lines.seek(0)
            reader = csv.reader(lines, delimiter=max(_SEPARATORS, key=first.count), strict=True)
            found = [(0, list(header))] if header else []
            found += [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: no CSV table in UTF-8 ({error}): save it as such") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{file} cannot be unpacked ({error}): copy it anew") from error
    if not found:
        raise ValueError(f"{file}: the file is empty: its first line names the columns")
    width = max((place for _, cells in found for place, cell in enumerate(cells, start=1) if cell), default=0)
    columns = found[0][1][:width]
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise ValueError(f"{file}: column {', '.join(map(repr, twice))} is there twice: rename one")
    for number, cells in found[1:]:
        if any(cells[len(columns) :]):
            raise ValueError(
                f"{file}, line {number}: {len(cells)} cells under {len(columns)} columns: put a cell that holds the "
                "separator in quotes"
            )
    if not any(any(cells) for _, cells in found[1:]):
        raise ValueError(f"{file} has no rows below its columns ({', '.join(columns)}): add a line for each image")
    cut = ((number, cells[: len(columns)]) for number, cells in found[1:] if any(cells))
    padded = ((number, cells + [""] * (len(columns) - len(cells))) for number, cells in cut)
    return Table(file, columns, [Row(number, dict(zip(columns, cells, strict=True))) for number, cells in padded])


def _opened(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", newline="", encoding="utf-8-sig")
    return file.open(newline="", encoding="utf-8-sig")


def understood(table: Table, read: Callable[[Row], _Meaning]) -> tuple[list[_Meaning], list[str]]:
    """What each row means, and what is wrong with those for which `read` raises a ValueError, all at once.

    >>> table = Table(Path("t.csv"), ["n"], [Row(2, {"n": "7"}), Row(3, {"n": "x"})])
    >>> understood(table, lambda row: int(row.cells["n"]))
    ([7], ["line 3: invalid literal for int() with base 10: 'x'"])
    """
    meanings, problems = [], []
    for row in table.rows:
        try:
            meanings.append(read(row))
        except ValueError as error:
            problems.append(f"line {row.number}: {error}")
    return meanings, problems


def repeated(names: Iterable[str]) -> list[str]:
    """What is wrong where each row is to have a name of its own.

    >>> repeated(["a.png", "b.png", "a.png"])
    ['a.png is there twice: remove one of its lines']
    """
    return [f"{name} is there twice: remove one of its lines" for name, count in Counter(names).items() if count > 1]


def class_index(text: str, classes: Sequence[str]) -> int | None:
    """The class in a cell, given by its name, or by its index where no name is a number; None in an empty cell.

    >>> [class_index(text, ["normal", "torn"]) for text in ("torn", "0", "1.0", "")]
    [1, 0, 1, None]
    >>> [class_index(text, ["1", "2"]) for text in ("1", "2.0")]
    [0, 1]

    Raises:
        ValueError: it is none of the classes, or more than one of them.
    """
    if not text:
        return None
    meant, names = _meant(text), [_meant(name) for name in classes]
    if names.count(meant) > 1:
        same = " and ".join(repr(name) for name in classes if _meant(name) == meant)
        raise ValueError(f"{text!r} may be each of the classes {same}: rename all but one of them (--classes)")
    if meant in names:
        return names.index(meant)
    # With names that are numbers, an index would be taken for a name, or a name for an index.
    numbered = any(isinstance(name, Fraction) for name in names)
    if not numbered and isinstance(meant, Fraction) and meant in range(len(classes)):
        return int(meant)
    near = closest(text, classes)
    hint = f"did you mean {near!r}? " if near else ""
    if numbered:
        raise ValueError(f"{text!r} is none of the classes {', '.join(classes)}: {hint}correct it, or set --classes")
    indexed = ", ".join(f"{index} = {name}" for index, name in enumerate(classes))
    raise ValueError(f"{text!r} is none of the classes: {hint}write {indexed}, or set --classes")


def _meant(text: str) -> Fraction | str:
    """What cells and classes are compared by: a number's value, as programs write 1 as "1.0" beside empty cells."""
    return Fraction(text) if _NUMBER.fullmatch(text) else text


def whole_number(text: str, least: int = 0) -> int | None:
    """The number in a cell; None in an empty one.

    >>> whole_number("12"), whole_number("3.0"), whole_number("")
    (12, 3, None)

    Raises:
        ValueError: it is no whole number, or a smaller one.
    """
    number = text.removesuffix(".0")  # how programs write whole numbers beside empty cells
    if number and (not number.isdecimal() or int(number) < least):
        raise ValueError(f"{text!r} must be a whole number from {least}")
    return int(number) if number else None


def classes_in(cells: Iterable[str]) -> list[str]:
    """The classes that a column shows where nobody has named them: numbers by size, else texts by alphabet.

    >>> classes_in(["2.0", "10", "", "2"])
    ['2', '10']
    """
    spellings: dict[Fraction | str, str] = {}
    for cell in sorted({cell for cell in cells if cell}, key=lambda cell: (len(cell), cell)):
        spellings.setdefault(_meant(cell), _NO_FRACTION.sub("", cell) if _NUMBER.fullmatch(cell) else cell)
    numbers = [meant for meant in spellings if isinstance(meant, Fraction)]
    if len(numbers) == len(spellings):
        return [spellings[number] for number in sorted(numbers)]
    return sorted(spellings.values())


def closest(name: str, names: Iterable[str]) -> str | None:
    """The most similar of the names, whatever their capitals."""
    lower: dict[str, str] = {}
    for other in names:
        lower.setdefault(other.lower(), other)
    near = difflib.get_close_matches(name.lower(), lower, 1)
    return lower[near[0]] if near else None


def _suggestion(column: str, columns: Sequence[str]) -> str:
    near = closest(column, columns) or next((name for name in columns if column.lower() in name.lower()), None)
    return f" (to {near!r}?)" if near else ""
