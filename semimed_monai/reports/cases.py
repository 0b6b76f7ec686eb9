"""The pictures of an evaluation's telling cases, kept while it runs: so no image is read and no network run again."""

from __future__ import annotations

import hashlib
import math
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
from semimed_monai.metrics.segmentation import class_dice
from semimed_monai.vocabulary import UNLABELLED

Picture = NDArray[np.uint8]
Scored = Mapping[str, tuple[int, float]]
"""id → the class whose cases it is compared with, and its score."""

ALL = 0
"""A segmenter's images show all classes: they are compared with each other."""


@dataclass(frozen=True)
class Case:
    """One case's pictures.

    Args:
        kind: best, typical or worst of its class; a segmenter's, of all.
        score: the probability that its own class was given; a segmenter's, the mean Dice of its classes.
        pictures: `image` (H×W or H×W×3); where there are any, a classifier's `map` and `mask` (H×W, 0 to 255), and a
            segmenter's `found` and `given` (H×W class numbers).
    """

    id: str
    kind: str
    score: float
    pictures: Mapping[str, Picture]


HEAD = ("id", "kind", "score")
"""What cases.npz holds as a column; a case's pictures end in its number."""


class Cases:
    """The cases with the highest, the median and the lowest score: a classifier's of each class, a segmenter's of all.

    A classifier's score is the probability of the image's own class, a segmenter's the mean Dice of the image's
    classes. Images without a label or, for a segmenter, without a Dice are no cases.

    Kept are pictures of 2 + `sample` cases a class, however long the section: best and worst are known as it goes;
    which case is typical only at the end, so some drawn at random wait, and the one nearest to the class's median is
    taken.
    The draw is by a hash of the id: the same cases for every cut into batches and processes. A classifier's output has
    id, label, probabilities and image, and, from a network with maps, map, mask and has_mask; a segmenter's has id,
    image, segmentation, mask and has_mask.

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
        self._scored: dict[str, tuple[int, float]] = {}
        self._kept: dict[str, dict[str, Picture]] = {}
        self.chosen: list[Case] = []

    def update(self, output: Mapping[str, Any]) -> None:
        """Take a batch; pictures of cases that others outdo are let go."""
        score = _segmented if "segmentation" in output else _graded
        scored = {row: found for row, found in enumerate(score(output)) if found is not None}
        rows = {output["id"][row]: row for row in scored}
        self._scored |= {name: scored[row] for name, row in rows.items()}
        candidates = {name: self._scored[name] for name in (*self._kept, *rows)}
        wanted = set(self._wanted(candidates))
        self._kept = {
            name: self._kept.get(name) or self._pictures(output, rows[name]) for name in candidates if name in wanted
        }

    def gather(self) -> None:
        """Choose among all processes' cases; every process must call it."""
        parts = cast(list[dict[str, Any]], idist.all_gather({"scored": self._scored, "kept": self._kept}))
        scored = {name: value for part in parts for name, value in part["scored"].items()}
        kept = {name: value for part in parts for name, value in part["kept"].items()}
        self.chosen = [Case(name, kind, scored[name][1], kept[name]) for name, kind in _chosen(scored, self.sample)]

    def save(self, path: str | Path, network: str) -> None:
        """Write the chosen cases as an npz file, with the name of the network that they are of."""
        arrays = {"network": np.asarray(network)}
        for name in HEAD:
            arrays[name] = np.asarray([getattr(case, name) for case in self.chosen])
        for number, case in enumerate(self.chosen):
            arrays |= {f"{name}_{number}": array for name, array in case.pictures.items()}
        with whole(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **cast(Any, arrays))

    def _wanted(self, scored: Scored) -> Iterator[str]:
        for names in _by_class(scored).values():
            yield names[0]
            yield names[-1]
            yield from _drawn(names, self.sample)

    def _pictures(self, output: Mapping[str, Any], row: int) -> dict[str, Picture]:
        image = output["image"][row]
        pictures = {"image": self._small(image if len(image) == 3 else image[:1])}
        if "segmentation" in output:
            pictures |= {"found": self._small_labels(output["segmentation"][row])}
            return pictures | {"given": self._small_labels(output["mask"][row])}
        if "map" in output:
            # A map may be coarser than its image: cell by cell at the picture's size, so that it lies where it belongs.
            cells = output["map"][row][None].float()
            pictures["map"] = self._small(interpolate(cells, size=image.shape[-2:], mode="nearest-exact")[0])
        if "mask" in output and bool(output["has_mask"][row]):
            pictures["mask"] = self._small((output["mask"][row] > 0).float())
        return pictures

    def _small(self, image: Tensor) -> Picture:
        """C×H×W in [0, 1] as H×W or H×W×3 in 0 … 255."""
        small = interpolate(image[None].float(), size=self._size(image), mode="area")[0]
        pixels = (small.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return cast(Picture, pixels[..., 0] if pixels.shape[-1] == 1 else pixels)

    def _small_labels(self, labels: Tensor) -> Picture:
        """1×H×W class numbers as H×W: of the classes that meet in a pixel one is taken, there is none in between."""
        small = interpolate(labels[None].float(), size=self._size(labels), mode="nearest-exact")
        return cast(Picture, small[0, 0].byte().cpu().numpy())

    def _size(self, image: Tensor) -> tuple[int, int]:
        height, width = image.shape[-2:]
        shrunk = min(1.0, self.side / max(height, width))
        return max(1, round(height * shrunk)), max(1, round(width * shrunk))


def load_cases(path: str | Path) -> tuple[str, list[Case]]:
    """The network's name and the cases, as `Cases.save` wrote them.

    Raises:
        ValueError: it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        network, *heads = (arrays.pop(name).tolist() for name in ("network", *HEAD))
    except (BadZipFile, ValueError, EOFError, KeyError) as error:
        raise ValueError(f"{path} cannot be read ({error}): evaluate again, or remove it") from error
    pictures: list[dict[str, Picture]] = [{} for _ in heads[0]]
    for name, array in arrays.items():
        picture, _, number = name.rpartition("_")
        pictures[int(number)][picture] = array
    return network, [Case(*of_case) for of_case in zip(*heads, pictures, strict=True)]


def _graded(output: Mapping[str, Any]) -> Iterator[tuple[int, float] | None]:
    """Each row's label and the probability that it was given; None for an unlabelled one."""
    label = output["label"]
    own = output["probabilities"].gather(1, label.clamp(min=0)[:, None])[:, 0]
    for known, given in zip(label.tolist(), own.tolist(), strict=True):
        yield None if known == UNLABELLED else (known, given)


def _segmented(output: Mapping[str, Any]) -> Iterator[tuple[int, float] | None]:
    """Each row's mean Dice over the classes that either mask has; None where no class counts."""
    found, given = output["segmentation"], output["mask"]
    classes = 1 + max(1, int(found.max()), int(given.max()))  # a class that no row has counts in none
    for dice in class_dice(found, given, output["has_mask"], classes).nanmean(dim=1).tolist():
        yield None if math.isnan(dice) else (ALL, dice)


def _by_class(scored: Scored) -> dict[int, list[str]]:
    """The ids of each class, the highest score first; equals by id."""
    classes: dict[int, list[str]] = {label: [] for label in sorted({label for label, _ in scored.values()})}
    for name in sorted(scored, key=lambda name: (-scored[name][1], name)):
        classes[scored[name][0]].append(name)
    return classes


def _drawn(names: Sequence[str], sample: int) -> list[str]:
    """At random, but the same for whoever asks; of a part are drawn at least those that are drawn of the whole."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[:sample]


def _chosen(scored: Scored, sample: int) -> Iterator[tuple[str, str]]:
    """Ids and kinds, class by class; a class of one or two cases has no more to show."""
    for names in _by_class(scored).values():
        median = statistics.median(scored[name][1] for name in names)
        between = [name for name in _drawn(names, sample) if name not in {names[0], names[-1]}]
        yield names[0], "best"
        if between:
            yield min(between, key=lambda name: abs(scored[name][1] - median)), "typical"
        if len(names) > 1:
            yield names[-1], "worst"
