"""Knee MR trees: what is read, what is refused and why, whose each slice is, and that the graded slice is read."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from knee_trees import (
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
    share_a_folder,
    write_table,
)
from pydicom.uid import generate_uid
from small_files import oblique_affines
from written import items_of, left_out, sections_of

from data_prep import knee_mri
from data_prep.knee_mri import prepare
from semimed_monai.data import Datalist
from semimed_monai.data.phantoms.files import write_dicom_series
from semimed_monai.transforms import knee_mr

REPOSITORY = Path(__file__).parents[2]


def shown(file: Path, name: str) -> int:
    """How many bright pixels the reader shows of an item."""
    item = items_of(file)[name]
    image = knee_mr(size=8, percentiles=(0, 100))({**item, "image": str(file.parent / item["image"])})["image"]
    return int((image > 0.5).sum())


def test_graded_slices_are_split_by_subject_and_other_volumes_are_unlabelled(tree):
    file = made(tree)

    sections, items = sections_of(file), items_of(file)
    assert items["s2/pd#1"] == {"image": "../tree/s2/pd", "slice": 1, "label": 1, "group": "s2", "id": "s2/pd#1"}
    assert len(items) == 6 * 3 + SLICES
    unlabelled = [item for item in sections["training"] if "label" not in item]
    assert [(item["group"], item["slice"]) for item in unlabelled] == [("s9", place) for place in range(SLICES)]
    groups = [{item["group"] for item in items} for items in sections.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 7
    assert left_out(file) == {knee_mri._PASSED_BY: [f"{name}/pd (1)" for name in SUBJECTS]}
    Datalist(file)  # opens every file


def test_the_same_input_gives_the_same_bytes_wherever_it_lies(tree, tmp_path):
    first = made(tree).read_bytes()
    assert made(tree).read_bytes() == first
    moved = shutil.copytree(tree, tmp_path / "elsewhere" / "tree")
    shutil.copy(tmp_path / "grades.csv", moved.parent)
    assert made(moved).read_bytes() == first
    assert made(tree, seed=1).read_bytes() != first
    assert str(tmp_path) not in first.decode()


def test_the_order_of_lines_and_an_earlier_result_inside_the_tree_change_nothing(tree, tmp_path):
    expected = sections_of(made(tree))
    rows = (tmp_path / "grades.csv").read_text().splitlines()
    write_table(tmp_path / "grades.csv", rows[:0:-1])
    assert sections_of(made(tree)) == expected
    share_a_folder(tree)
    file = prepare(tree, tmp_path / "grades.csv", tree)
    first = file.read_bytes()
    assert prepare(tree, tmp_path / "grades.csv", tree).read_bytes() == first


def test_a_dry_run_prints_the_table_and_the_labelled_share_and_writes_nothing(tree, capsys):
    share_a_folder(tree)
    file = made(tree, dry_run=True)
    assert not file.parent.exists()
    printed = capsys.readouterr().out
    assert "training, unlabelled" in printed
    assert "labelled: training 12 of 16 (75%), validation 3 of 3 (100%), test 3 of 3 (100%)" in printed
    assert "2 series that share folders would be sorted into" in printed
    assert f"dry run: {file} is not written" in printed


def test_the_graded_slice_is_read_from_a_series_with_scrambled_names_and_numbers(tree):
    for name, place in (("s0", 3), ("s1", 2)):
        add_row(tree, f"{name},{name}/pd,{place},full")
    folder = tree / "s0" / "pd"
    names = ["IM7", "IM1", "IM9", "IM3"]  # in the order of positions
    for file, name, number in zip(sorted(folder.iterdir()), names, (2, 4, 1, 3), strict=True):
        edit(file, InstanceNumber=number)
        file.rename(folder / name)

    file = made(tree)

    assert [shown(file, f"s0/pd#{place}") for place in (0, 1, 2, 3)] == [1, 2, 3, 4]
    assert left_out(file)[knee_mri._BACKWARDS] == ["s0/pd"]


@pytest.mark.parametrize("affine", oblique_affines()[::7])
def test_the_graded_slice_is_read_from_an_oblique_nifti(tmp_path, affine):
    axis = int(nib.orientations.io_orientation(affine)[:, 0].tolist().index(0))
    affine = affine.copy()
    affine[:3, :3] /= np.linalg.norm(affine[:3, :3], axis=0)
    for name in SUBJECTS:
        nifti(tmp_path / "tree" / f"{name}.nii.gz", np.moveaxis(counted(), 2, axis), affine)
    rows = [f"{name},{name},{place + 1},{place % 3}" for name in SUBJECTS for place in range(SLICES)]
    write_table(tmp_path / "grades.csv", rows)

    file = made(tmp_path / "tree", slice_base=1)

    for place in range(SLICES):
        name = f"s3.nii.gz#{place}"
        assert items_of(file)[name]["label"] == place % 3
        assert shown(file, name) == place + 1


def test_rescale_and_monochrome1_are_read_as_what_they_mean(tree):
    for file in (tree / "s0" / "pd").iterdir():
        data = pydicom.dcmread(file)
        data.PhotometricInterpretation, data.RescaleSlope, data.RescaleIntercept = "MONOCHROME1", "0.5", "-7"
        data.PixelData = (4095 - data.pixel_array).astype("<u2").tobytes()
        data.save_as(file)
    assert [shown(made(tree), f"s0/pd#{place}") for place in (0, 1, 2)] == [1, 2, 3]


@pytest.mark.parametrize("links", [True, False])
def test_series_that_share_a_folder_are_sorted_into_folders_of_their_own(tree, capsys, monkeypatch, links):
    share_a_folder(tree)
    if not links:
        monkeypatch.setattr(os, "link", lambda *paths: (_ for _ in ()).throw(OSError("no links on this disk")))
    file = made(tree)

    uid = str(pydicom.dcmread(tree / "both" / "s00001.dcm").SeriesInstanceUID)
    item = items_of(file)[f"both/{uid}#2"]
    assert item == {"image": f"series/{uid}", "slice": 2, "label": 2, "group": "s0", "id": f"both/{uid}#2"}
    assert shown(file, f"both/{uid}#2") == 3
    sorted_files = sorted((file.parent / "series" / uid).iterdir())
    own = sorted((tree / "both").glob("s0*"))
    assert [each.read_bytes() for each in sorted_files] == [each.read_bytes() for each in own]
    assert {each.stat().st_nlink for each in sorted_files} == {2 if links else 1}
    assert f"sorted, as {'hard links' if links else 'copies'}, into" in capsys.readouterr().out
    assert sorted(each.name for each in file.parent.iterdir()) == ["datalist.json", "series"]
    Datalist(file)
    assert made(tree).read_bytes() == file.read_bytes()


def test_an_error_or_ctrl_c_while_sorting_leaves_nothing(tree, monkeypatch):
    share_a_folder(tree)
    for error in (KeyboardInterrupt, OSError):

        def stop(source: Path, target: Path, error=error) -> bool:
            if target.name == "00002.dcm":
                raise error
            return shutil.copyfile(source, target) is None

        monkeypatch.setattr(knee_mri, "link_or_copy", stop)
        with pytest.raises(error):
            made(tree)
        assert not (tree.parent / "out").exists()


def test_ctrl_c_is_no_traceback(tree, monkeypatch, capsys):
    def stop(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(knee_mri, "prepare", stop)
    with pytest.raises(SystemExit) as caught:
        knee_mri.main(["--source", "a", "--grades", "b", "--out", "c"])
    assert caught.value.code == 130
    assert capsys.readouterr().err == "interrupted: no datalist is written\n"


def test_slices_that_are_rescaled_by_fractions_of_their_own_are_read(tree):
    for number, file in enumerate(sorted((tree / "s0" / "pd").iterdir()), start=1):
        edit(file, RescaleSlope=f"0.{number}", RescaleIntercept="-7")
    assert [shown(made(tree), f"s0/pd#{place}") for place in (0, 1, 2)] == [1, 2, 3]


def test_a_decodable_compressed_series_is_read(tree):
    for file in (tree / "s0" / "pd").iterdir():
        data = pydicom.dcmread(file)
        data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        data.save_as(file)
    file = made(tree)
    assert [shown(file, f"s0/pd#{place}") for place in (0, 1, 2)] == [1, 2, 3]
    Datalist(file)


def test_columns_of_other_names_semicolons_and_other_classes_are_read(tree):
    rows = [f"{name};pd;{place};{place % 2}" for name in SUBJECTS for place in (0, 1)]
    write_table(tree.parent / "grades.csv", rows, "Patient;Serie;Bild;Grad")
    names = {"subject_column": "Patient", "volume_column": "Serie", "slice_column": "Bild", "grade_column": "Grad"}
    file = made(tree, **names, classes=["no", "yes"])
    assert items_of(file)["s4/pd#1"]["label"] == 1
    assert json.loads(file.read_text())["classes"] == ["no", "yes"]


def test_volumes_are_found_by_uid_description_and_number_of_their_subject(tree):
    for name in SUBJECTS:
        edit_all(tree / name / "pd", SeriesDescription="PD sag", SeriesNumber=5)
    uid = str(pydicom.dcmread(tree / "s2" / "pd" / "0001.dcm").SeriesInstanceUID)
    rows = ["s0,PD sag,0,normal", "s1,5,1,partial", f"s2,{uid},2,full", "s3,pd,0,normal", "s4,tree/../s4/pd,1,full"]
    write_table(tree.parent / "grades.csv", rows)
    assert "volume 'tree/../s4/pd'" in refusal(tree)
    write_table(tree.parent / "grades.csv", [*rows[:4], "s4,s4\\pd,1,partial", "s5,./s5/pd/,2,full"])
    labels = {name: item["label"] for name, item in items_of(made(tree)).items() if "label" in item}
    assert labels == {"s0/pd#0": 0, "s1/pd#1": 1, "s2/pd#2": 2, "s3/pd#0": 0, "s4/pd#1": 1, "s5/pd#2": 2}


def test_a_persons_other_volumes_stay_in_the_persons_section(tree, tmp_path):
    """Ungraded images of those who are tested are not learned from, whether a folder or the PatientID tells whose."""
    for name in SUBJECTS:
        write_dicom_series(tree / name / "t2", counted(), SAGITTAL, "anonymous", f"{name}")
        write_dicom_series(tree / "other" / name, counted(), SAGITTAL, f"id {name}", "other")
    for name in SUBJECTS:
        edit_all(tree / name / "pd", PatientID=f"id {name}")
    shutil.move(tree / "other", tmp_path / "other")
    for name in SUBJECTS:
        shutil.move(tmp_path / "other" / name, tree / f"loose {name[1:]}")

    file = made(tree)

    sections = sections_of(file)
    tested = {item["group"] for name in ("validation", "test") for item in sections[name]}
    assert len(tested) == 2
    learned = {item["image"] for item in sections["training"] if "label" not in item}
    expected = {f"../tree/{name}/t2" for name in SUBJECTS if name not in tested}
    expected |= {f"../tree/loose {name[1:]}" for name in SUBJECTS if name not in tested}
    assert learned == expected | {"../tree/s9/pd"}
    held_back = left_out(file)["items without a label whose group is in validation or test"]
    assert len(held_back) == 2 * 2 * SLICES


def test_lines_without_a_grade_are_unlabelled_slices(tree):
    add_row(tree, "s9,s9/pd,2,")
    unlabelled = [name for name, item in items_of(made(tree)).items() if "label" not in item]
    assert unlabelled == ["s9/pd#2"]
    add_row(tree, "s9,s9/pd,,")
    assert sum("label" not in item for item in items_of(made(tree)).values()) == SLICES


def test_subjects_may_be_known_to_the_table_only(tmp_path):
    for number in range(6):
        nifti(tmp_path / "tree" / f"knee{number}.nii.gz", counted(), SAGITTAL)
    rows = [f"person {number // 2},knee{number},{place},{place}" for number in range(6) for place in range(3)]
    write_table(tmp_path / "grades.csv", rows)
    nifti(tmp_path / "tree" / "knee9.nii.gz", counted(), SAGITTAL)

    sections = sections_of(made(tmp_path / "tree", fractions=(0.4, 0.3, 0.3)))

    groups = [{item["group"] for item in items} for items in sections.values()]
    assert [len(found) for found in groups] == [2, 1, 1]
    assert set.union(*groups) == {"person 0", "person 1", "person 2", "knee9"}


def test_as_a_program(tree, run_program, monkeypatch, capsys):
    arguments = ["--source", "tree", "--grades", "grades.csv", "--out", "out"]
    code, said = run_program("data_prep.knee_mri", *arguments, cwd=tree.parent)
    assert code == 0, said
    assert "written: " in said
    assert "reading DICOM headers: " in said

    monkeypatch.chdir(tree.parent)
    with pytest.raises(SystemExit) as caught:
        knee_mri.main([*arguments, "--subject-column", "person"])
    assert str(caught.value.code).startswith("error: ")
    with pytest.raises(SystemExit) as caught:
        knee_mri.main(["--help"])
    assert caught.value.code == 0
    assert "p001,p001/sag_pd,11,partial" in capsys.readouterr().out


@pytest.mark.parametrize(("volumes", "seconds"), [(50, 12), pytest.param(250, 60, marks=pytest.mark.slow)])
def test_headers_are_read_at_ten_thousand_a_minute(tmp_path, volumes, seconds):
    """Series of 40 files without pixels, written by replacing what differs in the bytes of one; a fifth of them always.

    The time is the processor's: on a busy machine that of the clock says nothing.
    """
    (template,) = write_dicom_series(tmp_path / "one", counted(1), SAGITTAL, "p00000")
    data = pydicom.dcmread(template)
    uid, series = generate_uid()[:40] + "0000000", generate_uid()[:40] + "1000000"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid
    data.SeriesInstanceUID, data.ImagePositionPatient = series, ["1000.0", "0.0", "0.0"]
    del data.PixelData
    data.save_as(template)
    head = template.read_bytes()
    for volume in range(volumes):
        folder = tmp_path / "tree" / f"p{volume:05d}" / "pd"
        folder.mkdir(parents=True)
        for place in range(40):
            changes = {
                uid.encode(): f"{uid[:-5]}{volume * 40 + place:05d}".encode(),
                series.encode(): f"{series[:-5]}{volume:05d}".encode(),
                b"p00000": f"p{volume:05d}".encode(),
                b"1000.0": f"{1000 + place}.0".encode(),
            }
            content = head
            for old, new in changes.items():
                content = content.replace(old, new)
            (folder / f"{place}.dcm").write_bytes(content)
    rows = [f"p{volume:05d},pd,{place},{place % 3}" for volume in range(volumes - 10) for place in range(3)]
    write_table(tmp_path / "grades.csv", rows)

    start = time.process_time()
    file = made(tmp_path / "tree")

    assert time.process_time() - start < seconds
    assert len(items_of(file)) == (volumes - 10) * 3 + 10 * 40


@pytest.mark.parametrize("out", ["", "..", "deeper"])
def test_what_is_read_is_never_written_over(tree, out):
    """`--out` where the series are, above them (they are in its `series`), and below."""
    share_a_folder(tree)
    source = tree.rename(tree.parent / "series")
    before = {file: file.read_bytes() for file in source.rglob("*") if file.is_file()}
    try:
        prepare(source, source.parent / "grades.csv", source / out)
    except ValueError as error:
        assert "the files to read are there: give another --out" in str(error)  # noqa: PT017 - not all of them raise
    assert {file: file.read_bytes() for file in before} == before


def test_the_summary_says_that_pixels_were_not_read(tree, capsys):
    made(tree)
    assert "note: only headers were read" in capsys.readouterr().out
