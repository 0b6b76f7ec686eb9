"""A dataset of phantom skin lesions on disk: photographs as PNG with the lesion's mask, several of some lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from semimed_monai.data.datalist import write_datalist
from semimed_monai.data.phantoms.files import write_png
from semimed_monai.data.phantoms.sets import SetRecipe, write_people
from semimed_monai.data.phantoms.skin import (
    SKIN_CLASSES,
    SKIN_PHANTOM_VERSION,
    STANDARD_SKIN,
    SkinAppearance,
    skin_phantom,
)
from semimed_monai.data.splits import split_by_group

CLASS_SHARES = (0.12, 0.50, 0.10, 0.07, 0.12, 0.04, 0.05)
"""Of the lesions, by class: unbalanced like HAM10000's, whose rarest classes of one in a hundred are more here."""

SECTIONS = {"training": 0.6, "validation": 0.15, "test": 0.25}
FEWEST = 120
_SHOTS = (1, 1, 1, 2, 3)  # photographs of a lesion: one of these is drawn
_PLAN = 400  # of a population's random stream of classes and shots


@dataclass(frozen=True)
class _Recipe(SetRecipe):
    kind: ClassVar[str] = "skin"
    generator: ClassVar[str] = "semimed_monai.data.phantoms.skin_phantom_set"
    formats: ClassVar[tuple[str, ...]] = ("png",)

    lesions: int
    appearance: SkinAppearance


def skin_phantom_set(
    folder: str | Path | None = None,
    lesions: int = 900,
    seed: int = 0,
    *,
    appearance: SkinAppearance = STANDARD_SKIN,
    workers: int = 1,
) -> Path:
    """Make a set of phantom skin lesions, once, and return its folder.

    It holds `images/` and `masks/` (LNNNNN_S.png: lesion and photograph) and `datalist.json`; the lesion is the group,
    and is in one section only.

    Example:
        >>> folder = skin_phantom_set(lesions=120)
        >>> sorted(path.name for path in folder.iterdir())
        ['datalist.json', 'images', 'masks']

    Args:
        folder: where to; by default a folder named after all parameters in $SEMIMED_CACHE, else
            $XDG_CACHE_HOME/semimed, else ~/.cache/semimed.
        lesions: how many; of some there are two or three photographs, 1.6 on average.
        seed: the population. A lesion stays the same in a larger set.
        appearance: what lesions and photographs may look like.
        workers: processes. One is enough for the default; others are spawned, so a script that asks for them needs an
            `if __name__ == "__main__"`. The files are the same for any number.

    Raises:
        ValueError: too few lesions for seven classes in three sections, a seed that is none.
        FileExistsError: `folder` holds something else.
    """
    if lesions < FEWEST:
        raise ValueError(f"every section needs every class: ask for {FEWEST} lesions or more, got lesions={lesions}")
    recipe = _Recipe(seed, "png", SKIN_PHANTOM_VERSION, lesions, appearance)
    return recipe.built(folder, partial(_build, recipe=recipe, workers=workers))


def class_and_shots(seed: int, lesion: int) -> tuple[int, int]:
    """Of a lesion of a population: its class, and how many photographs there are.

    >>> class_and_shots(seed=0, lesion=0)
    (0, 1)
    """
    rng = np.random.default_rng([seed, lesion, _PLAN])
    # Every run of 100 lesions has the classes in their shares, in an order of its own.
    of_hundred = np.repeat(np.arange(len(SKIN_CLASSES)), [round(100 * share) for share in CLASS_SHARES])
    order = np.random.default_rng([seed, lesion // 100, _PLAN + 1]).permutation(of_hundred)
    return int(order[lesion % 100]), int(rng.choice(_SHOTS))


def _build(folder: Path, recipe: _Recipe, workers: int) -> None:
    for name in ("images", "masks"):
        (folder / name).mkdir()
    found = write_people(_write_lesion, folder, recipe, range(recipe.lesions), workers)
    items = [item for of_lesion in found for item in of_lesion]
    write_datalist(
        folder,
        name="phantom skin lesions",
        version=recipe.version,
        provenance=recipe.provenance,
        classes=SKIN_CLASSES,
        sections=split_by_group(items, SECTIONS, recipe.seed),
    )


def _write_lesion(folder: Path, recipe: _Recipe, lesion: int) -> Sequence[dict[str, Any]]:
    label, shots = class_and_shots(recipe.seed, lesion)
    items = []
    for shot in range(shots):
        picture, name = skin_phantom(recipe.seed, lesion, label, shot, recipe.appearance), f"L{lesion:05d}_{shot}.png"
        write_png(folder / "images" / name, picture.image)
        write_png(folder / "masks" / name, picture.mask)
        items.append(
            {"image": f"images/{name}", "label": label, "mask": f"masks/{name}", "group": name.partition("_")[0]}
        )
    return items
