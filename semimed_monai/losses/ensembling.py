"""Temporal ensembling: what the network said about an image in earlier epochs, averaged, is the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from semimed_monai.losses.classification import probabilities
from semimed_monai.losses.criterion import Term, mean_over
from semimed_monai.losses.map_consistency import MapConsistency
from semimed_monai.losses.memory import Average
from semimed_monai.vocabulary import ROLES, Step, flag, required


class TemporalEnsembling(MapConsistency):
    """KL(carry(z̃)‖p_s), z̃ the average (`Average`) of p_t from the visits so far.

    p_t is the map of the image as it is (teacher of kind `self` in mode `eval`), kept at the map's own size in half
    precision by the item's id. An image that comes for the first time has no target yet, and counts for nothing.

    >>> items = [{"id": "a", "role": 2}, {"id": "b", "role": 0}]
    >>> TemporalEnsembling(items, size=32).memory.values.shape
    torch.Size([1, 1, 32, 32])

    Args:
        items: the training items, of which those of its roles are remembered.
        size: of a map, H×W or a side.
        decay: α.
        roles, weight, ramp: as for `MapConsistency`.

    Raises:
        ValueError: a decay outside [0, 1); from `forward`: a map of another size.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        size: int | Sequence[int],
        decay: float = 0.6,
        roles: Sequence[str] = ("P_pub",),
        weight: float = 1.0,
        ramp: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__(roles, weight, ramp)
        numbers = {ROLES.index(role) for role in roles}
        height, width = (size, size) if isinstance(size, int) else size
        ids = [str(item["id"]) for item in items if item.get("role") in numbers]
        self.memory = Average(ids, (1, height, width), decay)

    def target(self, step: Step, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """The average of earlier visits; this one is added to it."""
        if maps.shape[1:] != self.memory.values.shape[1:]:
            wanted, got = list(self.memory.values.shape[1:]), list(maps.shape[1:])
            raise ValueError(f"the bank is of maps of {wanted}, the network gives {got}: set the term's size")
        average, known = self.memory.visit(step.batch["id"], maps)
        return average.clamp(0, 1), known


class ClassEnsembling(Term):
    """(p(student) − z̃)², summed over classes, the mean over rows that were seen before; z̃ the average of p(student).

    >>> ClassEnsembling([{"id": "a"}], classes=7).memory.values.shape
    torch.Size([1, 7])

    Args:
        items: the training items, labelled or not.
        classes: how many.
        decay: α.
        multi_label: whether a row may have several classes.
        weight, ramp: as for every `Term`; the bank is filled from the start.

    Raises:
        ValueError: a decay outside [0, 1).
    """

    remembers = True

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        classes: int,
        decay: float = 0.6,
        multi_label: bool = False,
        weight: float = 1.0,
        ramp: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__(weight, ramp)
        self.multi_label = flag("multi_label", multi_label)
        self.memory = Average([str(item["id"]) for item in items], (classes,), decay)

    def forward(self, step: Step) -> Tensor:
        now = probabilities(required(step.student.logits, self, "logits"), self.multi_label)
        average, known = self.memory.visit(step.batch["id"], now)
        return mean_over((now - average).square().sum(dim=1), known)
