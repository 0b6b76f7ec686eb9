"""Percentile bootstrap intervals that resample whole groups: the slices of one person are not independent cases.

Looked for: scipy.stats.bootstrap resamples rows only; scikit-learn and MONAI have none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from semimed_monai.metrics.grading import FloatArray, IntArray

Groups = Sequence[str] | NDArray[Any]
Interval = tuple[float, float]


@overload
def bootstrap_interval(
    statistic: Callable[[IntArray], float], groups: Groups, repeats: int = ..., level: float = ..., seed: int = ...
) -> Interval: ...
@overload
def bootstrap_interval(
    statistic: Callable[[IntArray], Mapping[str, float]],
    groups: Groups,
    repeats: int = ...,
    level: float = ...,
    seed: int = ...,
) -> dict[str, Interval]: ...
def bootstrap_interval(
    statistic: Callable[[IntArray], float | Mapping[str, float]],
    groups: Groups,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval | dict[str, Interval]:
    """The middle `level` of what `statistic` gives on `repeats` sets of as many groups, drawn with replacement.

    A repeat on which the statistic is nan (a class was not drawn, say) does not count. Fewer than two groups, or no
    repeat that counts, give (nan, nan): one person says nothing about how persons differ.

        >>> values = np.array([0.0, 0.0, 1.0, 1.0])
        >>> bootstrap_interval(lambda rows: float(values[rows].mean()), ["a", "a", "b", "b"])
        (0.0, 1.0)

    Args:
        statistic: takes the indices of the drawn rows (repeated as drawn), gives a number or named numbers.
        groups: the group of each row.
        repeats: at least 1.
        level: of the interval, in (0, 1).
        seed: the same seed draws the same groups.

    Returns:
        (low, high), or one such pair per name.

    Raises:
        ValueError: no rows, or repeats or level out of range.
    """
    if len(groups) == 0 or repeats < 1 or not 0 < level < 1:
        raise ValueError(f"wanted rows, repeats >= 1 and 0 < level < 1, got {len(groups)} rows, {repeats}, {level}")
    found = [statistic(rows) for rows in _resampled(groups, repeats, seed)]
    enough = len(np.unique(np.asarray(groups))) > 1
    tail = (1 - level) / 2
    first = found[0]
    if not isinstance(first, Mapping):
        return _quantiles(np.asarray(found, dtype=np.float64), tail, enough)
    return {
        name: _quantiles(np.asarray([one[name] for one in found if isinstance(one, Mapping)]), tail, enough)
        for name in first
    }


def _resampled(groups: Groups, repeats: int, seed: int) -> list[IntArray]:
    """The rows of each repeat's groups; a group's rows lie together in `order`, so a draw is a few array operations."""
    _, member, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.argsort(member, kind="stable")
    starts = np.cumsum(sizes) - sizes
    random = np.random.default_rng(seed)
    draws = []
    for _ in range(repeats):
        drawn = random.integers(len(sizes), size=len(sizes))
        lengths = sizes[drawn]
        offsets = np.repeat(starts[drawn] - (np.cumsum(lengths) - lengths), lengths)
        draws.append(order[offsets + np.arange(lengths.sum())])
    return draws


def _quantiles(values: FloatArray, tail: float, enough: bool) -> Interval:
    known = values[~np.isnan(values)]
    if not enough or not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)
