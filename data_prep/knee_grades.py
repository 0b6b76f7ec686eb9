"""A table of slice grades, matched with the volumes of a tree: whose each volume is, and what each slice is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from data_prep.knee_volumes import Found, Volume
from data_prep.names import Names, without_ending
from data_prep.tables import Row, Table, class_index, whole_number
from semimed_monai.data import DatalistError

DROPPED = "graded volumes that were refused"


class Columns(NamedTuple):
    """What the table calls that which is needed of it."""

    subject: str = "subject"
    volume: str = "volume"
    slice: str = "slice"
    grade: str = "grade"


class Grades(NamedTuple):
    """What the table says of the volumes, by their names.

    Args:
        slices: of each volume that the table names, its slices there and their class, None where it is not known.
        subjects: of every volume.
        dropped: volumes whose grades cannot be used, as they were refused.
    """

    slices: dict[str, dict[int, int | None]]
    subjects: dict[str, str]
    dropped: list[str]


class _Line(NamedTuple):
    """A row whose cells have been understood."""

    number: int
    subject: str
    volume: str
    place: int | None
    grade: int | None


def match(
    table: Table, columns: Columns, found: Found, *, classes: Sequence[str], base: int, skip_bad: bool = False
) -> Grades:
    """Find the volume of each line, and its slices' grades.

    Args:
        table: the grades.
        columns: its columns.
        found: the tree.
        classes: the grades' names.
        base: the number of a volume's first slice in the table.
        skip_bad: drop the grades of volumes that were refused; otherwise they are an error.

    Raises:
        DatalistError: with each line that cannot be understood, or contradicts the tree or another line.
    """
    problems: list[str] = []
    lines = []
    for row in table.rows:
        try:
            lines.append(_line(row, columns, classes, base))
        except ValueError as error:
            problems.append(f"line {row.number}: {error}")
    places, dropped = _places(lines, found, problems, skip_bad=skip_bad)
    book = _Book(classes, base)
    for line in lines:
        if volume := places.get((line.subject, line.volume)):
            problems += book.enter(line, volume)
    if problems:
        raise DatalistError(table.file, problems)
    whose = {name: line.subject for name, line in book.first.items()}
    return Grades(book.slices, _all_subjects(found.volumes, whose, {line.subject for line in lines}), dropped)


class _Book:
    """What the lines up to now say of each volume."""

    def __init__(self, classes: Sequence[str], base: int) -> None:
        self.classes, self.base = classes, base
        self.slices: defaultdict[str, dict[int, int | None]] = defaultdict(dict)
        self.first: dict[str, _Line] = {}
        self._graded: dict[tuple[str, int], _Line] = {}

    def enter(self, line: _Line, volume: Volume) -> list[str]:
        """Add a line; what it contradicts is returned."""
        first, known = self.first.setdefault(volume.name, line), self.slices[volume.name]
        if first.subject != line.subject:
            there = f"of {first.subject!r} in line {first.number}"
            return [f"line {line.number}: {volume.name} is of subject {line.subject!r} here, {there}: correct one"]
        if line.place is None:
            known.update({place: known.get(place) for place in range(volume.slices)})
        elif line.place >= volume.slices:
            return [f"line {line.number}: {_beyond(line.place, volume, self.base)}"]
        elif line.grade is None:
            known.setdefault(line.place, None)
        else:
            known[line.place] = line.grade
            other = self._graded.setdefault((volume.name, line.place), line)
            if other.grade is not None and other.grade != line.grade:
                here, there = self.classes[line.grade], f"{self.classes[other.grade]} in line {other.number}"
                slice_ = f"slice {line.place + self.base} of {volume.name}"
                return [f"line {line.number}: {slice_} is {here} here, {there}: correct one"]
        return []


def _line(row: Row, columns: Columns, classes: Sequence[str], base: int) -> _Line:
    subject, volume, place, grade = (row.cells[column] for column in columns)
    if not subject or not volume:
        raise ValueError(f"{columns.volume if subject else columns.subject} is empty: fill it in")
    label = class_index(grade, classes)
    try:
        number = whole_number(place, base)
    except ValueError as error:
        raise ValueError(f"{columns.slice} {error} (--slice-base)") from error
    if number is None and label is not None:
        raise ValueError(f"volume {volume!r} is graded without a slice: fill in column {columns.slice!r}")
    return _Line(row.number, subject, volume, None if number is None else number - base, label)


def _beyond(place: int, volume: Volume, base: int) -> str:
    hint = "; does the table count from 1 (--slice-base 1)?" if place == volume.slices and not base else ""
    slices = f"it has slices {base} to {volume.slices - 1 + base}"
    return f"slice {place + base} of {volume.name} does not exist, {slices}{hint}"


def _places(
    lines: Sequence[_Line], found: Found, problems: list[str], *, skip_bad: bool
) -> tuple[dict[tuple[str, str], Volume], list[str]]:
    """The volume that each subject and volume of the table stand for; what cannot be found is added to the problems."""
    subjects = {line.subject for line in lines}
    owners = {volume.name: _owner(volume, subjects) for volume in found.volumes}
    in_tree = {owner for owner in owners.values() if owner}
    # The best names first: a path or UID, the description, the number of the series.
    tiers = [Names[Volume](), Names[Volume](), Names[Volume]()]
    for volume in found.volumes:
        for tier, names in zip(tiers, volume.tiers, strict=True):
            for name in names:
                tier.add(name, volume)
    refused = Names((name, refusal) for refusal in found.refused for name in refusal.names)
    people = Names((name, volume) for volume in found.volumes for name in (volume.patient, *volume.folders) if name)
    places: dict[tuple[str, str], Volume] = {}
    dropped: list[str] = []
    first_lines = {(line.subject, line.volume): line for line in reversed(lines)}
    for (subject, name), line in sorted(first_lines.items(), key=lambda pair: pair[1].number):
        candidates = [
            {each.name: each for each in tier[name] if owners[each.name] in (subject, None)} for tier in tiers
        ]
        fitting = next((list(each.values()) for each in candidates if each), [])
        own = [volume for volume in fitting if owners[volume.name] == subject] or fitting
        meant = [volume for tier in tiers for volume in tier[name]] + ([] if subject in in_tree else people[subject])
        of = f"line {line.number}: volume {name!r} of subject {subject!r}"
        reasons = sorted(
            {refusal.fault.reason for refusal in refused[name] if _may_be(refusal.files, subject, in_tree)}
        )
        if len(own) == 1 and (subject in in_tree or not in_tree):
            places[subject, name] = own[0]
        elif not own and reasons and skip_bad:
            dropped.append(f"{subject}: {name}")
        elif not own and reasons:
            problems.append(f"{of} has no slice that can be used ({'; '.join(reasons)}): remove its lines, or mend it")
        elif not own and (contrary := _contrary(subject, meant, owners)):
            problems.append(
                f"{of}: it lies in the folder {subject!r}, but its PatientID is {contrary.patient!r}, another subject "
                f"of the table ({contrary.name}): correct the table, or the file's header"
            )
        elif in_tree and subject not in in_tree:
            problems.append(
                f"line {line.number}: subject {subject!r} is no folder of the tree and no PatientID, as others of the "
                f"table are: correct it{people.hint(subject)}"
            )
        else:
            problems.append(f"{of} {_not_one(own, name, tiers[0])}")
    return places, dropped


def _not_one(volumes: Sequence[Volume], name: str, names: Names[Volume]) -> str:
    if not volumes:
        return f"is not in the tree: correct it{names.hint(name)}"
    return f"may be any of {', '.join(volume.name for volume in volumes[:5])}: write its path below the tree"


def _contrary(subject: str, volumes: Sequence[Volume], owners: dict[str, str | None]) -> Volume | None:
    """One that lies in the subject's folder, but by its PatientID is another subject's."""
    inside = (volume for volume in volumes if subject in volume.folders and owners[volume.name] != subject)
    return next((volume for volume in inside if volume.patient == owners[volume.name]), None)


def _may_be(files: Sequence[str], subject: str, in_tree: set[str]) -> bool:
    """Whether refused files can be the subject's: unless they lie in a folder of another one."""
    others = in_tree - {subject}
    return not any(part in others for file in files for part in file.split("/")[:-1])


def _owner(volume: Volume, subjects: set[str]) -> str | None:
    """The subject of the table whom the PatientID or a folder names, the nearest folder first."""
    return next((name for name in (volume.patient, *volume.folders) if name in subjects), None)


def _all_subjects(volumes: Sequence[Volume], matched: dict[str, str], subjects: set[str]) -> dict[str, str]:
    """The subject of every volume, so that those of one person stay together, in the table or not."""
    of_patient: defaultdict[str, set[str]] = defaultdict(set)
    for volume in volumes:
        if volume.name in matched:
            of_patient[volume.patient].add(matched[volume.name])
    found = {}
    for volume in volumes:
        known = of_patient.get(volume.patient, set()) if volume.patient else set()
        # A PatientID that several subjects have tells nobody from anybody.
        person = "" if len(known) > 1 else next(iter(known), volume.patient)
        folder = next(reversed(volume.folders), without_ending(volume.name))
        found[volume.name] = matched.get(volume.name) or _owner(volume, subjects) or person or folder
    return found
