"""Marks: the masks that a clinician drew on a few of the images whose class is known.

Looked for: MONAI's `partition_dataset_classes` divides by class; what is wanted here is one question of each item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Items = Sequence[Mapping[str, Any]]


def is_marked(item: Mapping[str, Any]) -> bool:
    """Whether it is known where in the image its class can be seen.

    >>> is_marked({"image": "0.png", "mask": "0_mark.png"}), is_marked({"image": "1.png", "mask": None})
    (True, False)
    """
    return item.get("mask") is not None or item.get("label_map") is not None


def marked(items: Items, wanted: bool = True) -> list[Mapping[str, Any]]:
    """The items that have a mark, or those that have none.

    >>> marked([{"image": "0.png", "mask": "0_mark.png"}, {"image": "1.png"}], wanted=False)
    [{'image': '1.png'}]
    """
    return [item for item in items if is_marked(item) == wanted]


def require_marks(items: Items, rows: int) -> None:
    """Refuse, before anything runs, training items from whose marks nothing would be learned.

    Args:
        items: labelled ones.
        rows: of a batch that have a mark.

    Raises:
        ValueError: no row or no item has a mark.
    """
    if rows < 1:
        raise ValueError(f"marked_rows is {rows}, and nothing would be learned from marks: give 1 or more")
    if not marked(items):
        raise ValueError(
            f"none of the {len(items)} labelled training items has a mark to learn from: give some abnormal ones a "
            '"mask" in the datalist, or train --stage 2'
        )


def refuse_normal_marks(items: Items, normal: int = 0) -> None:
    """Refuse items that have a mark though there is nothing to see: learned from or measured on, it would mislead.

    Args:
        items: of any section.
        normal: the class in which there is nothing to see.

    Raises:
        ValueError: which.
    """
    if wrong := [str(item.get("id", item["image"])) for item in marked(items) if item.get("label") == normal]:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ValueError(
            f"{len(wrong)} images without a lesion have a mark: {', '.join(wrong[:5])}{more}: correct their "
            "labels, or remove the marks (the first class must be the normal one: from_csv --classes normal abnormal)"
        )
