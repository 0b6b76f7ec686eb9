"""A dataset of phantom knees on disk: images, label maps, dilated cartilage masks and two datalists."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import dilation as dilate
from skimage.morphology import disk

from semimed_monai.data.datalist import write_datalist
from semimed_monai.data.phantoms.anatomy import (
    KNEE_CLASSES,
    KNEE_PHANTOM_VERSION,
    KNEE_TISSUES,
    STANDARD_KNEE,
    KneeAnatomy,
)
from semimed_monai.data.phantoms.files import write_dicom_series, write_nifti
from semimed_monai.data.phantoms.knee import BLOCK, STREAMS, knee_phantom
from semimed_monai.data.phantoms.sets import SetRecipe, write_people

SHARES = {"test": 0.25, "validation": 0.15}  # of the people; the rest is for training
FEWEST = 2 * BLOCK
FORMATS = ("nifti", "dicom")


@dataclass(frozen=True)
class _Recipe(SetRecipe):
    kind: ClassVar[str] = "knee"
    generator: ClassVar[str] = "semimed_monai.data.phantoms.knee_phantom_set"
    formats: ClassVar[tuple[str, ...]] = FORMATS

    people: int
    dilation: int
    anatomy: KneeAnatomy


def knee_phantom_set(
    folder: str | Path | None = None,
    people: int = 200,
    seed: int = 0,
    file_format: str = "nifti",
    dilation: int = 3,
    *,
    anatomy: KneeAnatomy = STANDARD_KNEE,
    workers: int = 1,
) -> Path:
    """Make a set of phantom knees, once, and return its folder.

    It holds `images/` (pNNNN.nii.gz, or a DICOM series folder pNNNN), `anatomy/` (label maps), `masks/` (the femoral
    cartilage's site, dilated), `datalist.json` (grades with masks) and `segmentation.json` (tissues, for the
    segmenter). One item is one sagittal slice; a person is in one section only.

    Example:
        >>> folder = knee_phantom_set(people=8)
        >>> sorted(path.name for path in folder.iterdir())
        ['anatomy', 'datalist.json', 'images', 'masks', 'segmentation.json']

    Args:
        folder: where to; by default a folder named after all parameters in $SEMIMED_CACHE, else
            $XDG_CACHE_HOME/semimed, else ~/.cache/semimed.
        people: how many; sections and classes are even if it is a multiple of 40.
        seed: the population.
        file_format: "nifti" or "dicom", of the images; label maps and masks are NIfTI.
        dilation: radius in pixels by which masks reach beyond the cartilage, in the slice.
        anatomy: what the knees may look like.
        workers: processes. One is enough for the default; others are spawned, so a script that asks for them needs an
            `if __name__ == "__main__"`. The files are the same for any number.

    Raises:
        ValueError: too few people for three sections, an unknown format, a seed that is none, a negative dilation.
        FileExistsError: `folder` holds something else.
    """
    if people < FEWEST:
        raise ValueError(f"every section needs every grade: ask for {FEWEST} people or more, got people={people}")
    if dilation < 0:
        raise ValueError(f"dilation must not be negative, got {dilation}")
    recipe = _Recipe(seed, file_format, KNEE_PHANTOM_VERSION, people, dilation, anatomy)
    return recipe.built(folder, partial(_build, recipe=recipe, workers=workers))


def cartilage_mask(site: NDArray[np.uint8], dilation: int) -> NDArray[np.uint8]:
    """The femoral cartilage's site (x, y, slice), defects included, dilated by a disc within each slice."""
    disc = disk(dilation)  # type: ignore[no-untyped-call]
    return np.stack([dilate(site[..., k], disc) for k in range(site.shape[2])], axis=2)


def _build(folder: Path, recipe: _Recipe, workers: int) -> None:
    for name in ("images", "anatomy", "masks"):
        (folder / name).mkdir()
    grades = write_people(_write_person, folder, recipe, range(recipe.people), workers)
    sections = _sections(grades, recipe.seed)
    for name, classes in (("segmentation", KNEE_TISSUES), ("datalist", KNEE_CLASSES)):
        write_datalist(
            folder / f"{name}.json",
            name=f"phantom knees, {name}",
            version=recipe.version,
            provenance=recipe.provenance,
            classes=classes,
            sections={
                section: [
                    item for person in people_in for item in _items(recipe, person, grades[person], name == "datalist")
                ]
                for section, people_in in sections.items()
            },
        )


def _write_person(folder: Path, recipe: _Recipe, index: int) -> tuple[int, ...]:
    person, name = knee_phantom(recipe.seed, index, recipe.anatomy), _name(index)
    if recipe.file_format == "dicom":
        write_dicom_series(folder / "images" / name, person.volume, person.affine, name, recipe.key)
    else:
        write_nifti(folder / "images" / f"{name}.nii.gz", person.volume, person.affine)
    write_nifti(folder / "anatomy" / f"{name}.nii.gz", person.labels, person.affine)
    write_nifti(folder / "masks" / f"{name}.nii.gz", cartilage_mask(person.site, recipe.dilation), person.affine)
    return person.grades


def _name(index: int) -> str:
    return f"p{index:04d}"


def _items(recipe: _Recipe, index: int, grades: tuple[int, ...], graded: bool) -> list[dict[str, Any]]:
    name = _name(index)
    image = f"images/{name}" + ("" if recipe.file_format == "dicom" else ".nii.gz")
    mask = f"{'masks' if graded else 'anatomy'}/{name}.nii.gz"
    items: list[dict[str, Any]] = [
        {"image": image, "slice": k, "mask": mask, "group": name} for k in range(len(grades))
    ]
    if graded:
        for item, grade in zip(items, grades, strict=True):
            item["label"] = grade
    return items


def _sections(grades: list[tuple[int, ...]], seed: int) -> dict[str, list[int]]:
    """People by section: whole blocks in random order, cut between pairs of people who have every grade between them.

    scikit-learn's StratifiedGroupKFold balances folds of equal size; it does not cut 60 / 15 / 25 %.
    """
    whole = len(grades) // BLOCK
    order: list[int] = []
    for block in np.random.default_rng([seed, len(STREAMS)]).permutation(whole):
        by_load = sorted(range(block * BLOCK, (block + 1) * BLOCK), key=lambda person: sum(grades[person]))
        order += [by_load[place] for place in (0, 3, 1, 2)]
    order += range(whole * BLOCK, len(grades))
    sections, start = {}, 0
    for section, share in SHARES.items():
        end = start + max(2, 2 * round(share * len(grades) / 2))
        sections[section] = sorted(map(int, order[start:end]))
        start = end
    return {"training": sorted(map(int, order[start:])), "validation": sections["validation"], "test": sections["test"]}
