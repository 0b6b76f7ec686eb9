"""What a recipe finds in a datastore of MONAI Label, written here as the app writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from datastores import Pairs, picture_store, write_index
from PIL import Image

from semimed_monai.data import Datalist
from semimed_monai.label import Datastore, read_class, read_classes, read_label_map, training_images
from semimed_monai.transforms import knee_mr, result_mark

CLASSES = ["normal", "partial", "full"]


def write_knee(path: Path, label: Path | None = None, grades: Mapping[int, int] | None = None) -> None:
    """A volume of four slices along x, and a label map of some of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(len(path.name)).random((4, 8, 8)).astype(np.float32)
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    if label is not None:
        label.parent.mkdir(parents=True, exist_ok=True)
        values = np.zeros(array.shape, np.uint8)
        for index, grade in (grades or {}).items():
            values[index, 2:4, 2:4] = grade + 1
        nib.save(nib.Nifti1Image(values, np.eye(4)), label)


@pytest.fixture
def knees(tmp_path: Path) -> Pairs:
    """Two labelled volumes, one to validate on, and two without labels, of which one has a draft ("original")."""
    pairs = []
    for name, grades in (("a", {1: 0, 2: 2}), ("b", {0: 1}), ("v", {0: 0, 3: 2})):
        image, label = tmp_path / f"{name}.nii.gz", tmp_path / f"labels/final/{name}.nii.gz"
        write_knee(image, label, grades)
        pairs.append({"image": str(image), "label": str(label)})
    write_knee(tmp_path / "c.nii.gz")
    write_knee(tmp_path / "d.nii.gz", tmp_path / "labels/original/d.nii.gz", {0: 1})
    write_index(tmp_path, dict.fromkeys("abvcd", ".nii.gz"), dict.fromkeys("abv", ".nii.gz"), {"d": ".nii.gz"})
    return pairs


def test_the_rest_of_the_datastore_is_unlabelled(knees: Pairs, tmp_path: Path) -> None:
    store = Datastore(knees[:2], knees[2:], CLASSES, read_label_map)
    assert [(Path(item["image"]).name, item["slice"]) for item in store.labelled()] == [
        ("a.nii.gz", 1),
        ("a.nii.gz", 2),
        ("b.nii.gz", 0),
    ]
    found = {(Path(item["image"]).name, item["slice"]) for item in store.unlabelled()}
    others = {(f"{name}.nii.gz", index) for name in "cd" for index in range(4)}
    assert found == others | {("a.nii.gz", 0), ("a.nii.gz", 3), ("b.nii.gz", 1), ("b.nii.gz", 2), ("b.nii.gz", 3)}
    assert [(item["slice"], item["label"]) for item in store.section("validation")] == [(0, 0), (3, 2)]
    assert {item["image"] for item in store.section("validation")} == {str(tmp_path / "v.nii.gz")}
    counts = "3 labelled (normal 1, partial 1, full 1), 13 unlabelled and 2 validation images"
    assert store.summary() == f"datastore {tmp_path}: {counts}"


def test_what_is_validated_on_is_not_learned_from_whatever_the_index_says(knees: Pairs, tmp_path: Path) -> None:
    write_index(tmp_path, dict.fromkeys("abvcd", ".nii.gz"), {})
    store = Datastore(knees[:2], knees[2:], CLASSES, read_label_map)
    assert {Path(item["image"]).name for item in store.unlabelled()} == {f"{name}.nii.gz" for name in "abcd"}
    assert {item["id"] for item in store.labelled()}.isdisjoint(item["id"] for item in store.unlabelled())


def test_nothing_of_an_unlabelled_item_can_be_learned(knees: Pairs) -> None:
    store = Datastore(knees[:2], knees[2:], CLASSES, read_label_map)
    for item in store.unlabelled():
        assert (item["label"], item["mask"], item["label_map"]) == (-1, None, None)


def test_the_grade_in_a_label_map_reaches_the_rows(knees: Pairs) -> None:
    rows = [knee_mr(8)(item) for item in Datastore(knees[:2], knees[2:], CLASSES, read_label_map).labelled()]
    assert [row["label"] for row in rows] == [0, 2, 1]
    assert all(row["has_mask"] and row["mask"].sum() == 4 for row in rows)


