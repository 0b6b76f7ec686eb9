"""A dataset of phantom knee radiographs on disk, both knees of every person; and films of both knees at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from semimed_monai.data.datalist import write_datalist
from semimed_monai.data.phantoms.files import Projection, write_dicom_radiograph, write_png
from semimed_monai.data.phantoms.knee_xray import (
    KNEE_SIDES,
    KNEE_XRAY_PHANTOM_VERSION,
    STANDARD_KNEE_XRAY,
    BothKneesPhantom,
    KneeXrayAppearance,
    both_knees_xray_phantom,
    knee_xray_phantom,
)
from semimed_monai.data.phantoms.knee_xray_signs import KNEE_XRAY_CLASSES
from semimed_monai.data.phantoms.sets import SetRecipe, write_people
from semimed_monai.data.splits import split_by_group

GRADE_SHARES = (0.40, 0.18, 0.26, 0.13, 0.03)
"""Of the knees, by grade, as in the public set of OAI's."""

ALIKE = 0.8
"""Correlation of what decides the grades of a person's two knees; they are equal in somewhat more than half."""

SECTIONS = {"training": 0.7, "validation": 0.15, "test": 0.15}
FORMATS = ("mixed", "dicom", "png")
FEWEST = 10
_TOGETHER = 50  # persons in a row whose knees have the grades in their shares
_PLAN = 400  # of a population's random stream of grades


@dataclass(frozen=True)
class _Recipe(SetRecipe):
    kind: ClassVar[str] = "knee-xray"
    generator: ClassVar[str] = "semimed_monai.data.phantoms.knee_xray_phantom_set"
    formats: ClassVar[tuple[str, ...]] = FORMATS

    people: int
    appearance: KneeXrayAppearance


def knee_xray_phantom_set(
    folder: str | Path | None = None,
    people: int = 400,
    seed: int = 0,
    file_format: str = "mixed",
    *,
    appearance: KneeXrayAppearance = STANDARD_KNEE_XRAY,
    workers: int = 1,
) -> Path:
    """Make a set of phantom knee radiographs, once, and return its folder.

    It holds `images/` (PNNNNNS.dcm or .png: person and side, L or R) and `datalist.json`. The label is the
    Kellgren-Lawrence grade; the person is the group, and is in one section only. From 150 people on every section has
    every grade.

    Example:
        >>> folder = knee_xray_phantom_set(people=100, appearance=KneeXrayAppearance(size=64))
        >>> sorted(path.name for path in folder.iterdir())
        ['datalist.json', 'images']

    Args:
        folder: where to; by default a folder named after all parameters in $SEMIMED_CACHE, else
            $XDG_CACHE_HOME/semimed, else ~/.cache/semimed.
        people: how many; of each there are two images.
        seed: the population. A person stays the same in a larger set.
        file_format: "mixed" (half of the persons' are DICOM CR, the others' PNG), "dicom" or "png". A third of the
            DICOM studies of a mixed set, and a sixth otherwise, are MONOCHROME1.
        appearance: what knees and films may look like.
        workers: processes. One is enough for the default; others are spawned, so a script that asks for them needs an
            `if __name__ == "__main__"`. The files are the same for any number.

    Raises:
        ValueError: too few people for three sections, an unknown format, a seed that is none.
        FileExistsError: `folder` holds something else.
    """
    if people < FEWEST:
        raise ValueError(f"three sections need people: ask for {FEWEST} or more, got people={people}")
    recipe = _Recipe(seed, file_format, KNEE_XRAY_PHANTOM_VERSION, people, appearance)
    return recipe.built(folder, partial(_build, recipe=recipe, workers=workers))


def knee_xray_grades(seed: int, person: int) -> tuple[int, int]:
    """The grades of the left and the right knee of a person of a population.

    >>> knee_xray_grades(seed=0, person=0)
    (2, 2)
    """
    return _grades_together(seed, person // _TOGETHER)[person % _TOGETHER]


@cache
def _grades_together(seed: int, run: int) -> tuple[tuple[int, int], ...]:
    """Of some persons in a row, whose knees are put in order from the healthiest to the worst."""
    rng = np.random.default_rng([seed, run, _PLAN])
    person, own = rng.standard_normal((_TOGETHER, 1)), rng.standard_normal((_TOGETHER, 2))
    order = (ALIKE**0.5 * person + (1 - ALIKE) ** 0.5 * own).ravel().argsort()
    counts = [round(2 * _TOGETHER * share) for share in GRADE_SHARES]
    grades = np.empty(2 * _TOGETHER, dtype=int)
    grades[order] = np.repeat(np.arange(len(counts)), counts)
    return tuple((left, right) for left, right in grades.reshape(-1, 2).tolist())


def write_both_knees(
    path: str | Path,
    seed: int,
    person: int,
    grades: tuple[int, int],
    appearance: KneeXrayAppearance = STANDARD_KNEE_XRAY,
    *,
    monochrome1: bool = False,
) -> BothKneesPhantom:
    """Write a DICOM CR of both knees of a person, as OAI's baseline has them, and return what is on it.

    Example:
        >>> film = write_both_knees("/tmp/knees.dcm", seed=0, person=3, grades=(0, 2))
        >>> sorted(film.centres)
        ['L', 'R']

    Args:
        path: the file.
        seed: the population.
        person: of it.
        grades: of the left and the right knee; `knee_xray_grades` has a population's.
        appearance: what knees and films may look like.
        monochrome1: store black and white exchanged.
    """
    film = both_knees_xray_phantom(seed, person, grades, appearance)
    projection = Projection("KNEE", "PA", ("L", "F"), "B")
    write_dicom_radiograph(
        path, film.image, film.spacing, _name(person), f"{seed}/both", monochrome1=monochrome1, projection=projection
    )
    return film


def _name(person: int) -> str:
    return f"P{person:05d}"


def _file(recipe: _Recipe, person: int, side: str) -> str:
    dicom = recipe.file_format == "dicom" or (recipe.file_format == "mixed" and person % 2 == 0)
    return f"images/{_name(person)}{side}" + (".dcm" if dicom else ".png")


def _build(folder: Path, recipe: _Recipe, workers: int) -> None:
    (folder / "images").mkdir()
    write_people(_write_person, folder, recipe, range(recipe.people), workers)
    items: list[dict[str, Any]] = [
        {"image": _file(recipe, person, side), "label": grade, "group": _name(person)}
        for person in range(recipe.people)
        for side, grade in zip(KNEE_SIDES, knee_xray_grades(recipe.seed, person), strict=True)
    ]
    write_datalist(
        folder,
        name="phantom knee radiographs",
        version=recipe.version,
        provenance=recipe.provenance,
        classes=KNEE_XRAY_CLASSES,
        sections=split_by_group(items, SECTIONS, recipe.seed),
    )


def _write_person(folder: Path, recipe: _Recipe, person: int) -> None:
    grades = knee_xray_grades(recipe.seed, person)
    for number, (side, grade) in enumerate(zip(KNEE_SIDES, grades, strict=True), start=1):
        knee, path = knee_xray_phantom(recipe.seed, person, side, grade, recipe.appearance), _file(recipe, person, side)
        if path.endswith(".dcm"):
            write_dicom_radiograph(
                folder / path,
                knee.image,
                knee.spacing,
                _name(person),
                recipe.key,
                monochrome1=person % 6 == 0,
                projection=Projection("KNEE", "AP", ("L", "F"), side),
                number=number,
            )
        else:
            write_png(folder / path, (knee.image * (255 / 4095)).round().astype(np.uint8))
