"""What a detector found on a DICOM image, as a structured report: for an image that is no section through the patient.

A radiograph has no thickness and usually no frame of reference, so there is nothing to lay a Segmentation on; boxes in
its own pixels (SCOORD) need neither. highdicom builds the document.
Looked for: Mammography CAD SR has such findings for the breast, Chest CAD SR is shown by hardly any viewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from semimed_monai.transforms.candidates import Box, Candidate
from semimed_monai.transforms.dicom_source import MANUFACTURER, Author, Source, mark, naming, new_series, save_result
from semimed_monai.vocabulary import RESULT_MARK

_RADIOGRAPHY = Code("168537006", "SCT", "Plain radiography")


def write_report(
    source: Source,
    out: str | Path,
    found: Sequence[Candidate],
    score: float,
    threshold: float,
    finding: Code,
    author: Author,
) -> Path:
    """Candidates as a Comprehensive SR (TID 1500): a closed polyline around each, with its score; the image's score.

    A score is the "certainty" of a finding or of the whole impression, in percent. The document says of itself that
    nobody has verified it.

    Args:
        source: an image of one file.
        out: the file.
        found: in the columns and rows of that file; there may be none.
        score: the image's.
        threshold: from which on a place is a candidate.
        finding: what kind of lesion.
        author: see there.

    Raises:
        ValueError: a header lacks what the document needs; nothing was written.
    """
    (header,) = source.headers
    with naming(source.grid.path, "Structured Report"):
        algorithm = sr.AlgorithmIdentification(author.name, author.weights, parameters=[f"threshold={threshold:g}"])
        device = sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid(entropy_srcs=[author.weights]),
            name=author.name,
            manufacturer_name=MANUFACTURER,
            model_name=RESULT_MARK,
        )
        whole = sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(generate_uid(), "whole image"),
            algorithm_id=algorithm,
            finding_type=finding,
            measurements=[_certainty(codes.DCM.CertaintyOfImpression, score)],
            source_images=[sr.SourceImageForMeasurementGroup.from_source_image(header)],
        )
        places = [
            sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(generate_uid(), f"candidate {number}"),
                referenced_region=sr.ImageRegion(
                    sr.GraphicTypeValues.POLYLINE, _corners(one.box), sr.SourceImageForRegion.from_source_image(header)
                ),
                algorithm_id=algorithm,
                finding_type=finding,
                measurements=[_certainty(codes.DCM.CertaintyOfFinding, one.score)],
            )
            for number, one in enumerate(found, start=1)
        ]
        content = sr.MeasurementReport(
            observation_context=sr.ObservationContext(
                observer_device_context=sr.ObserverContext(codes.DCM.Device, device)
            ),
            procedure_reported=_RADIOGRAPHY,
            imaging_measurements=[whole, *places],
        )
        result: Dataset = sr.ComprehensiveSR(
            evidence=[header],
            content=content,
            is_complete=True,
            **new_series(source, 3),
        )
        result.SeriesDescription = f"{finding.meaning} by {author.name}"[:64]
        mark(result, author)
        return save_result(result, header, out)


def _certainty(name: Code, score: float) -> sr.Measurement:
    return sr.Measurement(name, round(100 * score, 2), codes.UCUM.Percent)


def _corners(box: Box) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Around and back to the first: a closed polyline is a region. DICOM, too, counts from the first pixel's edge."""
    x0, y0, x1, y1 = box
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
