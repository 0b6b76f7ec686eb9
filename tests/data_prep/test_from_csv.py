"""Any images and a table: what becomes of each line, what is refused, and that nothing is left half-written."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from small_files import dicom_plane, write_nifti, write_series
from written import items_of, left_out, sections_of

from data_prep import from_csv
from data_prep.from_csv import prepare
from semimed_monai.data import Datalist
from semimed_monai.transforms import photograph

REPOSITORY = Path(__file__).parents[2]
SAGITTAL = np.array([[0, 0, 3.0, -9], [-0.7, 0, 0, 5], [0, -0.7, 0, 5], [0, 0, 0, 1]])


@pytest.fixture
def images(tmp_path) -> Path:
    """24 pictures 6 x 4 of grey 10 n in two folders, of twelve people; the last two people have no label."""
    images, rows = tmp_path / "images", ["image,label,patient"]
    for number in range(24):
        file = images / "ab"[number % 2] / f"{number:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4), 10 * number).save(file)
        label = ("cat", "dog")[number // 2 % 2] if number < 20 else ""
        rows.append(f"{'ab'[number % 2]}/{number:02d}.png,{label},p{number // 2}")
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n")
    return images


def made(images: Path, **settings) -> Path:
    return prepare(
        images.parent / "table.csv", images, images.parent / "out", **{"group_column": "patient", **settings}
    )


def refusal(images: Path, **settings) -> str:
    with pytest.raises((ValueError, OSError)) as caught:
        made(images, **settings)
    assert not (images.parent / "out").exists()
    return str(caught.value)


def write_rows(images: Path, *rows: str) -> None:
    (images.parent / "table.csv").write_text("\n".join(rows) + "\n")


def add_rows(images: Path, *rows: str) -> None:
    with (images.parent / "table.csv").open("a") as lines:
        lines.write("\n".join(rows) + "\n")


def test_each_line_becomes_an_item_and_groups_are_not_split(images):
    file = made(images)

    sections, items = sections_of(file), items_of(file)
    assert items["a/02.png"] == {"image": "../images/a/02.png", "label": 1, "group": "p1", "id": "a/02.png"}
    assert json.loads(file.read_text())["classes"] == ["cat", "dog"]
    assert sorted(items) == sorted(f"{'ab'[number % 2]}/{number:02d}.png" for number in range(24))
    groups = [{item["group"] for item in items} for items in sections.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 12
    assert [len(items) for items in sections.values()] == [14 + 4, 2, 4]
    assert {item["group"] for item in items.values() if "label" not in item} == {"p10", "p11"}
    image = photograph(8)(Datalist(file).section("test")[0])["image"]
    assert image.shape == (3, 8, 8)


def test_the_same_input_gives_the_same_bytes_wherever_it_lies(images, tmp_path):
    first = made(images).read_bytes()
    assert made(images).read_bytes() == first
    moved = shutil.copytree(images, tmp_path / "elsewhere" / "images")
    shutil.copy(tmp_path / "table.csv", moved.parent)
    assert made(moved).read_bytes() == first
    assert made(images, seed=1).read_bytes() != first
    assert str(tmp_path) not in first.decode()
    rows = (tmp_path / "table.csv").read_text().splitlines()
    write_rows(images, rows[0], *rows[:0:-1])
    shutil.copy(made(images), tmp_path / "reversed.json")
    assert sections_of(tmp_path / "reversed.json") == sections_of(made(moved))


def test_a_dry_run_prints_the_table_and_writes_nothing(images, capsys):
    file = made(images, dry_run=True, copy=True)
    assert not file.parent.exists()
    printed = capsys.readouterr().out
    assert "labelled: training 14 of 18 (78%), validation 2 of 2 (100%), test 4 of 4 (100%)" in printed
    assert f"dry run: {file} is not written" in printed


def test_names_may_lack_folders_and_endings_and_labels_may_be_numbers(images):
    rows = [f"{number:02d};{number % 2}.0;x{number // 2}" for number in range(12)]
    write_rows(images, "Datei;Klasse;Person", *rows)
    file = made(images, image_column="Datei", label_column="Klasse", group_column="Person", classes=["no", "yes"])
    assert Counter(item["label"] for item in items_of(file).values()) == {0: 6, 1: 6}
    assert items_of(file)["b/03.png"]["label"] == 1


def test_several_findings_are_lists_of_0_and_1(images):
    rows = [f"{number:02d},{number % 2},{number % 3 == 0:d},{number}" for number in range(20)]
    write_rows(images, "image,effusion,nodule,patient", *rows, "20,,,20")
    file = made(images, label_columns=["effusion", "nodule"])
    items = items_of(file)
    assert json.loads(file.read_text())["classes"] == ["effusion", "nodule"]
    assert (items["b/03.png"]["label"], items["a/04.png"]["label"]) == ([1, 1], [0, 0])
    assert "label" not in items["a/20.png"]
    add_rows(images, "21,1,,21")
    shutil.rmtree(file.parent)
    assert "line 23: '' under 'nodule' must be 0 or 1" in refusal(images, label_columns=["effusion", "nodule"])


def test_sections_may_be_given(images):
    names = ["train"] * 16 + ["val"] * 4 + ["Test"] * 4
    rows = [f"{number:02d},{number % 2},{name}" for number, name in enumerate(names)]
    write_rows(images, "image,label,fold", *rows)
    settings = {"section_column": "fold", "group_column": None}
    assert [len(items) for items in sections_of(made(images, **settings)).values()] == [16, 4, 4]
    shutil.rmtree(images.parent / "out")
    write_rows(images, "image,label,fold", *rows[:-1], "23,,test")
    message = refusal(images, **settings)
    assert "test[3] (b/23.png): evaluation needs a label" in message
    assert str(images.parent / "out" / "datalist.json") in message  # and not a temporary file's name
    write_rows(images, "image,label,fold", *rows, "23,1,tset")
    assert "section 'tset': did you mean 'test'? write training, validation, test" in refusal(images, **settings)


def test_unlabelled_images_of_those_who_are_tested_are_left_out(images):
    table = images.parent / "table.csv"
    table.write_text(table.read_text().replace("b/11.png,dog,", "b/11.png,,").replace("b/09.png,cat,", "b/09.png,,"))
    for seed in range(8):
        file = made(images, seed=seed)
        training = {item["group"] for item in sections_of(file)["training"]}
        held_back = left_out(file).get("items without a label whose group is in validation or test", [])
        assert held_back == [name for name, group in (("b/09.png", "p4"), ("b/11.png", "p5")) if group not in training]


def with_masks(images: Path, labels: bool = True) -> None:
    """Masks under the images' names in a folder of their own; of one the size is wrong, one is broken."""
    masks = images.parent / "masks"
    masks.mkdir()
    rows = []
    for number in range(20):
        Image.fromarray(np.eye(4, 6, dtype=np.uint8)).save(masks / f"{number:02d}.png")
        rows.append(f"{number:02d},{f'{number % 2},' if labels else ''}{number:02d}.png")
    Image.new("L", (6, 6)).save(masks / "03.png")
    (masks / "05.png").write_text("no picture")
    write_rows(images, f"image,{'label,' if labels else ''}mask", *rows)


