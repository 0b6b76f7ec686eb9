from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from semimed_monai.data import Datalist, DatalistError, contents, write_datalist

CLASSES = ["normal", "partial", "full"]
SAGITTAL = np.diag([-0.3, 0.3, 3.0, 1])[[2, 0, 1, 3]]  # the third axis of the array runs from left to right


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SEMIMED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twelve PNG persons of two images, a mask for each, a volume with its mask, and their datalist."""
    folder = tmp_path / "set"
    folder.mkdir()
    for n in range(24):
        Image.fromarray(np.full((6, 8), n, dtype=np.uint8)).save(folder / f"{n}.png")
        Image.fromarray(np.full((6, 8), n % 2 * 255, dtype=np.uint8)).save(folder / f"{n}m.png")
    volume(folder / "v.nii.gz", np.zeros((6, 5, 4)))
    volume(folder / "vm.nii.gz", np.zeros((6, 5, 4), dtype=np.uint8))
    items = [picture(n, n // 2 % 3, f"p{n // 2}") for n in range(24)]
    knee = [{"image": "v.nii.gz", "slice": n, "label": n, "mask": "vm.nii.gz", "group": "v"} for n in range(3)]
    sections = {"training": items[:18], "validation": items[18:], "test": knee}
    write_datalist(folder, name="set", classes=CLASSES, sections=sections, provenance={"seed": 1})
    return folder


def picture(n: int, label: int, group: str) -> dict:
    return {"image": f"{n}.png", "label": label, "mask": f"{n}m.png", "group": group}


def volume(path: Path, values: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(values, SAGITTAL), path)


def dicom(path: Path, pixels: np.ndarray) -> None:
    scan = pydicom.Dataset()
    scan.file_meta = pydicom.dataset.FileMetaDataset()
    scan.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    scan.file_meta.MediaStorageSOPClassUID = scan.SOPClassUID = SecondaryCaptureImageStorage
    scan.file_meta.MediaStorageSOPInstanceUID = scan.SOPInstanceUID = generate_uid()
    scan.Rows, scan.Columns = pixels.shape
    scan.SamplesPerPixel, scan.PhotometricInterpretation, scan.PixelRepresentation = 1, "MONOCHROME2", 0
    scan.BitsAllocated = scan.BitsStored = 16
    scan.HighBit = 15
    scan.PixelData = pixels.astype("<u2").tobytes()
    path.parent.mkdir(exist_ok=True)
    pydicom.dcmwrite(path, scan, enforce_file_format=True)


def changed(folder: Path, change) -> Path:
    """Apply a change to the datalist's JSON."""
    file = folder / "datalist.json"
    head = json.loads(file.read_text())
    change(head)
    file.write_text(json.dumps(head))
    return file


def problems(path: Path, **settings_) -> list[str]:
    with pytest.raises(DatalistError) as caught:
        Datalist(path, **settings_)
    assert all(problem in str(caught.value) for problem in caught.value.problems[:50])
    return caught.value.problems


def only(path: Path, **settings_) -> str:
    (problem,) = problems(path, **settings_)
    return problem


def test_items_have_the_form_that_the_transforms_get(folder):
    listed = Datalist(folder)
    assert (listed.name, listed.version, listed.classes, listed.provenance) == ("set", "1", CLASSES, {"seed": 1})
    assert listed.labelled()[3] == {
        "id": "3.png",
        "group": "p1",
        "image": str(folder / "3.png"),
        "slice": None,
        "label": 1,
        "mask": str(folder / "3m.png"),
        "label_map": None,
    }
    assert (len(listed.labelled()), listed.unlabelled()) == (18, [])
    assert [(item["id"], item["slice"]) for item in listed.section("test")] == [(f"v.nii.gz#{n}", n) for n in range(3)]
    assert listed.labelled() == Datalist(str(folder / "datalist.json")).labelled()


def test_digest_is_of_the_file_and_changes_with_it(folder):
    before = Datalist(folder).digest
    assert Datalist(folder).digest == before
    changed(folder, lambda head: head.update(version="2"))
    assert Datalist(folder).digest != before


