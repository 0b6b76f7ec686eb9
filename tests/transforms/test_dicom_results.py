"""DICOM Segmentations and Secondary Captures, read back with pydicom, highdicom and dciodvfy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from small_files import conforms, dicom_plane, oblique_affines, write_series

from semimed_monai.data.phantoms import knee_phantom, write_dicom_series
from semimed_monai.transforms import Author, Grid, Source, read_grid, write_captures, write_segmentation

AFFINES = oblique_affines()
NAMES = ["normal", "partial", "full"]
AUTHOR = Author("DC-MT", "5" * 64)
FRAME = "1.2.3.99"


def scanned(folder: Path, volume: NDArray[Any], affine: NDArray[np.float64], **header: Any) -> str:
    """A series with what a scanner's files have beside their pixels."""
    write_series(folder, volume, affine)
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        data.FrameOfReferenceUID, data.PositionReferenceIndicator = FRAME, ""
        data.PatientName, data.PatientBirthDate, data.SeriesNumber = "Muller^Ann", "19600102", 4
        for name, value in header.items():
            setattr(data, name, value)
        data.save_as(file)
    return str(folder)


def segmented(grid: Grid, voxels: list[tuple[int, int, int]], grades: list[int], out: Path) -> Any:
    attention = np.zeros(grid.shape, bool)
    for voxel in voxels:
        attention[voxel] = True
    write_segmentation(Source(grid), out, attention, grades, NAMES, AUTHOR)
    return highdicom.seg.segread(out)


@pytest.mark.parametrize("affine", AFFINES[::6])
def test_a_voxel_lies_in_the_segmentation_where_it_lies_in_the_patient(
    tmp_path: Path, affine: NDArray[np.float64], volume: NDArray[np.int16]
) -> None:
    grid = read_grid(scanned(tmp_path / "s", volume, affine))
    voxel = (3, 1, 2)
    seg = segmented(grid, [voxel], [2] * grid.size[0], tmp_path / "seg.dcm")
    assert seg.NumberOfFrames == 1
    frame = seg.PerFrameFunctionalGroupsSequence[0]
    (row,), (column,) = np.nonzero(seg.pixel_array)
    # By DICOM's own rule, from what stands in the file.
    shared = seg.SharedFunctionalGroupsSequence[0]
    direction = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    down, across = (float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing)
    position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
    lps = position + column * across * direction[0] + row * down * direction[1]
    np.testing.assert_allclose([-1, -1, 1] * lps, (grid.affine @ [*voxel, 1])[:3], atol=1e-3)
    # And on the one file whose pixels those are.
    derived = frame.DerivationImageSequence[0].SourceImageSequence
    files = {data.SOPInstanceUID: data for data in map(pydicom.dcmread, (tmp_path / "s").iterdir())}
    (reference,) = derived
    assert np.allclose(files[reference.ReferencedSOPInstanceUID].ImagePositionPatient, position, atol=1e-4)


def test_a_segment_holds_the_slices_of_its_grade(tmp_path: Path, volume: NDArray[np.int16]) -> None:
    affine = np.array([[0.0, 0, 3, 0], [-0.5, 0, 0, 0], [0, -0.5, 0, 0], [0, 0, 0, 1]])  # sagittal planes
    grid = read_grid(scanned(tmp_path / "s", volume, affine))
    assert grid.size[0] == 7
    voxels = [(1, 1, 0), (2, 3, 1), (4, 5, 6)]
    seg = segmented(grid, voxels, [0, 2, -1, -1, -1, -1, 2], tmp_path / "seg.dcm")
    assert [seg.get_segment_description(n).segment_label for n in (1, 2, 3)] == [f"attention: {name}" for name in NAMES]
    instances = [header.SOPInstanceUID for header in Source(grid).headers]
    found = seg.get_pixels_by_source_instance(instances, ignore_spatial_locations=False)
    assert {(int(s), int(c), int(z), int(k)) for z, s, c, k in np.argwhere(found)} == {
        (1, 1, 0, 0),
        (3, 2, 1, 2),
        (5, 4, 6, 2),
    }


def test_nothing_attended_is_a_segmentation_too(tmp_path: Path, volume: NDArray[np.int16]) -> None:
    grid = read_grid(scanned(tmp_path / "s", volume, AFFINES[0]))
    seg = segmented(grid, [], [1] * grid.size[0], tmp_path / "seg.dcm")
    assert not seg.pixel_array.any()


