"""What the sets of the fracture bundle have in common: their classes, and the role of a training image."""

from __future__ import annotations

from typing import Any, Literal

CLASSES = ("normal", "fracture")

IN_PAPER = {"P_hos": 580, "N_hos": 9858, "P_pub": 4825, "N_pub": 16921}
"""How many images of each role the paper trains and tests with (Lu et al. 2022)."""


def with_role(item: dict[str, Any], origin: Literal["hos", "pub"]) -> dict[str, Any]:
    """A training item with its role; a public one loses its boxes, which then are in no file that a training reads.

    >>> with_role({"image": "a.png", "label": 1, "boxes": [[0, 0, 2, 2]]}, "pub")
    {'image': 'a.png', 'label': 1, 'role': 'P_pub'}
    """
    kept = {key: value for key, value in item.items() if origin == "hos" or key != "boxes"}
    return {**kept, "role": f"{'P' if item['label'] else 'N'}_{origin}"}
