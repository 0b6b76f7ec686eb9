"""What is written lies on its image, whatever the image's axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from small_files import dicom_plane, oblique_affines, write_nifti, write_series

from semimed_monai.transforms import (
    PlaneGrid,
    from_square,
    knee_mr,
    photograph,
    read_grid,
    slice_items,
    to_source_geometry,
    to_square,
    write_map,
    write_mask,
)

AFFINES = oblique_affines()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("affine", AFFINES)
def test_a_mask_comes_back_to_its_voxels(
    tmp_path: Path, affine: NDArray[np.float64], volume: NDArray[np.int16]
) -> None:
    marks = (volume % 3).astype(np.uint8)
    image, mask = write_nifti(tmp_path / "v.nii.gz", volume, affine), write_nifti(tmp_path / "m.nii.gz", marks, affine)
    # Twice the longer side of a slice: nearest there and back is exact.
    preprocess = knee_mr(2 * max(read_grid(image).size[1:]), mask="labels")
    found = torch.cat([preprocess({**item, "mask": mask})["mask"] for item in slice_items(image)])

    out = write_mask(found, image, tmp_path / "out" / "v.nii.gz")

    written, original = nib.load(out), nib.load(image)
    np.testing.assert_array_equal(np.asarray(written.dataobj), marks)
    np.testing.assert_array_equal(written.affine, original.affine)
    assert written.get_data_dtype() == np.uint8
    assert names(tmp_path / "out") == ["v.nii.gz"]


def test_a_point_on_a_slice_lands_on_its_voxel(tmp_path: Path) -> None:
    # Stored left, down, front; a point at its world position is found again after a change of size.
    affine = np.array([[-3.0, 0, 0, 40], [0, 0, 0.5, -20], [0, -0.5, 0, 15], [0, 0, 0, 1]])
    volume = np.zeros((4, 40, 30), np.float32)
    volume[2, 10:13, 20:23] = 1
    path = write_nifti(tmp_path / "v.nii", volume, affine)

    maps = torch.cat([knee_mr(64, percentiles=(0, 100))(item)["image"] for item in slice_items(path)])
    back, its_affine = to_source_geometry(maps, path)

    assert np.unravel_index(back.argmax(), back.shape) == (2, 11, 21)
    assert back.dtype == np.float32
    assert np.abs(back - volume).mean() < 0.01
    np.testing.assert_array_equal(its_affine, affine)


@pytest.mark.parametrize("affine", AFFINES[::9])
def test_a_series_mask_is_its_own_image_mask(
    tmp_path: Path, affine: NDArray[np.float64], volume: NDArray[np.int16]
) -> None:
    series = write_series(tmp_path / "s", volume, affine)
    count, rows, columns = read_grid(series).size
    side = max(rows, columns)
    mask = to_square(torch.arange(count * rows * columns).reshape(count, rows, columns) % 2, side)

    out = write_mask(mask, series, tmp_path / "m.nii.gz")

    read = [knee_mr(side)({**item, "mask": str(out)})["mask"][0] for item in slice_items(series)]
    assert torch.equal(torch.stack(read), mask.float())
    # The same world position as the voxels had when the series was made.
    assert np.linalg.norm(nib.load(out).affine[:3, :2] - affine[:3, :2]) < 1e-4


def test_some_slices(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "v.nii", np.zeros((5, 4, 4), np.float32), np.diag([1.0, -1, -1, 1]))

    out = write_mask(torch.ones(2, 8, 8, dtype=torch.bool), path, tmp_path / "m.nii", slices=[3, 1])

    assert np.asarray(nib.load(out).dataobj).sum(axis=(1, 2)).tolist() == [0, 16, 0, 16, 0]


@pytest.mark.parametrize("aspect", ["pad", "squash"])
def test_pictures_and_radiographs_get_pictures(tmp_path: Path, aspect: str) -> None:
    lesion = np.zeros((6, 9), np.uint8)
    lesion[1:3, 5:8] = 1
    Image.fromarray(np.zeros((6, 9, 3), np.uint8)).save(tmp_path / "skin.jpg")
    Image.fromarray(lesion).save(tmp_path / "given.png")
    dicom_plane(np.zeros((9, 6))).save_as(tmp_path / "chest.dcm", enforce_file_format=True)
    item = {"image": str(tmp_path / "skin.jpg"), "mask": str(tmp_path / "given.png")}
    mask = photograph(18, aspect=aspect)(item)["mask"]  # type: ignore[arg-type]

    for name in ("skin.jpg", "chest.dcm"):
        out = write_mask(mask[0], str(tmp_path / name), tmp_path / "out.png", aspect=aspect)  # type: ignore[arg-type]
        np.testing.assert_array_equal(np.asarray(Image.open(out)), lesion)


def test_maps_in_16_bits_are_the_same_values_as_nifti_and_as_png(tmp_path: Path) -> None:
    values = np.array([[0.0, 1e-5, 0.25], [0.5, 0.99999, 1.0], [0.1, 0.2, 0.3]])
    Image.new("L", (3, 3)).save(tmp_path / "p.png")
    dicom_plane(np.zeros((3, 3))).save_as(tmp_path / "chest.dcm", enforce_file_format=True)
    png = write_map(torch.tensor(values), str(tmp_path / "p.png"), tmp_path / "out.png", in_16_bits=True)
    with Image.open(png) as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.rint(65535 * values))
    nifti: Any = nib.load(
        write_map(torch.tensor(values), str(tmp_path / "chest.dcm"), tmp_path / "out.nii.gz", in_16_bits=True)
    )
    assert nifti.get_data_dtype() == np.uint16
    np.testing.assert_allclose(nifti.get_fdata()[:, :, 0].T, values, atol=0.5 / 65535 + 1e-9)


@pytest.mark.parametrize("affine", AFFINES[::5])
def test_a_radiograph_is_not_turned_whichever_way_it_lies(tmp_path: Path, affine: NDArray[np.float64]) -> None:
    pixels = np.arange(12.0).reshape(3, 4) / 11
    grid = PlaneGrid("chest.dcm", (4, 3, 1), affine)
    assert grid.size == (1, 3, 4)
    squares = to_square(torch.tensor(pixels)[None], 4)
    written: Any = nib.load(write_map(squares, grid, tmp_path / "map.nii"))
    np.testing.assert_allclose(written.get_fdata()[:, :, 0].T, pixels, atol=1e-6)  # x is the file's column
    np.testing.assert_allclose(written.affine, affine, atol=1e-5)
    assert PlaneGrid("chest.png", (3, 4), None).size == (1, 3, 4)
    with pytest.raises(ValueError, match="one plane is wanted, so give each of them by itself"):
        PlaneGrid("knee.nii", (3, 4, 5), affine)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    volume = write_nifti(tmp_path / "v.nii", np.zeros((2, 4, 4), np.float32), np.diag([1.0, -1, -1, 1]))
    Image.new("L", (4, 4)).save(tmp_path / "p.png")

    with pytest.raises(ValueError, match="threshold the map first"):
        write_mask(torch.full((2, 4, 4), 0.5), volume, tmp_path / "m.nii")
    with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
        write_mask(torch.full((2, 4, 4), 256), volume, tmp_path / "m.nii")
    with pytest.raises(ValueError, match="cannot hold the geometry"):
        write_mask(torch.ones(2, 4, 4), volume, tmp_path / "m.png")
    with pytest.raises(ValueError, match="cannot hold the geometry"):
        write_mask(torch.ones(4, 4), str(tmp_path / "p.png"), tmp_path / "m.nii")
    with pytest.raises(ValueError, match="one H x W map each"):
        write_mask(torch.ones(3, 4, 4), volume, tmp_path / "m.nii")
    with pytest.raises(ValueError, match="different ones from 0 to 1"):
        write_mask(torch.ones(2, 4, 4), volume, tmp_path / "m.nii", slices=[0, 2])
    assert names(tmp_path) == ["p.png", "v.nii"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = write_nifti(tmp_path / "v.nii", np.zeros((2, 4, 4), np.float32), np.diag([1.0, -1, -1, 1]))
    out = write_mask(torch.ones(2, 4, 4), volume, tmp_path / "m.nii")
    before = out.read_bytes()

    def cut_off(image: nib.Nifti1Image, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(nib.Nifti1Image, "to_filename", cut_off)
    with pytest.raises(OSError, match="disk full"):
        write_mask(torch.zeros(2, 4, 4), volume, out)
    assert out.read_bytes() == before
    assert names(tmp_path) == ["m.nii", "v.nii"]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 3))
def test_squares_give_back_what_they_got(rows: int, columns: int, times: int) -> None:
    plane = torch.arange(rows * columns).reshape(1, rows, columns)
    assert torch.equal(from_square(to_square(plane, times * max(rows, columns)), rows, columns), plane)
