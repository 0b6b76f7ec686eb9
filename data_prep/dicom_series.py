"""DICOM files to series of sagittal slices in the reader's order, from their headers; and why a series is refused.

Slices count along ImagePositionPatient on the normal of ImageOrientationPatient, as in `semimed_monai.transforms.grid`
and ITK, whatever the files' names and instance numbers. Rescaling and MONOCHROME1 are the reader's business.

Looked for: `itk.GDCMSeriesFileNames` groups and sorts a folder too, but says neither what it leaves out nor why, and
reads one folder at a time; highdicom and pydicom have no series.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from data_prep.faults import Fault, first
from semimed_monai.transforms.codecs import has_decoder, without_decoder
from semimed_monai.transforms.grid import Grid
from semimed_monai.transforms.series import (
    SAME_DIRECTION,
    SLICE_TAGS,
    SliceHeader,
    at_one_place,
    in_order,
    patients_of,
    rescaled_apart,
    slice_header,
    told_apart,
    uneven,
)
from semimed_monai.vocabulary import DAMAGED_HEADER, DICOM

_TAGS = (
    *SLICE_TAGS,
    "SeriesDescription",
    "ImageType",
    "InstanceNumber",
    "PhotometricInterpretation",
)
_LOCALISER = re.compile(r"locali[sz]er|scout|survey|(?<![a-z])loc(?![a-z])", re.IGNORECASE)
_READ_BY_ITK = re.compile(r"^(?!High-Throughput)")  # GDCM has no decoder for HTJ2K, whatever Python has
_UID = re.compile(r"^\w[\w.-]*$")  # a folder may be named by it
_DIRECTIONS = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class Header(SliceHeader):
    """What a file says without its pixels."""

    description: str
    number: str
    localiser: bool
    instance: int | None
    size: tuple[int, int]
    photometric: str
    syntax: UID
    spacing: tuple[float, ...]


def read_header(file: Path) -> Header | Fault:
    """A DICOM file's header, or why it cannot be used by itself."""
    try:
        data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
        header = _header(file, data)
    except InvalidDicomError:
        if file.name.lower().endswith(DICOM):
            return Fault("no DICOM header: copy it anew", stops=True, series="")
        return Fault("neither DICOM nor NIfTI")
    except DAMAGED_HEADER as error:
        return Fault(f"damaged header ({type(error).__name__}): copy it anew", stops=True, series="")
    if not (header.uid and _UID.match(header.series)):
        return Fault("no SOPInstanceUID or SeriesInstanceUID", series="")
    if 0 in header.size:
        # Of a file that is cut short the UID may be so, too.
        image = UID(data.file_meta.get("MediaStorageSOPClassUID", "")).name.endswith("Image Storage")
        reason = "no image (a report, a presentation state or the like; or cut short)"
        return Fault(reason, series="" if image else header.series)
    fault = _undecodable(header.syntax)
    return header if fault is None else fault._replace(series=header.series)


def series_of(headers: Iterable[Header]) -> dict[str, list[Header]]:
    """The files of each series, by its UID, wherever they lie."""
    found: defaultdict[str, list[Header]] = defaultdict(list)
    for header in headers:
        found[header.series].append(header)
    return dict(sorted(found.items()))


def ordered(headers: Sequence[Header]) -> list[Header] | Fault:
    """The slices of one series in the reader's order, or why it cannot be used."""
    if fault := _no_volume(headers) or _mixed(headers):
        return fault
    if reason := told_apart(headers):
        return Fault(reason)
    if twice := repeated(headers):
        return duplicate(twice[0])
    slices = in_order(headers)
    if reason := at_one_place(slices):
        return Fault(reason)
    if not _is_sagittal(slices):
        return Fault(f"not sagittal ({_direction(headers[0])})")
    reason = uneven(slices) or rescaled_apart(slices)
    return Fault(reason) if reason else slices


