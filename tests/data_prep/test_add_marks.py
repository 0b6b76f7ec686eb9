"""Marks of a finished datalist: masks beside it, its items otherwise as they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from written import items_of, left_out, sections_of

from data_prep import add_marks, from_csv
from semimed_monai.data import Datalist

SIZE = (12, 9)


@pytest.fixture
def bones(tmp_path: Path) -> Path:
    """Sixteen films of eight people, the odd ones abnormal, as from_csv writes them."""
    (tmp_path / "films").mkdir()
    rows = ["image,label,patient"]
    for number in range(16):
        Image.new("L", SIZE, 10 * number).save(tmp_path / "films" / f"{number:02}.png")
        rows.append(f"{number:02}.png,{('normal', 'abnormal')[number % 2]},p{number // 2}")
    (tmp_path / "bones.csv").write_text("\n".join([*rows, ""]))
    out = tmp_path / "deep" / "bones"
    classes = ["normal", "abnormal"]
    from_csv.prepare(tmp_path / "bones.csv", tmp_path / "films", out, group_column="patient", classes=classes)
    return out


def boxes(folder: Path, *lines: str) -> Path:
    (folder / "marks.csv").write_text("\n".join(["image,x0,y0,x1,y1", *lines, ""]))
    return folder / "marks.csv"


def test_marks_become_masks_and_all_else_stays(bones: Path, tmp_path: Path) -> None:
    marks = boxes(tmp_path, *(f"{number:02},2,1,5,4" for number in range(1, 16, 2)))
    file = add_marks.prepare(bones, tmp_path / "marked", marks)
    before, after = sections_of(bones / "datalist.json"), sections_of(file)
    for name, items in before.items():
        assert [item["id"] for item in items] == [item["id"] for item in after[name]]
    for item in items_of(file).values():
        assert ("mask" in item) == (item["label"] == 1)
        assert (file.parent / item["image"]).resolve().parent == tmp_path / "films"
        if "mask" in item:
            inside = np.zeros(SIZE[::-1], bool)
            inside[1:4, 2:5] = True
            assert np.array_equal(np.asarray(Image.open(file.parent / item["mask"])) > 0, inside)
    assert len(Datalist(file.parent).labelled()) == len(after["training"])


def test_so_many_training_images_keep_their_mark(bones: Path, tmp_path: Path) -> None:
    marks = boxes(tmp_path, *(f"{number:02},2,1,5,4" for number in range(1, 16, 2)))
    file = add_marks.prepare(bones, tmp_path / "marked", marks, marked=2)
    sections = sections_of(file)
    assert sum("mask" in item for item in sections["training"]) == 2
    assert all("mask" in item for item in sections["test"] if item["label"])
    assert json.loads(file.read_text())["provenance"]["marks"]["in training"] == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("02,2,1,5,4", "02.png is normal, and marked"),
        ("01,8,1,14,4", "01.png: "),
        ("99,2,1,5,4", "99"),
    ],
)
def test_marks_that_cannot_be_are_named(line: str, said: str, bones: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be used") as caught:
        add_marks.prepare(bones, tmp_path / "marked", boxes(tmp_path, line))
    assert said in str(caught.value)
    assert not (tmp_path / "marked").exists()


def test_what_it_cannot_start_from_is_refused(bones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marks = boxes(tmp_path, "01,2,1,5,4", "03,2,1,5,4")
    with pytest.raises(ValueError, match="9 marked training images are wanted"):
        add_marks.prepare(bones, tmp_path / "marked", marks, marked=9)
    with pytest.raises(ValueError, match="give another --out"):
        add_marks.prepare(bones, bones, marks)
    file = add_marks.prepare(bones, tmp_path / "marked", marks)
    with pytest.raises(ValueError, match="2 images have a mask"):
        add_marks.prepare(file, tmp_path / "again", marks)
    with pytest.raises(SystemExit, match=r"error: .*no\.csv"):
        add_marks.main(["--source", str(bones), "--marks", str(tmp_path / "no.csv"), "--out", str(tmp_path / "x")])


def test_marks_of_images_without_a_class_are_not_used(bones: Path, tmp_path: Path) -> None:
    file = bones / "datalist.json"
    head = json.loads(file.read_text())
    without = next(item for item in head["training"] if item["label"] == 1)
    del without["label"]
    file.write_text(json.dumps(head))
    marks = boxes(tmp_path, *(f"{number:02},2,1,5,4" for number in range(1, 16, 2)))
    made = add_marks.prepare(bones, tmp_path / "marked", marks)
    assert [Path(name).name for name in left_out(made)["marks of images that are not used"]] == [
        Path(without["image"]).name
    ]
