"""The rows of an evaluation, collected over batches and processes, one per item.

Looked for: monai.metrics.Cumulative gathers tensors only, so that an item's id is lost, and with it the way to know the
rows by which a distributed sampler fills up its last round: they would count twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import ignite.distributed as idist
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from semimed_monai.metrics.grading import FloatArray

Column = NDArray[Any]
MUST_AGREE = ("label", "group", "study")


class Rows:
    """Columns by name, a row per item, kept as small arrays on the CPU.

        >>> import torch
        >>> rows = Rows()
        >>> rows.extend(id=["a", "b"], label=torch.tensor([0, 2]))
        >>> rows.gathered()["label"]
        array([0, 2])

    `id` is the one column that must be there.
    """

    def __init__(self) -> None:
        self._batches: list[dict[str, Column]] = []

    def reset(self) -> None:
        """Forget all rows."""
        self._batches = []

    def extend(self, **columns: Tensor | FloatArray | Sequence[str]) -> None:
        """Add a batch.

        Args:
            columns: the same number of values each; the same columns in every batch.

        Raises:
            ValueError: columns of different lengths.
        """
        batch = {name: _as_array(values) for name, values in columns.items()}
        lengths = {name: len(values) for name, values in batch.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of a batch differ in length: {lengths}")
        self._batches.append(batch)

    def gathered(self) -> dict[str, Column]:
        """All processes' rows, sorted by id, one for each id; {} if there are none. Every process must call it.

        Raises:
            ValueError: two rows with the same id that differ in label, group or study: two items, not one seen twice.
        """
        own = _concatenated(self._batches)
        parts = cast(list[dict[str, Column]], idist.all_gather(own))
        rows = _concatenated([part for part in parts if part])
        if not rows:
            return {}
        _, first, which = np.unique(rows["id"], return_index=True, return_inverse=True)
        for name in MUST_AGREE:
            if name in rows:
                same = rows[name] == rows[name][first][which]
                differing = np.flatnonzero(~same.reshape(len(same), -1).all(axis=1))
                if differing.size:
                    raise ValueError(
                        f"two items with the id '{rows['id'][differing[0]]}' differ in {name}: "
                        "give each item of the datalist an id of its own"
                    )
        return {name: values[first] for name, values in rows.items()}


def _as_array(values: Tensor | FloatArray | Sequence[str]) -> Column:
    if not isinstance(values, Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    # numpy has no bfloat16, and metrics need no half precision
    return (values.float() if values.is_floating_point() and values.element_size() < 4 else values).numpy()


def _concatenated(batches: Sequence[Mapping[str, Column]]) -> dict[str, Column]:
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]} if batches else {}