def test_share_hides_whole_groups_and_is_nested(folder):
    few, more = (Datalist(folder, labelled_share=share) for share in (0.3, 0.6))
    assert [len(listed.labelled()) for listed in (few, more)] == [6, 10]
    assert {item["label"] for item in few.labelled()} == {0, 1, 2}
    assert {item["id"] for item in few.labelled()} < {item["id"] for item in more.labelled()}
    assert not {item["group"] for item in few.labelled()} & {item["group"] for item in few.unlabelled()}
    assert len(few.labelled()) + len(few.unlabelled()) == 18
    for item in few.unlabelled():
        assert (item["label"], item["mask"], item["label_map"]) == (-1, None, None)
        assert "boxes" not in item


def test_callers_cannot_change_the_items(folder):
    listed = Datalist(folder)
    listed.labelled()[0]["label"] = 2
    assert listed.labelled()[0]["label"] == 0


@settings(max_examples=20, deadline=None)
@given(shuffle=st.randoms(use_true_random=False))
def test_hidden_labels_masks_and_boxes_change_nothing(tmp_path_factory, shuffle):
    folder = tmp_path_factory.mktemp("hidden")
    items = [
        {**picture(n, n % 3, f"p{n}"), "labelled": n < 6, "boxes": [[0, 0, 1 + n, 1]], "id": f"i{n}"} for n in range(15)
    ]
    order = shuffle.sample(range(6, 15), 9)
    swapped = items[:6] + [
        {**items[n], **{key: items[other][key] for key in ("label", "mask", "boxes")}}
        for n, other in zip(range(6, 15), order, strict=True)
    ]
    seen = []
    for training in (items, swapped):
        write_datalist(folder, name="hidden", classes=CLASSES, sections={"training": training})
        listed = Datalist(folder, labelled_share=0.5, check=False)
        state = json.dumps({key: value for key, value in vars(listed).items() if key != "digest"}, default=str)
        seen.append((listed.labelled(), listed.unlabelled(), listed.summary(), state))
    assert seen[0] == seen[1]
    assert [item["label"] for item in seen[0][0]] == [0, 1, 2, 0, 1, 2]


def test_hidden_masks_are_not_looked_at_by_the_choice(folder):
    before = Datalist(folder, labelled_share=0.3)
    hidden = {item["id"] for item in before.unlabelled()}

    def drop(head):
        for item in head["training"]:
            if item["image"] in hidden:
                del item["mask"]

    after = Datalist(changed(folder, drop), labelled_share=0.3)
    assert (after.labelled(), after.unlabelled()) == (before.labelled(), before.unlabelled())


def test_training_cannot_be_had_with_its_hidden_labels(folder):
    with pytest.raises(ValueError, match=r"training is labelled\(\) and unlabelled\(\)"):
        Datalist(folder).section("training")


def test_empty_section_says_so(folder):
    changed(folder, lambda head: head.pop("validation"))
    with pytest.raises(ValueError, match="'set' has no validation items: add some"):
        Datalist(folder).section("validation")


def test_summary_counts_what_may_be_seen(folder):
    head, columns, *rows = Datalist(folder, labelled_share=0.3).summary().splitlines()
    assert head == "set, version 1 (labelled_share 0.3, seed 0)"
    assert [line.split() for line in (columns, *rows)] == [
        ["section", "items", "groups", "masks", "normal", "partial", "full"],
        ["training,", "labelled", "6", "3", "6", "2", "2", "2"],
        ["training,", "unlabelled", "12", "6", "-", "-", "-", "-"],
        ["validation", "6", "3", "6", "2", "2", "2"],
        ["test", "3", "1", "3", "1", "1", "1"],
    ]


def test_items_without_a_label_are_unlabelled_and_lose_their_masks(folder):
    changed(folder, lambda head: [item.pop("label") for item in head["training"][:4]])
    hidden = Datalist(folder).unlabelled()
    assert [(item["id"], item["label"], item["mask"]) for item in hidden] == [(f"{n}.png", -1, None) for n in range(4)]


def test_list_without_labels_is_labelled_by_its_masks(folder):
    def drop(head):
        for section in ("training", "validation", "test"):
            for item in head[section]:
                del item["label"]
        del head["training"][0]["mask"]

    listed = Datalist(changed(folder, drop))
    assert [item["id"] for item in listed.unlabelled()] == ["0.png"]
    assert len(listed.labelled()) == 17
    assert 6 <= len(Datalist(folder, labelled_share=0.4).labelled()) <= 8


