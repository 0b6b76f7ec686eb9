"""Phantom limbs as files: studies and patients, marks of some, DICOM CR and PNG that are read as one picture."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from semimed_monai.data import Datalist
from semimed_monai.data.phantoms import (
    BONE_LESIONS,
    STANDARD_BONES,
    BonePhantom,
    bone_phantom,
    bone_phantom_set,
    bone_set,
    bone_studies,
    sets,
)
from semimed_monai.transforms import read_radiograph

SMALL = replace(STANDARD_BONES, size=64)


@pytest.fixture(scope="module")
def limbs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bone_phantom_set(tmp_path_factory.mktemp("limbs") / "set", 60, 2, marked=20, appearance=SMALL)


@pytest.fixture
def nothing_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of the datalist alone needs no files."""
    monkeypatch.setattr(bone_set, "_write_patient", lambda *_: None)


def datalist(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "datalist.json").read_text())
    return content


def items_of(folder: Path) -> list[dict[str, Any]]:
    return [item for section in ("training", "validation", "test") for item in datalist(folder)[section]]


def picture_of(item: dict[str, Any]) -> BonePhantom:
    """As the phantom is without files."""
    patient, study, view = (int(number) for number in Path(item["image"]).stem[1:].split("_"))
    return bone_phantom(2, patient, bone_studies(2, patient)[study].lesion, study, view, SMALL)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_set_has_its_patients_and_studies(limbs: Path) -> None:
    content, items = datalist(limbs), items_of(limbs)
    assert content["classes"] == ["normal", "abnormal"]
    assert {item["group"] for item in items} == {f"P{patient:05d}" for patient in range(60)}
    assert {item["image"] for item in items} == {f"images/{path.name}" for path in (limbs / "images").iterdir()}
    studies = defaultdict(list)
    for item in items:
        studies[item["study"]].append(item)
    assert len(studies) == sum(len(bone_studies(2, patient)) for patient in range(60))
    for name, views in studies.items():
        patient, study = (int(number) for number in name[1:].split("/"))
        plan = bone_studies(2, patient)[study]
        assert [Path(view["image"]).stem for view in views] == [
            f"P{patient:05d}_{study}_{n}" for n in range(plan.views)
        ]
        assert {view["label"] for view in views} == {int(plan.lesion is not None)}
        assert {view["group"] for view in views} == {f"P{patient:05d}"}


def test_sections_are_by_patient_with_their_shares_and_both_classes(limbs: Path) -> None:
    content, items = datalist(limbs), items_of(limbs)
    groups = [{item["group"] for item in content[section]} for section in ("training", "validation", "test")]
    assert sum(map(len, groups)) == 60
    for section, share in {"training": 0.6, "validation": 0.15, "test": 0.25}.items():
        assert len(content[section]) / len(items) == pytest.approx(share, abs=0.03)
        assert np.mean([item["label"] for item in content[section]]) == pytest.approx(0.5, abs=0.1)


def test_marked_are_as_many_as_asked_for_and_all_that_are_evaluated(limbs: Path) -> None:
    content = datalist(limbs)
    assert sum("mask" in item for item in content["training"]) == 20
    assert not any("mask" in item and not item["label"] for item in items_of(limbs))
    for section in ("validation", "test"):
        assert all(("mask" in item) == bool(item["label"]) for item in content[section])
    masks = {item["mask"] for item in items_of(limbs) if "mask" in item}
    assert masks == {f"masks/{path.name}" for path in (limbs / "masks").iterdir()}


@pytest.mark.usefixtures("nothing_written")
def test_the_default_set_is_large_enough_and_has_a_hundred_marks(tmp_path: Path) -> None:
    content = datalist(bone_phantom_set(tmp_path / "set"))
    assert 560 < len(content["training"]) < 640
    assert sum("mask" in item for item in content["training"]) == 100
    assert all(("mask" in item) == bool(item["label"]) for item in [*content["validation"], *content["test"]])


