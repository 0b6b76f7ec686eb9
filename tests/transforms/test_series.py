"""DICOM series that are no whole stack: each is refused with the file and the remedy, never read around."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from small_files import dicom_plane, write_series

from semimed_monai.data import find_images
from semimed_monai.transforms import read_grid, read_image, slice_items_of

SAGITTAL = np.array([[0.0, 0, 3, 0], [-0.5, 0, 0, 0], [0, -0.5, 0, 0], [0, 0, 0, 1]])


@pytest.fixture
def series(tmp_path: Path, volume: NDArray[np.int16]) -> Path:
    """Slices 0 to 6 in files that are named in another order: 000, 007, 003, 010, 006, 002, 009."""
    return Path(write_series(tmp_path / "knee", volume, SAGITTAL))


def edit(file: Path, **header: Any) -> None:
    data = pydicom.dcmread(file)
    for name, value in header.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.save_as(file)


def cut(share: float) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])


def shifted(file: Path) -> None:
    position = pydicom.dcmread(file).ImagePositionPatient
    edit(file, ImagePositionPatient=[float(position[0]) + 0.5, *position[1:]])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (cut(0), r"knee/003\.dcm: no DICOM image, damaged or cut short, so a slice is missing; copy it anew"),
    "header": (cut(0.05), r"knee/003\.dcm: no DICOM image"),
    "tags": (cut(0.3), r"knee/003\.dcm: no DICOM image"),
    "pixels": (cut(0.97), r"knee/003\.dcm: no DICOM image"),
    "missing": (Path.unlink, r"knee: slices are missing.*: 6 mm between 007\.dcm and 010\.dcm, elsewhere 3 mm"),
    "moved": (shifted, r"knee: slices are missing, or not evenly spaced: 3\.5 mm between .*elsewhere 2\.5 mm"),
    "nowhere": (lambda file: edit(file, ImagePositionPatient=None), r"knee: no ImagePosition.* in 003\.dcm.*export"),
    "size": (lambda file: edit(file, Rows=3), r"knee: files .* differ in Rows \(3 in 003\.dcm, 6 in 000\.dcm\); move"),
    "signed": (lambda file: edit(file, PixelRepresentation=1), r"knee: .*PixelRepresentation .*1 in 003\.dcm"),
    "spacing": (lambda file: edit(file, PixelSpacing=[0.5, 0.7]), r"knee: .*PixelSpacing .*0\.700 in 003\.dcm"),
    "scale": (lambda file: edit(file, RescaleSlope="0.5", RescaleIntercept="-9"), r"knee: .*RescaleSlope.*dcm2niix"),
    "patient": (lambda file: edit(file, PatientID="other"), r"knee: slices of several patients .*other, phantom"),
    "frames": (lambda file: edit(file, NumberOfFrames=2), r"knee/?.*003\.dcm"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_wrong_with_one_file_is_said_of_the_series(series: Path, kind: str) -> None:
    damage, said = DAMAGE[kind]
    damage(series / "003.dcm")
    for read in (read_grid, read_image):
        with pytest.raises(ValueError, match=said):
            read(str(series))
    # In inference it is one image, which fails when it is loaded.
    assert find_images(series.parent) == [str(series)]
    assert [item["slice"] for item in slice_items_of([str(series)])] == [None]


@pytest.mark.parametrize("length", [0, 100, 131, 142, 155, 400, 600, 720, 820])
def test_no_length_of_a_damaged_file_is_read_around(series: Path, length: int) -> None:
    file = series / "003.dcm"
    file.write_bytes(file.read_bytes()[:length])
    assert find_images(series.parent) == [str(series)]
    with pytest.raises(ValueError, match=re.escape(str(file))):
        read_grid(str(series))


@pytest.mark.parametrize("length", [0, 100])
def test_without_endings_a_damaged_file_is_known_by_what_the_others_are(series: Path, length: int) -> None:
    for file in list(series.iterdir()):
        file.rename(series / f"IM{file.stem}")
    (series / "README").write_text("exported by the hospital")
    (series / "list.html").write_bytes(b"")
    (series / ".DS_Store").write_bytes(b"\0\0")
    (series / "DICOMDIR").write_bytes(b"\0\0")
    assert read_grid(str(series)).size[0] == 7
    file = series / "IM003"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"IM003: no DICOM image"):
        read_grid(str(series))


def test_a_report_beside_the_slices_is_none_of_them(series: Path) -> None:
    report = dicom_plane(np.ones((3, 3)))
    for name in ("PixelData", "Rows", "Columns", "BitsAllocated"):
        delattr(report, name)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"  # Basic Text SR
    report.SeriesInstanceUID = generate_uid()
    report.save_as(series / "report.dcm", enforce_file_format=True)
    assert read_grid(str(series)).size[0] == 7


def test_files_without_any_place_are_no_volume(series: Path) -> None:
    for file in series.iterdir():
        edit(file, ImagePositionPatient=None, ImageOrientationPatient=None)
    with pytest.raises(ValueError, match=r"no ImagePositionPatient or .* in 000\.dcm, .* 7 files .*folder of its own"):
        read_grid(str(series))
    for file in sorted(series.iterdir())[1:]:
        file.unlink()
    assert read_grid(str(series)).size[0] == 1  # a lone picture needs no place
    assert read_grid(str(series / "000.dcm")).size[0] == 1


def test_frames_without_a_place_are_no_volume(tmp_path: Path) -> None:
    data = dicom_plane(np.ones((9, 6)))
    data.NumberOfFrames, data.PixelData = 4, data.PixelData * 4
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.3"
    data.save_as(tmp_path / "cine.dcm", enforce_file_format=True)
    with pytest.raises(ValueError, match=r"cine\.dcm: 4 frames without ImagePositionPatient.*give one frame"):
        read_grid(str(tmp_path / "cine.dcm"))


def test_two_images_at_one_position(series: Path) -> None:
    shutil.copy(series / "003.dcm", series / "004.dcm")
    edit(series / "004.dcm", SOPInstanceUID=generate_uid())
    with pytest.raises(ValueError, match=r"several images at one position \(003\.dcm and 004\.dcm: echoes"):
        read_grid(str(series))


def test_slopes_that_differ_are_read_right_where_they_are_fractions(series: Path, volume: NDArray[np.int16]) -> None:
    for file in series.iterdir():
        slope = 0.25 * int(pydicom.dcmread(file).InstanceNumber)
        edit(file, RescaleSlope=str(slope if slope % 1 else 0.125), RescaleIntercept="-1.5")
    planes, grid = read_image(str(series))
    slopes = np.array([0.25, 0.5, 0.75, 0.125, 1.25, 1.5, 1.75])
    np.testing.assert_allclose(planes[:, 0], grid.to_planes(volume * slopes - 1.5), atol=1e-4)


def test_rounded_positions_are_even(series: Path) -> None:
    shift = 0.1
    for file in series.iterdir():
        data = pydicom.dcmread(file)
        edit(file, ImagePositionPatient=[float(data.ImagePositionPatient[0]) + shift, *data.ImagePositionPatient[1:]])
        shift = -shift
    assert read_grid(str(series)).size[0] == 7
