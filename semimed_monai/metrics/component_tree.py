"""The connected components that a map shows at any threshold, by the merging of its hills.

Looked for: scikit-image's max_tree gives the same tree, takes more than twice as long (`python -m benchmarks.froc`),
and has no bounding rectangles; scipy has the spanning tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree

Numbers = NDArray[np.int64]
Places = NDArray[np.intp]


def components(levels: NDArray[np.uint16], connectivity: int = 2) -> tuple[Numbers, Numbers, NDArray[np.float64]]:
    """Each component of the pixels of level k and above, for all k > 0, once: thresholds from `top` down to above `end`
    show it. Some are there for no threshold: their top is their end.

    As the threshold falls, components begin at the peaks, grow by one pixel after the other, and merge where their
    hills meet. A hill is the pixels from which the way up, always to the highest neighbour, leads to one peak. Pixels
    of one level come in some order.

    >>> tops, ends, centres = components(np.array([[5, 3, 4]], np.uint16))
    >>> sorted(zip(tops.tolist(), ends.tolist(), centres[:, 0].tolist()))
    [(3, 0, 1.5), (4, 3, 2.5), (5, 3, 0.5)]

    Args:
        levels: H×W.
        connectivity: 2 joins pixels at corners too, 1 does not.

    Returns:
        tops, ends: levels.
        centres: N×2, x and y of the middle of the bounding rectangle; pixel j lies from j to j + 1.
    """
    order = np.argsort(levels, axis=None, kind="stable")
    rank = np.empty(order.size, np.int32)
    rank[order] = np.arange(order.size, dtype=np.int32)
    hill, peaks = _hills(rank.reshape(levels.shape), order, connectivity)
    above, birth = _merged(rank[peaks], *_passes(rank.reshape(levels.shape), hill, connectivity))
    ups = _ways_up(above)
    node = hill.ravel()  # of each pixel: the component that it joins, the uppermost that is there by then
    for up in reversed(ups):
        further = up[node]
        node = np.where(birth[further] >= rank, further, node)
    falling = order[::-1]
    falling = falling[np.argsort(node[falling], kind="stable")]  # the pixels of each component as they come
    centres = _growing(falling, node[falling], ups, levels.shape)
    tops = levels.ravel()[falling].astype(np.int64)
    level_of_birth = levels.ravel()[order[birth]].astype(np.int64)
    joined = level_of_birth[above[node[falling]]]
    joined[node[falling] == len(above) - 1] = 0  # the whole image is there down to the lowest threshold
    same = node[falling[1:]] == node[falling[:-1]]
    ends = joined
    ends[:-1][same] = tops[1:][same]
    return tops, ends, centres


def _hills(rank: NDArray[np.int32], order: Places, connectivity: int) -> tuple[NDArray[np.int32], Places]:
    """The hill of each pixel, H×W, and the pixel of each hill's peak."""
    highest = rank.copy()
    for here, there in _neighbours(rank.shape, connectivity):
        np.maximum(highest[here], rank[there], out=highest[here])
        np.maximum(highest[there], rank[here], out=highest[there])
    way = order[highest.ravel()]
    peaks = np.flatnonzero(way == np.arange(way.size))
    while not np.array_equal(further := way[way], way):
        way = further
    number = np.empty(way.size, np.int32)
    number[peaks] = np.arange(len(peaks), dtype=np.int32)
    return number[way].reshape(rank.shape), peaks


def _neighbours(shape: tuple[int, ...], connectivity: int) -> Iterator[tuple[Any, Any]]:
    """Every pair of neighbours once, as two parts of the image."""
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1))[: 4 if connectivity == 2 else 2]:
        first, last = max(0, -across), shape[1] - max(0, across)
        here = (slice(0, shape[0] - down), slice(first, last))
        yield here, (slice(down, shape[0]), slice(first + across, last + across))


def _passes(
    rank: NDArray[np.int32], hill: NDArray[np.int32], connectivity: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Where two hills touch: one, the other, and the rank of the lower pixel; those passes alone that join what is not
    joined higher up, from the highest down.
    """
    found: list[tuple[Any, Any, Any]] = []
    for here, there in _neighbours(rank.shape, connectivity):
        touch = hill[here] != hill[there]
        found.append((hill[here][touch], hill[there][touch], np.minimum(rank[here][touch], rank[there][touch])))
    one, other, lower = (np.concatenate(parts) for parts in zip(*found, strict=True))
    hills = int(hill.max()) + 1
    rows = np.argsort(one, kind="stable")
    starts = np.concatenate([[0], np.bincount(one, minlength=hills).cumsum()])
    depth = (rank.size - lower[rows]).astype(np.float64)  # least for the highest pass, and never 0, which is no edge
    kept = minimum_spanning_tree(csr_array((depth, other[rows], starts), shape=(hills, hills)), overwrite=True).tocoo()
    highest = np.argsort(kept.data)
    return kept.row[highest], kept.col[highest], (rank.size - kept.data[highest]).astype(np.int32)


def _merged(
    peaks: NDArray[np.int32], one: NDArray[np.int32], other: NDArray[np.int32], lower: NDArray[np.int32]
) -> tuple[Places, NDArray[np.int32]]:
    """The tree of components: each hill's first, then what each pass joins. What each becomes a part of, the last
    of itself, and the rank at which each begins.
    """
    above = list(range(len(peaks) + len(one)))
    root = above.copy()
    for merged, pair in enumerate(zip(one.tolist(), other.tolist(), strict=True), start=len(peaks)):
        for hill in pair:
            part = hill
            while root[part] != part:
                root[part] = root[root[part]]
                part = root[part]
            above[part] = root[part] = merged
    return np.array(above), np.concatenate([peaks, lower])


def _ways_up(above: Places) -> list[Places]:
    """What lies 1, 2, 4 … components further up."""
    ups = [above]
    while ups[-1].min() < len(above) - 1:
        ups.append(ups[-1][ups[-1]])
    return ups


def _growing(
    pixels: Places, nodes: NDArray[np.int32], ups: list[Places], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """The middle of the bounding rectangle, x and y, after each pixel of each component has come."""
    above, count = ups[0], len(ups[0])
    row, column = np.divmod(pixels.astype(np.int32), np.int32(shape[1]))
    first = np.flatnonzero(np.diff(nodes, prepend=-1))
    apart = nodes.astype(np.int64) * 4 * max(shape)  # so that nothing of one component is a bound of the next
    edges = []
    for own in (row, column, -row, -column):
        whole = np.full(count, max(shape), np.int32)  # with all parts of it
        np.minimum.at(whole, nodes, own)
        for up in ups:
            before = whole.copy()
            np.minimum.at(whole, up, before)
        begun = np.full(count, max(shape), np.int32)
        np.minimum.at(begun, above[:-1], whole[:-1])
        come = own.copy()
        come[first] = np.minimum(come[first], begun[nodes[first]])
        edges.append(np.minimum.accumulate(come - apart) + apart)
    return np.stack([edges[1] - edges[3] + 1, edges[0] - edges[2] + 1], axis=1) / 2