@pytest.mark.usefixtures("nothing_written")
def test_fewer_marks_are_among_the_more(tmp_path: Path) -> None:
    few, many = (
        {
            item["image"]
            for item in datalist(bone_phantom_set(tmp_path / f"{n}", 60, marked=n))["training"]
            if "mask" in item
        }
        for n in (5, 30)
    )
    assert len(few) == 5
    assert len(many) == 30
    assert few < many


def test_files_hold_the_picture_and_the_mark_over_its_lesion(limbs: Path) -> None:
    """Whatever the image's file is, of both polarities of DICOM, or of eight bits."""
    kinds = Counter()
    for item in items_of(limbs):
        picture, file = picture_of(item), limbs / item["image"]
        png = file.suffix == ".png"
        kinds["PNG" if png else str(pydicom.dcmread(file).PhotometricInterpretation)] += 1
        shown = read_radiograph(str(file))
        assert np.abs(shown - picture.image / 4095).max() < (0.51 / 255 if png else 1e-6)
        assert picture.lesion.any() == bool(item["label"])
        if "mask" in item:
            mark = np.asarray(Image.open(limbs / item["mask"]))
            assert np.array_equal(mark, picture.mark)
            assert (mark[picture.lesion] > 0).mean() > 0.98
    assert kinds["PNG"] > 0.3 * kinds.total()
    assert min(kinds["MONOCHROME1"], kinds["MONOCHROME2"]) >= 5


def test_the_reader_takes_it(limbs: Path) -> None:
    rows = Datalist(limbs)
    items = rows.labelled()
    assert not rows.unlabelled()
    assert sum(item["mask"] is not None for item in items) == 20
    for item, stored in zip(items, datalist(limbs)["training"], strict=True):
        assert (item["group"], item["study"], item["label"]) == (stored["group"], stored["study"], stored["label"])


def test_dicom_headers_are_a_studys(limbs: Path) -> None:
    films = defaultdict(list)
    for item in items_of(limbs):
        if item["image"].endswith(".dcm"):
            films[item["study"]].append((item, pydicom.dcmread(limbs / item["image"])))
    assert len(films) > 20
    for study in films.values():
        for number, (item, film) in enumerate(study, start=1):
            picture = picture_of(item)
            assert (film.Modality, film.PatientID, film.SeriesNumber) == ("CR", item["group"], number)
            assert (film.BodyPartExamined, film.Laterality) == (picture.part, picture.side)
            assert [float(value) for value in film.ImagerPixelSpacing] == pytest.approx([picture.spacing] * 2)
            frontal = "PA" if picture.part == "HAND" else "AP"
            assert film.ViewPosition.startswith(frontal if number == 1 else f"{picture.side}L")
            lateral = number == 2 and picture.part != "HAND"
            assert (film.PatientOrientation[0] in "AP") == lateral
            assert (film.PatientOrientation[1] == "H") == (picture.part == "HAND")
        assert len({film.StudyInstanceUID for _, film in study}) == 1
    every = [film for study in films.values() for _, film in study]
    assert len({film.StudyInstanceUID for film in every}) == len(films)
    assert len({film.SeriesInstanceUID for film in every}) == len({film.SOPInstanceUID for film in every}) == len(every)


def test_dciodvfy_finds_no_error(limbs: Path) -> None:
    if not (tool := shutil.which("dciodvfy")):
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    by_view = {path.stem[-1]: path for path in sorted((limbs / "images").glob("*.dcm"))}
    assert set(by_view) == {"0", "1", "2"}
    for path in by_view.values():
        said = subprocess.run([tool, str(path)], capture_output=True, text=True, check=False).stderr
        assert "CRImage" in said
        assert "Error" not in said


