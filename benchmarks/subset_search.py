"""What searching all subsets of eight members by three rules takes: arrays against the plain loops that are published.

    python -m benchmarks.subset_search             # 1656 images, as OAI's public test part
    python -m benchmarks.subset_search --tiny      # shows that it runs, and nothing about the claims

Both sides judge the same votes by accuracy and macro F1, and must agree on every one of them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from benchmarks.train_step import holds
from semimed_monai.ensembles import search
from semimed_monai.metrics.grading import FloatArray, IntArray

MEMBERS, CLASSES = 8, 5
SECONDS, RATIO = 1.0, 100.0


def answers(images: int) -> tuple[FloatArray, IntArray]:
    """Members that are right in about two of three images, as KL graders are."""
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=images)
    logits = rng.normal(size=(MEMBERS, images, CLASSES)) + 1.5 * np.eye(CLASSES)[labels]
    exponents = np.exp(logits)
    return exponents / exponents.sum(axis=2, keepdims=True), labels


def vote(answered: Sequence[Sequence[float]], rule: str) -> int:
    """One image, as one writes it down first."""
    mean = [sum(row[place] for row in answered) / len(answered) for place in range(CLASSES)]
    soft = mean.index(max(mean))
    if rule == "soft":
        return soft
    ballots = Counter(list(row).index(max(row)) for row in answered)
    most = max(ballots.values())
    modes = sorted(label for label, count in ballots.items() if count == most)
    return modes[0] if rule == "hard" or len(modes) == 1 else soft


def macro_f1(voted: Sequence[int], labels: Sequence[int]) -> float:
    """Over the classes that occur."""
    scores = []
    for label in range(CLASSES):
        hits = sum(one == label == true for one, true in zip(voted, labels, strict=True))
        both = sum(one == label for one in voted) + sum(true == label for true in labels)
        if both:
            scores.append(2 * hits / both)
    return sum(scores) / len(scores)


def loops(probabilities: FloatArray, labels: IntArray) -> dict[tuple[tuple[int, ...], str], float]:
    """Subset and rule → F1."""
    rows, true = probabilities.tolist(), labels.tolist()
    found = {}
    for size in range(2, MEMBERS + 1):
        for subset in combinations(range(MEMBERS), size):
            for rule in ("hard", "soft", "mix"):
                voted = [vote([rows[member][image] for member in subset], rule) for image in range(len(true))]
                found[subset, rule] = macro_f1(voted, true)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="20 images")
    given = parser.parse_args()
    probabilities, labels = answers(20 if given.tiny else 1656)
    search(probabilities, labels)  # warms up
    times = []
    for _ in range(5):
        start = time.perf_counter()
        found = search(probabilities, labels)
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    plain = loops(probabilities, labels)
    slow = time.perf_counter() - start
    quick = statistics.median(times)
    apart = max(abs(plain[one.members, one.rule] - one.f1) for one in found)
    print(f"{len(found)} votes of {len(labels)} images agree to {apart:.1g}")
    claims = [
        apart < 1e-9,
        holds("the search takes", quick, SECONDS, " s"),
        holds("it is faster than plain loops", slow / quick, RATIO, "×", True),
    ]
    sys.exit(not (all(claims) or given.tiny))


if __name__ == "__main__":
    main()
