"""What a tree of knee MR files may hold that cannot be used, and what a table may say of it that is not so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from knee_trees import (
    CORONAL,
    SAGITTAL,
    SLICES,
    SUBJECTS,
    add_row,
    counted,
    edit,
    edit_all,
    made,
    nifti,
    refusal,
    write_table,
)
from pydicom.uid import HTJ2K, BasicTextSRStorage, JPEGLosslessSV1, generate_uid
from written import items_of, left_out

from data_prep.dicom_series import read_header
from data_prep.knee_volumes import find_volumes
from semimed_monai.data import Datalist
from semimed_monai.data.phantoms.files import write_dicom_series


def test_what_is_no_sagittal_grey_volume_is_left_out_by_name(tree, capsys):
    extra = tree / "extra"
    write_dicom_series(extra / "scout", counted(), SAGITTAL, "a")
    edit_all(extra / "scout", SeriesDescription="3-pl_LOC")
    write_dicom_series(extra / "marked", counted(), CORONAL, "b")
    edit_all(extra / "marked", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_dicom_series(extra / "cor", counted(), CORONAL, "c")
    write_dicom_series(extra / "colour", counted(), SAGITTAL, "d")
    edit_all(extra / "colour", PhotometricInterpretation="RGB")
    write_dicom_series(extra / "echoes", counted(), SAGITTAL, "e")
    second = pydicom.dcmread(extra / "echoes" / "0002.dcm")
    edit(extra / "echoes" / "0001.dcm", ImagePositionPatient=second.ImagePositionPatient)
    write_dicom_series(extra / "enhanced", counted(1), SAGITTAL, "f")
    edit_all(extra / "enhanced", NumberOfFrames=4)
    write_dicom_series(extra / "sizes", counted(), SAGITTAL, "g")
    edit(extra / "sizes" / "0001.dcm", Rows=4)
    write_dicom_series(extra / "gap", counted(), SAGITTAL, "k")
    (extra / "gap" / "0002.dcm").unlink()
    write_dicom_series(extra / "rescaled", counted(), SAGITTAL, "j")
    edit(extra / "rescaled" / "0002.dcm", RescaleSlope="0.5", RescaleIntercept="-3")
    write_dicom_series(extra / "nowhere", counted(1), SAGITTAL, "h")
    edit_all(extra / "nowhere", ImagePositionPatient=None)
    write_dicom_series(extra / "report", counted(1), SAGITTAL, "i")
    edit_all(extra / "report", Rows=0)
    (extra / "notes.txt").write_text("seen")
    nifti(extra / "cor.nii", np.zeros((8, 4, 8), np.int16), np.diag([0.7, 3, 0.7, 1]))
    nifti(extra / "nan.nii.gz", counted(), np.diag([3, 0.7, 0.7, 1]))
    (extra / "nan.nii.gz").write_bytes((extra / "nan.nii.gz").read_bytes()[:40])
    (tree / "s0" / "DICOMDIR").write_bytes(b"")
    (tree / "s0" / ".DS_Store").write_bytes(b"")

    file = made(tree)

    found = left_out(file)
    assert found["localiser"] == [f"extra/{folder}/{n:04d}.dcm" for folder in ("marked", "scout") for n in (1, 2, 3, 4)]
    assert found["not sagittal (coronal)"] == ["extra/cor.nii", *(f"extra/cor/{n:04d}.dcm" for n in (1, 2, 3, 4))]
    by_folder = {name.split("/")[1]: reason for reason, names in found.items() for name in names if "/" in name}
    assert by_folder["colour"] == "not grey (RGB)"
    assert by_folder["echoes"].startswith("several images at one position (0001.dcm and 0002.dcm: echoes")
    assert "dcm2niix" in by_folder["enhanced"]
    assert by_folder["sizes"] == "files of one series differ in Rows (4 in 0001.dcm, 8 in 0002.dcm)"
    assert by_folder["rescaled"].startswith("slices of one series differ in RescaleSlope")
    assert by_folder["nowhere"] == "no ImagePositionPatient or ImageOrientationPatient"
    assert by_folder["report"].startswith("no image")
    assert by_folder["notes.txt"] == "neither DICOM nor NIfTI"
    assert by_folder["nan.nii.gz"].startswith("damaged header (")
    assert "mm between 0001.dcm and 0003.dcm, elsewhere" in by_folder["gap"]
    assert f"localiser: 8 ({', '.join(found['localiser'])})\n" in capsys.readouterr().out
    assert len(items_of(file)) == 6 * 3 + SLICES
    Datalist(file)


def test_a_syntax_without_a_decoder_is_named_with_the_remedy(tree, monkeypatch):
    monkeypatch.setattr("data_prep.dicom_series.has_decoder", lambda syntax: False)
    for file in (tree / "s9" / "pd").iterdir():
        data = pydicom.dcmread(file)
        data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        data.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8"])
        data.save_as(file)
    (reason,) = [reason for reason in left_out(made(tree)) if "compressed" in reason]
    assert "JPEG Lossless" in reason
    assert str(JPEGLosslessSV1) in reason
    assert "pip install python-gdcm" in reason
    shutil.rmtree(tree.parent / "out")
    add_row(tree, "s9,s9/pd,0,full")
    assert "line 20: volume 's9/pd' of subject 's9' has no slice that can be used (compressed as JPEG" in refusal(tree)


@pytest.mark.parametrize(
    ("head", "settings", "said"),
    [
        ("Subject,volume,slice,grade", {}, "no column 'subject': set --subject-column (to 'Subject'?)"),
        (
            "subject,volume,slice,moaks",
            {},
            "'grade': set --grade-column. Its columns are: subject, volume, slice, moaks",
        ),
        ("subject,volume,slice,grade", {"volume_column": "series"}, "no column 'series': set --volume-column"),
    ],
)
def test_wrong_columns_are_named_with_the_option(tree, head, settings, said):
    write_table(tree.parent / "grades.csv", ["s0,s0/pd,0,full"], head)
    assert said in refusal(tree, **settings)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("s77,pd,0,full", "line 20: subject 's77' is no folder of the tree and no PatientID"),
        ("s0,s0/pdfs,0,full", "volume 's0/pdfs' of subject 's0' is not in the tree: correct it; did you mean s0/pd?"),
        ("s0,s1/pd,0,full", "line 20: volume 's1/pd' of subject 's0' is not in the tree"),
        ("s0,s0/pd,3,torn", "line 20: 'torn' is none of the classes: write 0 = normal, 1 = partial, 2 = full"),
        ("s0,s0/pd,3,Full", "did you mean 'full'?"),
        ("s0,s0/pd,3,3", "line 20: '3' is none of the classes"),
        ("s0,s0/pd,0,full", "line 20: slice 0 of s0/pd is full here, normal in line 2: correct one"),
        ("s0,s0/pd,,full", "line 20: volume 's0/pd' is graded without a slice: fill in column 'slice'"),
        ("s0,s0/pd,4,full", "slice 4 of s0/pd does not exist, it has slices 0 to 3; does the table count from 1"),
        ("s0,s0/pd,-1,full", "line 20: slice '-1' must be a whole number from 0"),
        ("s0,s0/pd,1.5,full", "line 20: slice '1.5' must be a whole number from 0"),
        (",s0/pd,1,full", "line 20: subject is empty"),
        ("s0,,1,full", "line 20: volume is empty"),
        ("s0,empty,1,full", "volume 'empty' of subject 's0' has no slice that can be used (empty folder)"),
    ],
)
def test_lines_that_contradict_the_tree_are_refused(tree, row, said):
    (tree / "empty").mkdir()
    add_row(tree, row)
    message = refusal(tree)
    assert said in message
    assert str(tree.parent / "grades.csv") in message


def test_a_volume_of_which_nothing_is_left_is_refused_with_the_reason(tree):
    edit_all(tree / "s2" / "pd", SeriesDescription="Survey")
    assert "volume 's2/pd' of subject 's2' has no slice that can be used (localiser)" in refusal(tree)
    file = made(tree, skip_bad=True)
    assert left_out(file)["graded volumes that were refused"] == ["s2: s2/pd"]
    assert {item["group"] for item in items_of(file).values()} == {*SUBJECTS, "s9"} - {"s2"}


def mixed(tree: Path) -> None:
    edit(tree / "s9" / "pd" / "0002.dcm", ImageOrientationPatient=[1, 0, 0, 0, 0, -1])


def repeated(tree: Path) -> None:
    shutil.copy(tree / "s9" / "pd" / "0002.dcm", tree / "s9" / "pd" / "again.dcm")


def repeated_in_two_series(tree: Path) -> None:
    uid = str(pydicom.dcmread(tree / "s0" / "pd" / "0003.dcm").SOPInstanceUID)
    edit(tree / "s9" / "pd" / "0002.dcm", SOPInstanceUID=uid)


def four_d(tree: Path) -> None:
    nifti(tree / "s9" / "time.nii.gz", np.zeros((4, 8, 8, 3), np.int16), np.diag([3, 0.7, 0.7, 1]))


def without_slices(tree: Path) -> None:
    nifti(tree / "s9" / "none.nii", np.zeros((0, 8, 8), np.int16), np.diag([3, 0.7, 0.7, 1]))


def cut_short(tree: Path) -> None:
    file = tree / "s9" / "pd" / "0002.dcm"
    file.write_bytes(file.read_bytes()[:140])


def emptied(tree: Path) -> None:
    (tree / "s9" / "pd" / "0004.dcm").write_bytes(b"")


def of_two_patients(tree: Path) -> None:
    edit(tree / "s9" / "pd" / "0002.dcm", PatientID="s0")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (mixed, "s9/pd/0001.dcm and 3 more: mixed orientations inside one series (coronal, sagittal)"),
        (repeated, "(pd/0002.dcm and pd/again.dcm): remove the copy"),
        (repeated_in_two_series, "duplicate SOP instance UID"),
        (four_d, "s9/time.nii.gz: 4-D (4 x 8 x 8 x 3): write each volume to a file of its own"),
        (without_slices, "s9/none.nii: no slices (0 x 8 x 8)"),
        (cut_short, "s9/pd/0002.dcm: damaged header (AttributeError): copy it anew"),
        (emptied, "s9/pd/0004.dcm: no DICOM header: copy it anew"),
        (of_two_patients, "one SeriesInstanceUID for several patients (s0, s9)"),
    ],
)
def test_broken_volumes_stop_unless_they_are_to_be_left_out(tree, spoil, said):
    spoil(tree)
    message = refusal(tree)
    assert said in message
    assert "--skip-bad" in message
    file = made(tree, skip_bad=True, fractions=(0.6, 0.2, 0.2))
    assert any(reason in said or said.split(": ", 1)[-1] in reason for reason in left_out(file))
    if spoil is not repeated_in_two_series:
        shutil.rmtree(tree.parent / "out")
        made(tree, exclude=["s9/*"])


def emptied_without_an_ending(file: Path) -> None:
    for slice_ in sorted(file.parent.iterdir()):
        slice_.rename(slice_.with_suffix(""))
    file.with_suffix("").write_bytes(b"")


def compressed_beyond_reading(file: Path) -> None:
    data = pydicom.dcmread(file)
    data.file_meta.TransferSyntaxUID = HTJ2K
    data.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8"])
    data.save_as(file)


@pytest.mark.parametrize("spoil", [emptied_without_an_ending, compressed_beyond_reading])
@pytest.mark.parametrize("place", [1, SLICES])
def test_a_series_that_lost_its_first_or_last_slice_is_never_numbered_anew(tree, spoil, place):
    spoil(tree / "s2" / "pd" / f"{place:04d}.dcm")
    message = refusal(tree)
    assert f"and 2 more: {place:04d}" in message
    assert "may be a slice of it, and cannot be used (" in message
    file = made(tree, skip_bad=True)
    assert left_out(file)["graded volumes that were refused"] == ["s2: s2/pd"]
    assert not any("s2" in name for name in items_of(file))


def test_wherever_the_first_file_is_cut_no_other_slice_gets_its_number(tree):
    series = tree / "s2" / "pd"
    whole = (series / "0001.dcm").read_bytes()
    pixels = whole.index(b"\xe0\x7f\x10\x00")
    for length in range(0, pixels, 7):
        (series / "0001.dcm").write_bytes(whole[:length])
        found = find_volumes(series)
        assert all(volume.slices == SLICES for volume in found.volumes), length
        assert found.volumes or any("0001.dcm" in file for refusal in found.refused for file in refusal.files)


def test_notes_and_reports_beside_a_series_are_no_lost_slices(tree):
    (tree / "s2" / "pd" / "notes.txt").write_text("seen")
    report = pydicom.dcmread(tree / "s3" / "pd" / "0001.dcm")
    report.Rows = 0
    report.SOPInstanceUID, report.SeriesInstanceUID = generate_uid(), generate_uid()
    report.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    report.file_meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID
    report.save_as(tree / "s2" / "pd" / "report.dcm")
    assert sum(item["group"] == "s2" for item in items_of(made(tree)).values()) == 3


def test_a_patient_id_that_contradicts_the_folder_is_said(tree):
    edit_all(tree / "s2" / "pd", PatientID="s3")
    message = refusal(tree)
    assert "volume 's2/pd' of subject 's2': it lies in the folder 's2', but its PatientID is 's3'" in message
    assert "did you mean" not in message


def test_a_name_that_fits_several_volumes_is_asked_about(tree):
    write_dicom_series(tree / "s0" / "second" / "pd", counted(), SAGITTAL, "s0", "again")
    add_row(tree, "s0,pd,3,full")
    assert "line 20: volume 'pd' of subject 's0' may be any of s0/pd, s0/second/pd: write its path" in refusal(tree)


def test_a_uid_that_would_leave_the_folder_is_no_uid(tmp_path):
    (file,) = write_dicom_series(tmp_path, counted(1), SAGITTAL, "a")
    edit(file, SeriesInstanceUID="../../x")
    assert read_header(file) == ("no SOPInstanceUID or SeriesInstanceUID", False, "")