def test_a_label_map_of_several_grades_or_unknown_ones_is_refused_with_all_others(knees: Pairs, tmp_path: Path) -> None:
    write_knee(tmp_path / "a.nii.gz", Path(knees[0]["label"]), {0: 3})
    Path(knees[1]["label"]).unlink()
    Path(knees[1]["label"]).with_name("b.json").write_text('{"label": "full"}')
    knees[1]["label"] = str(Path(knees[1]["label"]).with_name("b.json"))
    knees[2]["label"] = str(tmp_path / "labels/final/gone.nii.gz")
    with pytest.raises(ValueError, match="cannot be used") as raised:
        Datastore(knees[:2], knees[2:], CLASSES, read_label_map)
    assert r"a.nii.gz, slice 0: values [4]; one of 1 normal, 2 partial, 3 full is wanted" in str(raised.value)
    assert "b.json: a label map is wanted" in str(raised.value)
    assert "gone.nii.gz" in str(raised.value)


@pytest.mark.parametrize("text", ['{"objects": ', "[]", "{}", '{"images_dir": ".", "objects": {"c": {"labels": {}}}}'])
def test_an_index_that_is_broken_is_named(knees: Pairs, tmp_path: Path, text: str) -> None:
    (tmp_path / "datastore_v2.json").write_text(text)
    with pytest.raises(ValueError, match=r"datastore_v2\.json is not what MONAI Label writes"):
        Datastore(knees[:2], knees[2:], CLASSES, read_label_map)


def test_the_index_says_where_images_lie_and_some_are_gone_or_labelled(knees: Pairs, tmp_path: Path) -> None:
    """A labelled image that the app gave to neither list, as with a limit, is no unlabelled one."""
    for pair in knees:
        pair["image"] = str(tmp_path / "scans" / Path(pair["image"]).name)
    (tmp_path / "scans").mkdir()
    for name in "abvcd":
        (tmp_path / f"{name}.nii.gz").rename(tmp_path / f"scans/{name}.nii.gz")
    write_index(tmp_path, dict.fromkeys("abvcdx", ".nii.gz"), dict.fromkeys("abvd", ".nii.gz"), images="scans")
    store = Datastore(knees[:2], knees[2:], CLASSES, read_label_map)
    assert {Path(item["image"]).name for item in store.unlabelled()} == {f"{name}.nii.gz" for name in "abc"}


def test_a_label_map_with_losses_is_refused(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    for name in ("knee.png", "label.jpg"):
        Image.fromarray(pixels).save(tmp_path / name)
    with pytest.raises(ValueError, match=r"label\.jpg: a label map is wanted"):
        read_label_map(str(tmp_path / "knee.png"), str(tmp_path / "label.jpg"), CLASSES)


@pytest.mark.parametrize("text", ["partial", "1", '"Partial"', '{"label": "partial"}', '{"label": 1}', "1\n"])
def test_a_class_file_names_a_class_or_its_index(tmp_path: Path, text: str) -> None:
    (tmp_path / "label").write_text(text)
    read = read_class("skin.png", str(tmp_path / "label"), CLASSES)
    assert [item["label"] for item in read.labelled] == [1]
    assert not read.rest


@pytest.mark.parametrize(
    ("text", "wanted"),
    [('["full", 0]', [1, 0, 1]), ("normal\nfull\n", [1, 0, 1]), ('{"label": []}', [0, 0, 0]), ("2", [0, 0, 1])],
)
def test_a_class_file_may_name_several(tmp_path: Path, text: str, wanted: list[int]) -> None:
    (tmp_path / "label.json").write_text(text)
    read = read_classes("chest.png", str(tmp_path / "label.json"), CLASSES)
    assert read.labelled[0]["label"] == wanted


@pytest.mark.parametrize(
    "text", ["torn", "3", "-1", "²", "true", '{"class": 1}', '["full", "normal"]', "", "1" + 10_000 * " "]
)
def test_a_class_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "label").write_text(text)
    with pytest.raises(ValueError, match=str(tmp_path / "label")):
        read_class("skin.png", str(tmp_path / "label"), CLASSES)


@pytest.mark.parametrize("text", ["", " \n", 5000 * "["])
def test_an_upload_cut_off_is_not_an_image_without_finding(tmp_path: Path, text: str) -> None:
    (tmp_path / "label").write_text(text)
    with pytest.raises(ValueError, match=str(tmp_path / "label")):
        read_classes("chest.png", str(tmp_path / "label"), CLASSES)


def test_an_image_is_no_class_file(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 200, np.uint8)).save(tmp_path / "label.png")
    with pytest.raises(ValueError, match=r"label\.png: no text; a JSON or text file with the class is wanted"):
        read_class("skin.png", str(tmp_path / "label.png"), CLASSES)


