"""The files of a DICOM series in the order of its slices, once they are known to be one whole stack.

Looked for: ITK (GDCM) groups and sorts files, but leaves out a damaged one without a word, spreads the slices around a
missing one evenly, and takes an instance that is there twice for two slices, one of another orientation for a slice
like any other. data_prep asks the same of the series that it finds, and has these checks from here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import itk
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from semimed_monai.vocabulary import DAMAGED_HEADER, DICOM

# Directions are unit vectors: this is about half a degree, above what headers round to.
SAME_DIRECTION = 0.01
_APART = 1e-3  # mm
_GAP = 1.25  # a step that is so many times as long as another one: more than headers round to

# What GDCM tells the series of a folder apart by, beside their UID; then what ITK takes from the first file for all.
_SAME = (
    *("SeriesNumber", "SeriesDate", "SequenceName", "SliceThickness", "Rows", "Columns"),
    *("PixelSpacing", "BitsAllocated", "PixelRepresentation"),
)
SLICE_TAGS = (
    *_SAME,
    *("SOPInstanceUID", "SeriesInstanceUID", "PatientID", "ImageOrientationPatient", "ImagePositionPatient"),
    *("RescaleSlope", "RescaleIntercept", "NumberOfFrames"),
)


@dataclass(frozen=True)
class SliceHeader:
    """What a file says of its place in a stack."""

    file: Path
    uid: str
    series: str
    patient: str
    frames: int
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    rescale: tuple[float, float]
    same: tuple[str, ...]

    @property
    def placed(self) -> bool:
        """Whether it says where in the patient it lies."""
        return len(self.orientation) == 6 and len(self.position) == 3

    @property
    def normal(self) -> NDArray[np.float64]:
        """Across the slice."""
        return np.cross(self.orientation[:3], self.orientation[3:])


H = TypeVar("H", bound=SliceHeader)


def slice_header(file: Path, data: Dataset) -> SliceHeader:
    """From a dataset that was read with `SLICE_TAGS`; what a damaged one raises is among `DAMAGED_HEADER`."""
    return SliceHeader(
        file=file,
        uid=str(data.get("SOPInstanceUID") or ""),
        series=str(data.get("SeriesInstanceUID") or ""),
        patient=str(data.get("PatientID") or "").strip(),
        frames=int(data.get("NumberOfFrames") or 1),
        orientation=tuple(map(float, data.get("ImageOrientationPatient") or ())),
        position=tuple(map(float, data.get("ImagePositionPatient") or ())),
        rescale=(float(data.get("RescaleSlope") or 1), float(data.get("RescaleIntercept") or 0)),
        same=tuple(_said(data, name) for name in _SAME),
    )


def _said(data: Dataset, name: str) -> str:
    if name == "PixelSpacing":  # 0.50 and 0.5 are one
        return " x ".join(f"{float(value):.3f}" for value in data.get(name) or ())
    return str(data.get(name, ""))


def series_files(folder: str) -> list[str]:
    """The files of the one series in a folder, as ITK reads and orders them.

    Example:
        >>> series_files("study/left_knee")  # doctest: +SKIP
        ['study/left_knee/0001.dcm', 'study/left_knee/0002.dcm']

    Raises:
        ValueError: no DICOM file, a damaged one, several series, or one that is no stack of evenly spaced slices.
    """
    headers = _headers(folder)
    if not headers:
        raise ValueError(
            f"{folder}: no DICOM file in this folder, so no slices; give the folder with the series' files"
        )
    # The settings of monai.data.ITKReader, which reads the pixels: the same files in the same order.
    series = itk.GDCMSeriesFileNames.New()
    series.SetUseSeriesDetails(True)
    series.AddSeriesRestriction("0008|0021")
    series.SetDirectory(folder)
    found = [[str(file) for file in series.GetFileNames(uid)] for uid in series.GetSeriesUIDs()]
    read = {Path(file).name for files in found for file in files}
    for header in headers:
        if header.file.name not in read:
            raise _damaged(header.file)
    if len({header.series for header in headers}) == 1 and len(headers) > 1:
        _refuse_duplicates(folder, headers)
        if reason := _no_stack(headers):
            raise ValueError(f"{folder}: {reason}")
    if len(found) != 1:
        raise ValueError(f"{folder}: {len(found)} DICOM series in this folder; give each series a folder of its own")
    return found[0]


def has_place(file: str) -> bool:
    """Whether a DICOM file says where it lies, for itself or, as enhanced ones do, for each of its frames."""
    names = ("ImagePositionPatient", "PerFrameFunctionalGroupsSequence")
    data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(names))
    return any(data.get(name) for name in names)


def _headers(folder: str) -> list[SliceHeader]:
    """Of the images; other files may lie beside them."""
    headers, others = [], []
    for file in sorted(Path(folder).iterdir()):
        if not file.is_file() or file.name == "DICOMDIR":
            continue
        try:
            data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(SLICE_TAGS))
            if not _is_report(data):
                headers.append(slice_header(file, data))
        except (InvalidDicomError, EOFError):
            others.append(file)
        except DAMAGED_HEADER as error:
            raise _damaged(file) from error
    endings = {ending(header.file) for header in headers}
    for file in others:
        if _meant_as_dicom(file, endings):
            raise _damaged(file)
    return headers


def _is_report(data: Dataset) -> bool:
    """Whether it is of a class that holds no image: a report, a presentation state."""
    kind = data.file_meta.get("MediaStorageSOPClassUID")
    return kind is not None and kind.name.endswith("Storage") and "Image" not in kind.name


def _meant_as_dicom(file: Path, endings: set[str]) -> bool:
    """Whether a file without a DICOM header lost it; a README, a hidden file, a list of files never had one."""
    if file.name.startswith("."):
        return False
    with file.open("rb") as opened:
        start = opened.read(132)
    if file.name.lower().endswith(DICOM) or start[128:] == b"DICM":
        return True
    return ending(file) in endings and (not start or b"\0" in start)


def ending(file: Path) -> str:
    """The name's, in small letters; a number, such as the last one of a UID, is none."""
    return "" if file.suffix[1:].isdigit() else file.suffix.lower()


