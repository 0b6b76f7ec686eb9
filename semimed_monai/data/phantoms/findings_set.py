"""A dataset of phantom chest radiographs on disk, each with none, one or several of ChestX-ray14's findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from semimed_monai.data.datalist import write_datalist
from semimed_monai.data.phantoms.files import write_dicom_radiograph, write_png
from semimed_monai.data.phantoms.findings import (
    FINDING_PHANTOM_VERSION,
    FINDINGS,
    STANDARD_FINDINGS,
    FindingAppearance,
    finding_phantom,
)
from semimed_monai.data.phantoms.sets import SetRecipe, write_people
from semimed_monai.data.splits import split_by_group

FINDING_SHARES = {
    "Infiltration": 0.20,
    "Effusion": 0.16,
    "Atelectasis": 0.15,
    "Nodule": 0.10,
    "Mass": 0.09,
    "Pneumothorax": 0.08,
    "Consolidation": 0.08,
    "Pleural_Thickening": 0.07,
    "Cardiomegaly": 0.06,
    "Emphysema": 0.06,
    "Edema": 0.05,
    "Fibrosis": 0.05,
    "Pneumonia": 0.05,
    "Hernia": 0.04,
}
"""Of the patients who have it: in ChestX-ray14's order, but its rarest, of 2 in 1000, are more here."""

COMPANIONS = (
    ("Effusion", "Atelectasis"),
    ("Effusion", "Consolidation"),
    ("Cardiomegaly", "Edema"),
    ("Infiltration", "Pneumonia"),
    ("Emphysema", "Pneumothorax"),
    ("Fibrosis", "Pleural_Thickening"),
    ("Mass", "Nodule"),
)
"""Findings that occur together more often than by chance."""

SECTIONS = {"training": 0.7, "validation": 0.1, "test": 0.2}
FEWEST = 200
FORMATS = ("mixed", "dicom", "png")
_ILLNESS = 0.6  # how much all findings have in common, beside one of each: two of five patients have none
_FILMS = (1, 1, 1, 1, 1, 1, 2, 2, 3, 4)  # of a patient: one of these is drawn
_PLAN = 400  # of a population's random stream of films and findings


@dataclass(frozen=True)
class _Recipe(SetRecipe):
    kind: ClassVar[str] = "finding"
    generator: ClassVar[str] = "semimed_monai.data.phantoms.finding_phantom_set"
    formats: ClassVar[tuple[str, ...]] = FORMATS

    patients: int
    appearance: FindingAppearance


def finding_phantom_set(
    folder: str | Path | None = None,
    patients: int = 600,
    seed: int = 0,
    file_format: str = "mixed",
    *,
    appearance: FindingAppearance = STANDARD_FINDINGS,
    workers: int = 1,
) -> Path:
    """Make a set of phantom chests with findings, once, and return its folder.

    It holds `images/` (PNNNNN_F.dcm or .png: patient and film) and `datalist.json`, whose labels have a 0 or a 1 for
    each of the `FINDINGS`; the patient is the group, and is in one section only.

    Example:
        >>> folder = finding_phantom_set(patients=200, appearance=FindingAppearance(size=64))
        >>> sorted(path.name for path in folder.iterdir())
        ['datalist.json', 'images']

    Args:
        folder: where to; by default a folder named after all parameters in $SEMIMED_CACHE, else
            $XDG_CACHE_HOME/semimed, else ~/.cache/semimed.
        patients: how many; of some there are two to four films, 1.7 on average.
        seed: the population. A patient stays the same in a larger set.
        file_format: "mixed" (half of the films are DICOM CR, the others PNG), "dicom" or "png". A third of the DICOM
            films of a mixed set, and a sixth otherwise, are MONOCHROME1.
        appearance: what chests, findings and films may look like.
        workers: processes. One is enough for the default; others are spawned, so a script that asks for them needs an
            `if __name__ == "__main__"`. The files are the same for any number.

    Raises:
        ValueError: too few patients for fourteen findings in three sections, an unknown format, a seed that is none.
        FileExistsError: `folder` holds something else.
    """
    if patients < FEWEST:
        raise ValueError(
            f"every section needs every finding: ask for {FEWEST} patients or more, got patients={patients}"
        )
    recipe = _Recipe(seed, file_format, FINDING_PHANTOM_VERSION, patients, appearance)
    return recipe.built(folder, partial(_build, recipe=recipe, workers=workers))


