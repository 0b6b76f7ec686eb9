"""The pictures of an evaluation's telling cases, kept while it runs: so no image is read and no network run again."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from semimed_monai.metrics.segmentation import class_dice
from semimed_monai.reports.drawn import draw, load_arrays, save_arrays
from semimed_monai.reports.pictures import Picture, row_pictures, small, small_labels

Key = tuple[int, str]
"""A class, whose cases are compared with each other, and an id."""

Scored = Mapping[Key, float]

ALL = 0
"""A segmenter's images show all classes: they are compared with each other."""


@dataclass(frozen=True)
class Case:
    """One case's pictures.

    Args:
        label: the class of which it is a case; a segmenter's, 0.
        kind: best, typical or worst of its class; a segmenter's, of all.
        score: the probability that the class was given; a segmenter's, the mean Dice of its classes.
        pictures: `image` (H×W or H×W×3); where there are any, a classifier's `map` and `mask` (H×W, 0 to 255), and a
            segmenter's `found` and `given` (H×W class numbers).
    """

    id: str
    label: int
    kind: str
    score: float
    pictures: Mapping[str, Picture]


HEAD = ("id", "label", "kind", "score")
"""What cases.npz holds as a column; a case's pictures end in its number."""


class Cases:
    """The cases with the highest, the median and the lowest score: a classifier's of each class, a segmenter's of all.

    A classifier's score is the probability of the image's own class, a segmenter's the mean Dice of the image's
    classes. Images without a label or, for a segmenter, without a Dice are no cases. Where an image may have several
    classes it is a case of each that it has.

    Kept are pictures of 2 + `sample` cases a class, however long the section: best and worst are known as it goes;
    which case is typical only at the end, so some drawn at random wait, and the one nearest to the class's median is
    taken.
    The draw is by a hash of the id: the same cases for every cut into batches and processes. A classifier's output has
    id, label (B, or B×C), probabilities and image, and, from a network with maps, map, mask and has_mask, or, with
    several classes, maps; a segmenter's has id, image, segmentation, mask and has_mask.

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
        self._scored: dict[Key, float] = {}
        self._kept: dict[Key, dict[str, Picture]] = {}
        self.chosen: list[Case] = []

    def update(self, output: Mapping[str, Any]) -> None:
        """Take a batch; pictures of cases that others outdo are let go."""
        rows: dict[Key, int] = {}
        for row, label, score in _segmented(output) if "segmentation" in output else _graded(output):
            rows[label, output["id"][row]] = row
            self._scored[label, output["id"][row]] = score
        candidates = {key: self._scored[key] for key in (*self._kept, *rows)}
        wanted = set(self._wanted(candidates))
        self._kept = {
            key: self._kept.get(key) or self._pictures(output, rows[key], label=key[0])
            for key in candidates
            if key in wanted
        }

    def gather(self) -> None:
        """Choose among all processes' cases; every process must call it."""
        parts = cast(list[dict[str, Any]], idist.all_gather({"scored": self._scored, "kept": self._kept}))
        scored = {key: value for part in parts for key, value in part["scored"].items()}
        kept = {key: value for part in parts for key, value in part["kept"].items()}
        self.chosen = [
            Case(name, label, kind, scored[label, name], kept[label, name])
            for (label, name), kind in _chosen(scored, self.sample)
        ]

    def save(self, path: str | Path, network: str) -> None:
        """Write the chosen cases as an npz file, with the name of the network that they are of."""
        arrays = {"network": np.asarray(network)}
        for name in HEAD:
            arrays[name] = np.asarray([getattr(case, name) for case in self.chosen])
        for number, case in enumerate(self.chosen):
            arrays |= {f"{name}_{number}": array for name, array in case.pictures.items()}
        save_arrays(path, arrays)

    def _wanted(self, scored: Scored) -> Iterator[Key]:
        for keys in _by_class(scored):
            yield keys[0]
            yield keys[-1]
            yield from _drawn(keys, self.sample)

    def _pictures(self, output: Mapping[str, Any], row: int, label: int) -> dict[str, Picture]:
        if "segmentation" not in output:
            return row_pictures(output, row, self.side, label)
        image, found, given = (output[name][row] for name in ("image", "segmentation", "mask"))
        shown = small(image if len(image) == 3 else image[:1], self.side)
        return {"image": shown, "found": small_labels(found, self.side), "given": small_labels(given, self.side)}


def load_cases(path: str | Path) -> tuple[str, list[Case]]:
    """The network's name and the cases, as `Cases.save` wrote them.

    Raises:
        ValueError: it is no such file.
    """
    arrays = load_arrays(path, "network", *HEAD)
    network, *heads = (arrays.pop(name).tolist() for name in ("network", *HEAD))
    pictures: list[dict[str, Picture]] = [{} for _ in heads[0]]
    for name, array in arrays.items():
        picture, _, number = name.rpartition("_")
        pictures[int(number)][picture] = array
    return network, [Case(*of_case) for of_case in zip(*heads, pictures, strict=True)]


def _graded(output: Mapping[str, Any]) -> Iterator[tuple[int, int, float]]:
    """Row, class and the probability that it was given, of each class that a row is known to have."""
    label: Tensor = output["label"]
    places = torch.arange(output["probabilities"].shape[1], device=label.device)
    has = label == 1 if label.dim() > 1 else label[:, None] == places
    given = output["probabilities"][has].tolist()
    for (row, of), score in zip(has.nonzero().tolist(), given, strict=True):
        yield row, of, score


def _segmented(output: Mapping[str, Any]) -> Iterator[tuple[int, int, float]]:
    """Row, `ALL` and the mean Dice over the classes that either mask has, of each row in which a class counts."""
    found, given = output["segmentation"], output["mask"]
    classes = 1 + max(1, int(found.max()), int(given.max()))  # a class that no row has counts in none
    for row, dice in enumerate(class_dice(found, given, output["has_mask"], classes).nanmean(dim=1).tolist()):
        if not math.isnan(dice):
            yield row, ALL, dice


def _by_class(scored: Scored) -> list[list[Key]]:
    """The keys of each class, the highest score first; equals by id."""
    ordered = sorted(scored, key=lambda key: (key[0], -scored[key], key[1]))
    return [list(keys) for _, keys in groupby(ordered, key=itemgetter(0))]


def _drawn(keys: Sequence[Key], sample: int) -> list[Key]:
    """At random, but the same for whoever asks; of a part are drawn at least those that are drawn of the whole."""
    return sorted(keys, key=lambda key: draw(key[1]))[:sample]


def _chosen(scored: Scored, sample: int) -> Iterator[tuple[Key, str]]:
    """Keys and kinds, class by class; a class of one or two cases has no more to show."""
    for keys in _by_class(scored):
        median = statistics.median(scored[key] for key in keys)
        between = [key for key in _drawn(keys, sample) if key not in {keys[0], keys[-1]}]
        yield keys[0], "best"
        if between:
            yield min(between, key=lambda key: abs(scored[key] - median)), "typical"
        if len(keys) > 1:
            yield keys[-1], "worst"
