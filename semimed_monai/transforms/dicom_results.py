"""What a network found on a DICOM image, as DICOM: a Segmentation, and Secondary Captures of the overlays.

Both are new series in the source's study, of its patient, and name the instances that they are derived from. highdicom
builds the objects; by hand here is what it leaves out of Secondary Captures (their references, the frame of reference).
Looked for: monai's ITKWriter knows neither object; pydicom-seg is no longer maintained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

from semimed_monai.transforms.dicom_source import Author, Source, equipment, mark, naming, new_series, save_result
from semimed_monai.transforms.grid import Grid

_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
# Of such a part an empty laterality, which of others says that it is not known, is an error.
_UNPAIRED = ("CHEST", "THORAX", "ABDOMEN", "PELVIS", "HEAD", "SKULL", "NECK", "SPINE", "CSPINE", "TSPINE", "LSPINE")
_WHOLE_IMAGE = Code("111030", "DCM", "Image Region")
_DIRECTIONS = {"R": "R", "L": "L", "A": "A", "P": "P", "S": "H", "I": "F"}


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
    return _write_segments(
        source,
        out,
        np.where(attention, numbers, 0),
        {f"attention: {name}": (codes.SCT.SpatialAndRelationalConcept, _WHOLE_IMAGE) for name in names},
        {
            "series_description": f"Attention of {author.name}"[:64],
            "content_description": "Where the network looked for its grade, above the threshold",
            "content_label": "ATTENTION",
        },
        author,
    )


def write_lesion_segmentation(
    source: Source, out: str | Path, found: NDArray[Any], finding: Code, author: Author
) -> Path:
    """Where lesions are, as a binary DICOM Segmentation of one segment.

    Args:
        source: where they were found; its files must be `placed`.
        out: the file.
        found: in the source's stored axes, true where the network finds a lesion.
        finding: what kind of lesion, a morphologically abnormal structure.
        author: see there.

    Raises:
        ValueError: a header lacks what the object needs; nothing was written.
    """
    return _write_segments(
        source,
        out,
        found,
        {finding.meaning: (codes.SCT.MorphologicallyAbnormalStructure, finding)},
        {
            "series_description": f"{finding.meaning} by {author.name}"[:64],
            "content_description": "Where the network finds a lesion, at the threshold or above",
            "content_label": "LESIONS",
        },
        author,
    )


def _write_segments(
    source: Source,
    out: str | Path,
    labels: NDArray[Any],
    kinds: Mapping[str, tuple[Code, Code]],
    words: Mapping[str, Any],
    author: Author,
) -> Path:
    """Numbers in the source's stored axes, from 1, as segments: each one's label, with its category and its type."""
    with naming(source.grid.path, "Segmentation"):
        algorithm = highdicom.AlgorithmIdentificationSequence(
            name=author.name, version=author.weights, family=codes.cid7162.ArtificialIntelligence
        )
        segments = [
            SegmentDescription(
                segment_number=number,
                segment_label=label[:64],
                segmented_property_category=category,
                segmented_property_type=kind,
                algorithm_type="AUTOMATIC",
                algorithm_identification=algorithm,
            )
            for number, (label, (category, kind)) in enumerate(kinds.items(), start=1)
        ]
        planes = labels.reshape(source.grid.shape).astype(np.uint8).transpose(2, 1, 0)  # frames x rows x columns
        result = Segmentation(
            source_images=source.headers,
            pixel_array=np.ascontiguousarray(planes),
            segmentation_type="BINARY",
            segment_descriptions=segments,
            **words,
            **new_series(source, 1),
            **equipment(author),
        )
        return save_result(result, source.headers[0], out)


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
    series = new_series(source, 2)
    result: Dataset | None = None
    for number, (index, picture) in enumerate(sorted(pictures.items()), start=1):
        origin = source.of_slice(index)
        with naming(source.grid.path, "Secondary Capture"):
            # Within a series only these few differ; to make each object anew takes highdicom as long as writing it.
            result = result or _capture(source, index, picture, author, "Attention outline and grade", series)
            result.SOPInstanceUID = result.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            result.InstanceNumber = number
            result.PixelData = picture.tobytes()
            _refer(result, origin)
            written = save_result(result, origin[0], Path(folder) / f"{index:03d}.dcm")
            if number == 1:  # what was read back is still encoded, and need not be for the others
                result = pydicom.dcmread(written)


def write_capture(source: Source, out: str | Path, picture: NDArray[np.uint8], author: Author, shown: str) -> None:
    """An RGB picture of an image of one plane as a Secondary Capture.

    Args:
        source: what the picture is of.
        out: the file.
        picture: rows x columns x 3.
        author: see there.
        shown: what is drawn on the picture.

    Raises:
        ValueError: a header lacks what the object needs.
    """
    with naming(source.grid.path, "Secondary Capture"):
        result = _capture(source, 0, picture, author, shown, new_series(source, 2))
        save_result(result, source.of_slice(0)[0], out)


def _capture(
    source: Source, index: int, picture: NDArray[np.uint8], author: Author, shown: str, series: dict[str, Any]
) -> Dataset:
    origin = source.of_slice(index)
    result = highdicom.sc.SCImage.from_ref_dataset(
        ref_dataset=origin[0],
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # highdicom wants one; the right one, which may be none, follows
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=f"Overlays of {author.name}"[:64],
        **series,
    )
    result.PatientOrientation = _orientation(source)
    result.BodyPartExamined = origin[0].get("BodyPartExamined") or ""
    laterality = origin[0].get("Laterality") or ""
    if laterality or result.BodyPartExamined not in _UNPAIRED:
        result.Laterality = laterality
    # Only what the source says of the patient: a radiograph's pitch is often its detector's.
    if origin[0].get("PixelSpacing") and (across := _spacing(source.grid)) is not None:
        result.PixelSpacing = [
            f"{spacing * n / drawn:.10f}"[:16]
            for spacing, n, drawn in zip(across, source.grid.size[1:], picture.shape, strict=False)
        ]
    mark(result, author)
    result.BurnedInAnnotation = "NO"  # numbers and outlines, which tell nobody's name
    result.DerivationDescription = f"{shown} by {author.name}, weights {author.weights}"
    _refer(result, origin)
    return result


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
        elif name in result:
            delattr(result, name)


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