def test_masks_that_fit_are_taken_and_the_images_of_others_kept(images, capsys):
    with_masks(images)
    file = made(images, group_column=None, mask_column="mask", masks=images.parent / "masks")
    items = items_of(file)
    assert items["a/02.png"]["mask"] == "../masks/02.png"
    assert [name for name, item in sorted(items.items()) if "mask" not in item] == ["b/03.png", "b/05.png"]
    assert left_out(file) == {
        "masks broken (not a picture), their images kept": ["b/05.png"],
        "masks of another size, their images kept": ["b/03.png"],
    }
    assert "masks of another size, their images kept: 1 (b/03.png)\n" in capsys.readouterr().out
    Datalist(file)


def test_a_table_of_masks_without_labels_is_for_segmentation(images):
    with_masks(images, labels=False)
    settings = {"group_column": None, "mask_column": "mask", "masks": images.parent / "masks"}
    assert "set --classes: what the values 0, 1, ... of the masks stand for" in refusal(images, **settings)
    file = made(images, **settings, classes=["background", "lesion"])
    assert Datalist(file).labelled()[0]["mask"] is not None
    assert sum("mask" not in item for item in sections_of(file)["training"]) <= 2


def test_copies_are_the_same_bytes(images):
    with_masks(images)
    file = made(images, group_column=None, mask_column="mask", masks=images.parent / "masks", copy=True)
    item = items_of(file)["a/02.png"]
    assert (item["image"], item["mask"]) == ("images/a/02.png", "masks/02.png")
    assert (file.parent / item["mask"]).read_bytes() == (images.parent / "masks" / "02.png").read_bytes()
    assert len(list(file.parent.rglob("*.png"))) == 20 + 18
    Datalist(file)
    first = file.read_bytes()
    assert made(images, group_column=None, mask_column="mask", masks=images.parent / "masks", copy=True) == file
    assert file.read_bytes() == first


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_or_ctrl_c_while_copying_leaves_nothing(images, monkeypatch, error):
    def stop(source: Path, target: Path) -> None:
        if source.name == "12.png":
            raise error
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)

    monkeypatch.setattr(from_csv, "copy_file", stop)
    with pytest.raises(error):
        made(images, copy=True)
    assert sorted(each.name for each in images.parent.iterdir()) == ["images", "table.csv"]