@pytest.mark.usefixtures("nothing_written")
@pytest.mark.parametrize("file_format", ["dicom", "png"])
def test_formats_differ_in_nothing_but_the_file(limbs: Path, tmp_path: Path, file_format: str) -> None:
    other = bone_phantom_set(tmp_path / "set", 60, 2, file_format, marked=20, appearance=SMALL)
    for item, twin in zip(items_of(limbs), items_of(other), strict=True):
        assert {**item, "image": Path(item["image"]).stem} == {**twin, "image": Path(twin["image"]).stem}
        assert Path(twin["image"]).suffix == (".dcm" if file_format == "dicom" else ".png")


def test_two_processes_write_the_same_bytes_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forked here, as spawned ones import the library anew; the knees' test spawns them."""
    make: Callable[..., Path] = lambda name, workers: bone_phantom_set(  # noqa: E731
        tmp_path / name, 20, 1, marked=4, appearance=SMALL, workers=workers
    )
    monkeypatch.setattr(sets, "get_context", lambda _: multiprocessing.get_context("fork"))
    assert digests(make("one", 1)) == digests(make("two", 2))


def test_a_larger_set_has_the_same_patients(limbs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of them."""
    write = bone_set._write_patient

    def write_few(folder: Path, recipe: Any, patient: int) -> None:
        if patient < 10:
            write(folder, recipe, patient)

    monkeypatch.setattr(bone_set, "_write_patient", write_few)
    larger = bone_phantom_set(tmp_path / "larger", 80, 2, marked=20, appearance=SMALL)
    files = sorted((larger / "images").iterdir())
    assert len(files) >= 10
    for file in files:
        twin = limbs / "images" / file.name
        assert np.array_equal(read_radiograph(str(file)), read_radiograph(str(twin)))


def test_half_of_every_hundred_patients_studies_are_abnormal_of_all_kinds() -> None:
    for start in (0, 300):
        studies = [study for patient in range(start, start + 100) for study in bone_studies(5, patient)]
        assert sum(study.lesion is not None for study in studies) == len(studies) // 2
        assert len(studies) == pytest.approx(125, abs=15)
        assert {study.views for study in studies} == {1, 2, 3}
        kinds = Counter(study.lesion for study in studies if study.lesion)
        assert kinds["fracture"] == pytest.approx(31, abs=13)
        assert min(kinds[kind] for kind in BONE_LESIONS) >= 6
    assert {len(bone_studies(5, patient)) for patient in range(20)} == {1, 2}


@pytest.mark.usefixtures("nothing_written")
def test_cache_is_used_and_its_key_holds_all_parameters(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bone_phantom_set(patients=40, marked=5, appearance=SMALL)
    assert first.parent == cache
    assert datalist(first)["provenance"]["generator"] == "semimed_monai.data.phantoms.bone_phantom_set"
    stamp = (first / "datalist.json").stat().st_mtime_ns
    assert bone_phantom_set(patients=40, seed=0, marked=5, appearance=SMALL, workers=2) == first
    assert (first / "datalist.json").stat().st_mtime_ns == stamp
    changed: list[dict[str, Any]] = [{"seed": 1}, {"patients": 41}, {"file_format": "png"}, {"marked": 6}]
    changed += [{"appearance": replace(SMALL, lesions=replace(SMALL.lesions, gap=(1.0, 2.0)))}]
    settings = {"patients": 40, "marked": 5, "appearance": SMALL}
    names = {bone_phantom_set(**{**settings, **change}).name for change in changed}
    monkeypatch.setattr(bone_set, "BONE_PHANTOM_VERSION", "other")
    names.add(bone_phantom_set(**settings).name)
    assert len(names | {first.name}) == 7


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"patients": 19}, "20 patients or more, got patients=19"),
        (
            {"patients": 40, "marked": 100},
            r"marked=100, but only \d+ of the training images of patients=40 are abnormal",
        ),
        ({"marked": -1}, "marked must be a whole number from 0, got -1"),
        ({"file_format": "nifti"}, "mixed, dicom, png"),
        ({"seed": -1}, "seed must be a whole number from 0"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Path, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bone_phantom_set(tmp_path / "set", **parameters)
    assert not list(tmp_path.iterdir())
