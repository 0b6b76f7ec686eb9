"""What every DICOM result has: the image that it is of, who made it, its place in the image's study."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from semimed_monai.files import whole
from semimed_monai.transforms.grid import Grid
from semimed_monai.vocabulary import RESULT_MARK

MANUFACTURER = "SemiMed"
# Type 2 in every object of a study: they must stand there, and may be empty. De-identified files often lack some.
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)


@dataclass(frozen=True)
class Author:
    """Which network said it: stands in every DICOM result.

    Args:
        name: of the method.
        weights: digest of the weights; 64 characters at most.
    """

    name: str
    weights: str


class Source:
    """The headers of a DICOM image in the order of its grid's slices, without pixels.

    Args:
        grid: of a DICOM file or series folder.

    Raises:
        ValueError: a file of several frames.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.headers: list[Dataset] = [
            pydicom.dcmread(file, stop_before_pixels=True) for file in grid.files or [grid.path]
        ]
        if len(self.headers) != grid.shape[2] or any(int(h.get("NumberOfFrames") or 1) > 1 for h in self.headers):
            raise ValueError(
                f"{grid.path}: a DICOM file of several frames; DICOM results are written for one file per slice: the "
                "map of this one is in the NIfTI file only"
            )
        for header in self.headers:
            for name in _MAY_BE_EMPTY:
                if name not in header:
                    setattr(header, name, "")

    @property
    def placed(self) -> bool:
        """Whether every file says where in the patient it lies: without that there is nothing to lay a mask on."""
        return self._all_have("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient")

    @property
    def sectional(self) -> bool:
        """Whether every file says how large and how thick its pixels are, too, which a Segmentation repeats.

        A projection has no thickness, also where its detector's place is known.
        """
        return self.placed and self._all_have("PixelSpacing", "SliceThickness")

    def _all_have(self, *names: str) -> bool:
        return all(header.get(name) for header in self.headers for name in names)

    def of_slice(self, index: int) -> list[Dataset]:
        """The files that a slice's pixels come from: one where the scanner cut sagittal planes, otherwise all."""
        cut_so = int(self.grid.axes[2, 0]) == 0
        return [self.headers[index]] if cut_so else self.headers


def new_series(source: Source, number: int) -> dict[str, Any]:
    """What makes a new series of the source's study; its number follows from the source's."""
    return {
        "series_instance_uid": generate_uid(),
        "series_number": 100 * int(source.headers[0].get("SeriesNumber") or 0) + number,
        "sop_instance_uid": generate_uid(),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
    }


def equipment(author: Author) -> dict[str, Any]:
    """What made a result: by the model's name it is known for one of this library."""
    return {
        "manufacturer_model_name": RESULT_MARK,
        "software_versions": f"highdicom {highdicom.__version__}",
        "device_serial_number": hashlib.sha256(author.weights.encode()).hexdigest()[:16],  # must be there
    }


def mark(result: Dataset, author: Author) -> None:
    """The same, where highdicom does not take it."""
    result.ManufacturerModelName, result.SoftwareVersions, result.DeviceSerialNumber = equipment(author).values()


def save_result(result: Dataset, header: Dataset, out: str | Path) -> Path:
    """Write it whole, in its source's character set."""
    if characters := header.get("SpecificCharacterSet"):
        result.SpecificCharacterSet = characters  # the patient's name is written in it
    with whole(out) as part:
        result.save_as(part)
    return Path(out)


@contextmanager
def naming(path: str, kind: str) -> Iterator[None]:
    """What highdicom raises is whatever a header's attribute makes Python raise: say which file it was."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: no DICOM {kind} could be made from its headers ({type(error).__name__}: {error}); repair them, "
            "or use the NIfTI and PNG files, which are written"
        ) from error
