"""The four roles of a detector's training images in the datalist: what they hide, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from monai.data import CacheDataset
from PIL import Image

from semimed_monai.data import Datalist, of_role, require_boxes, roles_of, write_datalist
from semimed_monai.vocabulary import ROLES

pytestmark = pytest.mark.usefixtures("cache")
BOX = [[1, 2, 4, 5]]


@pytest.fixture
def films(tmp_path) -> Path:
    """Two training films of each role, 8 × 6 pixels, a positive and a negative in the other sections."""
    folder = tmp_path / "films"
    folder.mkdir()
    sections = {"training": [], "validation": [], "test": []}
    for n in range(12):
        Image.fromarray(np.full((6, 8), n, dtype=np.uint8)).save(folder / f"{n}.png")
        positive = n % 2 == 0
        item = {"image": f"{n}.png", "label": int(positive), "group": f"p{n}"} | ({"boxes": BOX} if positive else {})
        if n < 8:
            item["role"] = ("P_" if positive else "N_") + ("hos" if n < 4 else "pub")
        sections["training" if n < 8 else "validation" if n < 10 else "test"].append(item)
    write_datalist(folder, name="films", classes=["normal", "fracture"], sections=sections)
    return folder


def test_rows_carry_their_role_and_public_ones_no_boxes(films):
    rows = Datalist(films).labelled()
    hospital, public = ["P_hos", "N_hos"] * 2, ["P_pub", "N_pub"] * 2
    assert [ROLES[row["role"]] for row in rows] == [*hospital, *public]
    assert [row["label"] for row in rows] == [1, 0] * 4
    assert [row["boxes"] for row in rows if "boxes" in row] == [BOX, BOX]
    assert {ROLES[row["role"]] for row in rows if "boxes" in row} == {"P_hos"}
    assert [item.get("boxes") for item in Datalist(films).section("test")] == [BOX, None]


def test_hidden_boxes_change_nothing(films, changed):
    before = Datalist(films).labelled()

    def move(head):
        for item in head["training"]:
            if item["role"] == "P_pub":
                item["boxes"] = [[0, 0, 8, 6]]

    changed(films, move)
    assert Datalist(films).labelled() == before


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (0, {"role": "P_hosp"}, "role 'P_hosp' is unknown: write one of P_hos, N_hos, P_pub, N_pub"),
        (0, {"boxes": []}, "role 'P_hos' is a positive with boxes, and it has none: add them, or make it 'P_pub'"),
        (1, {"boxes": BOX}, "role 'N_hos' is a negative, and it has boxes"),
        (0, {"label": 0}, "role 'P_hos' goes with label 1, not 0"),
        (0, {"role": None}, "some training items have a role, 1 have none, the first training[0] (0.png)"),
        (0, {"boxes": [[1, 2, 9, 5]]}, "box [1, 2, 9, 5] reaches outside the image of 8 x 6 pixels: correct or cut it"),
        (0, {"boxes": [[1, 2, 4, 6.5]]}, "box [1, 2, 4, 6.5] reaches outside"),
        (0, {"boxes": [[-1, 2, 4, 5]]}, "box [-1, 2, 4, 5] reaches outside"),
        (0, {"boxes": [[1, 2, 1, 5]]}, "with x0 < x1 and y0 < y1"),
    ],
)
def test_wrong_role_or_box(films, number, change, message, changed, only):
    assert message in only(changed(films, lambda head: head["training"][number].update(change)))


def test_a_role_outside_training_is_refused(films, changed, only):
    found = only(changed(films, lambda head: head["test"][0].update(role="P_hos")))
    assert "test[0] (10.png): role 'P_hos': it is for training items only" in found


def test_no_positive_at_all(films, changed, only):
    def drop(head):
        head["training"] = [item for item in head["training"] if item["label"] == 0]

    assert "class 'fracture' has no labelled training item" in only(changed(films, drop))


def test_a_list_without_roles_needs_none(films, changed):
    def drop(head):
        for item in head["training"]:
            del item["role"]

    rows = Datalist(changed(films, drop)).labelled()
    assert not [row for row in rows if "role" in row]
    assert json.dumps([row["boxes"] for row in rows if "boxes" in row]) == json.dumps([BOX] * 4)


def test_some_roles_of_a_list(films):
    assert [ROLES[row["role"]] for row in Datalist(films).labelled(["N_pub", "P_hos"])] == ["P_hos"] * 2 + ["N_pub"] * 2
    with pytest.raises(ValueError, match="role 'P_all' is unknown: choose among P_hos"):
        Datalist(films).labelled(["P_all"])


def test_the_summary_counts_roles(films):
    assert Datalist(films).summary().splitlines()[-1] == "training roles: P_hos 2, N_hos 2, P_pub 2, N_pub 2"


def test_positives_without_a_box_are_named_together(films, changed):
    require_boxes(Datalist(films), ["validation", "test", "test"])
    changed(films, lambda head: [item.pop("boxes", None) for item in head["validation"]])
    require_boxes(Datalist(films), ["test"])
    with pytest.raises(ValueError, match=r"^1 positives of the section validation have no box, .*: 8\.png: add boxes"):
        require_boxes(Datalist(films), ["test", "validation"])


def test_a_section_where_finds_cannot_be_judged_is_refused(films, changed):
    changed(films, lambda head: [item.update(boxes=BOX) for item in head["test"] if item["label"] == 0])
    with pytest.raises(ValueError, match=r"^1 negatives of the section test have boxes: .*: remove the boxes, or"):
        require_boxes(Datalist(films), ["test"])
    changed(films, lambda head: head.update(test=[item for item in head["test"] if item["label"] == 0]))
    with pytest.raises(ValueError, match="the section test has no positive, which FROC needs: add some"):
        require_boxes(Datalist(films), ["test"])


def test_a_role_that_no_item_has_is_said(films, changed):
    changed(films, lambda head: head["training"].pop(7) and head["training"].pop(5))
    with pytest.raises(ValueError, match=r"'films' has no training item of role N_pub: add some, or leave"):
        Datalist(films).labelled(["P_hos", "N_pub"])


def test_a_dataset_is_cut_by_role_and_roles_are_numbers():
    items = [{"image": f"{place}.png", "role": role} for place, role in enumerate((2, 0, 2))]
    assert roles_of(items) == [2, 0, 2]
    part = of_role(CacheDataset(items, transform=lambda item: item["image"], progress=False), "P_pub")
    assert list(part) == ["0.png", "2.png"]
    with pytest.raises(ValueError, match=r"1 of 2 training items have no role, the first x\.png"):
        roles_of([{"image": "0.png", "role": 1}, {"image": "x.png"}])
