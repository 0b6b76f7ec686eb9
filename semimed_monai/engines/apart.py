"""A network's pass over two kinds of rows, each with batch statistics of its own.

Looked for: torch's batch normalisation takes a batch as it comes; timm's SplitBatchNorm has statistics of its own for
each kind in evaluation, too, of which a deployed network can use one only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from semimed_monai.vocabulary import Outputs

Run = Callable[[Tensor], Outputs]


def run_apart(run: Run, run_others: Run, images: Tensor, rows: Tensor | None) -> Outputs:
    """The outputs of the rows by `run` and of all others by `run_others`, in the order of the images.

    All are by `run` where `rows` is None.

    >>> def sums(images): return Outputs(logits=images.sum(dim=0, keepdim=True).expand_as(images))
    >>> run_apart(sums, sums, torch.tensor([[1.0], [10.0], [2.0]]), torch.tensor([True, False, True])).logits
    tensor([[ 3.],
            [10.],
            [ 3.]])
    """
    if rows is None or rows.all():
        return run(images)
    if not rows.any():
        return run_others(images)
    order = torch.cat([rows.nonzero(), (~rows).nonzero()]).flatten().argsort()
    first, second = run(images[rows]), run_others(images[~rows])
    return Outputs(
        **{
            field.name: None if mine is None else torch.cat([mine, getattr(second, field.name)])[order]
            for field in fields(Outputs)
            for mine in [getattr(first, field.name)]
        }
    )
