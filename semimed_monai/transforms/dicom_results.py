"""What a network found on a DICOM image, as DICOM: a Segmentation, and Secondary Captures of the overlays.

Both are new series in the source's study, of its patient, and name the instances that they are derived from. highdicom
builds the objects; by hand here is what it leaves out of Secondary Captures (their references, the frame of reference).
Looked for: monai's ITKWriter knows neither object; pydicom-seg is no longer maintained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom
import nibabel as nib
import numpy as np
import pydicom
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from semimed_monai.files import whole
from semimed_monai.transforms.grid import Grid
from semimed_monai.transforms.series import series_files
from semimed_monai.vocabulary import RESULT_MARK

MANUFACTURER = "SemiMed"
# Type 2 in every object of a study: they must stand there, and may be empty. De-identified files often lack some.
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_WHOLE_IMAGE = Code("111030", "DCM", "Image Region")
_DIRECTIONS = {"R": "R", "L": "L", "A": "A", "P": "P", "S": "H", "I": "F"}


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
        folder = Path(grid.path).is_dir()
        files = series_files(grid.path) if folder else [grid.path]
        self.headers: list[Dataset] = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
        if len(self.headers) != grid.shape[2] or any(int(h.get("NumberOfFrames") or 1) > 1 for h in self.headers):
            raise ValueError(
                f"{grid.path}: a DICOM file of several frames; DICOM results are written for one file per slice: the "
                "attention of this one is in the NIfTI file only"
            )
        for header in self.headers:
            for name in _MAY_BE_EMPTY:
                if name not in header:
                    setattr(header, name, "")

    @property
    def placed(self) -> bool:
        """Whether every file says where in the patient it lies: without that there is nothing to lay a mask on."""
        wanted = ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient")
        return all(header.get(name) for header in self.headers for name in wanted)

    def of_slice(self, index: int) -> list[Dataset]:
        """The files that a slice's pixels come from: one where the scanner cut sagittal planes, otherwise all."""
        cut_so = int(self.grid.axes[2, 0]) == 0
        return [self.headers[index]] if cut_so else self.headers


def write_segmentation(
    source: Source,
    out: str | Path,
    attention: NDArray[Any],
    grades: Sequence[int],
    names: Sequence[str],
    author: Author,
) -> Path:
    """Attention as a binary DICOM Segmentation: a segment per grade, and in it the slices that were given the grade.

    Binary, as viewers show such everywhere; the values between 0 and 1 are in the NIfTI file.

    Args:
        source: what was graded; its files must be `placed`.
        out: the file.
        attention: in the source's stored axes, true where the network attended.
        grades: of each slice, in order; -1 leaves a slice out.
        names: of the grades.
        author: see there.

    Raises:
        ValueError: a header lacks what the object needs; nothing was written.
    """
    grid = source.grid
    numbers = grid.to_stored(np.broadcast_to(np.asarray(grades)[:, None, None] + 1, grid.size))
    labels = np.where(attention, numbers, 0).astype(np.uint8).reshape(grid.shape)
    with _named(grid.path, "Segmentation"):
        algorithm = highdicom.AlgorithmIdentificationSequence(
            name=author.name, version=author.weights, family=codes.cid7162.ArtificialIntelligence
        )
        segments = [
            SegmentDescription(
                segment_number=number,
                segment_label=f"attention: {name}"[:64],
                segmented_property_category=codes.SCT.SpatialAndRelationalConcept,
                segmented_property_type=_WHOLE_IMAGE,
                algorithm_type="AUTOMATIC",
                algorithm_identification=algorithm,
            )
            for number, name in enumerate(names, start=1)
        ]
        result = Segmentation(
            source_images=source.headers,
            pixel_array=np.ascontiguousarray(labels.transpose(2, 1, 0)),  # frames x rows x columns
            segmentation_type="BINARY",
            segment_descriptions=segments,
            series_description=f"Attention of {author.name}"[:64],
            content_description="Where the network looked for its grade, above the threshold",
            content_label="ATTENTION",
            **_of_series(source, 1),
            manufacturer_model_name=RESULT_MARK,
            software_versions=f"highdicom {highdicom.__version__}",
            device_serial_number=_serial(author),
        )
        return _saved(result, source.headers[0], out)


