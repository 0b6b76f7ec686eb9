"""How the images of a section lie to each other for each network: relation matrices of some of them, for the page.

Looked for: `monai.visualize` and TensorBoard's projector show embeddings as points, neither as a matrix by class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray

from semimed_monai.files import whole
from semimed_monai.losses import relation_matrix
from semimed_monai.reports.cases import draw

Matrix = NDArray[np.floating[Any]]
NONE = -1
"""The class of an image that has none, or of which it is not known."""


@dataclass(frozen=True)
class RelationMatrices:
    """R of the same images for each network.

    Args:
        label: of each image, its class, or the first that it has; in rising order.
        of: network → R, N×N.
    """

    label: list[int]
    of: Mapping[str, Matrix]

    def distance(self) -> float | None:
        """‖R_a − R_b‖² / N of two networks: L_sc over these images; None where there are not two.

        >>> RelationMatrices([0], {"teacher": np.array([[1.0]]), "student": np.array([[0.5]])}).distance()
        0.25
        """
        if len(self.of) != 2:
            return None
        one, other = self.of.values()
        return float(np.square(one - other).sum() / len(one))


class Relations:
    """Keeps the embeddings that each network gives some images, drawn by a hash of their id, and writes their R.

    >>> relations = Relations(images=2)
    >>> relations.update("student", {"id": ["a", "b"], "label": torch.tensor([1, 0]), "embedding": torch.eye(2)})
    >>> relations.gather("student")
    >>> relations.matrices.label, relations.matrices.of["student"].tolist()
    ([0, 1], [[1.0, 0.0], [0.0, 1.0]])

    Args:
        images: how many.

    Raises:
        ValueError: fewer than 2.
    """

    def __init__(self, images: int = 64) -> None:
        if images < 2:
            raise ValueError(f"images is {images}: a relation is between two or more")
        self.images = images
        self._kept: dict[str, dict[str, tuple[int, list[float]]]] = {}

    def attach(self, engine: Engine, network: str) -> None:
        """Keep what each epoch of `engine` gives; in several processes each must have one."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda: self._kept.pop(network, None))
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda running: self.update(network, running.state.output))
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: self.gather(network))

    def update(self, network: str, output: Mapping[str, Any]) -> None:
        """Take a batch: id, label (B, or B×C where there may be several), embedding (B×K); nothing without the last."""
        if "embedding" not in output:
            return
        kept, rows = self._kept.get(network, {}), {name: row for row, name in enumerate(output["id"])}
        self._kept[network] = {
            name: (_class_of(output["label"][rows[name]]), output["embedding"][rows[name]].tolist())
            if name in rows
            else kept[name]
            for name in self._first({*kept, *rows})
        }

    def gather(self, network: str) -> None:
        """Draw from all processes' images; every process must call it."""
        parts = cast(list[dict[str, Any]], idist.all_gather(self._kept.get(network, {})))
        if kept := {name: row for part in parts for name, row in part.items()}:
            self._kept[network] = {name: kept[name] for name in self._first(kept)}

    def _first(self, names: Iterable[str]) -> list[str]:
        return sorted(names, key=draw)[: self.images]

    @property
    def matrices(self) -> RelationMatrices:
        """Of what was gathered, by class, then by id."""
        first = next(iter(self._kept.values()))
        names = sorted(first, key=lambda name: (first[name][0], name))
        of = {
            network: relation_matrix(torch.tensor([kept[name][1] for name in names])).numpy()
            for network, kept in self._kept.items()
        }
        return RelationMatrices([first[name][0] for name in names], of)

    def save(self, path: str | Path) -> None:
        """Write the matrices as an npz file, if there are any."""
        if not self._kept:
            return
        matrices = self.matrices
        arrays: dict[str, Any] = {f"of_{network}": matrix for network, matrix in matrices.of.items()}
        with whole(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, label=np.asarray(matrices.label), **arrays)


def load_relations(path: str | Path) -> RelationMatrices:
    """As `Relations.save` wrote them.

    Raises:
        ValueError: it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        label = arrays.pop("label").tolist()
    except (BadZipFile, ValueError, EOFError, KeyError) as error:
        raise ValueError(f"{path} cannot be read ({error}): evaluate again, or remove it") from error
    return RelationMatrices(label, {name.removeprefix("of_"): matrix for name, matrix in arrays.items()})


def _class_of(label: torch.Tensor) -> int:
    if not label.dim():
        return int(label)
    own = (label == 1).nonzero()
    return int(own[0]) if len(own) else NONE
