"""A dataset of phantom chest radiographs on disk: one film a person, and a datalist with the four roles."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from semimed_monai.data.datalist import write_datalist
from semimed_monai.data.phantoms.chest import CHEST_PHANTOM_VERSION, STANDARD_CHEST, ChestAnatomy, chest_phantom
from semimed_monai.data.phantoms.files import write_dicom_radiograph, write_png
from semimed_monai.data.phantoms.sets import SetRecipe, write_people

CHEST_CLASSES = ("normal", "fracture")
FORMATS = ("mixed", "dicom", "png")
# Each group counts its people from a number of its own, so that they stay the same whatever the others' counts are.
_MOST = 100_000
_SECTIONS = {"hos": "training", "pub": "training", "val": "validation", "test": "test"}
_LOOK = 200  # the random stream of what a public set does to its films; a chest's own are below


@dataclass(frozen=True)
class ChestCounts:
    """How many films of each role there are for training, and with (P) and without (N) a fracture to validate and test.

    The roles' proportions are about the paper's: 1 to 17, 1 to 3.5, 8 times as many positives without boxes as with
    them. The other sections are from the hospital, with more fractures than it has, so that scores mean something.

    >>> ChestCounts().total, ChestCounts().scaled_to(228).P_pub
    (2280, 32)

    Raises:
        ValueError: a count that is no whole number from 0, or is too large.
    """

    P_hos: int = 40
    N_hos: int = 640
    P_pub: int = 320
    N_pub: int = 800
    P_val: int = 60
    N_val: int = 120
    P_test: int = 100
    N_test: int = 200

    def __post_init__(self) -> None:
        for group, count in asdict(self).items():
            if type(count) is not int or not 0 <= count < _MOST:
                raise ValueError(f"{group}={count!r}: give a whole number from 0 to {_MOST - 1}")

    @property
    def total(self) -> int:
        return sum(asdict(self).values())

    def scaled_to(self, people: int) -> ChestCounts:
        """The same proportions among so many people.

        Raises:
            ValueError: a group would lose all of its people.
        """
        edges = np.rint(np.cumsum([0, *asdict(self).values()]) * people / self.total)
        scaled = dict(zip(asdict(self), np.diff(edges).astype(int).tolist(), strict=True))
        if lost := [group for group, count in scaled.items() if count < 1 <= getattr(self, group)]:
            raise ValueError(f"people={people} leaves nobody for {', '.join(lost)}: ask for more, or give the counts")
        return ChestCounts(**scaled)


STANDARD_COUNTS = ChestCounts()
_GROUPS = [field.name for field in fields(ChestCounts)]


@dataclass(frozen=True)
class _Recipe(SetRecipe):
    kind: ClassVar[str] = "chest"
    generator: ClassVar[str] = "semimed_monai.data.phantoms.chest_phantom_set"
    formats: ClassVar[tuple[str, ...]] = FORMATS

    counts: ChestCounts
    anatomy: ChestAnatomy


def chest_phantom_set(
    folder: str | Path | None = None,
    people: int | None = None,
    seed: int = 0,
    file_format: str = "mixed",
    *,
    counts: ChestCounts = STANDARD_COUNTS,
    anatomy: ChestAnatomy = STANDARD_CHEST,
    workers: int = 1,
) -> Path:
    """Make a set of phantom chests, once, and return its folder.

    It holds `images/` (a radiograph a person, DICOM CR or PNG) and `datalist.json`: training items with their roles,
    boxes for P_hos only; validation and test items with boxes for all fractures. Public films look a little different
    from the hospital's: smoother, along another curve of greys.

    Example:
        >>> folder = chest_phantom_set(people=76)
        >>> sorted(path.name for path in folder.iterdir())
        ['datalist.json', 'images']

    Args:
        folder: where to; by default a folder named after all parameters in $SEMIMED_CACHE, else
            $XDG_CACHE_HOME/semimed, else ~/.cache/semimed.
        people: how many, in the proportions of `counts`; by default as many as these add up to.
        seed: the population. A person stays the same in a set with other counts.
        file_format: "mixed" (half of the hospital's films are DICOM CR, everything else is PNG), "dicom" or "png". Some
            DICOM films are MONOCHROME1.
        counts: how many people there are of each role and in the other sections.
        anatomy: what the chests may look like.
        workers: processes. One is enough for the default; others are spawned, so a script that asks for them needs an
            `if __name__ == "__main__"`. The files are the same for any number.

    Raises:
        ValueError: too few people for all groups, an unknown format, a seed that is none.
        FileExistsError: `folder` holds something else.
    """
    if people is not None:
        counts = counts.scaled_to(people)
    recipe = _Recipe(seed, file_format, CHEST_PHANTOM_VERSION, counts, anatomy)
    return recipe.built(folder, partial(_build, recipe=recipe, workers=workers))


def _build(folder: Path, recipe: _Recipe, workers: int) -> None:
    (folder / "images").mkdir()
    counts = asdict(recipe.counts)
    people = [place * _MOST + number for place, group in enumerate(_GROUPS) for number in range(counts[group])]
    boxes = write_people(_write_person, folder, recipe, people, workers)
    sections: dict[str, list[dict[str, Any]]] = {section: [] for section in _SECTIONS.values()}
    for index, found in zip(people, boxes, strict=True):
        sections[_SECTIONS[_source(index)]].append(_item(recipe, index, found))
    write_datalist(
        folder,
        name="phantom chests",
        version=recipe.version,
        provenance=recipe.provenance,
        classes=CHEST_CLASSES,
        sections=sections,
    )


def _write_person(folder: Path, recipe: _Recipe, index: int) -> tuple[tuple[float, ...], ...]:
    person = chest_phantom(recipe.seed, index, _is_positive(index), recipe.anatomy)
    image, path = person.image, folder / _file(recipe, index)
    if _source(index) == "pub":
        image = _as_published(image, np.random.default_rng([recipe.seed, index, _LOOK]))
    if path.suffix == ".dcm":
        write_dicom_radiograph(path, image, person.spacing, path.stem, recipe.key, monochrome1=index % 6 == 0)
    else:
        write_png(path, (image * (255 / 4095)).round().astype(np.uint8))
    return person.boxes


def _as_published(image: NDArray[np.uint16], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Resampled and exported by somebody else."""
    smooth, gamma = rng.uniform((0.2, 0.75), (0.5, 1.2))
    return np.asarray((4095 * gaussian_filter(image / 4095, smooth) ** gamma).round(), dtype=np.uint16)


def _is_positive(index: int) -> bool:
    return _GROUPS[index // _MOST].startswith("P")


def _source(index: int) -> str:
    return _GROUPS[index // _MOST].split("_")[1]


def _file(recipe: _Recipe, index: int) -> str:
    dicom = recipe.file_format == "dicom" or (
        recipe.file_format == "mixed" and _source(index) != "pub" and index % 2 == 0
    )
    return f"images/p{index:06d}" + (".dcm" if dicom else ".png")


def _item(recipe: _Recipe, index: int, boxes: tuple[tuple[float, ...], ...]) -> dict[str, Any]:
    group, file = _GROUPS[index // _MOST], _file(recipe, index)
    item: dict[str, Any] = {"image": file, "label": int(_is_positive(index)), "group": Path(file).stem}
    if _SECTIONS[_source(index)] == "training":
        item["role"] = group
    if boxes and group != "P_pub":
        item["boxes"] = [list(box) for box in boxes]
    return item