def write_captures(source: Source, folder: str | Path, pictures: dict[int, NDArray[np.uint8]], author: Author) -> None:
    """RGB pictures of slices as Secondary Captures, a file each, in one series.

    Args:
        source: what was graded.
        folder: it is there; gets 000.dcm, 001.dcm, …, named by slice.
        pictures: by slice.
        author: see there.

    Raises:
        ValueError: a header lacks what the object needs.
    """
    shared = _of_series(source, 2)
    _, rows, columns = source.grid.size
    across = _spacing(source.grid)
    for number, (index, picture) in enumerate(sorted(pictures.items()), start=1):
        origin = source.of_slice(index)
        with _named(source.grid.path, "Secondary Capture"):
            result = highdicom.sc.SCImage.from_ref_dataset(
                ref_dataset=origin[0],
                pixel_array=picture,
                photometric_interpretation="RGB",
                bits_allocated=8,
                coordinate_system="PATIENT",
                patient_orientation=("L", "F"),  # highdicom wants one; the right one, which may be none, follows
                transfer_syntax_uid=ExplicitVRLittleEndian,
                series_description=f"Overlays of {author.name}"[:64],
                **{**shared, "sop_instance_uid": generate_uid(), "instance_number": number},
            )
            result.PatientOrientation = _orientation(source)
            result.Laterality = origin[0].get("Laterality") or ""
            result.BodyPartExamined = origin[0].get("BodyPartExamined") or ""
            if across is not None:
                result.PixelSpacing = [
                    f"{spacing * n / shown:.10f}"[:16]
                    for spacing, n, shown in zip(across, (rows, columns), picture.shape, strict=False)
                ]
            result.ManufacturerModelName = RESULT_MARK
            result.SoftwareVersions, result.DeviceSerialNumber = f"highdicom {highdicom.__version__}", _serial(author)
            result.BurnedInAnnotation = "NO"  # a grade, which tells nobody's name
            result.DerivationDescription = f"Attention outline and grade by {author.name}, weights {author.weights}"
            _refer(result, origin)
            _saved(result, origin[0], Path(folder) / f"{index:03d}.dcm")


def _refer(result: Dataset, origin: Sequence[Dataset]) -> None:
    """Name the instances that a capture shows, and their space."""
    instances = []
    for header in origin:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        instances.append(item)
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = origin[0].SeriesInstanceUID, instances
    result.SourceImageSequence, result.ReferencedSeriesSequence = instances, [series]
    if frame := origin[0].get("FrameOfReferenceUID"):
        result.FrameOfReferenceUID = frame
        result.PositionReferenceIndicator = origin[0].get("PositionReferenceIndicator") or ""
    for name in _LOSSY:  # what is derived from a picture that lost something has lost it too
        if name in origin[0]:
            setattr(result, name, origin[0][name].value)


def _of_series(source: Source, number: int) -> dict[str, Any]:
    """What makes a new series of the source's study; its number follows from the source's."""
    return {
        "series_instance_uid": generate_uid(),
        "series_number": 100 * int(source.headers[0].get("SeriesNumber") or 0) + number,
        "sop_instance_uid": generate_uid(),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
    }


def _spacing(grid: Grid) -> tuple[float, float] | None:
    """Millimetres between rows and between columns of a slice as it is shown."""
    order = np.argsort(grid.axes[:, 0])
    return None if grid.affine is None else (float(grid.spacing[order[1]]), float(grid.spacing[order[2]]))


def _orientation(source: Source) -> list[str]:
    """Where a shown slice's rows and columns lead; nothing where the file does not say."""
    grid = source.grid
    if not source.headers[0].get("ImageOrientationPatient"):
        return list(source.headers[0].get("PatientOrientation") or [])
    letters: Any = nib.orientations.aff2axcodes(grid.affine)  # type: ignore[no-untyped-call]
    shown = {int(axis): (letter, flip) for letter, (axis, flip) in zip(letters, grid.axes, strict=True)}
    opposite = dict(zip("RLAPSI", "LRPAIS", strict=True))
    turned = {axis: letter if flip > 0 else opposite[letter] for axis, (letter, flip) in shown.items()}
    return [_DIRECTIONS[turned[2]], _DIRECTIONS[turned[1]]]


def _serial(author: Author) -> str:
    """A device's serial number must be there; for a network it is its weights'."""
    return hashlib.sha256(author.weights.encode()).hexdigest()[:16]


def _saved(result: Dataset, header: Dataset, out: str | Path) -> Path:
    if characters := header.get("SpecificCharacterSet"):
        result.SpecificCharacterSet = characters  # the patient's name is written in it
    with whole(out) as part:
        result.save_as(part)
    return Path(out)


@contextmanager
def _named(path: str, kind: str) -> Iterator[None]:
    """What highdicom raises is whatever a header's attribute makes Python raise: say which file it was."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: no DICOM {kind} could be made from its headers ({type(error).__name__}: {error}); repair them, "
            "or use the NIfTI and PNG files, which are written"
        ) from error
