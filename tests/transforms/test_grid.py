"""Which voxel is which pixel, in every orientation, read from headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.transforms import LoadImage
from numpy.typing import NDArray
from PIL import Image
from small_files import dicom_plane, oblique_affines, write_nifti, write_series

from semimed_monai.transforms import Grid, read_grid, slice_items

AFFINES = oblique_affines()


@pytest.mark.parametrize("affine", AFFINES)
def test_a_voxel_lands_where_its_world_position_says(affine: NDArray[np.float64], volume: NDArray[np.int16]) -> None:
    grid, voxel = Grid("v", volume.shape, affine), (1, 4, 2)
    # By hand: the stored axis nearest each anatomical one, counted from the other end if it runs the other way.
    x, y, z = (int(np.abs((affine[:3, :3] / grid.spacing)[row]).argmax()) for row in range(3))
    row = voxel[z] if affine[2, z] < 0 else volume.shape[z] - 1 - voxel[z]
    column = voxel[y] if affine[1, y] < 0 else volume.shape[y] - 1 - voxel[y]

    planes = grid.to_planes(volume)

    assert grid.size == planes.shape == (volume.shape[x], volume.shape[z], volume.shape[y])
    assert planes[voxel[x], row, column] == volume[voxel]
    np.testing.assert_array_equal(grid.to_stored(planes), volume)


@pytest.mark.parametrize("affine", AFFINES[::7])
def test_the_header_says_what_monai_reads(
    tmp_path: Path, affine: NDArray[np.float64], volume: NDArray[np.int16]
) -> None:
    series, nifti = (
        write_series(tmp_path / "series", volume, affine),
        write_nifti(tmp_path / "v.nii.gz", volume, affine),
    )

    for path, reader in ((series, "ITKReader"), (nifti, "NibabelReader")):
        read = LoadImage(reader=reader, image_only=True)(path)
        grid = read_grid(path)
        assert grid.stored == tuple(read.shape)
        np.testing.assert_allclose(np.asarray(grid.affine), read.affine.numpy(), atol=1e-5)


def test_slices_are_counted_without_reading_pixels(tmp_path: Path, volume: NDArray[np.int16]) -> None:
    path = write_nifti(tmp_path / "v.nii", volume)
    Path(path).write_bytes(Path(path).read_bytes()[:352])  # the header alone

    items = slice_items(path)

    assert [item["slice"] for item in items] == [0, 1, 2, 3, 4]
    assert items[3] == {
        "id": f"{path}#3", "group": path, "image": path, "slice": 3, "label": -1, "mask": None, "label_map": None,
    }  # fmt: skip


def test_a_series_and_a_picture_are_counted_too(tmp_path: Path, volume: NDArray[np.int16]) -> None:
    sagittal = np.array([[0, 0, 3, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=float)
    Image.new("L", (4, 3)).save(tmp_path / "p.png")

    assert len(slice_items(write_series(tmp_path / "series", volume, sagittal))) == 7
    assert [item["slice"] for item in slice_items(str(tmp_path / "p.png"))] == [None]


def test_a_folder_of_two_series_is_refused(tmp_path: Path, volume: NDArray[np.int16]) -> None:
    folder = write_series(tmp_path / "s", volume, AFFINES[0])
    other = dicom_plane(volume[:, :, 0])
    other.SeriesInstanceUID = "1.2.3.5"
    other.save_as(tmp_path / "s" / "other.dcm", enforce_file_format=True)

    with pytest.raises(ValueError, match="2 DICOM series in this folder; give each"):
        read_grid(folder)


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("none.nii", None, FileNotFoundError, "no such file"),
        ("text.dcm", b"no image", ValueError, "not a file that can be read"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: Any, error: Any, message: str) -> None:
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=f"{name}.*{message}"):
        read_grid(str(tmp_path / name))


def test_four_dimensions_and_flat_affines_are_refused() -> None:
    with pytest.raises(ValueError, match="one volume or one plane"):
        Grid("v", (4, 4, 4, 2), np.eye(4))
    with pytest.raises(ValueError, match="no inverse"):
        Grid("v", (4, 4, 4), np.diag([1.0, 0.0, 1.0, 1.0]))
