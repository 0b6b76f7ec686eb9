"""OAI's central readings of knee radiographs (kXR_SQ_BU00): the KL grade of each knee at the baseline.

    ID|SIDE|READPRJ|VERSION|V00BARCDBU|V00XRKL|V00XRJSM
    9000099|1: Right|15|0.9|016600000001|2|1: 1
    9000099|2: Left|15|0.9|016600000001|.: Missing Form/Incomplete Workbook|0: No

A knee may have been read in several projects (READPRJ). Project 15, the longitudinal readings of the whole cohort,
comes first, then 37 and 42, then others by number, as most who use OAI do; of those the first that gives a grade
counts. V00BARCDBU, which a table may lack, is the barcode of the film that was read. Codes that begin with a dot say
that there is none, and why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from data_prep.oai_knee import CLASSES, Knee
from data_prep.tables import Row, Table, read_table, understood
from semimed_monai.data import DatalistError

SIDES: Mapping[str, str] = {"1": "R", "2": "L"}
"""The codes of column SIDE."""

PROJECTS = (15, 37, 42)
"""Those whose grades come first."""

_COLUMNS = ("ID", "SIDE", "READPRJ", "V00XRKL")
_BARCODE = "V00BARCDBU"


class Readings(NamedTuple):
    """What the table says.

    Args:
        table: the file.
        grades: of the knees that have one.
        barcodes: of each subject's films out of which those grades were read, as `barcode` writes them.
        subjects: all whom it names.
        ungraded: knees for which it has no grade.
        disagreed: knees for which another project gives another grade than that which counts.
    """

    table: Table
    grades: dict[Knee, int]
    barcodes: dict[str, set[str]]
    subjects: set[str]
    ungraded: list[str]
    disagreed: list[str]


class _Reading(NamedTuple):
    """A line whose cells have been understood."""

    line: int
    knee: Knee
    project: int
    barcode: str
    grade: int | None


def read_readings(file: Path) -> Readings:
    """The grade of each knee.

    Args:
        file: the table, separated by | as OAI has it, or by commas; with capitals or without.

    Raises:
        DatalistError: with each line that cannot be understood, or contradicts another one of its project.
        ValueError: it lacks a column.
        FileNotFoundError: there is no such file.
    """
    table = _with_columns(read_table(file))
    lines, problems = understood(table, _reading)
    by_knee: defaultdict[Knee, dict[int, _Reading]] = defaultdict(dict)
    for line in lines:
        known = by_knee[line.knee].setdefault(line.project, line)
        if known.grade is None:
            by_knee[line.knee][line.project] = line
        elif line.grade not in (None, known.grade):
            problems.append(
                f"line {line.line}: knee {line.knee.name} has grade {line.grade}, and {known.grade} in line "
                f"{known.line}, both of project {line.project}: remove the line that is wrong"
            )
    if problems:
        raise DatalistError(file, problems)
    graded = {knee: _graded(of_projects) for knee, of_projects in sorted(by_knee.items())}
    first = [same[0] for same in graded.values() if same]
    barcodes: defaultdict[str, set[str]] = defaultdict(set)
    for one in first:
        if one.barcode:
            barcodes[one.knee.subject].add(one.barcode)
    return Readings(
        table,
        grades={one.knee: one.grade for one in first if one.grade is not None},
        barcodes=dict(barcodes),
        subjects={knee.subject for knee in graded},
        ungraded=[knee.name for knee, same in graded.items() if not same],
        disagreed=[knee.name for knee, same in graded.items() if len({one.grade for one in same}) > 1],
    )


def barcode(said: str) -> str:
    """A film's barcode as a number, since a table may have lost the zeros before it; "" where it is none.

    >>> barcode("016600000001"), barcode("16600000001.0"), barcode(".: Missing Form"), barcode("A7")
    ('16600000001', '16600000001', '', '')
    """
    code = _code(said)
    return code.lstrip("0") if code.isdecimal() else ""


def _graded(readings: Mapping[int, _Reading]) -> list[_Reading]:
    """Those of a knee that give a grade, that which counts first."""
    order = sorted(readings, key=lambda project: (project not in PROJECTS, project))
    return [readings[project] for project in order if readings[project].grade is not None]


def _with_columns(table: Table) -> Table:
    """The table with the names of the columns that are needed in capitals."""
    names = {column: column.upper() for column in table.columns if column.upper() in (*_COLUMNS, _BARCODE)}
    missing = [column for column in _COLUMNS if column not in names.values()]
    if missing:
        raise ValueError(
            f"{table.file} has no column {', '.join(missing)}: give OAI's readings at the baseline, kXR_SQ_BU00.txt; "
            f"its columns are: {', '.join(table.columns)}"
        )
    rows = [Row(row.number, {names.get(name, name): cell for name, cell in row.cells.items()}) for row in table.rows]
    return table._replace(rows=rows)


def _reading(row: Row) -> _Reading:
    subject, side, project, grade = (_code(row.cells[column]) for column in _COLUMNS)
    if not subject:
        raise ValueError("ID is empty: fill it in, or remove the line")
    if side not in SIDES:
        raise ValueError(f"SIDE {row.cells['SIDE']!r} must be 1 (right) or 2 (left)")
    if not project.isdecimal():
        raise ValueError(f"READPRJ {row.cells['READPRJ']!r} must be the number of a reading project")
    return _Reading(
        row.number, Knee(subject, SIDES[side]), int(project), barcode(row.cells.get(_BARCODE, "")), _grade(grade)
    )


def _code(cell: str) -> str:
    """What stands before the explanation, as a whole number is written.

    >>> _code("1: Right"), _code(".: Missing Form"), _code("3.0")
    ('1', '.', '3')
    """
    return cell.partition(":")[0].strip().removesuffix(".0")


def _grade(code: str) -> int | None:
    """None for a code of what is missing.

    >>> _grade("3"), _grade(".A"), _grade("")
    (3, None, None)
    """
    if not code or code.startswith("."):
        return None
    if not code.isdecimal() or int(code) >= len(CLASSES):
        raise ValueError(f"V00XRKL {code!r} must be 0 to {len(CLASSES) - 1}, or begin with a dot where there is none")
    return int(code)