def test_broken_images_are_left_out_by_name(images, capsys):
    whole = (images / "a" / "02.png").read_bytes()
    (images / "a" / "02.png").write_bytes(whole[: len(whole) // 2])
    (images / "a" / "04.png").write_text("<html>")
    (images / "chest.dcm").write_bytes(b"")
    add_rows(images, "chest,cat,p0")
    file = made(images)
    assert len(items_of(file)) == 22
    broken = {"broken (not a picture)": ["a/02.png", "a/04.png"], "no DICOM header: copy it anew": ["chest.dcm"]}
    assert left_out(file) == broken
    assert "broken (not a picture): 2 (a/02.png, a/04.png)\n" in capsys.readouterr().out


def test_volumes_series_and_radiographs_are_items_too(images):
    volume = np.arange(8 * 8 * 5, dtype=np.int16).reshape(8, 8, 5)
    write_nifti(images / "knee.nii.gz", volume, SAGITTAL)
    write_series(images / "series", volume, SAGITTAL)
    dicom_plane(np.ones((6, 4))).save_as(images / "chest.dcm", enforce_file_format=True)
    rows = ["knee,cat,v1,1", "knee,dog,v1,5", "series,cat,v2,2", "chest,dog,v3,"]
    table = (images.parent / "table.csv").read_text().splitlines()
    write_rows(images, f"{table[0]},slice", *(f"{row}," for row in table[1:]), *rows)
    file = made(images, slice_column="slice", slice_base=1)
    items = items_of(file)
    assert [items[name]["slice"] for name in ("knee.nii.gz#0", "knee.nii.gz#4", "series#1")] == [0, 4, 1]
    assert "slice" not in items["chest.dcm"]
    Datalist(file)
    shutil.rmtree(file.parent)
    add_rows(images, "knee,dog,v1,", "knee,dog,v1,6")
    message = refusal(images, slice_column="slice", slice_base=1)
    assert "line 30: knee.nii.gz: a volume of 5 slices: name one in a --slice-column" in message
    assert "line 31: knee.nii.gz: slice 5 (from 0) does not exist, it has 5 slices" in message


def test_files_that_are_no_single_image_stop_unless_they_are_to_be_left_out(images):
    nib.save(nib.Nifti1Image(np.zeros((4, 8, 8, 3), np.int16), np.eye(4)), images / "time.nii.gz")
    add_rows(images, "time,cat,v1", "none.png,cat,v2")
    message = refusal(images)
    assert "line 26: time.nii.gz: 4-D (4 x 8 x 8 x 3): write each volume to a file of its own" in message
    assert "line 27: 'none.png' is not in" in message
    file = made(images, skip_bad=True)
    assert left_out(file)["images missing"] == ["none.png"]
    assert len(items_of(file)) == 24


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("b/01.pgn,cat,p0", "line 26: 'b/01.pgn' is not in"),
        ("b/01.pgn,cat,p0", "correct the name or the folder; did you mean b/01.png?"),
        ("C:\\data\\b\\01.pgn,cat,p0", "(write / between folders, and only those below it); did you mean b/01.png?"),
        ("../table.csv,cat,p0", "'../table.csv' is not in"),
        ("a/00.png,bird,p0", "a/00.png is not what line 2 says it is: remove one of them"),
        ("a/00.png,cat,p9", "a/00.png is not what line 2 says it is: remove one of them"),
        (",cat,p0", "line 26: column 'image' is empty"),
        ("a/00.png,cat,", "line 26: a/00.png: column 'patient' is empty: give every image a group"),
        ("a/00.png,cat,p0,more", "line 26: 4 cells under 3 columns"),
    ],
)
def test_lines_that_cannot_be_are_refused(images, row, said):
    add_rows(images, row)
    message = refusal(images)
    assert said in message
    assert str(images.parent / "table.csv") in message


