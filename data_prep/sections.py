"""Items to sections: those with a label are split by group; those without one may only be learned from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from semimed_monai.data import split_by_group
from semimed_monai.data.datalist import SECTIONS
from semimed_monai.data.splits import classes_of, group_of
from semimed_monai.files import digest_of

FRACTIONS = (0.7, 0.1, 0.2)
HELD_BACK = "items without a label whose group is in validation or test"
Items = list[dict[str, Any]]


class Divided(NamedTuple):
    """Items in sections.

    Args:
        sections: the items.
        facts: what the datalist's provenance says of how they got there.
        notes: what must be printed of it.
    """

    sections: dict[str, Items]
    facts: dict[str, Any]
    notes: list[str]


def check_way(way: str, ways: Collection[str]) -> None:
    """Raise unless a set can be split so."""
    if way not in ways:
        raise ValueError(f"split {way!r}: give one of {', '.join(ways)}")


def check_classes(
    source: Path,
    classes: Sequence[str],
    items: Sequence[Mapping[str, Any]],
    left_out: Mapping[str, Sequence[str]],
    remedy: str = "Unpack the whole archives",
) -> None:
    """Raise unless each class has an item, and say what was left out: it may have been of that class."""
    present = {label for item in items for label in classes_of(item)}
    if absent := [name for index, name in enumerate(classes) if index not in present]:
        lost = "".join(f"; {reason}: {len(names)}, the first {names[0]}" for reason, names in left_out.items() if names)
        raise ValueError(
            f"{source}: of class {', '.join(absent)} no image can be used, of all others {len(items)}{lost}. {remedy}"
        )


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise unless there is one for each section; what they add up to is looked at when they are used."""
    if len(fractions) != len(SECTIONS):
        raise ValueError(f"fractions {list(fractions)}: give three, for {', '.join(SECTIONS)}")


def split(items: Sequence[dict[str, Any]], fractions: Sequence[float], seed: int) -> tuple[dict[str, Items], Items]:
    """The sections, and the items that can be in none of them.

    Items with a label (in a list without labels: with a mask) are split by `split_by_group`. The others are training
    items, but not those whose group went elsewhere: to learn from the person who is tested would flatter the test.

    Example:
        >>> items = [{"image": f"{n}.png", "group": str(n // 2), **({"label": 0} if n < 6 else {})} for n in range(8)]
        >>> sections, held_back = split(items, (0.4, 0.3, 0.3), seed=0)
        >>> [len(rows) for rows in sections.values()], held_back
        ([4, 2, 2], [])

    Raises:
        ValueError: no item is labelled, there are fewer groups than sections, or fractions that do not add up to 1.
    """
    key = known_by(items)
    known = [item for item in items if item.get(key) is not None]
    if not known:
        raise ValueError("no usable image has a label: nothing can be learned or tested; look at what was left out")
    sections = split_by_group(known, dict(zip(SECTIONS, fractions, strict=True)), seed)
    elsewhere = {group_of(item) for name in SECTIONS[1:] for item in sections[name]}
    unknown = [item for item in items if item.get(key) is None]
    held_back = [item for item in unknown if group_of(item) in elsewhere]
    training = {id(item) for item in (*sections["training"], *unknown)} - {id(item) for item in held_back}
    return {**sections, "training": [item for item in items if id(item) in training]}, held_back


def divide(
    items: Sequence[dict[str, Any]], fractions: Sequence[float], seed: int, *, group: str, by_image: bool = False
) -> Divided:
    """Labelled items by `split_by_group`; or by image, as papers do, with the number of groups that are torn by it.

    By image, each item becomes a group by itself, as a datalist takes no group that is in two sections. The classes are
    alike in all sections either way.

    Example:
        >>> items = [{"image": f"{n}.png", "group": str(n // 5), "id": str(n), "label": 0} for n in range(15)]
        >>> divide(items, (0.4, 0.3, 0.3), 0, group="patient", by_image=True).notes[0][:63]
        'SPLIT BY IMAGE: 3 of 3 patients have images in several sections'

    Args:
        items: with `id`, `group` and `label`.
        fractions: of training, validation and test.
        seed: decides what goes where.
        group: what a group is: "patient".
        by_image: do not keep groups together.

    Raises:
        ValueError: fewer groups than sections, or fractions that do not add up to 1.
    """
    shares = dict(zip(SECTIONS, fractions, strict=True))
    facts = {"fractions": list(fractions), "seed": seed}
    if not by_image:
        return Divided(split_by_group(items, shares, seed), {"by": group, **facts}, [])
    sections = split_by_group([{**item, "group": item["id"]} for item in items], shares, seed)
    groups, places = {item["id"]: group_of(item) for item in items}, defaultdict(set)
    for name, rows in sections.items():
        for item in rows:
            places[groups[item["id"]]].add(name)
    torn = sum(len(names) > 1 for names in places.values())
    note = (
        f"SPLIT BY IMAGE: {torn} of {len(places)} {group}s have images in several sections, so that some of what is "
        "tested was learned, and scores flatter"
    )
    return Divided(sections, {"by": "image", **facts, f"{group}s in several sections": torn, "leak": note}, [note])


def divide_by_lists(
    lists: Mapping[Path, Items], fractions: Sequence[float], seed: int, *, group: str = "patient"
) -> Divided:
    """By a set's two official lists: the second is the test section, validation is cut out of the first by group.

    Args:
        lists: the two files, and the items of each, with `group`.
        fractions: the first two say how the first list is divided.
        seed: decides which group goes where.
        group: what a group is.

    Raises:
        ValueError: fewer groups than sections, or fractions that are not positive.
    """
    learned = sum(fractions[:2]) or 1
    shares = {"training": fractions[0] / learned, "validation": fractions[1] / learned}
    (first, learned_from), (second, tested) = ((file.name, items) for file, items in lists.items())
    facts = {
        "by": f"official lists, and {group}",
        first: {name: round(share, 4) for name, share in shares.items()},
        "lists_sha256": {file.name: digest_of(file) for file in lists},
        "seed": seed,
    }
    note = f"test is {second}; validation is {shares['validation']:.1%} of {first}, cut out by {group}"
    return Divided({**split_by_group(learned_from, shares, seed), "test": tested}, facts, [note])


def known_by(items: Sequence[Mapping[str, Any]]) -> str:
    """The key that makes an item labelled: label, or mask where no item has a label."""
    return "label" if any(item.get("label") is not None for item in items) else "mask"
