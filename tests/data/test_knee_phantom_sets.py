"""Phantom knees as files: complete sets, cached once, NIfTI and DICOM that readers find equal."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from monai.transforms import LoadImage

from semimed_monai.data.phantoms import (
    KNEE_CLASSES,
    KneeAnatomy,
    cartilage_mask,
    draw_phantoms,
    knee_phantom,
    knee_phantom_set,
    knee_set,
    write_dicom_series,
    write_nifti,
)
from semimed_monai.data.phantoms.__main__ import main

SECTIONS = ("training", "validation", "test")


@pytest.fixture(scope="module")
def nifti_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return knee_phantom_set(tmp_path_factory.mktemp("nifti") / "set", people=14, seed=3)


@pytest.fixture(scope="module")
def dicom_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return knee_phantom_set(tmp_path_factory.mktemp("dicom") / "set", people=8, seed=3, file_format="dicom")


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def datalist(folder: Path, name: str = "datalist") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return content


def test_set_is_complete_and_sections_share_no_person(nifti_set: Path) -> None:
    graded, tissue = datalist(nifti_set), datalist(nifti_set, "segmentation")
    assert graded["format"] == tissue["format"] == "semimed-datalist/1"
    assert graded["classes"] == list(KNEE_CLASSES)
    assert len(tissue["classes"]) == 4
    groups = {name: {item["group"] for item in graded[name]} for name in SECTIONS}
    assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 14
    for name in SECTIONS:
        assert {item["label"] for item in graded[name]} == {0, 1, 2}
        strip = [{key: item[key] for key in ("image", "slice", "group")} for item in graded[name]]
        assert strip == [{key: item[key] for key in ("image", "slice", "group")} for item in tissue[name]]
        assert not any("label" in item for item in tissue[name])
    for item in (item for content in (graded, tissue) for name in SECTIONS for item in content[name]):
        assert (nifti_set / item["image"]).exists()
        assert (nifti_set / item["mask"]).exists()
    person = knee_phantom(3, 5)
    assert np.array_equal(nib.load(nifti_set / "images/p0005.nii.gz").get_fdata(), person.volume)
    assert np.array_equal(nib.load(nifti_set / "anatomy/p0005.nii.gz").get_fdata(), person.labels)
    assert np.array_equal(nib.load(nifti_set / "masks/p0005.nii.gz").get_fdata(), cartilage_mask(person.site, 3))
    labels = {item["slice"]: item["label"] for name in SECTIONS for item in graded[name] if item["group"] == "p0005"}
    assert tuple(labels[k] for k in range(6)) == person.grades


def test_sections_of_a_full_set_are_60_15_25_and_balanced() -> None:
    grades = [knee_phantom(0, index, KneeAnatomy(size=16, spacing=6.0)).grades for index in range(200)]
    sections = knee_set._sections(grades, seed=0)
    assert {name: len(people) for name, people in sections.items()} == {"training": 120, "validation": 30, "test": 50}
    assert sorted(person for people in sections.values() for person in people) == list(range(200))
    for people in sections.values():
        counts = np.bincount([grade for person in people for grade in grades[person]])
        assert np.abs(counts / counts.sum() - 1 / 3).max() < 0.03


def test_mask_is_dilated_in_the_slice_only() -> None:
    site = np.zeros((9, 9, 3), np.uint8)
    site[4, 4, 1] = 1
    mask = cartilage_mask(site, 2)
    assert mask.sum(axis=(0, 1)).tolist() == [0, 13, 0]  # a disc of radius 2 has 13 pixels


def test_nifti_and_dicom_agree(nifti_set: Path, dicom_set: Path) -> None:
    load = LoadImage(image_only=True)
    for name in ("p0000", "p0003"):
        volume, series = load(nifti_set / "images" / f"{name}.nii.gz"), load(dicom_set / "images" / name)
        assert np.array_equal(np.asarray(volume), np.asarray(series))
        assert np.allclose(volume.affine, series.affine, atol=1e-3)
        assert np.allclose(load(dicom_set / "masks" / f"{name}.nii.gz").affine, series.affine, atol=1e-3)


def test_dicom_headers(dicom_set: Path) -> None:
    slices = [pydicom.dcmread(path) for path in sorted((dicom_set / "images" / "p0002").iterdir())]
    person = knee_phantom(3, 2)
    assert [int(image.InstanceNumber) for image in slices] == [1, 2, 3, 4, 5, 6]
    assert len({image.SOPInstanceUID for image in slices}) == 6
    for tag in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert len({image[tag].value for image in slices}) == 1
    other = pydicom.dcmread(next((dicom_set / "images" / "p0003").iterdir()))
    assert other.StudyInstanceUID != slices[0].StudyInstanceUID
    assert other.PatientID == "p0003"
    for k, image in enumerate(slices):
        assert image.SOPClassUID == pydicom.uid.MRImageStorage == image.file_meta.MediaStorageSOPClassUID
        assert image.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID
        assert (image.Modality, image.PhotometricInterpretation) == ("MR", "MONOCHROME2")
        assert (image.BitsAllocated, image.BitsStored, image.PixelRepresentation) == (16, 12, 0)
        assert (image.Rows, image.Columns, image.SliceThickness, image.SpacingBetweenSlices) == (128, 128, 3, 3)
        assert [float(value) for value in image.PixelSpacing] == [0.75, 0.75]
        assert np.array_equal(image.pixel_array, person.volume[..., k].T)
        right, forward, up = person.affine[:3, 3] + k * person.affine[:3, 2]
        assert [float(v) for v in image.ImagePositionPatient] == pytest.approx([-right, -forward, up], abs=1e-6)
        assert np.linalg.norm([float(v) for v in image.ImageOrientationPatient]) == pytest.approx(np.sqrt(2))


def test_dicom_writer_refuses_what_readers_would_turn_round(tmp_path: Path) -> None:
    person = knee_phantom(0, 0)
    with pytest.raises(ValueError, match="someone: slices run against"):
        write_dicom_series(tmp_path, person.volume[..., ::-1], person.affine @ np.diag([1, 1, -1, 1]), "someone")
    with pytest.raises(ValueError, match="0 to 4095"):
        write_dicom_series(tmp_path, person.volume - np.int16(4000), person.affine, "someone")
    assert not list(tmp_path.iterdir())


def test_nifti_bytes_do_not_depend_on_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array, affine = np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.diag([1.0, 2.0, 3.0, 1.0])
    write_nifti(tmp_path / "now.nii.gz", array, affine)
    monkeypatch.setattr(time, "time", lambda: 1e9)
    write_nifti(tmp_path / "then.nii.gz", array, affine)
    assert (tmp_path / "now.nii.gz").read_bytes() == (tmp_path / "then.nii.gz").read_bytes()
    image = nib.load(tmp_path / "now.nii.gz")
    assert np.array_equal(image.get_fdata(), array)
    assert np.allclose(image.affine, affine)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_files_are_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    tiny = KneeAnatomy(size=32, spacing=3.0)
    one = knee_phantom_set(tmp_path / "one", 8, 1, "dicom", anatomy=tiny)
    two = knee_phantom_set(tmp_path / "two", 8, 1, "dicom", anatomy=tiny, workers=2)
    assert digests(one) == digests(two)
    assert len(digests(one)) == 2 + 8 * 8


def test_cache_is_used_and_its_key_holds_version_and_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMIMED_CACHE", str(tmp_path / "cache"))
    tiny = KneeAnatomy(size=32, spacing=3.0)
    first = knee_phantom_set(people=8, anatomy=tiny)
    assert first.parent == tmp_path / "cache"
    assert datalist(first)["provenance"]["seed"] == 0
    stamp = (first / "images" / "p0000.nii.gz").stat().st_mtime_ns
    assert knee_phantom_set(people=8, anatomy=tiny) == first
    assert (first / "images" / "p0000.nii.gz").stat().st_mtime_ns == stamp
    keys = {first.name}
    for parameters in ({"seed": 1}, {"dilation": 4}, {"file_format": "dicom"}, {"people": 9}):
        keys.add(knee_phantom_set(**{"people": 8, "anatomy": tiny, **parameters}).name)  # type: ignore[arg-type]
    keys.add(knee_phantom_set(people=8, anatomy=replace(tiny, bias=0.1)).name)
    monkeypatch.setattr(knee_set, "KNEE_PHANTOM_VERSION", "other")
    keys.add(knee_phantom_set(people=8, anatomy=tiny).name)
    assert len(keys) == 7
    monkeypatch.delenv("SEMIMED_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert knee_phantom_set(people=8, anatomy=tiny).parent == tmp_path / "xdg" / "semimed"


def test_interrupted_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: Path, recipe: object, index: int) -> tuple[int, ...]:
        (folder / "images" / "half.nii.gz").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(knee_set, "_write_person", interrupted)
    with pytest.raises(KeyboardInterrupt):
        knee_phantom_set(tmp_path / "set", people=8)
    assert not list(tmp_path.iterdir())


def test_the_first_of_two_builds_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, write = KneeAnatomy(size=32, spacing=3.0), knee_set._write_person
    folder = tmp_path / "set"

    def overtaken(draft: Path, recipe: Any, index: int) -> tuple[int, ...]:
        if index == 3:
            monkeypatch.setattr(knee_set, "_write_person", write)
            knee_phantom_set(folder, people=8, anatomy=tiny)
            (folder / "first").touch()
        return write(draft, recipe, index)

    monkeypatch.setattr(knee_set, "_write_person", overtaken)
    assert knee_phantom_set(folder, people=8, anatomy=tiny) == folder
    assert (folder / "first").exists()
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="something else"):
        knee_phantom_set(tmp_path, people=8)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"people": 7}, "8 people"), ({"file_format": "png"}, "nifti, dicom"), ({"dilation": -1}, "dilation")],
)
def test_wrong_arguments_are_refused(tmp_path: Path, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        knee_phantom_set(tmp_path / "set", **parameters)


def test_two_hundred_people_take_less_than_a_minute(tmp_path: Path) -> None:
    start = time.process_time()
    knee_phantom_set(tmp_path / "set", people=10)
    assert (time.process_time() - start) * 20 < 60


def test_command_line_draws_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--out", str(tmp_path / "sheet.png"), "--set", str(tmp_path / "set"), "--people", "8", "--format", "dicom"])
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.strip() == str((tmp_path / "set").resolve())
    assert len(list((tmp_path / "set" / "images" / "p0007").iterdir())) == 6
    draw_phantoms(tmp_path / "one.svg", count=1)
    assert "<svg" in (tmp_path / "one.svg").read_text()
    with pytest.raises(SystemExit):
        main([])
