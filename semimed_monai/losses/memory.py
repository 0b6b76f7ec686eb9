"""What a term keeps of each item from one visit to the next: a bank by id, which is part of the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from semimed_monai.losses.gathering import gathered


class Memory(nn.Module):
    """A half-precision tensor for each item, and its mark: a whole number that the term gives it, 0 if never written.

    >>> memory = Memory(["a", "b"], shape=(1, 2))
    >>> rows = memory.rows(["b", "unknown"])
    >>> memory.write(rows, torch.tensor([[[0.5, 0.25]], [[0.1, 0.1]]]), marks=torch.tensor([7, 7]))
    >>> memory.read(rows)
    (tensor([[[0.5000, 0.2500]],
    <BLANKLINE>
            [[0.0000, 0.0000]]]), tensor([7, 0], dtype=torch.int32))

    In several processes each has the whole bank, and keeps it alike if all write the same rows (`gathered`).

    Args:
        ids: of the items that it knows.
        shape: of what is kept of each.

    Raises:
        ValueError: an id twice.
    """

    values: Tensor
    marks: Tensor

    def __init__(self, ids: Sequence[str], shape: Sequence[int]) -> None:
        super().__init__()
        self._places = {name: place for place, name in enumerate(ids)}
        if len(self._places) != len(ids):
            raise ValueError(f"{len(ids)} items have {len(self._places)} ids: give each an id of its own")
        self.register_buffer("values", torch.zeros(len(ids), *shape, dtype=torch.float16))
        self.register_buffer("marks", torch.zeros(len(ids), dtype=torch.int32))

    def rows(self, ids: Sequence[str]) -> Tensor:
        """The place of each id; -1 where it is not known."""
        return torch.tensor([self._places.get(name, -1) for name in ids], device=self.values.device)

    def read(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What is kept at these places, in fp32, and the marks; zeros for -1."""
        known = rows >= 0
        values, marks = self.values.new_zeros(len(rows), *self.values.shape[1:]), self.marks.new_zeros(len(rows))
        values[known], marks[known] = self.values[rows[known]], self.marks[rows[known]]
        return values.float(), marks

    @torch.no_grad()
    def write(self, rows: Tensor, values: Tensor, marks: Tensor) -> None:
        """Keep these; of an item that comes twice the last."""
        last = {row: place for place, row in enumerate(rows.tolist()) if row >= 0}
        places, of_last = list(last), list(last.values())
        self.values[places] = values[of_last].to(self.values.dtype)
        self.marks[places] = marks[of_last].to(self.marks.dtype)


class Average(Memory):
    """Z ← α·Z + (1 − α)·x at each visit, whose number n is the mark; z̃ = Z/(1 − α^n).

    >>> average, ids = Average(["a"], shape=(1,), decay=0.6), ["a"]
    >>> for value in (0.9, 0.5):
    ...     before, known = average.visit(ids, torch.tensor([[value]]))
    >>> before, known
    (tensor([[0.9003]]), tensor([True]))

    Args:
        ids, shape: as for every `Memory`.
        decay: α.

    Raises:
        ValueError: a decay outside [0, 1).
    """

    def __init__(self, ids: Sequence[str], shape: Sequence[int], decay: float) -> None:
        super().__init__(ids, shape)
        if not 0 <= decay < 1:
            raise ValueError(f"the decay is {decay}; it must be at least 0 and below 1")
        self.decay = decay

    @torch.no_grad()
    def visit(self, ids: Sequence[str], now: Tensor) -> tuple[Tensor, Tensor]:
        """z̃ of these items before this visit, and of which there is one; then the visit is added.

        Every process must call it with as many rows.
        """
        rows = self.rows(ids)
        average, visits = self.read(rows)
        together = (rows, self.decay * average + (1 - self.decay) * now, visits + 1)
        self.write(*(gathered(part) for part in together))
        unbiased = 1 - self.decay ** visits.clamp(min=1)
        return average / unbiased.view(-1, *[1] * (average.dim() - 1)), visits > 0