def runs_against_instances(slices: Sequence[Header]) -> bool:
    """Whether instance numbers order the slices otherwise: who counted by them counted other slices."""
    numbers = [header.instance for header in slices if header.instance is not None]
    return len(numbers) == len(slices) and numbers != sorted(numbers)


def repeated(headers: Iterable[Header]) -> list[list[Header]]:
    """The files that have the same SOP instance UID, together."""
    files: defaultdict[str, list[Header]] = defaultdict(list)
    for header in headers:
        files[header.uid].append(header)
    return [same for same in files.values() if len(same) > 1]


def duplicate(same: Sequence[Header]) -> Fault:
    """What to say about them."""
    names = " and ".join(sorted("/".join(header.file.parts[-2:]) for header in same))
    return Fault(f"duplicate SOP instance UID {same[0].uid} ({names}): remove the copy", stops=True)


def _header(file: Path, data: Any) -> Header:
    number = data.get("InstanceNumber")
    description = str(data.get("SeriesDescription") or "")
    image_type = data.get("ImageType") or ()
    return Header(
        **vars(slice_header(file, data)),
        description=description.strip(),
        number=str(data.get("SeriesNumber") or ""),
        localiser="LOCALIZER" in image_type or bool(_LOCALISER.search(description)),
        instance=None if number is None else int(number),
        size=(int(data.get("Rows") or 0), int(data.get("Columns") or 0)),
        photometric=str(data.get("PhotometricInterpretation") or ""),
        syntax=UID(data.file_meta.TransferSyntaxUID),
        spacing=tuple(map(float, data.get("PixelSpacing") or (1, 1))),
    )


def _undecodable(syntax: UID) -> Fault | None:
    if not syntax.is_compressed or syntax.is_deflated or (has_decoder(syntax) and _READ_BY_ITK.match(syntax.name)):
        return None
    return Fault(without_decoder(syntax))


def _no_volume(headers: Sequence[Header]) -> Fault | None:
    """What makes these files something else than a grey volume with a place in the patient."""
    colours = {header.photometric for header in headers} - {"MONOCHROME1", "MONOCHROME2"}
    patients = patients_of(headers)
    return first(
        [
            (any(header.localiser for header in headers), Fault("localiser")),
            (bool(colours), Fault(f"not grey ({', '.join(sorted(colours)) or 'no PhotometricInterpretation'})")),
            (
                any(header.frames > 1 for header in headers),
                Fault("several frames in one file (enhanced DICOM): convert it to NIfTI with dcm2niix"),
            ),
            (
                not all(header.placed for header in headers),
                Fault("no ImagePositionPatient or ImageOrientationPatient"),
            ),
            (
                len(patients) > 1,
                Fault(f"one SeriesInstanceUID for several patients ({', '.join(patients)})", stops=True),
            ),
        ]
    )


def _mixed(headers: Sequence[Header]) -> Fault | None:
    orientations = np.array([header.orientation for header in headers])
    if np.abs(orientations - orientations[0]).max() <= SAME_DIRECTION:
        return None
    views = sorted({_direction(header) for header in headers})
    return Fault(f"mixed orientations inside one series ({', '.join(views)}): export each as its own", stops=True)


def _is_sagittal(slices: Sequence[Header]) -> bool:
    """Whether the reader, which cuts along the axis nearest left-right, gets these very slices."""
    start, end = slices[0], slices[-1]
    row_step, column_step = start.spacing[:2]
    step = np.subtract(end.position, start.position) / max(len(slices) - 1, 1)
    lps = np.eye(4)
    lps[:3, 0] = np.multiply(start.orientation[:3], column_step)
    lps[:3, 1] = np.multiply(start.orientation[3:], row_step)
    lps[:3, 2] = step if len(slices) > 1 else start.normal
    rows, columns = start.size
    grid = Grid(str(start.file), (columns, rows, max(len(slices), 2)), np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps)
    return int(grid.axes[2, 0]) == 0


def _direction(header: Header) -> str:
    return _DIRECTIONS[int(np.argmax(np.abs(header.normal)))]