def _damaged(file: Path) -> ValueError:
    return ValueError(
        f"{file}: no DICOM image, damaged or cut short, so a slice is missing; copy it anew, or move it out of the "
        "folder if it is none of the slices"
    )


def _refuse_duplicates(folder: str, headers: Sequence[SliceHeader]) -> None:
    owners: dict[str, str] = {}
    for header in headers:
        instance, name = header.uid or header.file.name, header.file.name
        if (other := owners.setdefault(instance, name)) != name:
            raise ValueError(
                f"{folder}: {other} and {name} are the same instance (SOP Instance UID {instance}); remove one of the "
                "two, or export the series anew if they are different slices"
            )


def _no_stack(headers: Sequence[SliceHeader]) -> str | None:
    """Why files of one series are no volume."""
    if reason := _unplaced(headers) or _not_one_patients_slices(headers) or _orientations(headers):
        return reason
    if reason := told_apart(headers):
        return f"{reason}; move those of each kind into a folder of their own"
    slices = in_order(headers)
    return at_one_place(slices) or uneven(slices) or rescaled_apart(slices)


def _unplaced(headers: Sequence[SliceHeader]) -> str | None:
    files = [header.file.name for header in headers if not header.placed]
    if not files:
        return None
    return (
        f"no ImagePositionPatient or ImageOrientationPatient in {files[0]}, so nobody knows how the {len(headers)} "
        "files lie; export the series with them, or give each file a folder of its own if they are single pictures"
    )


def _not_one_patients_slices(headers: Sequence[SliceHeader]) -> str | None:
    if several := [header.file.name for header in headers if header.frames > 1]:
        return f"several frames in {several[0]}, which is one of several files; convert it to NIfTI with dcm2niix"
    if len(patients := patients_of(headers)) > 1:
        return (
            f"slices of several patients in one series (PatientID {', '.join(patients)}); give those of each a folder "
            "of their own, once it is known whose they are"
        )
    return None


def _orientations(headers: Sequence[SliceHeader]) -> str | None:
    groups: list[list[SliceHeader]] = []
    for header in headers:
        for group in groups:
            if np.allclose(group[0].orientation, header.orientation, atol=SAME_DIRECTION, rtol=0):
                group.append(header)
                break
        else:
            groups.append([header])
    if len(groups) == 1:
        return None
    which = "; ".join(f"{group[0].file.name} and {len(group) - 1} more" for group in groups)
    return (
        f"slices of {len(groups)} orientations in one series ({which}); move those of each orientation "
        "(a localizer, a reformatted view) into a folder of their own"
    )


def patients_of(headers: Sequence[SliceHeader]) -> list[str]:
    """The patients' IDs."""
    return sorted({header.patient for header in headers})


def told_apart(headers: Sequence[SliceHeader]) -> str | None:
    """What makes ITK take the files of one series for several, or one of them for another kind."""
    for name, values in zip(_SAME, zip(*(header.same for header in headers), strict=True), strict=True):
        files: defaultdict[str, list[str]] = defaultdict(list)
        for header, value in zip(headers, values, strict=True):
            files[value].append(header.file.name)
        if len(files) > 1:
            which = ", ".join(f"{value or 'none'} in {files[value][0]}" for value in sorted(files)[:3])
            return f"files of one series differ in {name} ({which})"
    return None


def in_order(headers: Sequence[H]) -> list[H]:
    """Along the first one's normal."""
    return [headers[place] for place in np.argsort(_places(headers), kind="stable")]


def _places(headers: Sequence[SliceHeader]) -> NDArray[np.float64]:
    return np.array([header.position for header in headers]) @ headers[0].normal


def at_one_place(slices: Sequence[SliceHeader]) -> str | None:
    """Which of the slices, in order, lie on each other."""
    if not (close := np.flatnonzero(np.diff(_places(slices)) < _APART)).size:
        return None
    names = " and ".join(header.file.name for header in slices[close[0] : close[0] + 2])
    return f"several images at one position ({names}: echoes, time points?): export each as its own series"


def uneven(slices: Sequence[SliceHeader]) -> str | None:
    """Where the steps between slices, in order, are not all of a length: all would be taken to be."""
    steps = np.diff(_places(slices))
    if len(steps) < 2 or steps.max() <= _GAP * steps.min():
        return None
    wide = int(steps.argmax())
    before, after = (header.file.name for header in slices[wide : wide + 2])
    return (
        f"slices are missing, or not evenly spaced: {steps[wide]:.4g} mm between {before} and {after}, elsewhere "
        f"{steps.min():.4g} mm: copy the series anew, or resample it"
    )


def rescaled_apart(slices: Sequence[SliceHeader]) -> str | None:
    """ITK takes the first slice's type for all: beside one of whole numbers, fractions are cut and negatives wrap."""
    whole = all(number.is_integer() for number in slices[0].rescale)
    if whole and len({header.rescale for header in slices}) > 1:
        return "slices of one series differ in RescaleSlope or RescaleIntercept: convert it with dcm2niix"
    return None
