"""Split items by group (person, lesion, study), stratified by class, and choose which of them keep their labels.

Looked for: scikit-learn's `StratifiedGroupKFold` makes k equal folds only (fractions such as 70/15/15 need many folds,
and it refuses more folds than groups), takes one class per item and no multi-label rows, and its folds are not nested,
so that 30 % of the labels would not contain the 10 %. MONAI's `partition_dataset_classes` knows classes, not groups.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item", bound=Mapping[str, Any])

# How many groups, in a shuffled order, compete for the next place: enough to even out the chances of the order, so few
# that the work is linear and that in a large set those taken are typical of all.
_CANDIDATES = 256


def group_of(item: Mapping[str, Any]) -> str:
    """The item's group; an item without one is a group of its own, named by its image."""
    return str(item.get("group") or item["image"])


def classes_of(item: Mapping[str, Any]) -> list[Hashable]:
    """The classes an item counts for: its label, each positive one of several labels, or None where there is none.

    >>> classes_of({"label": [0, 1, 1]}), classes_of({"label": [-1, -1, -1]})  # hidden ones are not there
    ([1, 2], [None])
    """
    label = item.get("label")
    if isinstance(label, Sequence) and not isinstance(label, str):
        return [index for index, mark in enumerate(label) if mark == 1] or [None]
    return [label]


def require_label_form(items: Sequence[Mapping[str, Any]], several: bool) -> None:
    """Refuse labels of another form than the recipe learns: a class index, or a list of 0 and 1 for all classes.

    >>> require_label_form([{"label": [0, 1]}], several=True)

    Raises:
        ValueError: they are.
    """
    for item in items:
        if isinstance(item["label"], list) != several:
            forms = ("a class index, one for each image", "a list of 0 and 1, for images that may have several classes")
            raise ValueError(
                f"{item['image']}: its label is {forms[not several]}, and the recipe learns from {forms[several]}: "
                "leave multi_label as it is, or use a bundle for such labels"
            )


def labels_of(items: Sequence[Mapping[str, Any]]) -> list[int]:
    """The class of each item: what `TwoStreamBatches` takes as `labels`.

    >>> labels_of([{"image": "0.png", "label": 2}, {"image": "1.png", "label": 0}])
    [2, 0]

    Raises:
        ValueError: items that may have several.
    """
    if any(isinstance(item["label"], list) for item in items):
        raise ValueError("images may have several classes, which cannot take turns: set balanced to False")
    return [int(item["label"]) for item in items]


