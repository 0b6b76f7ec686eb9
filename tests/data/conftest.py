"""A small dataset of real files and its datalist, ways to spoil it, and what the reader says then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from semimed_monai.data import Datalist, DatalistError, write_datalist

SAGITTAL = np.diag([-0.3, 0.3, 3.0, 1])[[2, 0, 1, 3]]  # the third axis of the array runs from left to right


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SEMIMED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path, volume) -> Path:
    """Twelve PNG persons of two images, a mask for each, a volume with its mask, and their datalist."""
    folder = tmp_path / "set"
    folder.mkdir()
    for n in range(24):
        Image.fromarray(np.full((6, 8), n, dtype=np.uint8)).save(folder / f"{n}.png")
        Image.fromarray(np.full((6, 8), n % 2, dtype=np.uint8)).save(folder / f"{n}m.png")
    volume(folder / "v.nii.gz", np.zeros((6, 5, 4)))
    volume(folder / "vm.nii.gz", np.zeros((6, 5, 4), dtype=np.uint8))
    items = [{"image": f"{n}.png", "label": n // 2 % 3, "mask": f"{n}m.png", "group": f"p{n // 2}"} for n in range(24)]
    knee = [{"image": "v.nii.gz", "slice": n, "label": n, "mask": "vm.nii.gz", "group": "v"} for n in range(3)]
    sections = {"training": items[:18], "validation": items[18:], "test": knee}
    classes = ["normal", "partial", "full"]
    write_datalist(folder, name="set", classes=classes, sections=sections, provenance={"seed": 1})
    return folder


def save_volume(path: Path, values: NDArray[Any], affine: NDArray[np.float64] = SAGITTAL) -> None:
    nib.save(nib.Nifti1Image(values, affine), path)


def save_dicom(path: Path, pixels: NDArray[Any]) -> None:
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


def change_datalist(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Apply a change to the datalist's JSON."""
    file = folder / "datalist.json"
    head = json.loads(file.read_text())
    change(head)
    file.write_text(json.dumps(head))
    return file


def problems_of(path: Path, **settings: Any) -> list[str]:
    with pytest.raises(DatalistError) as caught:
        Datalist(path, **settings)
    assert all(problem in str(caught.value) for problem in caught.value.problems[:50])
    return caught.value.problems


def only_problem_of(path: Path, **settings: Any) -> str:
    (problem,) = problems_of(path, **settings)
    return problem


@pytest.fixture(scope="session")
def volume() -> Callable[..., None]:
    return save_volume


@pytest.fixture(scope="session")
def dicom() -> Callable[..., None]:
    return save_dicom


@pytest.fixture(scope="session")
def changed() -> Callable[..., Path]:
    return change_datalist


@pytest.fixture(scope="session")
def problems() -> Callable[..., list[str]]:
    return problems_of


@pytest.fixture(scope="session")
def only() -> Callable[..., str]:
    return only_problem_of
