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
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from data_prep.faults import Fault, first
from semimed_monai.data.find import DICOM
from semimed_monai.transforms.grid import Grid
from semimed_monai.transforms.series import SAME_DIRECTION

# What GDCM tells the series of a folder apart by, beside their UID: the reader takes files that differ in it apart.
_SAME = ("SeriesNumber", "SeriesDate", "SequenceName", "SliceThickness", "Rows", "Columns")
_TAGS = (
    *_SAME,
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "PatientID",
    "ImageType",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "InstanceNumber",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
)
_LOCALISER = re.compile(r"locali[sz]er|scout|survey|(?<![a-z])loc(?![a-z])", re.IGNORECASE)
_READ_BY_ITK = re.compile(r"^(?!High-Throughput)")  # GDCM has no decoder for HTJ2K, whatever Python has
_UID = re.compile(r"^\w[\w.-]*$")  # a folder may be named by it
_APART = 1e-3  # mm
_GAP = 1.5  # a step that is so many times as long as another one: without the slice between, all others' numbers shift
_DIRECTIONS = ("sagittal", "coronal", "axial")


class Header(NamedTuple):
    """What a file says without its pixels."""

    file: Path
    uid: str
    series: str
    patient: str
    description: str
    number: str
    localiser: bool
    instance: int | None
    frames: int
    size: tuple[int, int]
    photometric: str
    syntax: UID
    spacing: tuple[float, ...]
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    rescale: tuple[float, float]
    same: tuple[str, ...]


def read_header(file: Path) -> Header | Fault:
    """A DICOM file's header, or why it cannot be used by itself."""
    try:
        data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
        header = _header(file, data)
    except InvalidDicomError:
        meant = file.name.lower().endswith(DICOM)
        return Fault("no DICOM header: copy it anew", stops=True) if meant else Fault("neither DICOM nor NIfTI")
    # What pydicom raises over damaged headers, here or where a value is converted.
    except (OSError, EOFError, ValueError, TypeError, AttributeError, KeyError, NotImplementedError) as error:
        return Fault(f"damaged header ({type(error).__name__}): copy it anew", stops=True)
    if not (header.uid and _UID.match(header.series)):
        return Fault("no SOPInstanceUID or SeriesInstanceUID")
    if 0 in header.size:
        return Fault("no image (a report, a presentation state or the like)")
    return _undecodable(header.syntax) or header


def series_of(headers: Iterable[Header]) -> dict[str, list[Header]]:
    """The files of each series, by its UID, wherever they lie."""
    found: defaultdict[str, list[Header]] = defaultdict(list)
    for header in headers:
        found[header.series].append(header)
    return dict(sorted(found.items()))


def ordered(headers: Sequence[Header]) -> list[Header] | Fault:
    """The slices of one series in the reader's order, or why it cannot be used."""
    fault = _no_volume(headers) or _mixed(headers) or _told_apart(headers)
    if fault:
        return fault
    if twice := repeated(headers):
        return duplicate(twice[0])
    places = np.array([header.position for header in headers]) @ _normal(headers[0])
    order = np.argsort(places, kind="stable")
    slices = [headers[place] for place in order]
    steps = np.diff(places[order])
    if (close := np.flatnonzero(steps < _APART)).size:
        names = " and ".join(header.file.name for header in slices[close[0] : close[0] + 2])
        return Fault(f"several images at one position ({names}: echoes, time points?): export each as its own series")
    # ITK takes the first slice's type for all: beside one of whole numbers, fractions are cut and negatives wrap.
    whole = all(number.is_integer() for number in slices[0].rescale)
    fault = first(
        [
            (not _is_sagittal(slices), Fault(f"not sagittal ({_direction(headers[0])})")),
            (
                len(steps) > 1 and steps.max() > _GAP * steps.min(),
                Fault("slices are missing between others: copy anew"),
            ),
            (
                whole and len({header.rescale for header in slices}) > 1,
                Fault("slices of one series differ in RescaleSlope or RescaleIntercept: convert it with dcm2niix"),
            ),
        ]
    )
    return fault or slices


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
    numbers = {name: tuple(map(float, data.get(name) or ())) for name in _TAGS if name.endswith(("Patient", "Spacing"))}
    number = data.get("InstanceNumber")
    description = str(data.get("SeriesDescription") or "")
    image_type = data.get("ImageType") or ()
    return Header(
        file=file,
        uid=str(data.get("SOPInstanceUID") or ""),
        series=str(data.get("SeriesInstanceUID") or ""),
        patient=str(data.get("PatientID") or "").strip(),
        description=description.strip(),
        number=str(data.get("SeriesNumber") or ""),
        localiser="LOCALIZER" in image_type or bool(_LOCALISER.search(description)),
        instance=None if number is None else int(number),
        frames=int(data.get("NumberOfFrames") or 1),
        size=(int(data.get("Rows") or 0), int(data.get("Columns") or 0)),
        photometric=str(data.get("PhotometricInterpretation") or ""),
        syntax=UID(data.file_meta.TransferSyntaxUID),
        spacing=numbers["PixelSpacing"] or (1.0, 1.0),
        orientation=numbers["ImageOrientationPatient"],
        position=numbers["ImagePositionPatient"],
        rescale=(float(data.get("RescaleSlope") or 1), float(data.get("RescaleIntercept") or 0)),
        same=tuple(str(data.get(name, "")) for name in _SAME),
    )


