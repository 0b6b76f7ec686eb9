"""The published set of OAI's graded knees (Mendeley Data 56rmx5bjcr): its folders, and all that is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.names import without_ending
from data_prep.oai_knee import CLASSES, Knee
from semimed_monai.data import DatalistError
from semimed_monai.data.find import PICTURES

PARTS: Mapping[str, str] = {"train": "training", "val": "validation", "test": "test"}
"""The published folders, and the sections that they are."""

GRADES = tuple(map(str, range(len(CLASSES))))
AUTOMATIC = "auto_test"
_LIKE = "9001695L.png (subject, then L or R)"


class PublishedKnee(NamedTuple):
    """An image as its path has it.

    Args:
        path: below the source.
        part: train, val or test.
        grade: by its folder.
        knee: by its name.
    """

    path: str
    part: str
    grade: int
    knee: Knee


class Published(NamedTuple):
    """What the folders hold.

    Args:
        images: in the order of the knees' names.
        others: files that are no pictures.
        notes: what is not there, and what is not used.
    """

    images: list[PublishedKnee]
    others: list[str]
    notes: list[str]


def read_published(source: Path) -> Published:
    """The knees of a folder of the published form.

    Raises:
        ValueError: it has no part to train on.
        DatalistError: with each file or folder that does not belong there, or contradicts another one.
    """
    _check_layout(source)
    problems: list[str] = []
    found, others = [], []
    for file in _files(source, problems):
        name = file.relative_to(source).as_posix()
        if not file.name.lower().endswith(PICTURES):
            others.append(name)
            continue
        try:
            found.append(published_knee(name))
        except ValueError as error:
            problems.append(f"{name}: {error}")
    problems += [*_repeated(found), *_in_several_parts(found)]
    if problems:
        raise DatalistError(source, problems)
    return Published(sorted(found, key=lambda image: image.knee.name), others, [*_absent(source), *_unused(source)])


def _check_layout(source: Path) -> None:
    if source.is_file():
        raise ValueError(f"{source} is a file: unpack it and give that folder")
    if (source / "train").is_dir():
        return
    below = sorted(folder.parent for depth in ("*", "*/*", "*/*/*") for folder in source.glob(f"{depth}/train"))
    hint = f"; did you mean {below[0]}?" if below else ""
    raise ValueError(
        f"{source} has no train/: give the folder of the published set in which {', '.join(PARTS)} lie, or with "
        f"--readings that of OAI's own films{hint}"
    )


def _files(source: Path, problems: list[str]) -> Iterator[Path]:
    """All files of the parts; folders and pictures at the wrong place are added to the problems."""
    for part in PARTS:
        for entry in _shown(source / part):
            name = f"{part}/{entry.name}"
            if entry.is_file() and entry.name.lower().endswith(PICTURES):
                problems.append(f"{name} is in no grade's folder: move it into one, or away")
            elif entry.is_file():
                yield entry
            elif entry.name not in GRADES:
                problems.append(f"{name}{_first(entry)}: the grades' folders are {', '.join(GRADES)}: move it away")
            else:
                inside = _shown(entry)
                problems += [f"{name}/{one.name} is a folder: move its images out" for one in inside if one.is_dir()]
                yield from (one for one in inside if one.is_file())


def _shown(folder: Path) -> list[Path]:
    """What is in a folder, by name, but what is hidden; nothing of one that is not there."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".")) if folder.is_dir() else []


def _first(folder: Path) -> str:
    inside = _shown(folder)
    more = f" and {len(inside) - 1} more" if len(inside) > 1 else ""
    return f" ({inside[0].name}{more})" if inside else ""


def published_knee(path: str) -> PublishedKnee:
    """That of an image.

    >>> published_knee("val/2/9001695L.png")
    PublishedKnee(path='val/2/9001695L.png', part='val', grade=2, knee=Knee(subject='9001695', side='L'))
    """
    part, grade, file = path.split("/")
    name = without_ending(file)
    subject, side = name[:-1], name[-1:]
    if name.isdecimal():
        raise ValueError(f"the side is missing: its name must be like {_LIKE}")
    if not subject.isdecimal() or side not in ("L", "R"):
        raise ValueError(f"its name must be like {_LIKE}: rename it, or move it away")
    return PublishedKnee(path, part, int(grade), Knee(subject, side))


def _repeated(images: Sequence[PublishedKnee]) -> list[str]:
    """Knees that are there twice, or have two grades."""
    files: defaultdict[Knee, list[PublishedKnee]] = defaultdict(list)
    for image in images:
        files[image.knee].append(image)
    problems = []
    for knee, (first, *others) in files.items():
        for other in others:
            if other.grade == first.grade:
                problems.append(f"knee {knee.name} is there twice, {first.path} and {other.path}: remove one of them")
            else:
                grades = f"grade {first.grade} by {first.path} and {other.grade} by {other.path}"
                problems.append(f"knee {knee.name} has {grades}: remove the one that is wrong")
    return problems


def _in_several_parts(images: Sequence[PublishedKnee]) -> list[str]:
    """Subjects who are in two parts: to test on them would flatter."""
    first: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for image in images:
        first[image.knee.subject].setdefault(image.part, image.path)
    return [
        f"subject {subject} is in several parts ({', '.join(paths.values())}): leave the knees of a person in one"
        for subject, paths in first.items()
        if len(paths) > 1
    ]


def _absent(source: Path) -> list[str]:
    uses = {"val": "no validation section", "test": "no official test section; --test-from cuts one out by subject"}
    return [f"{source.name} has no {part}/: {use}" for part, use in uses.items() if not _shown(source / part)]


def _unused(source: Path) -> list[str]:
    names = [entry.name for entry in _shown(source) if entry.name not in PARTS]
    notes = [f"not used: {', '.join(rest)}"] if (rest := [name for name in names if name != AUTOMATIC]) else []
    if AUTOMATIC not in names:
        return notes
    same = "the test subjects' knees once more, as a detector found them"
    return [*notes, f"not used: {AUTOMATIC}/ ({same})"]
