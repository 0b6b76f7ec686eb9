"""What a term keeps of each item from one visit to the next: a bank by id, which is part of the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import ignite.distributed as idist
import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """A half-precision tensor and a number of visits for each item.

    >>> memory = Memory(["a", "b"], shape=(1, 2))
    >>> rows = memory.rows(["b", "unknown"])
    >>> memory.write(rows, torch.tensor([[[0.5, 0.25]], [[0.1, 0.1]]]))
    >>> memory.read(rows)[0], memory.visits.tolist()
    (tensor([[[0.5000, 0.2500]],
    <BLANKLINE>
            [[0.0000, 0.0000]]]), [0, 1])

    Args:
        ids: of the items that it knows.
        shape: of what is kept of each.

    Raises:
        ValueError: an id twice.
    """

    values: Tensor
    visits: Tensor

    def __init__(self, ids: Sequence[str], shape: Sequence[int]) -> None:
        super().__init__()
        self._places = {name: place for place, name in enumerate(ids)}
        if len(self._places) != len(ids):
            raise ValueError(f"{len(ids)} items have {len(self._places)} ids: give each an id of its own")
        self.register_buffer("values", torch.zeros(len(ids), *shape, dtype=torch.float16))
        self.register_buffer("visits", torch.zeros(len(ids), dtype=torch.long))

    def rows(self, ids: Sequence[str]) -> Tensor:
        """The place of each id; -1 where it is not known."""
        return torch.tensor([self._places.get(name, -1) for name in ids], device=self.values.device)

    def read(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What is kept at these places, in fp32, and how often it was written; zeros for -1."""
        known = rows >= 0
        values, visits = self.values.new_zeros(len(rows), *self.values.shape[1:]), torch.zeros_like(rows)
        values[known], visits[known] = self.values[rows[known]], self.visits[rows[known]]
        return values.float(), visits

    @torch.no_grad()
    def write(self, rows: Tensor, values: Tensor) -> None:
        """Keep these, of the rows of all processes; every process must call it with as many rows."""
        if idist.get_world_size() > 1:
            rows, values = (cast(Tensor, idist.all_gather(part.contiguous())) for part in (rows, values))
        last = {row: place for place, row in enumerate(rows.tolist()) if row >= 0}  # of an item that comes twice
        places, of_last = list(last), list(last.values())
        self.values[places] = values[of_last].to(self.values.dtype)
        self.visits[places] += 1