def test_several_labels_are_hidden_in_their_form(tmp_path):
    items = [{"image": f"{n}.png", "label": [n % 2, 1 - n % 2, 1]} for n in range(10)]
    write_datalist(tmp_path, name="chest", classes=CLASSES, sections={"training": items})
    listed = Datalist(tmp_path, labelled_share=0.4, check=False)
    assert sorted(item["label"] for item in listed.labelled()) == [[0, 1, 1]] * 2 + [[1, 0, 1]] * 2
    assert [item["label"] for item in listed.unlabelled()] == [[-1, -1, -1]] * 6


def test_label_map_carries_class_and_mask(folder):
    def use_map(head):
        head["training"][0] = {"image": "0.png", "label_map": "map.png", "group": "p0"}

    changed(folder, use_map)
    Image.fromarray(np.array([[0, 3] * 4] * 6, dtype=np.uint8)).save(folder / "map.png")
    item = Datalist(folder).labelled()[0]
    assert (item["label"], item["mask"], item["label_map"]) == (-1, None, str(folder / "map.png"))
    Image.fromarray(np.full((6, 8), 4, dtype=np.uint8)).save(folder / "map.png")
    assert "map.png has values that are no class ([4])" in only(folder)


def test_dicom_file_and_series_are_read(folder):
    dicom(folder / "cr.dcm", np.ones((6, 8)))
    for n in range(3):
        dicom(folder / "series" / f"{n}", np.ones((5, 7)))
    volume(folder / "sm.nii.gz", np.zeros((7, 5, 3), dtype=np.uint8))
    new = [
        {"image": "cr.dcm", "mask": "0m.png", "label": 0, "group": "a"},
        {"image": "series", "mask": "sm.nii.gz", "slice": 2, "label": 0, "group": "b"},
    ]
    changed(folder, lambda head: head["training"].extend(new))
    assert [item["id"] for item in Datalist(folder).labelled()[-2:]] == ["cr.dcm", "series#2"]
    changed(folder, lambda head: head["training"][-1].update(slice=3))
    assert "slice 3 of series does not exist: its last slice is 2" in only(folder)
    (folder / "series" / "1").write_bytes((folder / "series" / "1").read_bytes()[:-20])
    assert "series cannot be read" in only(folder)


# One test for each bad input.


def test_folder_that_does_not_exist(tmp_path):
    assert only(tmp_path / "none") == "there is no such folder: set dataset_dir to one that holds a datalist.json"


def test_folder_without_a_datalist(tmp_path):
    assert "there is no such file: write it with a module of data_prep" in only(tmp_path)


