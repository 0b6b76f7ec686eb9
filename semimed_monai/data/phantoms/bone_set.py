"""A dataset of phantom radiographs of limbs on disk: studies of several views, a few of whose lesions are marked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from semimed_monai.data.datalist import write_datalist
from semimed_monai.data.phantoms.bone_lesions import BONE_LESIONS
from semimed_monai.data.phantoms.bones import (
    BONE_PHANTOM_VERSION,
    STANDARD_BONES,
    BoneAppearance,
    BonePhantom,
    bone_phantom,
)
from semimed_monai.data.phantoms.files import Projection, write_dicom_radiograph, write_png
from semimed_monai.data.phantoms.sets import SetRecipe, write_people
from semimed_monai.data.splits import split_by_group

BONE_CLASSES = ("normal", "abnormal")
SECTIONS = {"training": 0.6, "validation": 0.15, "test": 0.25}
FORMATS = ("mixed", "dicom", "png")
FEWEST = 20
LESION_SHARES = (0.5, 0.25, 0.25)  # of the abnormal studies, in the order of `BONE_LESIONS`
_STUDIES = (1, 1, 1, 2)  # of a patient: one of these is drawn
_FILMS = (1, 2, 2, 3)  # of a study
_PLAN = 400  # of a population's random stream of studies and lesions


@dataclass(frozen=True)
class _Recipe(SetRecipe):
    kind: ClassVar[str] = "bone"
    generator: ClassVar[str] = "semimed_monai.data.phantoms.bone_phantom_set"
    formats: ClassVar[tuple[str, ...]] = FORMATS

    patients: int
    marked: int
    appearance: BoneAppearance


class BoneStudy(NamedTuple):
    """What a study shows, and in how many views."""

    lesion: str | None
    views: int


def bone_phantom_set(
    folder: str | Path | None = None,
    patients: int = 400,
    seed: int = 0,
    file_format: str = "mixed",
    *,
    marked: int = 100,
    appearance: BoneAppearance = STANDARD_BONES,
    workers: int = 1,
) -> Path:
    """Make a set of phantom limbs, once, and return its folder.

    It holds `images/` (PNNNNN_S_V.dcm or .png: patient, study and view), `masks/` (the marks, PNG) and `datalist.json`.
    All images of a study have its label: half of the studies are abnormal. The patient is the group, and is in one
    section only. All abnormal images to validate and to test have a mark, and `marked` of those for training.

    Example:
        >>> folder = bone_phantom_set(patients=20, marked=5, appearance=BoneAppearance(size=64))
        >>> sorted(path.name for path in folder.iterdir())
        ['datalist.json', 'images', 'masks']

    Args:
        folder: where to; by default a folder named after all parameters in $SEMIMED_CACHE, else
            $XDG_CACHE_HOME/semimed, else ~/.cache/semimed.
        patients: how many; each has one or two studies of one to three views, 2.5 images on average.
        seed: the population. A patient stays the same in a larger set, but not which of the images are marked.
        file_format: "mixed" (half of the studies are DICOM CR, the others PNG), "dicom" or "png". A third of the DICOM
            studies of a mixed set, and a sixth otherwise, are MONOCHROME1.
        marked: how many abnormal training images have a mark; those of a lower number are among those of a higher one.
        appearance: what limbs, lesions and films may look like.
        workers: processes. One is enough for the default; others are spawned, so a script that asks for them needs an
            `if __name__ == "__main__"`. The files are the same for any number.

    Raises:
        ValueError: too few patients for three sections, or for so many marks; an unknown format, a seed that is none.
        FileExistsError: `folder` holds something else.
    """
    if patients < FEWEST:
        raise ValueError(
            f"every section needs both classes: ask for {FEWEST} patients or more, got patients={patients}"
        )
    if type(marked) is not int or marked < 0:
        raise ValueError(f"marked must be a whole number from 0, got {marked!r}")
    recipe = _Recipe(seed, file_format, BONE_PHANTOM_VERSION, patients, marked, appearance)
    if (there := sum(item["label"] for item in _split(seed, patients)["training"])) < marked:
        raise ValueError(
            f"marked={marked}, but only {there} of the training images of patients={patients} are abnormal: "
            "ask for fewer marks or more patients"
        )
    return recipe.built(folder, partial(_build, recipe=recipe, workers=workers))


def bone_studies(seed: int, patient: int) -> tuple[BoneStudy, ...]:
    """The studies of a patient of a population.

    >>> bone_studies(seed=0, patient=1)
    (BoneStudy(lesion='lytic', views=1),)
    """
    return _studies_of_hundred(seed, patient // 100)[patient % 100]


@cache
def _studies_of_hundred(seed: int, hundred: int) -> tuple[tuple[BoneStudy, ...], ...]:
    """Of 100 patients in a row, half of whose studies are abnormal."""
    rng = np.random.default_rng([seed, hundred, _PLAN])
    counts = rng.choice(_STUDIES, 100)
    number = int(counts.sum())
    lesions = np.where(rng.permutation(number) % 2, rng.choice(len(BONE_LESIONS), number, p=LESION_SHARES), -1)
    views = rng.choice(_FILMS, number)
    studies = [
        BoneStudy(None if lesion < 0 else BONE_LESIONS[lesion], int(count))
        for lesion, count in zip(lesions, views, strict=True)
    ]
    ends = np.cumsum(counts)
    return tuple(tuple(studies[end - count : end]) for end, count in zip(ends.tolist(), counts.tolist(), strict=True))


def _items_of(seed: int, patient: int) -> list[dict[str, Any]]:
    """A patient's images, without their files' formats."""
    return [
        {
            "image": f"P{patient:05d}_{study}_{view}",
            "label": int(plan.lesion is not None),
            "group": f"P{patient:05d}",
            "study": f"P{patient:05d}/{study}",
        }
        for study, plan in enumerate(bone_studies(seed, patient))
        for view in range(plan.views)
    ]


@cache
def _split(seed: int, patients: int) -> dict[str, list[dict[str, Any]]]:
    items = [item for patient in range(patients) for item in _items_of(seed, patient)]
    return split_by_group(items, SECTIONS, seed)


@cache
def _marked(recipe: _Recipe) -> frozenset[str]:
    """The names of the images that have a mark."""
    ill = {
        section: [item["image"] for item in items if item["label"]]
        for section, items in _split(recipe.seed, recipe.patients).items()
    }
    order = np.random.default_rng([recipe.seed, _PLAN]).permutation(len(ill["training"]))
    return frozenset([ill["training"][place] for place in order[: recipe.marked]] + ill["validation"] + ill["test"])


def _build(folder: Path, recipe: _Recipe, workers: int) -> None:
    for name in ("images", "masks"):
        (folder / name).mkdir()
    write_people(_write_patient, folder, recipe, range(recipe.patients), workers)
    write_datalist(
        folder,
        name="phantom limbs",
        version=recipe.version,
        provenance=recipe.provenance,
        classes=BONE_CLASSES,
        sections={
            section: [_with_files(recipe, item) for item in items]
            for section, items in _split(recipe.seed, recipe.patients).items()
        },
    )


def _numbers(item: dict[str, Any]) -> tuple[int, int, int]:
    """Patient, study and view."""
    patient, study, view = item["image"][1:].split("_")
    return int(patient), int(study), int(view)


def _with_files(recipe: _Recipe, item: dict[str, Any]) -> dict[str, Any]:
    """The item as the datalist has it."""
    patient, study, _ = _numbers(item)
    dicom = recipe.file_format == "dicom" or (recipe.file_format == "mixed" and (patient + study) % 2 == 0)
    mask = {"mask": f"masks/{item['image']}.png"} if item["image"] in _marked(recipe) else {}
    return {**item, "image": f"images/{item['image']}" + (".dcm" if dicom else ".png"), **mask}


def _write_patient(folder: Path, recipe: _Recipe, patient: int) -> None:
    studies = bone_studies(recipe.seed, patient)
    for bare in _items_of(recipe.seed, patient):
        _, study, view = _numbers(bare)
        item = _with_files(recipe, bare)
        picture = bone_phantom(recipe.seed, patient, studies[study].lesion, study, view, recipe.appearance)
        path = folder / item["image"]
        if path.suffix == ".dcm":
            write_dicom_radiograph(
                path,
                picture.image,
                picture.spacing,
                item["group"],
                f"{recipe.key}/{study}",
                monochrome1=(patient + study) % 6 == 0,
                projection=_projection(picture),
                number=view + 1,
            )
        else:
            write_png(path, (picture.image * (255 / 4095)).round().astype(np.uint8))
        if "mask" in item:
            write_png(folder / item["mask"], picture.mark)


def _projection(picture: BonePhantom) -> Projection:
    """Fingers point up; a left limb seen from its outer side has its front to the right."""
    hand, lateral = picture.part == "HAND", picture.turn > 60
    turned = f"{picture.side}L" if lateral else f"{picture.side}LO"
    across = "L" if not lateral else "A" if picture.side == "L" else "P"
    position = turned if picture.turn else "PA" if hand else "AP"
    return Projection(picture.part, position, (across, "H" if hand else "F"), picture.side)
