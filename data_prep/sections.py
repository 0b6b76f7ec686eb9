"""Items to sections: those with a label are split by group; those without one may only be learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from semimed_monai.data import split_by_group
from semimed_monai.data.datalist import SECTIONS
from semimed_monai.data.splits import group_of

FRACTIONS = (0.7, 0.1, 0.2)
HELD_BACK = "items without a label whose group is in validation or test"
Items = list[dict[str, Any]]


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


def known_by(items: Sequence[Mapping[str, Any]]) -> str:
    """The key that makes an item labelled: label, or mask where no item has a label."""
    return "label" if any(item.get("label") is not None for item in items) else "mask"