def _undecodable(syntax: UID) -> Fault | None:
    if not syntax.is_compressed or syntax.is_deflated or (_decoder(syntax) and _READ_BY_ITK.match(syntax.name)):
        return None
    return Fault(
        f"compressed as {syntax.name} ({syntax}), for which no decoder is installed: pip install python-gdcm, or "
        "decompress the files (gdcmconv --raw IN OUT)"
    )


def _decoder(syntax: UID) -> bool:
    """Whether pydicom, which checks the files of a datalist, can decode it."""
    if int(pydicom.__version__.split(".")[0]) >= 3:
        from pydicom.pixels.decoders.base import get_decoder  # noqa: PLC0415 - pydicom 2 does not have it

        try:
            return get_decoder(syntax).is_available
        except NotImplementedError:  # films, and what pydicom has never heard of
            return False
    handlers: list[Any] = pydicom.config.pixel_data_handlers
    return any(handler.is_available() and handler.supports_transfer_syntax(syntax) for handler in handlers)


def _no_volume(headers: Sequence[Header]) -> Fault | None:
    """What makes these files something else than a grey volume with a place in the patient."""
    colours = {header.photometric for header in headers} - {"MONOCHROME1", "MONOCHROME2"}
    patients = sorted({header.patient for header in headers})
    return first(
        [
            (any(header.localiser for header in headers), Fault("localiser")),
            (bool(colours), Fault(f"not grey ({', '.join(sorted(colours)) or 'no PhotometricInterpretation'})")),
            (
                any(header.frames > 1 for header in headers),
                Fault("several frames in one file (enhanced DICOM): convert it to NIfTI with dcm2niix"),
            ),
            (
                any(len(header.orientation) != 6 or len(header.position) != 3 for header in headers),
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


def _told_apart(headers: Sequence[Header]) -> Fault | None:
    """What makes the reader take the files of one series for several."""
    for name, values in zip(_SAME, zip(*(header.same for header in headers), strict=True), strict=True):
        if len({*values}) > 1:
            return Fault(f"files of one series differ in {name} ({', '.join(sorted({*values})[:3])})")
    return None


def _normal(header: Header) -> NDArray[np.float64]:
    return np.cross(header.orientation[:3], header.orientation[3:])


def _is_sagittal(slices: Sequence[Header]) -> bool:
    """Whether the reader, which cuts along the axis nearest left-right, gets these very slices."""
    start, end = slices[0], slices[-1]
    row_step, column_step = start.spacing[:2]
    step = np.subtract(end.position, start.position) / max(len(slices) - 1, 1)
    lps = np.eye(4)
    lps[:3, 0] = np.multiply(start.orientation[:3], column_step)
    lps[:3, 1] = np.multiply(start.orientation[3:], row_step)
    lps[:3, 2] = step if len(slices) > 1 else _normal(start)
    rows, columns = start.size
    grid = Grid(str(start.file), (columns, rows, max(len(slices), 2)), np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps)
    return int(grid.axes[2, 0]) == 0


def _direction(header: Header) -> str:
    return _DIRECTIONS[int(np.argmax(np.abs(_normal(header))))]
