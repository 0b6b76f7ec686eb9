"""The rows of all processes: for a term whose value belongs to the global batch."""

from __future__ import annotations

import ignite.distributed as idist
import torch
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks, which must have equally many.

    The gradient comes back to every process from all of them, so that, averaged by DistributedDataParallel, a term of
    the gathered rows moves the weights as it would in one process.

    >>> gathered(torch.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    if idist.get_world_size() == 1:
        return rows
    return torch.cat(all_gather(rows.contiguous()))  # type: ignore[no-untyped-call]
