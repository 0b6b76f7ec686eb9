"""Temporal ensembling on maps: what the network said about an image in earlier epochs, averaged, is the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from semimed_monai.losses.gathering import gathered
from semimed_monai.losses.map_consistency import MapConsistency
from semimed_monai.losses.memory import Memory
from semimed_monai.vocabulary import ROLES, Step


class TemporalEnsembling(MapConsistency):
    """KL(carry(z̃)‖p_s), z̃ = Z/(1 − α^n) from the n visits so far; then Z ← α·Z + (1 − α)·p_t.

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
        if not 0 <= decay < 1:
            raise ValueError(f"the decay is {decay}; it must be at least 0 and below 1")
        self.decay = decay
        numbers = {ROLES.index(role) for role in roles}
        height, width = (size, size) if isinstance(size, int) else size
        self.memory = Memory(
            [str(item["id"]) for item in items if item.get("role") in numbers], shape=(1, height, width)
        )

    def target(self, step: Step, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """The average of earlier visits; this one is added to it."""
        if maps.shape[1:] != self.memory.values.shape[1:]:
            wanted, got = list(self.memory.values.shape[1:]), list(maps.shape[1:])
            raise ValueError(f"the bank is of maps of {wanted}, the network gives {got}: set the term's size")
        rows = self.memory.rows(step.batch["id"])
        average, visits = self.memory.read(rows)
        self.memory.write(
            *(gathered(part) for part in (rows, self.decay * average + (1 - self.decay) * maps, visits + 1))
        )
        unbiased = average / (1 - self.decay ** visits.clamp(min=1)).view(-1, 1, 1, 1)
        return unbiased.clamp(0, 1), visits > 0