def test_file_that_is_not_json(folder):
    (folder / "datalist.json").write_text("{")
    assert "it is not JSON" in only(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, 'must be an object with "format": "semimed-datalist/1"'),
        ({"training": []}, "section 'training' is empty: list at least one image"),
        ({"training": {"image": "0.png"}}, "section 'training' must be a list of objects"),
        ({"test": ["0.png"]}, "section 'test' must be a list of objects"),
        ({"classes": []}, "'classes' must be a list of names"),
        ({"classes": ["a", "b", "a"]}, "'classes' names one twice (a, b, a)"),
        ({"version": 1}, "'version' must be a text"),
        ({"trainning": []}, "unknown key 'trainning': did you mean 'training'?"),
    ],
)
def test_wrong_head(folder, change, message):
    assert message in only(changed(folder, lambda head: head.update(change)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "partial"}, "label 'partial' is text; write its index 1"),
        ({"label": "2"}, "label '2' is text; write its class's index: 0 = normal, 1 = partial, 2 = full"),
        ({"label": 3}, "label 3 is not a class: write 0 = normal, 1 = partial, 2 = full"),
        ({"label": -1}, "label -1 is not a class"),
        ({"label": True}, "label True is not a class"),
        ({"label": 1.0}, "label 1.0 is not a class"),
        ({"label": [0, 1]}, "label [0, 1] must have a 0 or a 1 for each of the 3 classes"),
        ({"label": [0, 1, 2]}, "label [0, 1, 2] must have a 0 or a 1"),
        ({"label": [0, 1, 0]}, "some labels are numbers and some are lists"),
        ({"label_map": "0m.png"}, "a label_map is class and mask in one: remove 'label' and 'mask'"),
        ({"image": None}, "it has no 'image'"),
        ({"mask": 3}, "mask 3 must be a text"),
        ({"slice": -1}, "slice -1 must be a whole number from 0"),
        ({"slice": 0}, "slice 0 of 0.png does not exist: it has no slices, leave 'slice' out"),
        ({"boxes": [[0, 0, 1]]}, "boxes [[0, 0, 1]] must be a list of [x0, y0, x1, y1]"),
        ({"boxes": [[2, 0, 1, 1]]}, "with x0 < x1 and y0 < y1"),
        ({"lable": 1}, "unknown key 'lable': did you mean 'label'?"),
        ({"labelled": "yes"}, "labelled 'yes': it may only be true or false"),
        ({"labelled": True}, "group 'p0': 'labelled' must be the same in all of its training items"),
        ({"group": 7}, "group 7 must be a text"),
        ({"group": None}, "some items have a group, 1 have none, the first training[0] (0.png): give all a group"),
        ({"group": "p10"}, "group 'p10' is in training and in validation: leave it in one of them"),
        ({"image": "5.png", "mask": "5m.png"}, "training[5] (5.png): the same image and slice, or the same id, as tr"),
        ({"id": "5.png"}, "training[5] (5.png): the same image and slice, or the same id, as training[0]"),
    ],
)
def test_wrong_item(folder, change, message):
    found = problems(changed(folder, lambda head: head["training"][0].update(change)))
    assert [problem for problem in found if message in problem]
    assert len(found) == 1 or "group" in message or "labelled '" in message


def test_class_without_a_labelled_item(folder):
    def drop(head):
        for item in head["training"]:
            item["labelled"] = item["label"] != 2

    assert "class 'full' has no labelled training item (labelled_share 0.5, seed 0): label one" in only(
        changed(folder, drop), labelled_share=0.5
    )


def test_training_without_any_label(folder):
    changed(folder, lambda head: [item.pop("label") for item in head["training"]])
    assert "no training item is labelled" in only(folder)


def test_validation_item_without_a_label(folder):
    changed(folder, lambda head: head["validation"][1].pop("label"))
    assert "validation[1] (19.png): evaluation needs a label" in only(folder)


def test_missing_file(folder):
    (folder / "7.png").unlink()
    message = f"training[7] (7.png): 7.png is missing in {folder}: correct the path, or remove its items"
    assert only(folder) == message


@pytest.mark.parametrize("name", ["3.png", "3m.png", "v.nii.gz", "vm.nii.gz"])
def test_truncated_file(folder, name):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) * 2 // 3])
    assert f"{name} cannot be read (" in only(folder)


def test_truncated_uncompressed_volume(folder):
    volume(folder / "w.nii", np.zeros((6, 5, 4)))
    (folder / "w.nii").write_bytes((folder / "w.nii").read_bytes()[:-1])
    changed(folder, lambda head: head["test"].append({"image": "w.nii", "slice": 0, "label": 0, "group": "w"}))
    assert only(folder).startswith("test[3] (w.nii#0): w.nii cannot be read (")


def test_not_a_number_in_an_image(folder):
    values = np.zeros((6, 5, 4))
    values[1, 2, 3], values[0, 0, 0] = np.nan, np.inf
    volume(folder / "v.nii.gz", values)
    assert "test[0] (v.nii.gz#0): v.nii.gz has 2 values that are NaN or infinite" in only(folder)


def test_slice_counts_along_the_left_right_axis(folder):
    changed(folder, lambda head: head["test"][0].update(slice=4))
    assert "slice 4 of v.nii.gz does not exist: its last slice is 3" in only(folder)


@pytest.mark.parametrize(("shape", "written"), [((5, 6, 4), "5 x 6 x 4"), ((6, 5, 3), "6 x 5 x 3")])
def test_mask_of_another_shape_is_named_once(folder, shape, written):
    volume(folder / "vm.nii.gz", np.zeros(shape))
    message = f"v.nii.gz and its mask vm.nii.gz differ in shape (6 x 5 x 4 and {written}): resample the mask"
    assert message in only(folder)


