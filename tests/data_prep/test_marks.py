"""Marks in each of their forms, the same masks of all; the problems of all of them at once; which ones are kept."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from data_prep.annotations import Naming
from data_prep.boxes import Annotated
from data_prep.marks import Markable, Marks, check_count, read_marks
from data_prep.outlines import MaskPicture, Polygons, RunLengths

WIDTH, HEIGHT = 12, 9
SIZE = (WIDTH, HEIGHT)


def image(name: str, *, abnormal: bool = True, size: tuple[int, int] | None = SIZE) -> Markable:
    return Markable(name, f"set/{name}.png", abnormal, size)


IMAGES = [image("a/1"), image("b/1"), image("b/2"), image("c/3", abnormal=False), image("c/4", size=None)]
EXPECTED = {"a/1": (slice(1, 4), slice(2, 7)), "b/2": (slice(0, 9), slice(11, 12))}
"""Rows and columns of the marks."""


def mask_of(name: str) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[EXPECTED[name]] = True
    return mask


def write_coco(file: Path, *annotations: dict) -> Path:
    images = [{"id": n, "width": WIDTH, "height": HEIGHT, "file_name": one.path} for n, one in enumerate(IMAGES)]
    rows = [{"id": n, "category_id": 1, **row} for n, row in enumerate(annotations)]
    file.write_text(json.dumps({"images": images, "annotations": rows, "categories": [{"id": 1, "name": "lesion"}]}))
    return file


def polygons(folder: Path) -> Path:
    """The first mark in two parts of one annotation, the second in two annotations."""
    first = {"image_id": 0, "segmentation": [[2, 1, 5, 1, 5, 4, 2, 4], [5, 1, 7, 1, 7, 4, 5, 4]], "bbox": [0, 0, 12, 9]}
    second = [{"image_id": 2, "segmentation": [[11, y, 12, y, 12, y + 5, 11, y + 5]]} for y in (0, 4)]
    return write_coco(folder / "marks.json", first, *second)


def run_lengths(folder: Path) -> Path:
    rows = []
    for number, one in enumerate(IMAGES):
        if one.id in EXPECTED:
            turned = mask_of(one.id).T.ravel()
            ends = np.flatnonzero(np.diff(np.concatenate([[False], turned, [not turned[-1]]])))
            counts = np.diff([0, *ends]).tolist()
            rows.append({"image_id": number, "segmentation": {"counts": counts, "size": [HEIGHT, WIDTH]}})
    return write_coco(folder / "marks.json", *rows)


def coco_boxes(folder: Path) -> Path:
    """A segmentation without a polygon, or none at all."""
    first = {"image_id": 0, "bbox": [2, 1, 5, 3], "segmentation": []}
    return write_coco(folder / "marks.json", first, {"image_id": 2, "bbox": [11, 0, 1, 9]})


def table(folder: Path) -> Path:
    """Images without a box are none that is marked; two boxes are one mark."""
    rows = ["image,x0,y0,x1,y1", "a/1,2,1,5,4", "a/1,4,1,7,4", "2.png,11,0,12,9", "b/1,,,,", "c/3,,,,"]
    (folder / "marks.csv").write_text("\n".join(rows) + "\n")
    return folder / "marks.csv"


def masks(folder: Path) -> Path:
    for name in ("a/1", "b/2"):
        file = folder / "drawn" / f"{name}.png"
        file.parent.mkdir(parents=True)
        Image.fromarray(mask_of(name).astype(np.uint8) * 7).save(file)
    (folder / "drawn" / ".hidden.png").write_bytes(b"")
    (folder / "drawn" / "notes.txt").write_text("who drew it")
    return folder / "drawn"


def items() -> list[dict]:
    return [{"id": one.id, "image": one.path, "group": one.id[0]} for one in IMAGES]


@pytest.mark.parametrize("form", [polygons, run_lengths, coco_boxes, table, masks])
def test_every_form_gives_the_same_masks(tmp_path, form):
    source = form(tmp_path)
    marks = Marks(source, read_marks(source), IMAGES, "set")
    found = marks.on(items())
    assert {item["id"]: item["mask"] for item in found if "mask" in item} == {
        "a/1": "marks/a/1.png",
        "b/2": "marks/b/2.png",
    }
    out = tmp_path / "out"
    marks.write(out, found)
    assert sorted(file.relative_to(out).as_posix() for file in out.rglob("*.png")) == ["marks/a/1.png", "marks/b/2.png"]
    for name in EXPECTED:
        written = np.asarray(Image.open(out / "marks" / f"{name}.png"))
        assert (written == mask_of(name) * np.uint8(255)).all()
    assert marks.origin["from"] == source.name


def test_what_is_marked_in_two_places_is_one_mask(tmp_path):
    two = [Annotated("line 2", "a/1", [[0, 0, 2, 2]]), Annotated("line 9", "set/a/1.png", [[1, 1, 3, 3]])]
    marks = Marks(tmp_path / "x.csv", two, IMAGES, "set")
    marks.write(tmp_path / "out", marks.on(items()))
    assert np.count_nonzero(Image.open(tmp_path / "out/marks/a/1.png")) == 4 + 4 - 1


def test_names_of_columns_and_categories_are_passed_on(tmp_path):
    (tmp_path / "marks.csv").write_text("Bild;links;oben;B;H\na/1;2;1;5;3\n")
    naming = Naming("Bild", size_columns=["links", "oben", "B", "H"])
    assert read_marks(tmp_path / "marks.csv", naming)[0].boxes == [[2, 1, 7, 4]]
    file = polygons(tmp_path)
    content = json.loads(file.read_text())
    content["categories"].append({"id": 2, "name": "implant"})
    content["annotations"].append({"id": 9, "image_id": 3, "category_id": 2, "bbox": [0, 0, 1, 1]})
    file.write_text(json.dumps(content))
    assert [one.name for one in read_marks(file, Naming(categories=["lesion"]))] == ["set/a/1.png", "set/b/2.png"]
    with pytest.raises(ValueError, match="of several categories"):
        read_marks(file)


def test_all_marks_that_cannot_be_are_named_together(tmp_path):
    square = [[0, 0, 2, 2]]
    (tmp_path / "broken.png").write_text("no picture")
    wrong = {
        "outside": Annotated("outside", "a/1", [[8, 8, 14, 14]]),
        "empty": Annotated("empty", "a/1", [], outlines=[RunLengths([WIDTH * HEIGHT], SIZE)]),
        "normal": Annotated("normal", "c/3.png", square),
        "missing": Annotated("missing", "set/a/2.png", square),
        "any": Annotated("any", "1", square),
        "broken": Annotated("broken", "b/1", [], outlines=[MaskPicture(tmp_path / "broken.png")]),
        "far": Annotated("far", "b/1", [], outlines=[Polygons([[20, 20, 30, 20, 30, 30]])]),
        "scaled": Annotated("scaled", "b/1", square, size=(24, 18)),
    }
    far = "the outline within [20, 20, 30, 30] reaches outside the image of 12 x 9 pixels: correct it"
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at
        Marks(tmp_path / "marks.json", [Annotated("good", "b/2", square), *wrong.values()], IMAGES, "/data/set")
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'marks.json'} cannot be used:",
        "  - outside: set/a/1.png: box [8, 8, 14, 14] reaches outside the image of 12 x 9 pixels: correct it",
        "  - empty: set/a/1.png: its outline covers no pixel of the image: correct or remove it",
        "  - normal: set/c/3.png is normal, and marked: remove its mark, or correct its label",
        "  - missing: 'set/a/2.png' is not in /data/set: correct the name or the folder; did you mean set/b/2.png?",
        "  - any: '1' may be any of set/a/1.png, set/b/1.png: write its path below /data/set",
        "  - broken: set/b/1.png: the mask is broken (not a picture): copy it anew",
        f"  - far: set/b/1.png: {far}",
        "  - scaled: set/b/1.png: its boxes were drawn at 24 x 18 pixels, and it has 12 x 9: scale them",
    ]


def test_faults_of_a_coco_file_are_named_with_their_annotation(tmp_path):
    compressed = {"image_id": 0, "segmentation": {"counts": "eW`1", "size": [9, 12]}}
    file = write_coco(tmp_path / "marks.json", compressed, {"image_id": 0}, {"image_id": 9, "bbox": [0, 0, 1, 1]})
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at
        read_marks(file)
    assert str(caught.value).splitlines() == [
        f"{file} cannot be used:",
        "  - annotation 0: its run lengths are compressed, which is not read: export polygons, or counts as a list",
        "  - annotation 1: bbox None must be [x, y, width, height]: correct it",
        "  - annotation 2: image 9 is not among the images: add or remove it",
    ]


def test_what_marks_nothing_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.csv").write_text("image,x0,y0,x1,y1\na/1,,,,\n")
    for source in (tmp_path / "empty", tmp_path / "none.csv", write_coco(tmp_path / "none.json")):
        with pytest.raises(
            ValueError, match="marks no image: give a COCO file, a table of boxes, or a folder of masks"
        ):
            read_marks(source)
    with pytest.raises(FileNotFoundError, match=r"no\.json: there is no such file"):
        read_marks(tmp_path / "no.json")
    with pytest.raises(ValueError, match="0 marked training images are wanted: give 1 or more"):
        check_count(0)


def test_marks_of_images_that_are_not_used_are_told(tmp_path):
    marks = Marks(tmp_path / "x.csv", [Annotated("line 2", "c/4", [[0, 0, 2, 2]])], IMAGES, "set")
    assert marks.unused == ["set/c/4.png"]
    assert not any("mask" in item for item in marks.on(items()))


def crowd(numbers: list[int]) -> tuple[Marks, list[dict]]:
    """Patient n has so many marked images, and one that is not."""
    names = [f"p{patient}/{place}" for patient, count in enumerate(numbers) for place in range(count)]
    every = [*names, *(f"p{patient}/x" for patient in range(len(numbers)))]
    lines = [Annotated("", name, [[0, 0, 1, 1]]) for name in names]
    marks = Marks(Path("marks.csv"), lines, [image(name) for name in every], "set")
    rows = [{"id": name, "image": name, "group": name.split("/")[0], "label": 1} for name in every]
    return marks, marks.on(rows)


def kept(rows: list[dict]) -> set[str]:
    return {row["id"] for row in rows if "mask" in row}


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.integers(0, 99), st.data())
def test_so_many_marks_are_kept_of_as_many_patients_as_can_be_and_nested(numbers, seed, data):
    assume(sum(numbers))
    marks, rows = crowd(numbers)
    count = data.draw(st.integers(1, sum(numbers)))
    found = marks.keep(rows, count, seed)
    assert len(kept(found)) == count
    assert [{**row, "mask": None} for row in found] == [{**row, "mask": None} for row in rows]
    assert kept(marks.keep(rows[::-1], count, seed)) == kept(found)  # whatever the items' order
    assert kept(marks.keep(rows, max(count - 1, 1), seed)) <= kept(found)
    most = Counter(name.split("/")[0] for name in kept(found))
    fullest = max(most.values())
    assert all(most[f"p{patient}"] >= min(number, fullest - 1) for patient, number in enumerate(numbers))


def test_another_seed_keeps_others_and_fewer_than_asked_are_refused():
    marks, rows = crowd([3] * 10)
    assert len({frozenset(kept(marks.keep(rows, 5, seed))) for seed in range(5)}) == 5
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at
        marks.keep(rows[:7], 8, 0)
    assert str(caught.value) == (
        "marks.csv: 8 marked training images are wanted, and there are 7, of 30 marked ones in all sections: mark "
        "more, or ask for fewer"
    )


def test_masks_of_smaller_copies_cover_what_is_covered_by_half_and_none_vanishes(tmp_path):
    lines = [Annotated("", "a/1", [[0, 0, 6, 9]]), Annotated("", "b/2", [[5, 5, 6, 6]])]
    marks = Marks(Path("marks.csv"), lines, IMAGES, "set")
    marks.write(tmp_path, marks.on(items()), longest=4)
    half, dot = (np.asarray(Image.open(tmp_path / "marks" / f"{name}.png")) for name in ("a/1", "b/2"))
    assert half.tolist() == [[255, 255, 0, 0]] * 3
    assert dot.tolist() == [[0] * 4, [0, 255, 0, 0], [0] * 4]
    marks.write(tmp_path / "same", marks.on(items()), longest=12)
    assert Image.open(tmp_path / "same/marks/b/2.png").size == SIZE
