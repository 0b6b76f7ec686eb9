"""How the images of a section lie to each other for each network: relation matrices of some of them, for the page.

Looked for: `monai.visualize` and TensorBoard's projector show embeddings as points, neither as a matrix by class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from semimed_monai.losses import relation_matrix
from semimed_monai.reports.drawn import Drawn, load_arrays, save_arrays

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


class Relations(Drawn[tuple[int, list[float]]]):
    """Keeps the embeddings that each network gives some images, and writes their R.

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

    file = "relations.npz"

    def __init__(self, images: int = 64) -> None:
        if images < 2:
            raise ValueError(f"images is {images}: a relation is between two or more")
        super().__init__(images)

    def counts(self, output: Mapping[str, Any], row: int) -> bool:  # noqa: ARG002 - of all rows or none
        """If its network has embeddings."""
        return "embedding" in output

    def taken(self, output: Mapping[str, Any], row: int) -> tuple[int, list[float]]:
        """Its class and its embedding."""
        return _class_of(output["label"][row]), output["embedding"][row].tolist()

    @property
    def matrices(self) -> RelationMatrices:
        """Of what was gathered, by class, then by id."""
        first = next(iter(self.kept.values()))
        names = sorted(first, key=lambda name: (first[name][0], name))
        of = {
            network: relation_matrix(torch.tensor([kept[name][1] for name in names])).numpy()
            for network, kept in self.kept.items()
        }
        return RelationMatrices([first[name][0] for name in names], of)

    def save(self, path: str | Path) -> None:
        """The matrices."""
        if self.kept:
            matrices = self.matrices
            of = {f"of_{network}": matrix for network, matrix in matrices.of.items()}
            save_arrays(path, {"label": np.asarray(matrices.label), **of})


def load_relations(path: str | Path) -> RelationMatrices:
    """As `Relations.save` wrote them.

    Raises:
        ValueError: it is no such file.
    """
    arrays = load_arrays(path, "label")
    label = arrays.pop("label").tolist()
    return RelationMatrices(label, {name.removeprefix("of_"): matrix for name, matrix in arrays.items()})


def _class_of(label: torch.Tensor) -> int:
    if not label.dim():
        return int(label)
    own = (label == 1).nonzero()
    return int(own[0]) if len(own) else NONE
