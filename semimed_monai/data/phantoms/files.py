"""Volumes as NIfTI files and as DICOM MR series, radiographs as DICOM CR and as PNG, and a folder that is built once,
whole or not at all.

Looked for: monai.data.NibabelWriter (gzip at level 9 and the time in the header: slow, and other bytes every time),
monai ITKWriter (writes single DICOM slices without patient, study and series), highdicom (segmentations and derived
objects, no plain MR or CR images).
"""

from __future__ import annotations

import gzip
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid


def write_nifti(path: str | Path, array: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write a `.nii.gz`: RAS affine in mm, fastest gzip, no time stamp, so that the same array gives the same bytes.

    Example:
        >>> write_nifti("/tmp/volume.nii.gz", np.zeros((4, 4, 2), np.int16), np.eye(4))
    """
    nifti: Any = nib.Nifti1Image  # nibabel's calls are untyped
    image = nifti(array, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    Path(path).write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))


def write_dicom_series(
    folder: str | Path,
    volume: NDArray[np.int16],
    affine: NDArray[np.float64],
    patient_id: str,
    uid_source: str = "",
) -> list[Path]:
    """Write one MR Image Storage file per slice (last axis) and return them in slice order.

    The geometry is the NIfTI's: the RAS affine's columns, with the first two axes of patient space turned round (LPS).

    Args:
        folder: made if missing; gets 0001.dcm, 0002.dcm, ...
        volume: signal from 0 to 4095, axes (column, row, slice).
        affine: voxel to RAS mm.
        patient_id: also the seed of the UIDs.
        uid_source: what else tells this series from others of the same patient id, for example the set's key.

    Raises:
        ValueError: values outside 12 bits, or slices that run against row × column, which readers would turn round.
    """
    _ensure_12_bits(volume, patient_id)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    if np.linalg.det(lps[:3, :3]) <= 0:
        raise ValueError(f"{patient_id}: slices run against row × column; flip the last axis and its affine column")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    series = _series(lps, patient_id, f"{uid_source}/{patient_id}")
    peak = int(np.percentile(volume, 99.5))
    paths = []
    for index in range(volume.shape[2]):
        image = _image(series, volume[:, :, index].T, lps[:3, 3] + index * lps[:3, 2], index)
        image.WindowCenter, image.WindowWidth = peak / 2, max(peak, 1)
        paths.append(folder / f"{index + 1:04d}.dcm")
        _save(paths[-1], image)
    return paths


@dataclass(frozen=True)
class Projection:
    """What a radiograph shows, and from where, in DICOM's terms.

    Args:
        part: BodyPartExamined.
        view: ViewPosition.
        orientation: to where of the patient rows and columns run.
        side: "L" or "R" where the part is one of a pair, "B" where both of it are shown.
    """

    part: str
    view: str
    orientation: tuple[str, str]
    side: str = ""


FRONTAL_CHEST = Projection("CHEST", "PA", ("L", "F"))


def write_dicom_radiograph(
    path: str | Path,
    image: NDArray[np.uint16],
    spacing: float,
    patient_id: str,
    uid_source: str = "",
    *,
    monochrome1: bool = False,
    projection: Projection = FRONTAL_CHEST,
    number: int = 1,
) -> None:
    """Write a Computed Radiography Image Storage file, of a chest by default, with a window over all of its 12 bits.

    Args:
        path: the file.
        image: rows × columns, 0 to 4095, bones bright.
        spacing: mm of a pixel, on the detector.
        patient_id: also the seed of the UIDs.
        uid_source: what else tells this study from others of the same patient id, for example the set's key.
        monochrome1: store it as many detectors do: 0 is white, and a reader has to exchange black and white.
        projection: what it shows, and from where.
        number: which film of its study it is, from 1; each is a series of its own, as each has a view of its own.

    Raises:
        ValueError: values outside 12 bits.
    """
    _ensure_12_bits(image, patient_id)
    film = _twelve_bits(patient_id, f"{uid_source}/{patient_id}", number)
    film.SOPClassUID = ComputedRadiographyImageStorage
    film.SOPInstanceUID = generate_uid(entropy_srcs=[str(film.SeriesInstanceUID), "1"])
    film.Modality, film.SeriesDescription = "CR", f"{projection.view} synthetic phantom"
    film.BodyPartExamined, film.ViewPosition = projection.part, projection.view
    film.PatientOrientation, film.ImageType = [*projection.orientation], ["ORIGINAL", "PRIMARY"]
    if projection.side == "B":
        film.ImageLaterality = "B"  # a series' Laterality has no word for both
    elif projection.side:
        film.Laterality = projection.side
    film.ImagerPixelSpacing = _decimal(np.array([spacing, spacing]))
    film.InstanceNumber = 1
    film.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    film.WindowCenter, film.WindowWidth = 2048, 4096
    film.Rows, film.Columns = image.shape
    film.PixelData = np.ascontiguousarray(4095 - image if monochrome1 else image, dtype="<u2").tobytes()
    _save(Path(path), film)


def write_png(path: str | Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write a PNG, grey of 8 or 16 bits or in colours, fastest compression (noise does not become smaller with more).

    Example:
        >>> write_png("/tmp/film.png", np.zeros((4, 4), np.uint8))
    """
    Image.fromarray(image).save(path, compress_level=1)


def _ensure_12_bits(image: NDArray[Any], patient_id: str) -> None:
    if image.min() < 0 or image.max() > 4095:
        raise ValueError(f"{patient_id}: a 12-bit image holds 0 to 4095, got {image.min()} to {image.max()}")


def _decimal(values: NDArray[np.float64]) -> list[str]:
    """Decimal strings: DICOM allows 16 characters."""
    return [f"{value:.10f}"[:16] for value in values]


def _twelve_bits(patient_id: str, source: str, number: int = 1) -> Dataset:
    """What images of any modality have: patient, study, series and equipment, and pixels of 12 bits."""
    image = Dataset()
    image.PatientName, image.PatientID = f"Phantom^{patient_id}", patient_id
    image.PatientBirthDate, image.PatientSex = "", ""
    image.StudyInstanceUID = generate_uid(entropy_srcs=[source, "study"])
    image.SeriesInstanceUID = generate_uid(entropy_srcs=[source, "series" if number == 1 else f"series {number}"])
    image.StudyDate, image.StudyTime, image.StudyID = "20000101", "000000", "1"
    image.AccessionNumber, image.ReferringPhysicianName = "", ""
    image.SeriesNumber, image.Manufacturer = number, "SemiMed phantom"
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    return image


def _series(lps: NDArray[np.float64], patient_id: str, source: str) -> Dataset:
    """What all slices of an MR series share, beside that: acquisition and plane."""
    size = np.linalg.norm(lps[:3, :3], axis=0)
    image = _twelve_bits(patient_id, source)
    image.SOPClassUID, image.Modality = MRImageStorage, "MR"
    image.FrameOfReferenceUID = generate_uid(entropy_srcs=[source, "frame of reference"])
    image.PositionReferenceIndicator = ""
    image.SeriesDescription, image.BodyPartExamined = "SAG synthetic phantom", "KNEE"
    image.Laterality = "L" if lps[0, 3] > 0 else "R"
    image.PatientPosition, image.ImageType = "FFS", ["ORIGINAL", "PRIMARY", "OTHER"]
    image.ScanningSequence, image.SequenceVariant, image.ScanOptions = "SE", "SK", ""
    image.MRAcquisitionType, image.MagneticFieldStrength = "2D", "3"
    image.RepetitionTime, image.EchoTime, image.EchoTrainLength = "3000", "30", "7"
    image.ImageOrientationPatient = _decimal(np.concatenate([lps[:3, 0] / size[0], lps[:3, 1] / size[1]]))
    image.PixelSpacing = _decimal(size[[1, 0]])
    image.SliceThickness = image.SpacingBetweenSlices = _decimal(size[[2]])[0]
    return image


def _image(series: Dataset, pixels: NDArray[np.int16], position: NDArray[np.float64], index: int) -> Dataset:
    image = Dataset()
    image.update(series)
    image.SOPInstanceUID = generate_uid(entropy_srcs=[str(series.SeriesInstanceUID), str(index)])
    image.InstanceNumber = index + 1
    image.ImagePositionPatient = _decimal(position)
    image.Rows, image.Columns = pixels.shape
    image.PixelData = np.ascontiguousarray(pixels, dtype="<u2").tobytes()
    return image


def _save(path: Path, image: Dataset) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta = meta
    if int(pydicom.__version__.split(".")[0]) >= 3:
        image.save_as(path, enforce_file_format=True)
    else:  # pydicom 2 does not read the encoding from the transfer syntax
        image.is_little_endian, image.is_implicit_VR = True, False
        image.save_as(path, write_like_original=False)


def build_once(folder: Path, build: Callable[[Path], None], done: Callable[[Path], bool]) -> Path:
    """Return `folder`, built by `build` in a hidden sibling and renamed when complete.

    An interrupted build leaves nothing under the final name; of two builds at once the first to finish counts.

    Args:
        folder: where the result goes.
        build: fills the empty folder it is given.
        done: whether a folder holds the complete result asked for.

    Raises:
        FileExistsError: `folder` holds something else.
    """
    if done(folder):
        return folder
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds something else than the set asked for: name another folder or remove it")
    draft = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}"
    draft.mkdir(parents=True)
    try:
        build(draft)
        try:
            draft.rename(folder)
        except OSError:  # the folder is no longer empty: another process was faster, or it is not ours to replace
            if not done(folder):
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # gone already after the rename
    return folder
