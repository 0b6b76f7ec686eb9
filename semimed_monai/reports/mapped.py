"""The maps that several networks give the same images, kept while they are evaluated: image, maps and mark in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semimed_monai.reports.drawn import Drawn, load_arrays, save_arrays
from semimed_monai.reports.pictures import Picture, row_pictures


@dataclass(frozen=True)
class Mapped:
    """An image, its mask and its maps by what they are called."""

    id: str
    image: Picture
    mask: Picture
    maps: Mapping[str, Picture]


class SideBySide(Drawn[dict[str, Picture]]):
    """Keeps the map that each network gives some images that have a mask: those that are chosen, or drawn ones.

    The draw is by a hash of the id: the same images in every run over the same section.

    >>> import torch
    >>> beside, plane = SideBySide(images=1), torch.ones(1, 1, 8, 8)
    >>> output = {"id": ["a"], "image": plane, "map": plane, "mask": plane, "has_mask": torch.tensor([True])}
    >>> for network in ("student", "cam"):
    ...     beside.update(network, output)
    >>> [(one.id, list(one.maps)) for one in beside.mapped]
    [('a', ['student', 'cam'])]

    Args:
        images: how many are drawn, if none are chosen.
        chosen: ids of those to show, whether they have a mask or not.
        side: the longer side of a picture at most, in pixels.
    """

    file = "side_by_side.npz"

    def __init__(self, images: int = 8, chosen: Sequence[str] = (), side: int = 256) -> None:
        super().__init__(len(chosen) or images)
        self.chosen, self.side = list(chosen), side

    def counts(self, output: Mapping[str, Any], row: int) -> bool:
        """If it is chosen; where none are, if it has a mask. A network without maps has nothing to show."""
        if "map" not in output:
            return False
        return output["id"][row] in self.chosen if self.chosen else bool(output["has_mask"][row])

    def taken(self, output: Mapping[str, Any], row: int) -> dict[str, Picture]:
        """Its image, mask and map."""
        return row_pictures(output, row, self.side)

    @property
    def mapped(self) -> list[Mapped]:
        """What was kept, in the order of the choice, or of the draw.

        Raises:
            ValueError: chosen images that the section does not have.
        """
        if not self.kept:
            return []
        first = next(iter(self.kept.values()))
        if missing := [name for name in self.chosen if name not in first]:
            raise ValueError(f"there is no image {', '.join(missing)} in this section: choose ids of predictions.csv")
        return [
            Mapped(
                id=name,
                image=first[name]["image"],
                mask=first[name].get("mask", np.zeros_like(first[name]["map"])),
                maps={network: of[name]["map"] for network, of in self.kept.items()},
            )
            for name in self.chosen or self.first(first)
        ]

    def save(self, path: str | Path) -> None:
        """The images with their maps."""
        if not (mapped := self.mapped):
            return
        arrays = {"id": np.asarray([one.id for one in mapped]), "network": np.asarray(list(mapped[0].maps))}
        for number, one in enumerate(mapped):
            arrays |= {f"image_{number}": one.image, f"mask_{number}": one.mask}
            arrays |= {f"map_{number}_{place}": shown for place, shown in enumerate(one.maps.values())}
        save_arrays(path, arrays)


def require_shown(chosen: Sequence[str], items: Sequence[Mapping[str, Any]]) -> None:
    """Refuse, before a training, images to show that are not there to be shown after it.

    Args:
        chosen: their ids.
        items: of the section that is evaluated.

    Raises:
        ValueError: no list, or ids that the section does not have.
    """
    if isinstance(chosen, str):
        raise ValueError(  # noqa: TRY004 - to a user it is a wrong value
            f"shown_images is {chosen!r}: give a list, \"['{chosen}']\""
        )
    there = {str(item["id"]) for item in items}
    if missing := [name for name in chosen if name not in there]:
        raise ValueError(
            f"shown_images: there is no image {', '.join(missing)} in the evaluated section; it has "
            f"{', '.join(sorted(there)[:3])}, …"
        )


def load_mapped(path: str | Path) -> list[Mapped]:
    """As `SideBySide.save` wrote them.

    Raises:
        ValueError: it is no such file.
    """
    arrays = load_arrays(path, "id", "network")
    networks = arrays["network"].tolist()
    return [
        Mapped(
            id=name,
            image=arrays[f"image_{number}"],
            mask=arrays[f"mask_{number}"],
            maps={network: arrays[f"map_{number}_{place}"] for place, network in enumerate(networks)},
        )
        for number, name in enumerate(arrays["id"].tolist())
    ]


def joined(runs: Mapping[str, Sequence[Mapped]]) -> list[Mapped]:
    """The images that all runs have kept, with the maps of each; a map's name begins with its run's where there are
    several.

    Args:
        runs: name → what it has kept.

    Raises:
        ValueError: no image is in all of them.
    """
    by_id = {name: {one.id: one for one in mapped} for name, mapped in runs.items()}
    first = next(iter(runs.values()))
    shared = [one for one in first if all(one.id in of for of in by_id.values())]
    if not shared:
        raise ValueError(f"no image is shown by each of {', '.join(runs)}: evaluate them on the same section")
    return [
        Mapped(
            id=one.id,
            image=one.image,
            mask=one.mask,
            maps={
                f"{name}: {network}" if len(runs) > 1 else network: shown
                for name, of in by_id.items()
                for network, shown in of[one.id].maps.items()
            },
        )
        for one in shared
    ]
