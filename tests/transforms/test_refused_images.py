"""What is no single grey volume or plane: each message names the file and says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import generate_uid
from small_files import oblique_affines, refused, write_nifti, write_series

from semimed_monai.transforms import knee_mr, read_grid

AFFINE = oblique_affines()[0]


@pytest.fixture
def series(tmp_path: Path, volume: NDArray[np.int16]) -> Path:
    return Path(write_series(tmp_path / "knee", volume, AFFINE))


def test_an_instance_that_is_there_twice(series: Path) -> None:
    shutil.copy(series / "000.dcm", series / "copy.dcm")
    with pytest.raises(ValueError, match=r"knee: 000\.dcm and copy\.dcm are the same instance .*remove one"):
        read_grid(str(series))


def test_mixed_orientations(series: Path) -> None:
    other = pydicom.dcmread(series / "003.dcm")
    other.ImageOrientationPatient, other.SOPInstanceUID = [1, 0, 0, 0, 0, -1], generate_uid()
    other.save_as(series / "scout.dcm")
    with pytest.raises(
        ValueError, match=r"knee: slices of 2 orientations .*000\.dcm and 6 more; scout\.dcm and 0.*own"
    ):
        read_grid(str(series))


def test_rounded_orientations_are_one(series: Path) -> None:
    data = pydicom.dcmread(series / "003.dcm")
    data.ImageOrientationPatient = [round(float(value), 3) for value in data.ImageOrientationPatient]
    data.save_as(series / "003.dcm")
    assert read_grid(str(series)).shape[2] == 7


def test_a_volume_without_slices(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match="empty: no DICOM file in this folder, so no slices; give the folder"):
        read_grid(str(tmp_path / "empty"))
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 0), np.float32), np.eye(4)), tmp_path / "none.nii")
    with pytest.raises(ValueError, match=r"none\.nii: shape \(4, 4, 0\): it has no slices .*export"):
        read_grid(str(tmp_path / "none.nii"))


def test_a_nifti_of_four_dimensions(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "fmri.nii", np.zeros((4, 4, 4, 2), np.float32))
    with pytest.raises(ValueError, match=r"fmri\.nii: shape \(4, 4, 4, 2\); one volume .*split the file"):
        read_grid(path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_colour_picture_for_a_grey_network(tmp_path: Path, mode: str) -> None:
    picture = Image.new("RGB", (8, 8), (90, 90, 90))

    def converted() -> Image.Image:
        return picture.quantize(4) if mode == "P" else picture.convert(mode)

    converted().save(tmp_path / "grey.png")
    assert knee_mr(8)({"image": str(tmp_path / "grey.png")})["image"].shape == (1, 8, 8)
    picture.putpixel((3, 3), (200, 30, 30))
    converted().save(tmp_path / "skin.png")
    with refused(r"skin\.png: a colour picture, and the network takes grey ones; save it as grey"):
        knee_mr(8)({"image": str(tmp_path / "skin.png")})


@pytest.mark.parametrize("kind", ["complex64", "RGB"])
def test_values_that_are_not_grey(tmp_path: Path, kind: str) -> None:
    rgb = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    path = write_nifti(tmp_path / "odd.nii", np.zeros((4, 4, 4), rgb if kind == "RGB" else np.dtype(kind)))
    remedy = "colours .*save one grey volume" if kind == "RGB" else r"complex \(complex64\).*save its magnitude"
    with pytest.raises(ValueError, match=rf"odd\.nii: its values are {remedy}"):
        read_grid(path)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("v.nii.gz", b"", "NIfTI"),
        ("v.nii", b"", "NIfTI"),
        ("v.nii.gz", b"text", "NIfTI"),
        ("v.nii", b"text " * 100, "NIfTI"),
        ("v.nii.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\0cut", "NIfTI"),
        ("p.png", b"text", "PNG or JPEG"),
        ("p.jpg", b"", "PNG or JPEG"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: is no {kind}: empty, damaged or misnamed .*; copy it anew"):
        read_grid(str(tmp_path / name))


def test_a_blank_image_where_none_is_wanted(tmp_path: Path) -> None:
    blank = np.zeros((4, 4, 4), np.float32)
    path = write_nifti(tmp_path / "blank.nii", blank)
    with refused(r"blank\.nii: every pixel has the value 0; export"):
        knee_mr(8, refuse_blank=True)({"image": path, "slice": 1})
    assert not knee_mr(8)({"image": path, "slice": 1})["image"].any()
    blank[2, 1, 1] = 5
    path = write_nifti(tmp_path / "edge.nii", blank)
    assert not knee_mr(8, refuse_blank=True)({"image": path, "slice": 1})["image"].any()
