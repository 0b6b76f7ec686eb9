"""Knee preprocessing: values by hand, one definition for training and inference, every file type the same."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset, MetaTensor
from numpy.typing import NDArray
from PIL import Image
from small_files import dicom_plane, oblique_affines, refused, write_nifti, write_series

from semimed_monai.transforms import ScalePercentilesd, knee_mr
from semimed_monai.transforms.volumes import RECENT

AFFINES = oblique_affines()
# x, y, z stored as right, back, down: slices x rows x columns are x, z, y without flips.
AS_STORED = np.diag([1.0, -1.0, -1.0, 1.0])


def picture(path: Path, values: Any) -> str:
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)
    return str(path)


@pytest.mark.parametrize("affine", AFFINES[::5])
def test_slice_counts_along_the_stored_sagittal_axis(tmp_path: Path, affine: NDArray[np.float64]) -> None:
    volume, voxel = np.zeros((5, 6, 7), np.float32), (1, 4, 2)
    volume[voxel] = 9
    path = write_nifti(tmp_path / "v.nii.gz", volume, affine)
    sagittal = int(np.abs(affine[0, :3] / np.linalg.norm(affine[:3, :3], axis=0)).argmax())

    marked = [
        index
        for index in range(volume.shape[sagittal])
        if knee_mr(8, percentiles=(0, 100))({"image": path, "slice": index})["image"].any()
    ]

    assert marked == [voxel[sagittal]]


def test_values_by_hand(tmp_path: Path) -> None:
    volume = np.zeros((2, 4, 2), np.float32)
    volume[1] = [[0, 10], [20, 30], [40, 50], [60, 70]]  # y by z
    path = write_nifti(tmp_path / "v.nii", volume, AS_STORED)

    # The percentiles 100/7 and 600/7 of 0, 10 .. 70 are 10 and 60. Two rows of four are centred in a square.
    image = knee_mr(4, percentiles=(100 / 7, 600 / 7))({"image": path, "slice": 1})["image"]

    expected = [[[0, 0, 0, 0], [0, 0.2, 0.6, 1], [0, 0.4, 0.8, 1], [0, 0, 0, 0]]]
    torch.testing.assert_close(image, torch.tensor(expected))


def test_resize_averages_images_and_samples_masks(tmp_path: Path) -> None:
    image = picture(tmp_path / "i.png", np.kron([[0, 100], [200, 100]], np.ones((4, 4))))
    mask = picture(tmp_path / "m.png", np.kron([[0, 1], [0, 255]], np.ones((4, 4))))

    item = knee_mr(2, percentiles=(0, 100))({"image": image, "mask": mask, "label": 0})

    # Antialiasing reaches over the borders: symmetric, and so between the quarter's own values.
    assert 0 < item["image"][0, 0, 0] < 0.2
    assert 0.8 < item["image"][0, 1, 0] < 1
    assert item["mask"].tolist() == [[[0, 1], [0, 1]]]


def test_masks_are_sampled_at_the_middle_of_a_pixel(tmp_path: Path) -> None:
    middles = np.zeros((9, 9))
    middles[1::3, 1::3] = 1
    path = picture(tmp_path / "m.png", middles)

    assert knee_mr(3)({"image": path, "mask": path})["mask"].all()


def test_percentiles_clip_before_the_resize() -> None:
    # 0, 1, .. 10: the 10th and 90th percentiles are 1 and 9.
    scaled = ScalePercentilesd("image", (10, 90))({"image": torch.arange(11.0).reshape(1, 1, 11)})["image"]
    torch.testing.assert_close(scaled[0, 0, [0, 1, 5, 9, 10]], torch.tensor([0, 0, 0.5, 1, 1]))


def test_training_and_inference_agree_bit_for_bit(tmp_path: Path, volume: NDArray[np.int16]) -> None:
    path = write_nifti(tmp_path / "v.nii.gz", volume, AFFINES[11])
    mask = write_nifti(tmp_path / "m.nii.gz", (volume > 100).astype(np.uint8), AFFINES[11])
    definition = {"_target_": "semimed_monai.transforms.knee_mr", "size": 16, "n4": True}
    train, inference = (
        ConfigParser({"preprocessing": definition}).get_parsed_content("preprocessing") for _ in range(2)
    )
    full = {"id": "a", "group": "g", "image": path, "slice": 2, "label": 1, "mask": mask, "label_map": None}

    trained = train(full)
    RECENT.clear()
    inferred = inference({"image": path, "slice": 2})

    assert torch.equal(trained["image"], inferred["image"])
    assert trained["image"].std() > 0.1
    assert (trained["id"], trained["group"], trained["label"], trained["has_mask"]) == ("a", "g", 1, True)
    assert (inferred["id"], inferred["group"], inferred["label"]) == (f"{path}#2", path, -1)
    assert not inferred["has_mask"]
    assert not inferred["mask"].any()
    assert inferred["mask"].shape == (1, 16, 16)


def test_the_item_is_the_contracts(tmp_path: Path, volume: NDArray[np.int16]) -> None:
    path = write_nifti(tmp_path / "v.nii.gz", volume, AS_STORED)
    items = [{"image": path, "slice": index} for index in range(3)]

    batch = next(iter(DataLoader(Dataset(items, knee_mr(8)), batch_size=3)))

    assert {"id", "group", "image", "label", "mask", "has_mask"} < batch.keys()
    assert batch["image"].shape == batch["mask"].shape == (3, 1, 8, 8)
    assert batch["image"].dtype == batch["mask"].dtype == torch.float32
    assert not isinstance(batch["image"], MetaTensor)
    assert batch["label"].tolist() == [-1, -1, -1]
    assert batch["source"] == [path] * 3
    assert batch["slice"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("affine", AFFINES[::6])
def test_a_dicom_series_gives_the_slices_of_the_nifti(
    tmp_path: Path, affine: NDArray[np.float64], volume: NDArray[np.int16]
) -> None:
    # A series is stored along its planes' normal: the NIfTI the other way round has the same stored order.
    if np.linalg.det(affine) < 0:
        affine = affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 6], [0, 0, 0, 1]])
    series, nifti = write_series(tmp_path / "s", volume, affine), write_nifti(tmp_path / "v.nii", volume, affine)
    mask = write_nifti(tmp_path / "m.nii", (volume % 2).astype(np.uint8), affine)
    preprocess = knee_mr(9)

    for index in (0, 3):
        one, other = (preprocess({"image": path, "slice": index, "mask": mask}) for path in (series, nifti))
        assert torch.equal(one["image"], other["image"])
        assert one["image"].std() > 0.1
        assert torch.equal(one["mask"], other["mask"])
        assert one["mask"].any()


def test_a_mask_stored_another_way_is_turned_to_its_image(tmp_path: Path, volume: NDArray[np.int16]) -> None:
    image = write_nifti(tmp_path / "v.nii", volume, AS_STORED)
    # The same voxels stored as z, x reversed, y.
    turn = np.array([[0, -1, 0, 4], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
    values = volume % 3
    mask = write_nifti(tmp_path / "m.nii", values.transpose(2, 0, 1)[:, ::-1].astype(np.uint8), AS_STORED @ turn)

    kept = knee_mr(7, mask="labels")({"image": image, "slice": 1, "mask": mask})["mask"]

    np.testing.assert_array_equal(kept[0, :, :6].numpy(), values[1].T)


def test_a_mask_elsewhere_is_refused(tmp_path: Path, volume: NDArray[np.int16]) -> None:
    image, moved = write_nifti(tmp_path / "v.nii", volume, AS_STORED), AS_STORED.copy()
    moved[0, 3] = 1.0
    mask = write_nifti(tmp_path / "m.nii", volume, moved)
    small = write_nifti(tmp_path / "s.nii", volume[1:], AS_STORED)

    with refused(r"m\.nii: .* up to 1 of them away from .*v\.nii"):
        knee_mr(8)({"image": image, "slice": 0, "mask": mask})
    with refused(r"s\.nii: \(4, 6, 7\) pixels"):
        knee_mr(8)({"image": image, "slice": 0, "mask": small})


def test_label_maps_hold_class_and_mask(tmp_path: Path) -> None:
    image = picture(tmp_path / "i.png", np.arange(16).reshape(4, 4))
    label_map = np.zeros((4, 4))
    label_map[1:3, 2] = 3
    path = picture(tmp_path / "l.png", label_map)

    for item in ({"label": -1, "label_map": path}, {"label": path}):  # the datalist's form and MONAI Label's
        read = knee_mr(4)({"image": image, **item})
        assert read["label"] == 2
        assert read["has_mask"]
        np.testing.assert_array_equal(read["mask"][0].numpy(), label_map > 0)

    segmentation = knee_mr(4, mask="labels")({"image": image, "label": path})
    assert segmentation["label"] == -1
    assert segmentation["has_mask"]
    np.testing.assert_array_equal(segmentation["mask"][0].numpy(), label_map)


@pytest.mark.parametrize("values", [[[0, 0], [0, 0]], [[1, 0], [0, 2]]])
def test_a_label_map_of_no_or_two_classes_is_refused(tmp_path: Path, values: Any) -> None:
    image, label_map = picture(tmp_path / "i.png", [[0, 1], [2, 3]]), picture(tmp_path / "l.png", values)
    with refused(r"l\.png.*one value"):
        knee_mr(2)({"image": image, "label_map": label_map})


def test_a_lone_radiograph_is_read_as_displayed_and_never_inverted(tmp_path: Path) -> None:
    pixels = np.arange(20).reshape(5, 4)  # x by y
    dicom_plane(pixels).save_as(tmp_path / "white_high.dcm", enforce_file_format=True)
    dicom_plane(65535 - pixels, "MONOCHROME1").save_as(tmp_path / "white_low.dcm", enforce_file_format=True)
    drawn = picture(tmp_path / "m.png", pixels.T > 12)
    grey = picture(tmp_path / "p.png", pixels.T)
    preprocess = knee_mr(5, percentiles=(0, 100))

    images = [
        preprocess({"image": str(tmp_path / name), "slice": None, "mask": drawn})
        for name in ("white_high.dcm", "white_low.dcm", "p.png")
    ]

    for item in images:
        np.testing.assert_allclose(item["image"][0, :4].numpy(), pixels.T / 19, atol=1e-6)
        np.testing.assert_array_equal(item["mask"][0, :4].numpy(), pixels.T > 12)
    assert grey == images[2]["id"] == images[2]["source"]
    assert images[2]["slice"] == 0


def test_a_constant_slice_is_zero(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "v.nii", np.full((2, 3, 3), 7.1, np.float32), AS_STORED)
    assert not knee_mr(3)({"image": path, "slice": 0})["image"].any()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({}, "a volume of 5 slices, and its item names none.*slice_items"),
        ({"slice": 5}, "slice 5 is wanted, the file has slices 0 to 4"),
        ({"slice": -1}, "slice -1 is wanted"),
    ],
)
def test_a_slice_must_be_named_and_there(
    tmp_path: Path, volume: NDArray[np.int16], item: dict[str, Any], message: str
) -> None:
    path = write_nifti(tmp_path / "v.nii", volume, AS_STORED)
    with refused(message):
        knee_mr(8)({"image": path, **item})


def test_broken_values_are_refused(tmp_path: Path) -> None:
    broken = np.zeros((2, 3, 3), np.float32)
    broken[0, 0, 0] = np.nan
    path = write_nifti(tmp_path / "v.nii", broken, AS_STORED)
    half = write_nifti(tmp_path / "m.nii", np.full((2, 3, 3), 0.5, np.float32), AS_STORED)
    good = write_nifti(tmp_path / "g.nii", np.zeros((2, 3, 3), np.float32), AS_STORED)
    Image.new("L", (3, 3)).save(tmp_path / "m.jpg")

    with refused(r"v\.nii: 1 values are NaN or infinite"):
        knee_mr(3)({"image": path, "slice": 1})
    with refused(r"m\.nii: a mask holds whole numbers"):
        knee_mr(3)({"image": good, "slice": 1, "mask": half})
    with refused(r"m\.jpg: JPEG changes a mask's values"):
        knee_mr(3)({"image": good, "slice": 1, "mask": str(tmp_path / "m.jpg")})


@pytest.mark.parametrize("name", ["v.nii.gz", "p.png"])
def test_a_file_cut_short_is_named(tmp_path: Path, name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 60, 60)).astype(np.uint8)
    path = write_nifti(tmp_path / name, pixels) if name.endswith("gz") else picture(tmp_path / name, pixels[0])
    Path(path).write_bytes(Path(path).read_bytes()[:-2000])

    with refused(f"{name}: the file is damaged"):
        knee_mr(8)({"image": path, "slice": 0})


def test_settings_are_checked() -> None:
    for wrong in ({"percentiles": (99, 1)}, {"mask": "soft"}, {"size": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            knee_mr(**{"size": 8, **wrong})


def test_a_slice_of_a_volume_at_hand_takes_milliseconds(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).random((6, 128, 128), dtype=np.float32)
    image, mask = (
        write_nifti(tmp_path / "v.nii.gz", volume, AS_STORED),
        write_nifti(tmp_path / "m.nii.gz", (volume > 0.5).astype(np.uint8), AS_STORED),
    )
    preprocess, times = knee_mr(96), []
    for repeat in range(20):
        start = time.perf_counter()
        preprocess({"image": image, "slice": repeat % 6, "mask": mask})
        times.append(time.perf_counter() - start)

    # The quickest of many: other programs on the machine slow some of them, a second reading would slow all.
    assert min(times[1:]) < 0.003


def test_an_n4_that_is_no_bool_is_refused() -> None:
    with pytest.raises(ValueError, match=r"n4 is 'false', .*: write --n4 True or --n4 False"):
        knee_mr(16, n4="false")  # type: ignore[arg-type]
