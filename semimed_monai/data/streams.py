"""Batches of labelled and unlabelled rows in a fixed proportion, whatever the number of workers and processes.

Looked for: torch, MONAI and Ignite have no sampler of two streams. Evaluation over several processes needs nothing of
our own: `monai.data.DistributedSampler(dataset, even_divisible=False, shuffle=False)` gives every item to one rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count, islice

import ignite.distributed as idist
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler


class TwoStreamBatches(Sampler[list[int]]):
    """A batch sampler over `labelled_dataset + unlabelled_dataset`: step s takes rows [s*n, (s+1)*n) of each stream.

    A stream is an endless sequence of permutations of its items, the k-th of which depends on (seed, stream, k) alone:
    each item comes once before any comes twice. So a batch follows from its step, not from workers, processes or what
    was drawn before: a resumed run needs `set_epoch` and nothing else.

    An **epoch** is `steps` batches: epoch e is the steps e*steps ... (e+1)*steps - 1. Without `steps` it is
    ceil((labelled + unlabelled) / (labelled_rows + unlabelled_rows)), as many rows as there are training items, however
    they fall on the two streams: the labelled items come more than once in it where they are few.
    With `unlabelled_rows=0` (a supervised baseline) or no unlabelled items a batch has labelled rows only.

    Rows lie interleaved: gcd(labelled_rows, unlabelled_rows) times a block of labelled, then unlabelled ones. A process
    takes its contiguous part of the blocks, so the processes' batches in rank order are the batch of a single process.

    Example:
        >>> batches = TwoStreamBatches(labelled=6, unlabelled=9, labelled_rows=2, unlabelled_rows=1)
        >>> len(batches), [index < 6 for batch in batches for index in batch][:6]
        (5, [True, True, False, True, True, False])

    Use it as `DataLoader(ConcatDataset([labelled, unlabelled]), batch_sampler=batches)`, and call `set_epoch` at the
    start of every epoch: without it each one repeats the first.

    Args:
        labelled: how many labelled items there are: indices 0 ... labelled - 1.
        unlabelled: how many unlabelled ones: the indices from `labelled` on.
        labelled_rows: labelled rows in a batch (over all processes).
        unlabelled_rows: unlabelled rows in a batch (over all processes).
        steps: batches in an epoch.
        counted_rows: rows that a batch counts for in an epoch's length without `steps`; by default its own. A baseline
            that leaves the unlabelled rows out counts for what the others have, and so learns as many steps.
        seed: decides the permutations.
        rank: this process; by default what `ignite.distributed` says.
        world_size: the number of processes; by default what `ignite.distributed` says.
        labels: the labelled items' classes. If given, the labelled rows go round the classes in turn, each class a
            stream of its own, so that a rare class has as many rows as a common one.

    Raises:
        ValueError: no labelled items, sizes below zero, `labels` of another length, or a number of processes that does
            not give each the same rows of both kinds.
    """

    def __init__(
        self,
        labelled: int,
        unlabelled: int,
        *,
        labelled_rows: int = 20,
        unlabelled_rows: int = 10,
        steps: int | None = None,
        counted_rows: int | None = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        labels: Sequence[int] | None = None,
    ) -> None:
        if labelled < 1 or labelled_rows < 1:
            raise ValueError(
                f"{labelled} labelled items and {labelled_rows} labelled rows a batch: both must be 1 or more"
            )
        if unlabelled < 0 or unlabelled_rows < 0 or seed < 0 or (steps is not None and steps < 1):
            raise ValueError(
                f"unlabelled={unlabelled}, unlabelled_rows={unlabelled_rows} and seed={seed} must be 0 or more, "
                f"steps={steps} 1 or more"
            )
        if labels is not None and np.shape(labels) != (labelled,):
            raise ValueError(
                f"labels of shape {np.shape(labels)} for {labelled} labelled items: give one class for each"
            )
        self.labelled_rows = labelled_rows
        self.unlabelled_rows = unlabelled_rows if unlabelled else 0
        self.blocks = math.gcd(self.labelled_rows, self.unlabelled_rows)
        self.rank = idist.get_rank() if rank is None else rank
        self.world_size = idist.get_world_size() if world_size is None else world_size
        if self.world_size < 1 or self.blocks % self.world_size:
            sizes = ", ".join(str(size) for size in range(1, self.blocks + 1) if self.blocks % size == 0)
            raise ValueError(
                f"{self.world_size} processes cannot share {self.labelled_rows} labelled and {self.unlabelled_rows} "
                f"unlabelled rows equally: start {sizes} of them, or change the rows"
            )
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank {self.rank} is not one of the {self.world_size} processes: ranks count from 0")
        rows = counted_rows or self.labelled_rows + self.unlabelled_rows
        self.steps = steps or math.ceil((labelled + unlabelled) / rows)
        self.seed = seed
        self.epoch = 0
        self._unlabelled_items = np.arange(labelled, labelled + unlabelled)
        self._labelled_items = [np.arange(labelled)]
        if labels is not None:
            self._labelled_items = [np.flatnonzero(np.asarray(labels) == label) for label in np.unique(labels)]

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        first = self.epoch * self.steps
        labelled = self._labelled_stream(first * self.labelled_rows)
        unlabelled = _stream(self._unlabelled_items, (self.seed, 0), first * self.unlabelled_rows)
        parts = self.labelled_rows // self.blocks, self.unlabelled_rows // self.blocks
        share = self.blocks // self.world_size
        mine = range(self.rank * share, (self.rank + 1) * share)
        for _ in range(self.steps):
            blocks = [[*islice(labelled, parts[0]), *islice(unlabelled, parts[1])] for _ in range(self.blocks)]
            yield [row for block in mine for row in blocks[block]]

    def _labelled_stream(self, start: int) -> Iterator[int]:
        """Row j is from class j mod C, whose own stream has then given (j - class) / C rows, rounded up, before it."""
        classes = len(self._labelled_items)
        streams = [
            _stream(items, (self.seed, 1 + number), (start - number + classes - 1) // classes)
            for number, items in enumerate(self._labelled_items)
        ]
        for row in count(start):
            yield next(streams[row % classes])


def _stream(items: NDArray[np.int64], key: tuple[int, int], start: int) -> Iterator[int]:
    """The rows of one stream from number `start` on, without end; one permutation is held at a time."""
    permutation, place = divmod(start, max(len(items), 1))
    while len(items):
        order = np.random.default_rng([*key, permutation]).permutation(items)
        yield from order[place:].tolist()
        permutation, place = permutation + 1, 0