def test_images_of_a_study_are_judged_together_and_in_one_section(images):
    """Two of each study, two studies of each patient, all of one label."""
    rows = [f"{number:02d},{('cat', 'dog')[number // 4 % 2]},p{number // 4},s{number // 2}" for number in range(24)]
    write_rows(images, "image,label,patient,exam", *rows)
    file = made(images, study_column="exam", fractions=(0.4, 0.3, 0.3))
    item = items_of(file)["b/07.png"]
    assert item == {"image": "../images/b/07.png", "label": 1, "group": "p1", "study": "s3", "id": "b/07.png"}
    assert {each["study"] for each in Datalist(file).section("test")} <= {f"s{number}" for number in range(12)}
    alone = items_of(made(images, group_column=None, study_column="exam", fractions=(0.4, 0.3, 0.3)))
    assert all(each["group"] == each["study"] for each in alone.values())
    assert json.loads(file.read_text())["provenance"]["split"]["by"] == "exam"


def test_studies_that_cannot_be_are_refused(images):
    write_rows(
        images, "image,label,patient,exam", *(f"{number:02d},cat,p{number // 2},s{number}" for number in range(9))
    )
    settings = {"study_column": "exam", "classes": ["cat", "dog"]}
    add_rows(images, "10,dog,p0,s1")
    message = refusal(images, **settings, fractions=(0.4, 0.3, 0.3))
    assert "study 's1' with mixed labels" in message
    add_rows(images, "11,dog,p0,")
    assert "line 12: 11: column 'exam' is empty: give every image a study" in refusal(images, **settings)
    assert "no column 'study': set --study-column" in refusal(images, study_column="study")


def test_labels_outside_the_classes_are_refused_and_lines_that_repeat_are_not(images):
    add_rows(images, "a/00.png,cat,p0")
    assert len(items_of(made(images))) == 24
    shutil.rmtree(images.parent / "out")
    assert "line 4: 'dog' is none of the classes: did you mean 'dogs'? write 0 = cat, 1 = dogs" in refusal(
        images, classes=["cat", "dogs"]
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"image_column": "Image"},
            "no column 'Image': set --image-column (to 'image'?). Its columns are: image, label",
        ),
        ({"group_column": "lesion"}, "no column 'lesion': set --group-column. Its columns are"),
        ({"label_columns": ["image", "effusion"]}, "no column 'effusion': set --label-columns (for effusion)"),
        ({"fractions": (0.8, 0.2)}, "give three, for training, validation, test"),
        ({"fractions": (0.8, 0.2, 0.2)}, "training 0.8, validation 0.2, test 0.2 must be positive and add up to 1"),
        ({"fractions": (1, 0, 0)}, "fractions training 1, validation 0, test 0 must be positive and add up to 1"),
    ],
)
def test_columns_and_settings_without_sense_are_refused(images, settings, said):
    assert said in refusal(images, **settings)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        ("image,label\nä.png,cat".encode("latin-1"), "no CSV table in UTF-8"),
        (b"image,label,label\n", "column 'label' is there twice"),
        (b"image,label,patient\n", "table.csv has no rows below its columns (image, label, patient)"),
        (b"image,label,patient\na/00.png,,p\n", "column 'label' is empty"),
        (b"image,label,patient\na/00.png,cat,p\n", "1 groups cannot fill 3 sections"),
        (b"image,label,patient\nz.png,cat,p\n", "'z.png' is not in"),
    ],
)
def test_what_is_no_table_is_refused(images, content, said):
    (images.parent / "table.csv").write_bytes(content)
    assert said in refusal(images)


