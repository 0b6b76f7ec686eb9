"""Roles: what a training image of a detector gives away, and what a datalist that has roles may not say.

    P_hos  a positive with boxes            P_pub  a positive of which nothing more is known
    N_hos  a negative of the same source    N_pub  a negative of the public sets

A public image's boxes, should there be any, are hidden like an unlabelled image's mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch.utils.data import Subset

from semimed_monai.vocabulary import ROLES

if TYPE_CHECKING:
    from semimed_monai.data.datalist import Datalist


def keeps_boxes(item: Mapping[str, Any]) -> bool:
    """Whether the reader may hand on where the lesions are.

    >>> keeps_boxes({"role": "P_pub"}), keeps_boxes({"role": "P_hos"}), keeps_boxes({})
    (False, True, True)
    """
    return item.get("role") not in ("P_pub", "N_pub")


def roles_of(items: Sequence[Mapping[str, Any]]) -> list[int]:
    """The role of each item that a `Datalist` gave, by number: what `TwoStreamBatches` takes as `labels`.

    >>> roles_of([{"image": "0.png", "role": 2}, {"image": "1.png", "role": 0}])
    [2, 0]

    Raises:
        ValueError: an item without a role.
    """
    without = [item for item in items if item.get("role", -1) < 0]
    if without:
        raise ValueError(
            f"{len(without)} of {len(items)} training items have no role, the first {without[0]['image']}: write one "
            f"of {', '.join(ROLES)} for each into the datalist"
        )
    return [int(item["role"]) for item in items]


def of_role(dataset: Any, role: str) -> Subset[Any]:
    """The part of a MONAI dataset whose items have this role; what it has cached is not cached twice."""
    number = ROLES.index(role)
    return Subset(dataset, [place for place, item in enumerate(dataset.data) if item.get("role") == number])


def require_boxes(datalist: Datalist, sections: Sequence[str]) -> None:
    """Refuse, before anything runs, sections in which finds could be neither right nor wrong.

    Raises:
        ValueError: a section without a positive, these positives without a box, or these negatives with one.
    """
    for section in dict.fromkeys(sections):
        items = datalist.section(section)
        if not any(item["label"] == 1 for item in items):
            raise ValueError(f"the section {section} has no positive, which FROC needs: add some with their boxes")
        for label, kind, wrong, remedy in (
            (1, "positives", "have no box, which FROC needs", "add boxes, or leave them out"),
            (0, "negatives", "have boxes", "remove the boxes, or correct the labels"),
        ):
            found = [item["id"] for item in items if item["label"] == label and bool(item.get("boxes")) != label]
            if found:
                more = f" and {len(found) - 5} more" if len(found) > 5 else ""
                names = f"{', '.join(found[:5])}{more}"
                raise ValueError(f"{len(found)} {kind} of the section {section} {wrong}: {names}: {remedy}")


def role_problem(item: Mapping[str, Any], section: str) -> str | None:
    """What is wrong with an item's role, by itself: nothing if it has none."""
    role = item.get("role")
    if role is None:
        return None
    if section != "training":
        return f"role {role!r}: it is for training items only"
    if role not in ROLES:
        return f"role {role!r} is unknown: write one of {', '.join(ROLES)}"
    positive, boxes = int(role.startswith("P")), item.get("boxes")
    wrong = {
        f"goes with label {positive}, not {item.get('label')!r}: correct one of them": item.get("label") != positive,
        "is a positive with boxes, and it has none: add them, or make it 'P_pub'": role == "P_hos" and not boxes,
        "is a negative, and it has boxes: remove them, or correct role and label": not positive and boxes,
    }
    return next((f"role {role!r} {what}" for what, found in wrong.items() if found), None)


def roles_problems(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the roles of the training items together."""
    without = [number for number, item in enumerate(items) if item.get("role") is None]
    if not without or len(without) == len(items):
        return []
    first = f"training[{without[0]}] ({items[without[0]].get('image')})"
    return [f"some training items have a role, {len(without)} have none, the first {first}: give all one, or none"]


def box_problem(boxes: Sequence[Sequence[float]], width: int, height: int) -> str | None:
    """The first box that is not wholly inside an image of this size.

    >>> box_problem([[0, 0, 8, 6]], width=8, height=6) is None
    True
    """
    for x0, y0, x1, y1 in boxes:
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            box = [x0, y0, x1, y1]
            return f"box {box} reaches outside the image of {width} x {height} pixels: correct or cut it"
    return None
