"""What the datalist's reader finds wrong in the files."""

from __future__ import annotations

import os
from functools import partial

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from semimed_monai.data import Datalist, contents, write_datalist
from semimed_monai.transforms.grid import read_grid

pytestmark = pytest.mark.usefixtures("cache")

EIGHT_BIT = partial(np.array, dtype=np.uint8)


def without_labels(head) -> None:
    """Turn the list into one for segmentation, of four classes."""
    head["classes"] = ["background", "femoral", "tibial", "meniscus"]
    for section in ("training", "validation", "test"):
        for item in head[section]:
            item.pop("label")


def test_label_map_carries_class_and_mask(folder, changed, only):
    def use_map(head):
        head["training"][0] = {"image": "0.png", "label_map": "map.png", "group": "p0"}

    changed(folder, use_map)
    Image.fromarray(np.array([[0, 3] * 4] * 6, dtype=np.uint8)).save(folder / "map.png")
    item = Datalist(folder).labelled()[0]
    assert (item["label"], item["mask"], item["label_map"]) == (-1, None, str(folder / "map.png"))
    Image.fromarray(np.full((6, 8), 4, dtype=np.uint8)).save(folder / "map.png")
    assert "map.png has values that are no class ([4])" in only(folder)


def test_dicom_file_and_series_are_read(folder, changed, only, volume, dicom):
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
    changed(folder, lambda head: head["training"][-1].pop("slice"))
    assert 'series has 3 slices and the item names none: add "slice" (0 to 2)' in only(folder)
    changed(folder, lambda head: head["training"][-1].update(slice=3))
    assert "slice 3 of series does not exist: its last slice is 2" in only(folder)
    (folder / "series" / "1").write_bytes((folder / "series" / "1").read_bytes()[:-20])
    assert "series cannot be read" in only(folder)


def test_missing_file(folder, only):
    (folder / "7.png").unlink()
    message = f"training[7] (7.png): 7.png is missing in {folder}: correct the path, or remove its items"
    assert only(folder) == message


@pytest.mark.parametrize("name", ["3.png", "3m.png", "v.nii.gz", "vm.nii.gz"])
def test_truncated_file(folder, name, only):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) * 2 // 3])
    assert f"{name} cannot be read (" in only(folder)


def test_truncated_uncompressed_volume(folder, changed, only, volume):
    volume(folder / "w.nii", np.zeros((6, 5, 4)))
    (folder / "w.nii").write_bytes((folder / "w.nii").read_bytes()[:-1])
    changed(folder, lambda head: head["test"].append({"image": "w.nii", "slice": 0, "label": 0, "group": "w"}))
    assert only(folder).startswith("test[3] (w.nii#0): w.nii cannot be read (")


def test_not_a_number_in_an_image(folder, only, volume):
    values = np.zeros((6, 5, 4))
    values[1, 2, 3], values[0, 0, 0] = np.nan, np.inf
    volume(folder / "v.nii.gz", values)
    assert "test[0] (v.nii.gz#0): v.nii.gz has 2 values that are NaN or infinite" in only(folder)


def test_slice_counts_along_the_left_right_axis(folder, changed, only):
    changed(folder, lambda head: head["test"][0].update(slice=4))
    assert "slice 4 of v.nii.gz does not exist: its last slice is 3" in only(folder)


def test_volume_whose_item_names_no_slice(folder, changed, only):
    changed(folder, lambda head: head["test"][0].pop("slice"))
    assert only(folder) == (
        'test[0] (v.nii.gz): v.nii.gz has 4 slices and the item names none: add "slice" (0 to 3), an item for each'
    )


@pytest.mark.parametrize(
    ("shape", "affine"),
    [((6, 5, 1), np.eye(4)[[2, 0, 1, 3]]), ((6, 5, 1), np.eye(4)), ((6, 5), np.eye(4))],
    ids=["sagittal", "radiograph", "of two dimensions"],
)
def test_lone_plane_is_one_slice(folder, shape, affine, changed, only, volume):
    volume(folder / "lone.nii", np.zeros(shape), affine)
    changed(folder, lambda head: head["test"].append({"image": "lone.nii", "label": 0, "group": "lone"}))
    assert Datalist(folder).section("test")[3]["slice"] is None
    changed(folder, lambda head: head["test"][3].update(slice=1))
    assert "slice 1 of lone.nii does not exist: its last slice is 0" in only(folder)