def test_missing_tables_and_folders_are_named(images, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv: there is no such file"):
        prepare(tmp_path / "none.csv", images, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such folder"):
        prepare(tmp_path / "table.csv", tmp_path / "nowhere", tmp_path / "out")


def test_as_a_program(images, run_program, capsys):
    command = ["data_prep.from_csv", "--csv", "table.csv", "--images", "images", "--out", "out"]
    code, said = run_program(*command, cwd=images.parent)
    assert code == 0, said
    assert "written: " in said
    with pytest.raises(SystemExit) as caught:
        from_csv.main(["--csv", "none.csv", "--images", "x", "--out", "y"])
    assert str(caught.value.code).startswith("error: ")
    with pytest.raises(SystemExit):
        from_csv.main(["--help"])
    assert "chest/0001.png,fracture,p1" in capsys.readouterr().out


@pytest.mark.parametrize("out", ["", "..", "deeper"])
def test_what_is_read_is_never_written_over(images, out):
    """`--out` where the images are, above them (they are in its `images`), and below."""
    notes = images / "notes.txt"
    notes.write_text("mine")
    before = {file: file.read_bytes() for file in images.rglob("*") if file.is_file()}
    try:
        prepare(images.parent / "table.csv", images, images / out, group_column="patient", copy=True)
    except ValueError as error:
        assert "the files to read are there: give another --out" in str(error)  # noqa: PT017 - not all of them raise
    assert {file: file.read_bytes() for file in before} == before


def test_a_strangers_files_in_the_target_are_not_replaced(images):
    mine = images.parent / "out" / "images" / "mine.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"holds mine\.png, which this command did not write"):
        made(images, copy=True)
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_where_the_folder_is_to_be_is_said(images, below):
    taken = images.parent / "taken"
    taken.write_text("mine")
    for settings in ({}, {"copy": True}, {"dry_run": True}):
        with pytest.raises(FileExistsError, match="taken is a file: give a folder as --out"):
            prepare(images.parent / "table.csv", images, taken / below, **settings)
    assert taken.read_text() == "mine"


def test_what_training_will_miss_is_noted(images, capsys):
    write_rows(images, "image,label,fold", *(f"{number:02d},cat,train" for number in range(4)))
    made(images, section_column="fold", group_column=None)
    said = capsys.readouterr().out
    assert "note: no validation items: training keeps the best weights by it\n" in said
    assert "note: no test items: training ends with its evaluation\n" in said
    assert "note: only one class (cat): there is nothing to tell apart\n" in said


def test_one_finding_is_there_or_not_and_images_without_one_are_counted(images, capsys):
    write_rows(images, "image,effusion", *(f"{number:02d},{number % 2}" for number in range(24)))
    sections = sections_of(made(images, label_columns=["effusion"], group_column=None))
    none = {name: sum(item["label"] == [0] for item in items) for name, items in sections.items()}
    assert sum(none.values()) == 12
    said = capsys.readouterr().out
    counts = ", ".join(f"{name} {none[name]} of {len(items)}" for name, items in sections.items())
    assert f"of none of the classes: {counts}\n" in said
    assert "only one class" not in said
    made(images, label_column="effusion", group_column=None)
    assert "of none of the classes" not in capsys.readouterr().out  # there each image is of one


def test_two_thousand_images_take_less_than_twelve_seconds(images):
    """So ten thousand take less than a minute, of the processor's time; of pixels there is next to nothing to read."""
    picture = (images / "a/02.png").read_bytes()
    rows = ["image,label,patient"]
    for number in range(2000):
        (images / f"{number:04d}.png").write_bytes(picture)
        rows.append(f"{number:04d}.png,{('cat', 'dog')[number % 2]},p{number // 4}")
    write_rows(images, *rows)

    start = time.process_time()
    file = made(images)

    assert time.process_time() - start < 12
    assert len(items_of(file)) == 2000


def test_a_table_without_trouble_has_no_notes(images, capsys):
    made(images)
    assert "note:" not in capsys.readouterr().out


def test_names_with_backslashes_are_found(images):
    table = images.parent / "table.csv"
    table.write_text(table.read_text().replace("/", "\\"))
    assert len(items_of(made(images))) == 24
