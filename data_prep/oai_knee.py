"""A knee of the Osteoarthritis Initiative: whose it is, which side, and its item in a datalist."""

from __future__ import annotations

from typing import Any, NamedTuple

CLASSES = ("KL 0", "KL 1", "KL 2", "KL 3", "KL 4")
"""The grades of Kellgren and Lawrence, in the labels' order."""


class Knee(NamedTuple):
    """One of a person's two; `side` is L or R."""

    subject: str
    side: str

    @property
    def name(self) -> str:
        """As the published set calls it.

        >>> Knee("9000099", "R").name
        '9000099R'
        """
        return f"{self.subject}{self.side}"

    def item(self, image: str, grade: int) -> dict[str, Any]:
        """Its item; both knees of a person are one group."""
        return {"image": image, "label": grade, "group": self.subject, "id": self.name}