# What a mask's values may be.


@pytest.mark.parametrize(("value", "ok"), [(3, True), (4, False), (9, False), (255, False)])
def test_segmentation_mask_holds_class_indices(folder, value, ok, changed, only):
    changed(folder, without_labels)
    Image.fromarray(EIGHT_BIT([[0, 1, 2, value] * 2] * 6)).save(folder / "4m.png")
    if ok:
        assert len(Datalist(folder).labelled()) == 18
    else:
        assert only(folder) == (
            f"training[4] (4.png): 4m.png has values that are no class ([{value}]): write class indices, 0 to 3 "
            "(the list has no labels: its masks are segmentations)"
        )


@pytest.mark.parametrize(("value", "ok"), [(9.0, True), (40000.0, True), (0.5, False), (-1.0, False)])
def test_mask_beside_labels_holds_whole_numbers(folder, value, ok, only, volume):
    values = np.zeros((6, 5, 4))
    values[1, 2, 3] = value
    volume(folder / "vm.nii.gz", values)
    if ok:
        assert len(Datalist(folder).section("test")) == 3
    else:
        assert only(folder) == (
            f"test[0] (v.nii.gz#0): vm.nii.gz has values that are no whole numbers from 0 ([{value}]): "
            "write 0 outside, 1 inside"
        )


@pytest.mark.parametrize("value", [0.5, -1.0, 4.0])
def test_segmentation_mask_of_fractions_or_other_numbers(folder, value, changed, only, volume):
    changed(folder, without_labels)
    volume(folder / "vm.nii.gz", np.full((6, 5, 4), value))
    assert f"vm.nii.gz has values that are no class ([{value}]): write class indices" in only(folder)


@pytest.mark.parametrize(("value", "ok"), [(3, True), (4, False), (0.5, False), (-1, False)])
def test_label_map_holds_class_index_plus_one(folder, value, ok, changed, only, volume):
    volume(folder / "map.nii", np.full((6, 5, 4), value, dtype=np.float32))
    changed(folder, lambda head: head["test"].append({"image": "v.nii.gz", "slice": 3, "label_map": "map.nii"}))
    changed(folder, lambda head: head["test"][3].update(group="v"))
    if ok:
        assert Datalist(folder).section("test")[3]["label_map"] == str(folder / "map.nii")
    else:
        assert f"map.nii has values that are no class ([{float(value)}]): write 0 for backgr" in only(folder)


def test_values_of_a_picture_are_its_indices_or_its_brightness(folder, changed, only):
    changed(folder, without_labels)
    indices = Image.fromarray(EIGHT_BIT([[0, 3] * 4] * 6)).convert("P")
    indices.putpalette([200] * 768)
    indices.save(folder / "0m.png")
    Image.fromarray(EIGHT_BIT([[[2, 2, 2, 255]] * 8] * 6)).save(folder / "1m.png")  # opaque: 255 is no class here
    Image.fromarray(np.eye(6, 8) > 0).save(folder / "2m.png")
    assert len(Datalist(folder).labelled()) == 18
    Image.fromarray(EIGHT_BIT([[[90, 90, 90]] * 8] * 6)).save(folder / "3m.png")
    assert "3m.png has values that are no class ([90])" in only(folder)


