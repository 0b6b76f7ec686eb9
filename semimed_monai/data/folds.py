"""Cross-validation: items cut into folds, stratified by class, a group in one of them only.

The cut is scikit-learn's; what stands here says in a user's words why one cannot be made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from semimed_monai.data.splits import group_of, labels_of
from semimed_monai.vocabulary import flag


class Folds:
    """Each fold is the validation of one training, all others its training.

    >>> items = [{"image": f"{n}.png", "group": f"p{n // 2}", "label": n // 2 % 2} for n in range(20)]
    >>> folds = Folds(items, count=5)
    >>> len(folds.training(0)), len(folds.validation(0)), len({item["group"] for item in folds.validation(0)})
    (16, 4, 2)

    Args:
        items: labelled ones, as a datalist gives them.
        count: how many folds; 1: all items are for training (few labels cannot be cut), and `otherwise` validates.
        seed: of the cut.
        grouped: whether a group is in one fold only. Without it the two knees of a person may be parted: training has
            seen something of whom validation is of, which flatters.
        otherwise: the validation of a single fold.

    Raises:
        ValueError: no fold; one, and nothing to validate with; fewer groups, or items of a class, than folds; a fold
            that lacks a class.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        count: int = 5,
        seed: int = 0,
        grouped: bool = True,
        otherwise: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if type(count) is not int or count < 1:
            raise ValueError(f"folds must be a whole number from 1, got {count!r}")
        self.items = [dict(item) for item in items]
        self.otherwise = [dict(item) for item in otherwise]
        if count == 1:
            if not otherwise:
                raise ValueError("a single fold trains on everything: there is nothing left to validate with")
            self._places: list[list[int]] = [[]]
            return
        labels = labels_of(self.items)
        groups = [group_of(item) for item in self.items] if flag("grouped", grouped) else None
        _refuse_few(labels, groups or [str(place) for place in range(len(self.items))], count)
        cutter = StratifiedKFold if groups is None else StratifiedGroupKFold
        cut = cutter(count, shuffle=True, random_state=seed).split(self.items, labels, groups)
        self._places = [sorted(validation.tolist()) for _, validation in cut]
        for fold, places in enumerate(self._places):
            missing = sorted({*labels} - {labels[place] for place in places})
            if missing:
                raise ValueError(
                    f"fold {fold} of {count} (seed {seed}) has no item of class {', '.join(map(str, missing))}: make "
                    "fewer folds, take another seed, or add items of it from other groups"
                )

    def validation(self, fold: int) -> list[dict[str, Any]]:
        """The items of a fold, or of `otherwise`."""
        return [self.items[place] for place in self._of(fold)] or self.otherwise

    def training(self, fold: int) -> list[dict[str, Any]]:
        """The items of all other folds."""
        left_out = set(self._of(fold))
        return [item for place, item in enumerate(self.items) if place not in left_out]

    def _of(self, fold: int) -> list[int]:
        if type(fold) is not int or not 0 <= fold < len(self._places):
            raise ValueError(f"there is no fold {fold!r}: they are 0 to {len(self._places) - 1}")
        return self._places[fold]


def _refuse_few(labels: Sequence[int], groups: Sequence[str], count: int) -> None:
    having: dict[int, set[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        having.setdefault(label, set()).add(group)
    if len(set(groups)) < count:
        raise ValueError(f"{len(set(groups))} groups cannot fill {count} folds: make fewer folds or add groups")
    few = {label: len(found) for label, found in sorted(having.items()) if len(found) < count}
    if few:
        told = ", ".join(f"class {label} is of {number}" for label, number in few.items())
        raise ValueError(
            f"each fold needs every class, but {told} groups only ({_counts(labels)} items): make fewer than "
            f"{count} folds, or add items of it"
        )


def _counts(labels: Sequence[int]) -> str:
    return ", ".join(f"{number} of {label}" for label, number in sorted(Counter(labels).items()))
