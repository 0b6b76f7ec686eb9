"""Small files with known geometry: NIfTI volumes, the same as DICOM series, lone DICOM planes."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy.spatial.transform import Rotation

OBLIQUE = Rotation.from_euler("xyz", [9, -12, 7], degrees=True).as_matrix()
SPACING = np.diag([0.7, 0.9, 3.0])


def oblique_affines() -> list[NDArray[np.float64]]:
    """All 48 ways to permute and flip the axes, each turned by some degrees and displaced."""
    affines = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = OBLIQUE @ (np.eye(3)[:, list(order)] * signs) @ SPACING
            affine[:3, 3] = (12.5, -30.0, 8.25)
            affines.append(affine)
    return affines


def write_nifti(path: Path, array: NDArray[Any], affine: NDArray[np.float64] | None = None) -> str:
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return str(path)


def dicom_plane(pixels: NDArray[Any], photometric: str = "MONOCHROME2") -> Dataset:
    """A DICOM object from x, y pixels, without a position."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    data.Modality, data.PatientID = "MR", "phantom"
    data.Columns, data.Rows = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, photometric
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.PixelData = np.ascontiguousarray(pixels.T.astype(np.uint16)).tobytes()
    return data


def write_radiograph(path: Path, pixels: NDArray[Any], **header: Any) -> str:
    """Rows x columns as a DICOM CR, which has no place in the patient; `header` says what else stands in it."""
    data = dicom_plane(pixels.T)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    data.StudyInstanceUID, data.SeriesInstanceUID, data.SeriesNumber = generate_uid(), generate_uid(), 4
    data.Modality, data.PatientID, data.PatientName = "CR", "p7", "Muller^Ann"
    data.PatientBirthDate, data.StudyDate, data.StudyTime = "19600102", "20200102", "120000"
    data.AccessionNumber, data.ReferringPhysicianName, data.StudyID = "A7", "", "S7"
    data.PatientSex, data.PatientOrientation, data.ImagerPixelSpacing = "F", ["L", "F"], [0.2, 0.2]
    data.BodyPartExamined, data.ViewPosition, data.Laterality = "CHEST", "PA", ""
    for name, value in header.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return str(path)


def write_series(folder: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> str:
    """x, y, z voxels and their RAS affine as a DICOM series: a file per z, named in no order."""
    folder.mkdir(parents=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    for z in range(array.shape[2]):
        data = dicom_plane(array[:, :, z])
        data.ImageOrientationPatient = [f"{v:.12f}" for v in (lps[:3, :2] / spacing[:2]).T.ravel()]
        data.ImagePositionPatient = [f"{v:.10f}" for v in lps[:3, 3] + z * lps[:3, 2]]
        data.PixelSpacing = [spacing[1], spacing[0]]
        data.SliceThickness, data.InstanceNumber = spacing[2], z + 1
        data.save_as(folder / f"{(z * 7) % 11:03d}.dcm", enforce_file_format=True)
    return str(folder)


def conforms(file: Path) -> None:
    """No error by dciodvfy (Debian's dicom3tools)."""
    if not (tool := shutil.which("dciodvfy")):
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    said = subprocess.run([tool, str(file)], capture_output=True, text=True, check=False).stderr
    assert "Error" not in said, said


@contextmanager
def refused(message: str) -> Iterator[None]:
    """MONAI's Compose wraps what a transform raises: the message stands in the cause."""
    with pytest.raises(RuntimeError, match="applying transform") as raised:
        yield
    assert isinstance(raised.value.__cause__, ValueError)
    assert re.search(message, str(raised.value.__cause__))