def test_unlabelled_items_of_several_classes_have_a_blank_for_each(tmp_path: Path) -> None:
    pairs = picture_store(tmp_path, ['["full"]', "[]", '["full"]', "[]"], unlabelled=2)
    store = Datastore(pairs[:2], pairs[2:], CLASSES, read_classes)
    assert [item["label"] for item in store.unlabelled()] == [[-1, -1, -1]] * 2


def test_what_inference_wrote_beside_the_images_is_none(tmp_path: Path) -> None:
    pairs = picture_store(tmp_path, ["0", "1", "0", "1"], unlabelled=2)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "skin_05.png", pnginfo=result_mark())
    store = Datastore(pairs[:2], pairs[2:], CLASSES, read_class)
    assert [Path(item["image"]).name for item in store.unlabelled()] == ["skin_04.png"]


def refusal(labels: list[str], unlabelled: int, validation: int, root: Path) -> str:
    pairs = picture_store(root, labels, unlabelled)
    cut = len(pairs) - validation
    with pytest.raises(ValueError, match=r"\w") as raised:
        Datastore(pairs[:cut], pairs[cut:], CLASSES, read_class)
    return str(raised.value)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    assert "gives no labelled image" in refusal([], 3, 0, tmp_path / "none")
    assert "has no unlabelled image" in refusal(["0", "1", "0", "1"], 0, 2, tmp_path / "all")
    assert "none is left to validate on" in refusal(["0", "1"], 3, 0, tmp_path / "no validation")
    assert "are all of one class" in refusal(["0", "1", "2", "2"], 3, 2, tmp_path / "one class")


def test_slices_to_validate_on_of_one_grade_are_too_few(knees: Pairs, tmp_path: Path) -> None:
    write_knee(tmp_path / "v.nii.gz", Path(knees[2]["label"]), {0: 2, 1: 2, 3: 2})
    with pytest.raises(ValueError, match=r"the 3 images or slices to validate on, .* are all of one class"):
        Datastore(knees[:2], knees[2:], CLASSES, read_label_map)


def test_labels_elsewhere_are_in_no_datastore(tmp_path: Path) -> None:
    pairs = picture_store(tmp_path, ["0", "1"], unlabelled=1)
    (tmp_path / "datastore_v2.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no folder above it has a datastore_v2\.json"):
        Datastore(pairs[:1], pairs[1:], CLASSES, read_class)


def test_other_labels_are_another_digest(tmp_path: Path) -> None:
    pairs = picture_store(tmp_path, ["0", "1", "0", "1"], unlabelled=1)
    first = Datastore(pairs[:2], pairs[2:], CLASSES, read_class).digest
    assert Datastore(pairs[:2], pairs[2:], CLASSES, read_class).digest == first
    Path(pairs[0]["label"]).write_text("2")
    second = Datastore(pairs[:2], pairs[2:], CLASSES, read_class).digest
    Path(pairs[3]["label"]).write_text("2")  # one to validate on
    third = Datastore(pairs[:2], pairs[2:], CLASSES, read_class).digest
    (tmp_path / "skin_04.png").rename(tmp_path / "skin_09.png")  # the unlabelled one
    write_index(tmp_path, {"skin_09": ".png"}, {})
    assert len({first, second, third, Datastore(pairs[:2], pairs[2:], CLASSES, read_class).digest}) == 4


def test_a_slice_that_is_painted_otherwise_is_another_digest(knees: Pairs, tmp_path: Path) -> None:
    first = Datastore(knees[:2], knees[2:], CLASSES, read_label_map).digest
    write_knee(tmp_path / "a.nii.gz", Path(knees[0]["label"]), {1: 0, 2: 1})
    assert Datastore(knees[:2], knees[2:], CLASSES, read_label_map).digest != first


def test_a_recipe_asks_either_the_same(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"classes": CLASSES, "read": read_class}
    items = [{"image": f"{number}.png", "label": number} for number in range(3)]
    head = {"format": "semimed-datalist/1", "name": "three", "version": "1", "classes": CLASSES}
    (tmp_path / "datalist.json").write_text(json.dumps({**head, "training": items}))
    datalist = training_images(tmp_path, tmp_path, check=False, **settings)
    assert isinstance(datalist, Datalist)
    pairs = picture_store(tmp_path / "store", ["0", "1", "0", "1"], unlabelled=1)
    store = training_images(pairs[:2], pairs[2:], **settings)
    assert isinstance(store, Datastore)
    for name in ("labelled", "unlabelled", "section", "classes", "name", "version", "digest", "summary", "root"):
        assert hasattr(store, name)
        assert hasattr(datalist, name)
    assert store.labelled_share == datalist.labelled_share == 1.0
    with pytest.raises(ValueError, match="none is left to validate on"):
        training_images(pairs, pairs, **settings)