def test_patient_study_space_and_sources_are_kept(tmp_path: Path, volume: NDArray[np.int16]) -> None:
    header = {"PatientName": "Müller^Änne", "SpecificCharacterSet": "ISO_IR 192", "StudyInstanceUID": generate_uid()}
    grid = read_grid(scanned(tmp_path / "s", volume, AFFINES[7], **header))
    segmented(grid, [(1, 1, 1)], [1] * grid.size[0], tmp_path / "seg.dcm")
    pictures = {2: np.zeros((20, 30, 3), np.uint8)}
    (tmp_path / "captures").mkdir()
    write_captures(Source(grid), tmp_path / "captures", pictures, AUTHOR)
    files = [pydicom.dcmread(file) for file in (tmp_path / "s").iterdir()]
    everyone = {file.SOPInstanceUID for file in files}
    for written in ("seg.dcm", "captures/002.dcm"):
        result = pydicom.dcmread(tmp_path / written)
        for name in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "FrameOfReferenceUID"):
            assert result[name].value == files[0][name].value, name
        assert str(result.PatientName) == "Müller^Änne"
        assert result.SeriesInstanceUID != files[0].SeriesInstanceUID
        (series,) = result.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == files[0].SeriesInstanceUID
        assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} <= everyone
    assert result.SourceImageSequence


def test_captures_are_the_pictures_in_millimetres(tmp_path: Path, volume: NDArray[np.int16]) -> None:
    affine = np.array([[0.0, 0, 3, 0], [-0.5, 0, 0, 0], [0, -0.7, 0, 0], [0, 0, 0, 1]])
    grid = read_grid(scanned(tmp_path / "s", volume, affine))
    _, rows, columns = grid.size
    random = np.random.default_rng(0)
    pictures = {z: random.integers(0, 255, (2 * rows, 2 * columns, 3)).astype(np.uint8) for z in (1, 4)}
    (tmp_path / "captures").mkdir()
    source = Source(grid)
    write_captures(source, tmp_path / "captures", pictures, AUTHOR)
    found = {z: pydicom.dcmread(tmp_path / "captures" / f"{z:03d}.dcm") for z in pictures}
    for z, capture in found.items():
        np.testing.assert_array_equal(capture.pixel_array, pictures[z])
        assert [float(value) for value in capture.PixelSpacing] == pytest.approx([0.35, 0.25])
        assert list(capture.PatientOrientation) == ["P", "F"]
        (shown,) = capture.SourceImageSequence
        assert shown.ReferencedSOPInstanceUID == source.headers[z].SOPInstanceUID
    assert found[1].SeriesInstanceUID == found[4].SeriesInstanceUID
    assert [found[z].InstanceNumber for z in (1, 4)] == [1, 2]


def test_axial_files_are_all_sources_of_a_sagittal_slice(tmp_path: Path, volume: NDArray[np.int16]) -> None:
    grid = read_grid(scanned(tmp_path / "s", volume, np.diag([-1.0, -1, 1, 1])))
    assert len(Source(grid).of_slice(0)) == volume.shape[2]


def test_the_validator_finds_no_error(tmp_path: Path) -> None:
    knee = knee_phantom(seed=0, index=3)
    write_dicom_series(tmp_path / "s", knee.volume, knee.affine, "p3")
    grid = read_grid(str(tmp_path / "s"))
    segmented(grid, [(60, 60, 3)], [1] * grid.size[0], tmp_path / "seg.dcm")
    (tmp_path / "captures").mkdir()
    write_captures(Source(grid), tmp_path / "captures", {0: np.zeros((128, 128, 3), np.uint8)}, AUTHOR)
    conforms(tmp_path / "seg.dcm")
    conforms(tmp_path / "captures" / "000.dcm")


def test_files_without_a_place_or_with_several_frames(tmp_path: Path) -> None:
    dicom_plane(np.ones((9, 6))).save_as(tmp_path / "chest.dcm", enforce_file_format=True)
    chest = Source(read_grid(str(tmp_path / "chest.dcm")))
    assert not chest.placed
    (tmp_path / "captures").mkdir()
    write_captures(chest, tmp_path / "captures", {0: np.zeros((6, 9, 3), np.uint8)}, AUTHOR)
    capture = pydicom.dcmread(tmp_path / "captures" / "000.dcm")
    assert "FrameOfReferenceUID" not in capture
    assert not capture.PatientOrientation
    data = dicom_plane(np.ones((9, 6)))
    data.NumberOfFrames, data.PixelData = 2, data.PixelData * 2
    data.save_as(tmp_path / "cine.dcm", enforce_file_format=True)
    with pytest.raises(ValueError, match=r"cine\.dcm: a DICOM file of several frames"):
        Source(Grid(str(tmp_path / "cine.dcm"), (9, 6, 2), np.eye(4)))


def test_a_header_that_cannot_be_used_is_named(tmp_path: Path, volume: NDArray[np.int16]) -> None:
    grid = read_grid(scanned(tmp_path / "s", volume, AFFINES[0], PatientSex="X"))
    with pytest.raises(ValueError, match=r"/s: no DICOM Segmentation could be made from its headers \(.*X.*use"):
        segmented(grid, [(1, 1, 1)], [1] * grid.size[0], tmp_path / "seg.dcm")
    assert not list(tmp_path.glob("*seg*"))
