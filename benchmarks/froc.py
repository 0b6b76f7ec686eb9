"""FROC over all 65535 levels by the tree of components, against scipy's labelling at 200 of them.

    python -m benchmarks.froc
    python -m benchmarks.froc --size 512 --rounds 9

First it says whether both count the same false positives at those 200 levels; its exit code is 1 if not, or if the
tree is slower. The tree does all of FROC's work; of scipy's side the labelling is timed alone, and again with the
rectangles that FROC asks about. Building the tree of components alone is timed beside scikit-image's, which has no
rectangles. All take turns in one process, and the ratios are of the medians over the rounds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import max_tree

from benchmarks.train_step import alternate
from semimed_monai.metrics import LevelCounts, component_tree, levels_of
from semimed_monai.metrics.froc import LEVELS, Levels

THRESHOLDS = np.linspace(1, LEVELS, 200).round().astype(int)
CORNERS_JOIN = np.ones((3, 3))


def smooth_map(size: int) -> Levels:
    """As a network makes them: wide hills."""
    hills = ndimage.gaussian_filter(np.random.default_rng(0).random((size, size)), size / 32)
    return levels_of((hills - hills.min()) / np.ptp(hills))


def noisy_map(size: int) -> Levels:
    """The worst case: every pixel by itself."""
    return levels_of(np.random.default_rng(0).random((size, size)))


def labelled(levels: Levels) -> Iterator[NDArray[np.int32]]:
    """The components at each of the 200 levels."""
    for threshold in THRESHOLDS:
        yield ndimage.label(levels >= threshold, CORNERS_JOIN)[0]


def labelling(levels: Levels) -> None:
    """All of that, and nothing with it."""
    for _ in labelled(levels):
        pass


def false_positives(levels: Levels, box: tuple[int, int, int, int]) -> list[int]:
    """At each of the 200 levels, by labelling."""
    x0, y0, x1, y1 = box
    counts = []
    for components in labelled(levels):
        middles = [
            ((across.start + across.stop) / 2, (down.start + down.stop) / 2)
            for down, across in ndimage.find_objects(components)
        ]
        counts.append(sum(not (x0 <= x <= x1 and y0 <= y <= y1) for x, y in middles))
    return counts


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="rows and columns of the maps (default 256)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count; the median is printed (default 7)")
    arguments = parser.parse_args()
    box = (arguments.size // 4, arguments.size // 4, arguments.size // 2, arguments.size // 2)
    failed = False
    for name, levels in {"smooth": smooth_map(arguments.size), "noisy": noisy_map(arguments.size)}.items():
        counted = LevelCounts.of(levels, [box]).false_positives[THRESHOLDS].tolist()
        equal = counted == false_positives(levels, box)
        print(f"{name}: the counts at 200 levels are {'equal' if equal else 'NOT EQUAL'}")
        failed = failed or not equal
        sides: dict[str, Callable[[], object]] = {
            "tree": partial(LevelCounts.of, levels, [box]),
            "labelling": partial(labelling, levels),
            "labelling and its rectangles": partial(false_positives, levels, box),
            "components": partial(component_tree.components, levels),
            "max_tree": partial(max_tree, levels, connectivity=2),
        }
        seconds = alternate(sides, arguments.rounds, "cpu")
        print(f"{name}: all levels by the tree take {1e3 * seconds['tree']:.0f} ms")
        for other in ("labelling", "labelling and its rectangles"):
            ratio = seconds[other] / seconds["tree"]
            failed = failed or ratio < 1
            print(
                f"{name}: 200 levels by {other} {1e3 * seconds[other]:.0f} ms, ratio {ratio:.2f} (claimed: at least 1)"
            )
        share = seconds["components"] / seconds["max_tree"]
        print(
            f"{name}: the tree and its rectangles alone {1e3 * seconds['components']:.1f} ms, scikit-image's max_tree, "
            f"the tree only, {1e3 * seconds['max_tree']:.1f} ms: {share:.2f} of its time"
        )
    if failed:
        raise SystemExit("the counts differ, or the tree is slower than claimed")


if __name__ == "__main__":
    main()