def test_picture_mask_of_another_shape(folder):
    Image.fromarray(np.zeros((8, 6), dtype=np.uint8)).save(folder / "2m.png")
    assert "2.png and its mask 2m.png differ in shape (8 x 6 x 1 and 6 x 8 x 1)" in only(folder)


def test_all_problems_come_together(folder):
    (folder / "7.png").unlink()
    (folder / "3.png").write_bytes(b"nothing")

    def spoil(head):
        head["training"][0]["label"] = "full"
        head["training"][5]["group"] = "v"
        head["validation"][2]["lable"] = 1

    found = "\n".join(problems(changed(folder, spoil)))
    assert len(found.splitlines()) == 5
    for part in ("'full' is text", "'v' is in training and in test", "'lable'", "7.png is missing", "3.png cannot be"):
        assert part in found


def test_long_list_of_problems_is_cut(folder):
    def spoil(head):
        head["training"] = [{"image": f"x{n}.png", "label": 9, "group": f"g{n}"} for n in range(60)]

    with pytest.raises(DatalistError) as caught:
        Datalist(changed(folder, spoil), check=False)
    assert len(caught.value.problems) == 60
    assert str(caught.value).count("label 9 is not a class") == 50
    assert str(caught.value).endswith("... and 10 more")


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_share_that_is_none(folder, share):
    with pytest.raises(ValueError, match="must be above 0 and at most 1"):
        Datalist(folder, labelled_share=share)


# The memory of what has been checked.


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    names: list[str] = []
    real = contents._opened
    monkeypatch.setattr(contents, "_opened", lambda path: names.append(path.name) or real(path))
    return names


def test_each_file_is_opened_once_and_never_again_while_it_stays_the_same(folder, opened):
    Datalist(folder)
    assert sorted(opened) == sorted(path.name for path in folder.iterdir() if path.suffix != ".json")
    opened.clear()
    Datalist(folder, labelled_share=0.5)
    assert opened == []
    os.utime(folder / "2.png", (1, 1))  # of the same size, but another time
    Datalist(folder)
    assert "2.png" in opened


def test_bad_file_is_found_each_time_and_after_a_good_check(folder):
    Datalist(folder)
    (folder / "2.png").write_bytes(b"nothing")
    for _ in range(2):
        assert "2.png cannot be read" in only(folder)


def test_cache_that_cannot_be_written_is_no_error(folder, cache, opened):
    cache.write_text("a file where the folder should be")
    Datalist(folder)
    opened.clear()
    Datalist(folder)
    assert "2.png" in opened


def test_without_check_no_file_is_opened(folder, opened):
    (folder / "7.png").unlink()
    assert len(Datalist(folder, check=False).labelled()) == 18
    assert opened == []


# Writing.


def test_written_twice_is_the_same_file_whatever_the_order_of_keys(tmp_path):
    texts = []
    for item in ({"image": "a.png", "label": 0}, {"label": 0, "image": "a.png"}):
        file = write_datalist(
            tmp_path / "new" / "list.json", name="x", classes=["a"], sections={"training": [item]}, version="3"
        )
        texts.append(file.read_text())
        assert [path.name for path in file.parent.iterdir()] == ["list.json"]
    assert texts[0] == texts[1]
    assert list(json.loads(texts[0])) == [
        "format", "name", "version", "provenance", "classes", "training", "validation", "test"
    ]  # fmt: skip


def test_interrupted_write_leaves_the_old_file(folder):
    before = (folder / "datalist.json").read_bytes()
    with pytest.raises(TypeError):
        write_datalist(folder, name="x", classes=["a"], sections={"training": [{"image": "a", "label": object()}]})
    assert (folder / "datalist.json").read_bytes() == before


@pytest.mark.parametrize("sections", [{"train": []}, {"training": [{"image": "a", "lable": 1}]}])
def test_unknown_names_are_not_written(tmp_path, sections):
    with pytest.raises(ValueError, match=r"sections are training, validation, test, an item's keys image"):
        write_datalist(tmp_path, name="x", classes=["a"], sections=sections)
    assert list(tmp_path.iterdir()) == []
