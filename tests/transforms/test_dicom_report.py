"""Structured reports of candidates, read back with highdicom and by DICOM's own rules, and by dciodvfy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from highdicom import sr
from pydicom.sr.coding import Code
from small_files import conforms, write_radiograph

from semimed_monai.data.find import is_result
from semimed_monai.transforms import Author, Candidate, Source, read_grid, write_report

AUTHOR = Author("a detector", "5" * 64)
FRACTURE = Code("72704001", "SCT", "Fracture")
FOUND = [Candidate((3.5, 2.0, 9.0, 7.25), 0.875), Candidate((0.0, 10.0, 12.0, 16.0), 0.5)]


def reported(folder: Path, found: list[Candidate], **header: Any) -> tuple[Any, Any]:
    """The report, read back, and the image's header."""
    path = write_radiograph(folder / "chest.dcm", np.arange(16 * 12).reshape(16, 12), **header)
    write_report(Source(read_grid(path)), folder / "report.dcm", found, 0.875, 0.25, FRACTURE, AUTHOR)
    return sr.srread(folder / "report.dcm"), pydicom.dcmread(path)


def test_boxes_and_scores_come_back(tmp_path: Path) -> None:
    report, image = reported(tmp_path, FOUND)
    groups = report.content.get_planar_roi_measurement_groups()
    assert len(groups) == 2
    for number, (group, candidate) in enumerate(zip(groups, FOUND, strict=True), start=1):
        assert group.tracking_identifier == f"candidate {number}"
        assert group.finding_type == FRACTURE
        assert group.roi.graphic_type == sr.GraphicTypeValues.POLYLINE
        points = group.roi.value
        np.testing.assert_array_equal(points[0], points[-1])
        x0, y0, x1, y1 = candidate.box
        assert {tuple(point) for point in points.tolist()} == {(x0, y0), (x1, y0), (x1, y1), (x0, y1)}
        (shown,) = group.roi.ContentSequence
        assert shown.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
        (score,) = group.get_measurements()
        assert (score.name.meaning, score.value, score.unit.value) == (
            "Certainty of Finding",
            100 * candidate.score,
            "%",
        )
    (whole,) = report.content.get_image_measurement_groups()
    (score,) = whole.get_measurements()
    assert (score.name.meaning, score.value) == ("Certainty of Impression", 87.5)
    assert whole.source_images[0].referenced_sop_instance_uid == image.SOPInstanceUID


def test_patient_study_and_source_are_kept(tmp_path: Path) -> None:
    report, image = reported(tmp_path, FOUND, PatientName="Müller^Änne", SpecificCharacterSet="ISO_IR 192")
    kept = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyID")
    for name in (*kept, "AccessionNumber"):
        assert report[name].value == image[name].value, name
    assert str(report.PatientName) == "Müller^Änne"
    assert report.SeriesInstanceUID != image.SeriesInstanceUID
    assert (report.SeriesNumber, report.VerificationFlag) == (403, "UNVERIFIED")
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == image.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert is_result(tmp_path / "report.dcm")


def test_nothing_found_is_a_report_too(tmp_path: Path) -> None:
    report, _ = reported(tmp_path, [])
    assert report.content.get_planar_roi_measurement_groups() == []
    assert len(report.content.get_image_measurement_groups()) == 1


@pytest.mark.parametrize("found", [FOUND, []], ids=["two", "none"])
def test_the_validator_finds_no_error(tmp_path: Path, found: list[Candidate]) -> None:
    reported(tmp_path, found)
    conforms(tmp_path / "report.dcm")


def test_a_header_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = write_radiograph(tmp_path / "chest.dcm", np.ones((4, 4)))
    data = pydicom.dcmread(path)
    del data.StudyInstanceUID
    data.save_as(path)
    with pytest.raises(ValueError, match=r"chest\.dcm: no DICOM Structured Report could be made from its headers"):
        write_report(Source(read_grid(path)), tmp_path / "report.dcm", FOUND, 0.9, 0.5, FRACTURE, AUTHOR)
    assert not (tmp_path / "report.dcm").exists()