def findings_and_films(seed: int, patient: int) -> tuple[tuple[str, ...], int]:
    """Of a patient of a population: what is found, and how many films there are.

    >>> findings_and_films(seed=0, patient=1)
    (('Edema',), 2)
    """
    films = int(np.random.default_rng([seed, patient, _PLAN]).choice(_FILMS))
    return _found_in_hundred(seed, patient // 100)[patient % 100], films


@cache
def _found_in_hundred(seed: int, hundred: int) -> list[tuple[str, ...]]:
    """Of 100 patients in a row: each finding is at those of the highest scores, as many as its share says."""
    rng = np.random.default_rng([seed, hundred, _PLAN + 1])
    illness = _ILLNESS * rng.standard_normal(100)
    scores = dict(zip(FINDINGS, illness + rng.standard_normal((len(FINDINGS), 100)), strict=True))
    for pair in COMPANIONS:
        shared = rng.standard_normal(100)
        for name in pair:
            scores[name] = scores[name] + shared
    having = {name: {*np.argsort(scores[name])[-round(100 * FINDING_SHARES[name]) :].tolist()} for name in FINDINGS}
    return [tuple(name for name in FINDINGS if place in having[name]) for place in range(100)]


def _build(folder: Path, recipe: _Recipe, workers: int) -> None:
    (folder / "images").mkdir()
    patients = range(recipe.patients)
    write_people(_write_patient, folder, recipe, patients, workers)
    write_datalist(
        folder,
        name="phantom chests with findings",
        version=recipe.version,
        provenance=recipe.provenance,
        classes=FINDINGS,
        sections=_split([item for patient in patients for item in _items(recipe, patient)], recipe.seed),
    )


def _items(recipe: _Recipe, patient: int) -> list[dict[str, Any]]:
    """A patient's films, from the first on."""
    found, films = findings_and_films(recipe.seed, patient)
    label, items = [int(name in found) for name in FINDINGS], []
    for film in range(films):
        dicom = recipe.file_format == "dicom" or (recipe.file_format == "mixed" and (patient + film) % 2 == 0)
        file = f"images/P{patient:05d}_{film}" + (".dcm" if dicom else ".png")
        items.append({"image": file, "label": label, "group": f"P{patient:05d}"})
    return items


def _write_patient(folder: Path, recipe: _Recipe, patient: int) -> None:
    found, _ = findings_and_films(recipe.seed, patient)
    for film, item in enumerate(_items(recipe, patient)):
        picture, path = finding_phantom(recipe.seed, patient, found, film, recipe.appearance), folder / item["image"]
        if path.suffix == ".dcm":
            uid_source, monochrome1 = f"{recipe.key}/{film}", (patient + film) % 6 == 0
            write_dicom_radiograph(
                path, picture.image, picture.spacing, item["group"], uid_source, monochrome1=monochrome1
            )
        else:
            write_png(path, (picture.image * (255 / 4095)).round().astype(np.uint8))


def _split(items: Sequence[dict[str, Any]], seed: int) -> dict[str, list[dict[str, Any]]]:
    """By the first of the seeds from this one on that leaves no section without a finding: mostly it is this one."""
    splits = (split_by_group(items, SECTIONS, number) for number in count(seed))
    return next(split for split in splits if all(map(_has_every_finding, split.values())))


def _has_every_finding(items: Sequence[dict[str, Any]]) -> bool:
    return all(map(any, zip(*(item["label"] for item in items), strict=True)))
