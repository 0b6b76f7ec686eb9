"""Which runs may stand beside each other: those that were measured on the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

COMPARABLE = ("dataset", "dataset_version", "dataset_digest", "section", "profile", "tiou_threshold")
"""What they have in common in metrics.json."""


def refuse_unequal(runs: Iterable[Mapping[str, Any]], keys: Sequence[str] = COMPARABLE) -> None:
    """Refuse runs, given as the content of their metrics.json, that differ in what they were measured on.

    >>> refuse_unequal([{"section": "test", "seed": 0}, {"section": "test", "seed": 1}])

    Raises:
        ValueError: they differ; the message says in what.
    """
    runs = list(runs)
    for key in keys:
        values = sorted({str(run.get(key)) for run in runs})
        if len(values) > 1:
            raise ValueError(f"these runs cannot be compared, they differ in {key}: {', '.join(values)}")