def group_problems(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What is wrong with the groups of a datalist's sections: one in two of them, given in part, or pinned in part."""
    places: dict[str, set[str]] = {}
    pins: dict[str, set[str]] = {}
    without = []
    for section, items in sections.items():
        for number, item in enumerate(items):
            places.setdefault(group_of(item), set()).add(section)
            pins.setdefault(group_of(item), set()).add(str(item.get("labelled")))
            if item.get("group") is None:
                without.append(f"{section}[{number}] ({item['image']})")
    problems = [
        f"group {group!r} is in {' and in '.join(name for name in sections if name in found)}: "
        "leave it in one of them (split_by_group does)"
        for group, found in places.items()
        if len(found) > 1
    ]
    problems += [
        f"group {group!r}: 'labelled' must be the same in all of its training items"
        for group, values in pins.items()
        if len(values) > 1 and len(places[group]) == 1
    ]
    if 0 < len(without) < sum(map(len, sections.values())):
        problems.append(
            f"some items have a group, {len(without)} have none, the first {without[0]}: give all a group or none"
        )
    return problems


def study_problems(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What is wrong with the studies of a datalist's sections: one of two groups or labels, given in part of a section.

    >>> items = [{"image": "0.png", "study": "s", "label": 0}, {"image": "1.png", "study": "s", "label": 1}]
    >>> [problem.split(":")[0] for problem in study_problems({"test": [{**item, "group": "p"} for item in items]})]
    ["study 's' with mixed labels (0 of test[0] (0.png), 1 of test[1] (1.png))"]
    """
    problems = []
    first: dict[tuple[str, str], dict[str, str]] = {}
    for section, items in sections.items():
        where = [f"{section}[{number}] ({item['image']})" for number, item in enumerate(items)]
        without = [place for place, item in zip(where, items, strict=True) if item.get("study") is None]
        if 0 < len(without) < len(items):
            some = f"some {section} items have a study, {len(without)} have none, the first {without[0]}"
            problems.append(f"{some}: give all of the section a study or none")
        for place, item in zip(where, items, strict=True):
            if item.get("study") is not None:
                label = "none" if item.get("label") is None else str(item["label"])
                for kind, value in (("groups", group_of(item)), ("labels", label)):
                    first.setdefault((str(item["study"]), kind), {}).setdefault(value, place)
    for (study, kind), places in first.items():
        if len(places) > 1:
            shown = ", ".join(f"{value} of {place}" for value, place in list(places.items())[:2])
            remedy = "a study has one group and one label: correct them, or name studies apart"
            problems.append(f"study {study!r} with mixed {kind} ({shown}): {remedy}")
    return problems


def split_by_group(items: Sequence[Item], fractions: Mapping[str, float], seed: int) -> dict[str, list[Item]]:
    """Divide items into sections so that every group is in exactly one and the classes are alike in all.

    Groups are handed out one by one, the largest first and equal ones in a seeded order, each to the section s that is
    least full of what the group holds: the lowest mean over the group's classes c, and over items as such, of

        (n_sc + g_c / 2) / (fraction_s * total_c)

    which is Sainte-Laguë's rule for dividing seats, so neither large nor small sections are favoured.
    No section stays empty. The result depends on the items and the seed, not on the items' order.

    Example:
        >>> items = [{"image": f"{n}.png", "group": f"p{n // 2}", "label": n // 10} for n in range(20)]
        >>> {name: len(rows) for name, rows in split_by_group(items, {"training": 0.8, "test": 0.2}, seed=0).items()}
        {'training': 16, 'test': 4}

    Args:
        items: anything with `image`, and optionally `group` and `label`, as in a datalist.
        fractions: the share of the items for each section; they add up to 1.
        seed: decides which of the equal groups goes where.

    Raises:
        ValueError: fractions that are not positive or do not add up to 1; fewer groups than sections.
    """
    shares = np.array(list(fractions.values()), dtype=float)
    if not len(shares) or (shares <= 0).any() or abs(shares.sum() - 1) > 1e-6:
        given = ", ".join(f"{name} {fraction:g}" for name, fraction in fractions.items())
        raise ValueError(f"fractions {given or 'none'} must be positive and add up to 1")
    members, counts = _shuffled_groups(items, seed)
    if len(members) < len(shares):
        raise ValueError(
            f"{len(members)} groups cannot fill {len(shares)} sections ({', '.join(fractions)}): "
            "give fewer sections or more groups"
        )
    sizes = np.array([len(rows) for rows in members])
    counts = np.column_stack([counts, sizes])
    wanted = np.outer(shares, counts.sum(axis=0))
    filled = np.zeros_like(wanted)
    section_of = np.empty(len(items), dtype=int)
    for done, group in enumerate(np.argsort(-sizes, kind="stable")):
        fullness = (filled + counts[group] / 2) / wanted
        score = fullness[:, counts[group] > 0].mean(axis=1)
        empty = filled[:, -1] == 0
        if empty.sum() >= len(members) - done:  # the groups that are left are just enough for the empty sections
            score[~empty] = np.inf
        section = int(np.argmin(score))
        filled[section] += counts[group]
        section_of[members[group]] = section
    return {
        name: [item for item, section in zip(items, section_of, strict=True) if section == number]
        for number, name in enumerate(fractions)
    }


def choose_labelled(items: Sequence[Mapping[str, Any]], share: float, seed: int) -> set[int]:
    """The indices of the items that keep their labels: whole groups, stratified by class, nested in the share.

    One order of the groups is made from the seed, and as many of its first groups are taken as come nearest to
    `share * len(items)` items. So a larger share with the same seed holds every item of a smaller one. The order begins
    with one group for each class, the rarest first, however small the share; then comes, of the next groups of a
    shuffled order, always the one with which the part of the items that has each class is nearest to that in the set.

    The stratification looks at the classes of all items once: it stands for an annotator who was given such a set.
    A group whose items say `"labelled": true` or `false` is left out of all this: it is chosen, or not, whatever the
    share, which then holds for the others. So a choice that someone has made can be written down.

    Example:
        >>> items = [{"image": f"{n}.png", "label": n % 3} for n in range(30)]
        >>> sorted(items[index]["label"] for index in choose_labelled(items, 0.2, seed=0))
        [0, 0, 1, 1, 2, 2]

    Args:
        items: anything with `image` and `label`, and optionally `group`, as in a datalist.
        share: the part of the items to choose, above 0 and up to 1.
        seed: decides which groups they are.

    Raises:
        ValueError: a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"labelled share {share} must be above 0 and at most 1")
    pins = {group_of(item): item["labelled"] for item in items if item.get("labelled") is not None}
    free = [index for index, item in enumerate(items) if group_of(item) not in pins]
    members, counts = _shuffled_groups([items[index] for index in free], seed)
    sizes = np.array([len(rows) for rows in members], dtype=int)
    chosen = _one_group_per_class(counts)
    waiting = sorted(set(range(len(members))).difference(chosen))
    taken, wanted = int(sizes[chosen].sum()), share * len(free)
    have, prevalence = counts[chosen].sum(axis=0), counts.sum(axis=0) / max(len(free), 1)
    while waiting and taken < wanted:
        candidates = waiting[:_CANDIDATES]
        parts = (have + counts[candidates]) / (taken + sizes[candidates])[:, None]
        best = waiting.pop(int(np.argmin(((parts - prevalence) ** 2 / prevalence).sum(axis=1))))
        if taken + sizes[best] - wanted >= wanted - taken:  # without it we are as near or nearer
            break
        chosen.append(best)
        have, taken = have + counts[best], taken + sizes[best]
    pinned = {index for index, item in enumerate(items) if pins.get(group_of(item))}
    return pinned | {free[row] for group in chosen for row in members[group]}


def _shuffled_groups(items: Sequence[Mapping[str, Any]], seed: int) -> tuple[list[list[int]], NDArray[np.float64]]:
    """Each group's item indices, in a seeded order that the items' own order has no part in, and its class counts."""
    members: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        members.setdefault(group_of(item), []).append(index)
    names = sorted(members)
    groups = [members[names[place]] for place in np.random.default_rng(seed).permutation(len(names))]
    classes = sorted({label for item in items for label in classes_of(item)}, key=repr)
    column = {label: number for number, label in enumerate(classes)}
    counts = np.zeros((len(groups), len(classes)))
    for row, group in enumerate(groups):
        for index in group:
            for label in classes_of(items[index]):
                counts[row, column[label]] += 1
    return groups, counts


def _one_group_per_class(counts: NDArray[np.float64]) -> list[int]:
    """For each class, the rarest first, the first group that has it, unless a group already taken has."""
    chosen: list[int] = []
    for label in np.argsort((counts > 0).sum(axis=0), kind="stable"):
        if not counts[chosen, label].any():
            chosen.append(int(np.flatnonzero(counts[:, label])[0]))
    return chosen