def test_volume_in_colours(folder, only, volume):
    volume(folder / "v.nii.gz", np.zeros((6, 5, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))
    found = only(folder)
    assert "v.nii.gz has [('R', 'u1'), ('G', 'u1'), ('B', 'u1')] pixels, not a number each: convert it" in found


# Where a mask lies.


@pytest.mark.parametrize(("shape", "written"), [((5, 6, 4), "5 x 6 x 4"), ((6, 5, 3), "6 x 5 x 3")])
def test_mask_of_another_shape_is_named_once(folder, shape, written, only, volume):
    volume(folder / "vm.nii.gz", np.zeros(shape))
    message = f"v.nii.gz and its mask vm.nii.gz differ in shape (6 x 5 x 4 and {written}): resample the mask"
    assert message in only(folder)


def test_picture_mask_of_another_shape(folder, only):
    Image.fromarray(np.zeros((8, 6), dtype=np.uint8)).save(folder / "2m.png")
    assert "2.png and its mask 2m.png differ in shape (8 x 6 x 1 and 6 x 8 x 1)" in only(folder)


@pytest.mark.parametrize(("shift", "written"), [(50, "50 mm apart (167"), (0.16, "0.16 mm apart (0.533"), (0.14, "")])
def test_mask_half_a_voxel_away_from_its_image(folder, shift, written, only, volume):
    moved = nib.load(folder / "vm.nii.gz").affine
    moved[1, 3] += shift  # the smallest side of a voxel is 0.3 mm
    volume(folder / "vm.nii.gz", EIGHT_BIT(np.zeros((6, 5, 4))), moved)
    if not written:
        assert len(Datalist(folder).section("test")) == 3
    else:
        assert only(folder) == (
            f"test[0] (v.nii.gz#0): v.nii.gz and its mask vm.nii.gz lie up to {written} voxels; half of one is "
            "allowed): resample the mask to the image's grid, or correct the path"
        )


def test_mask_with_its_axes_stored_otherwise(folder, only, volume):
    turned = nib.load(folder / "vm.nii.gz").affine[:, [2, 0, 1, 3]]
    volume(folder / "vm.nii.gz", EIGHT_BIT(np.zeros((4, 6, 5))), turned)
    assert len(Datalist(folder).section("test")) == 3
    volume(folder / "vm.nii.gz", EIGHT_BIT(np.zeros((6, 5, 4))), turned)
    assert "differ in shape (6 x 5 x 4 and 5 x 4 x 6)" in only(folder)


@settings(max_examples=40)
@given(
    order=st.permutations(range(3)),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    shift=st.tuples(*[st.floats(-0.2, 0.2)] * 3),
    stretch=st.floats(1, 1.1),
)
def test_grids_are_compared_as_the_transforms_compare_them(tmp_path_factory, order, signs, shift, stretch):
    folder = tmp_path_factory.mktemp("grids")
    image = nib.Nifti1Image(EIGHT_BIT(np.zeros((6, 5, 4))), np.diag([0.3, -0.3, 3.0, 1])[[2, 0, 1, 3]])
    mask = image.as_reoriented(np.stack([order, signs], axis=1))
    moved = mask.affine.copy()
    moved[:3, 3] += shift
    moved[:3, 0] *= stretch
    nib.save(image, folder / "v.nii")
    nib.save(nib.Nifti1Image(mask.dataobj, moved), folder / "vm.nii")
    item = {"image": "v.nii", "slice": 0, "label": 0, "mask": "vm.nii"}
    write_datalist(folder, name="one", classes=["a"], sections={"training": [item]})
    grids = [read_grid(str(folder / name)) for name in ("v.nii", "vm.nii")]
    assert refuses(lambda: Datalist(folder)) == refuses(lambda: grids[0].align(np.zeros(grids[1].stored), grids[1]))


def refuses(call) -> bool:
    try:
        call()
    except ValueError:
        return True
    return False


def test_affine_without_an_inverse(folder, only):
    image = nib.Nifti1Image(np.zeros((6, 5, 4)), None)
    image.header.set_sform(np.diag([1.0, 1.0, 0.0, 1.0]), code=1)
    image.header["qform_code"] = 0
    nib.Nifti1Image(np.zeros((6, 5, 4)), None, image.header).to_filename(folder / "v.nii.gz")
    assert "v.nii.gz cannot be read (ValueError: its affine has no inverse): copy it again" in only(folder)


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


def test_bad_file_is_found_each_time_and_after_a_good_check(folder, only):
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


def test_what_older_checks_found_good_is_examined_again(folder, opened, monkeypatch):
    Datalist(folder)
    opened.clear()
    monkeypatch.setattr(contents, "_CHECKS", contents._CHECKS + 1)
    Datalist(folder)
    assert "2.png" in opened
