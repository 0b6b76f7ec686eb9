"""The pictures of an evaluation's telling cases, kept while it runs: so no image is read and no network run again."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from semimed_monai.files import whole
from semimed_monai.vocabulary import UNLABELLED

Picture = NDArray[np.uint8]
Graded = Mapping[str, tuple[int, float]]
"""id → label, and the probability that this label was given."""


@dataclass(frozen=True)
class Case:
    """One case's pictures: `image` H×W or H×W×3, `map` and `mask` H×W (0 to 255) where there are any.

    Args:
        kind: best, typical or worst of its class.
        certainty: the probability that its own class was given.
    """

    id: str
    kind: str
    certainty: float
    image: Picture
    map: Picture | None
    mask: Picture | None


class Cases:
    """Of each class the case with the highest, the median and the lowest probability of that very class.

    Kept are pictures of 2 + `sample` cases a class, however long the section: best and worst are known as it goes;
    which case is typical only at the end, so some drawn at random wait, and the one nearest to the class's median is
    taken.
    The draw is by a hash of the id: the same cases for every cut into batches and processes. An evaluator's output has
    id, label, probabilities and image, and, from a network with maps, map, mask and has_mask.

        >>> import torch
        >>> cases = Cases()
        >>> cases.update({"id": ["a", "b"], "label": torch.tensor([1, 1]), "image": torch.rand(2, 1, 8, 8),
        ...               "probabilities": torch.tensor([[0.1, 0.9], [0.7, 0.3]])})
        >>> cases.gather()
        >>> [(case.kind, case.id) for case in cases.chosen]
        [('best', 'a'), ('worst', 'b')]

    Args:
        side: the longer side of a picture at most, in pixels; larger images are made smaller.
        sample: how many of a class wait to be its typical case, at least 3.

    Raises:
        ValueError: `side` or `sample` too small.
    """

    def __init__(self, side: int = 256, sample: int = 15) -> None:
        if side < 1 or sample < 3:
            raise ValueError(f"wanted side >= 1 and sample >= 3, got {side} and {sample}")
        self.side, self.sample = side, sample
        self.reset()

    def attach(self, engine: Engine) -> None:
        """Choose from each epoch of `engine` anew; in several processes each must have one."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda running: self.update(running.state.output))
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.gather)

    def reset(self) -> None:
        """Forget all cases."""
        self._graded: dict[str, tuple[int, float]] = {}
        self._kept: dict[str, dict[str, Picture]] = {}
        self.chosen: list[Case] = []

    def update(self, output: Mapping[str, Any]) -> None:
        """Take a batch; pictures of cases that others outdo are let go."""
        label = output["label"]
        given = output["probabilities"].gather(1, label.clamp(min=0)[:, None])[:, 0].tolist()
        heads = enumerate(zip(output["id"], label.tolist(), strict=True))
        rows = {name: row for row, (name, own) in heads if own != UNLABELLED}
        self._graded |= {name: (int(label[row]), given[row]) for name, row in rows.items()}
        candidates = {name: self._graded[name] for name in (*self._kept, *rows)}
        wanted = set(self._wanted(candidates))
        self._kept = {
            name: self._kept.get(name) or self._pictures(output, rows[name]) for name in candidates if name in wanted
        }

    def gather(self) -> None:
        """Choose among all processes' cases; every process must call it."""
        parts = cast(list[dict[str, Any]], idist.all_gather({"graded": self._graded, "kept": self._kept}))
        graded = {name: value for part in parts for name, value in part["graded"].items()}
        kept = {name: value for part in parts for name, value in part["kept"].items()}
        self.chosen = [
            Case(name, kind, graded[name][1], kept[name]["image"], kept[name].get("map"), kept[name].get("mask"))
            for name, kind in _chosen(graded, self.sample)
        ]

    def save(self, path: str | Path, network: str) -> None:
        """Write the chosen cases as an npz file, with the name of the network that graded them."""
        arrays = {"network": np.asarray(network)}
        for name in ("id", "kind", "certainty"):
            arrays[name] = np.asarray([getattr(case, name) for case in self.chosen])
        for number, case in enumerate(self.chosen):
            pictures = {"image": case.image, "map": case.map, "mask": case.mask}
            arrays |= {f"{name}_{number}": array for name, array in pictures.items() if array is not None}
        with whole(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **cast(Any, arrays))

    def _wanted(self, graded: Graded) -> Iterator[str]:
        for names in _by_class(graded).values():
            yield names[0]
            yield names[-1]
            yield from _drawn(names, self.sample)

    def _pictures(self, output: Mapping[str, Any], row: int) -> dict[str, Picture]:
        image = output["image"][row]
        pictures = {"image": self._small(image if len(image) == 3 else image[:1])}
        if "map" in output:
            pictures["map"] = self._small(output["map"][row])
        if "mask" in output and bool(output["has_mask"][row]):
            pictures["mask"] = self._small((output["mask"][row] > 0).float())
        return pictures

    def _small(self, image: Tensor) -> Picture:
        """C×H×W in [0, 1] as H×W or H×W×3 in 0 … 255."""
        height, width = image.shape[-2:]
        shrunk = min(1.0, self.side / max(height, width))
        size = (max(1, round(height * shrunk)), max(1, round(width * shrunk)))
        small = interpolate(image[None].float(), size=size, mode="area")[0]
        pixels = (small.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return cast(Picture, pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def load_cases(path: str | Path) -> tuple[str, list[Case]]:
    """The network's name and the cases, as `Cases.save` wrote them.

    Raises:
        ValueError: it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (BadZipFile, ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read ({error}): evaluate again, or remove it") from error
    heads = zip(arrays["id"].tolist(), arrays["kind"].tolist(), arrays["certainty"].tolist(), strict=True)
    cases = [
        Case(*head, arrays[f"image_{number}"], arrays.get(f"map_{number}"), arrays.get(f"mask_{number}"))
        for number, head in enumerate(heads)
    ]
    return str(arrays["network"]), cases


def _by_class(graded: Graded) -> dict[int, list[str]]:
    """The ids of each class, the most certain first; equals by id."""
    classes: dict[int, list[str]] = {label: [] for label in sorted({label for label, _ in graded.values()})}
    for name in sorted(graded, key=lambda name: (-graded[name][1], name)):
        classes[graded[name][0]].append(name)
    return classes


def _drawn(names: Sequence[str], sample: int) -> list[str]:
    """At random, but the same for whoever asks; of a part are drawn at least those that are drawn of the whole."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[:sample]


def _chosen(graded: Graded, sample: int) -> Iterator[tuple[str, str]]:
    """Ids and kinds, class by class; a class of one or two cases has no more to show."""
    for names in _by_class(graded).values():
        median = statistics.median(graded[name][1] for name in names)
        between = [name for name in _drawn(names, sample) if name not in {names[0], names[-1]}]
        yield names[0], "best"
        if between:
            yield min(between, key=lambda name: abs(graded[name][1] - median)), "typical"
        if len(names) > 1:
            yield names[-1], "worst"
