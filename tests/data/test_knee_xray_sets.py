"""Phantom knee radiographs as files: both knees of every person, grades in their shares, DICOM CR and PNG."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import subprocess
from collections import Counter
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
    KNEE_XRAY_CLASSES,
    STANDARD_KNEE_XRAY,
    KneeXrayPhantom,
    both_knees_xray_phantom,
    knee_xray_grades,
    knee_xray_phantom,
    knee_xray_phantom_set,
    knee_xray_set,
    sets,
    write_both_knees,
)
from semimed_monai.data.phantoms.knee_xray_set import GRADE_SHARES
from semimed_monai.transforms import read_radiograph

SMALL = replace(STANDARD_KNEE_XRAY, size=64)
SECTIONS = {"training": 0.7, "validation": 0.15, "test": 0.15}


@pytest.fixture(scope="module")
def knees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return knee_xray_phantom_set(tmp_path_factory.mktemp("knees") / "set", 100, 2, appearance=SMALL)


@pytest.fixture
def nothing_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of the datalist alone needs no files."""
    monkeypatch.setattr(knee_xray_set, "_write_person", lambda *_: None)


def datalist(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "datalist.json").read_text())
    return content


def items_of(folder: Path) -> list[dict[str, Any]]:
    return [item for section in SECTIONS for item in datalist(folder)[section]]


def knee_of(item: dict[str, Any]) -> KneeXrayPhantom:
    """As the phantom is without files."""
    name = Path(item["image"]).stem
    return knee_xray_phantom(2, int(name[1:-1]), name[-1], item["label"], SMALL)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_set_has_both_knees_of_every_person(knees: Path) -> None:
    content, items = datalist(knees), items_of(knees)
    assert content["classes"] == list(KNEE_XRAY_CLASSES) == ["KL 0", "KL 1", "KL 2", "KL 3", "KL 4"]
    assert {item["image"] for item in items} == {f"images/{path.name}" for path in (knees / "images").iterdir()}
    assert sorted(Path(item["image"]).stem for item in items) == [
        f"P{n:05d}{side}" for n in range(100) for side in "LR"
    ]
    for item in items:
        name = Path(item["image"]).stem
        assert item["group"] == name[:-1]
        assert item["label"] == knee_xray_grades(2, int(name[1:-1]))["LR".index(name[-1])]


def test_sections_are_by_person_with_their_shares(knees: Path) -> None:
    content = datalist(knees)
    groups = [{item["group"] for item in content[section]} for section in SECTIONS]
    assert sum(map(len, groups)) == 100
    for section, share in SECTIONS.items():
        labels = Counter(item["label"] for item in content[section])
        assert labels.total() == pytest.approx(200 * share, abs=4)
        for grade, part in enumerate(GRADE_SHARES):
            assert labels[grade] == pytest.approx(200 * share * part, abs=2.5)


@pytest.mark.usefixtures("nothing_written")
def test_a_hundred_and_fifty_people_of_any_seed_have_every_grade_in_every_section(tmp_path: Path) -> None:
    for seed in range(20):
        content = datalist(knee_xray_phantom_set(tmp_path / str(seed), 150, seed, appearance=SMALL))
        assert all({item["label"] for item in content[section]} == set(range(5)) for section in SECTIONS)


def test_files_are_read_as_what_was_drawn(knees: Path) -> None:
    """Through the reader that training uses, whatever the file and its polarity; to a grey level of the PNG's."""
    kinds: Counter[str] = Counter()
    for item in items_of(knees)[::2]:
        path, expected = knees / item["image"], knee_of(item).image / 4095
        assert np.abs(read_radiograph(str(path)) - expected).max() < 1 / 255
        if path.suffix == ".png":
            kinds["PNG"] += 1
            assert np.abs(np.asarray(Image.open(path)) / 255 - expected).max() < 1 / 255
        else:
            film = pydicom.dcmread(path)
            kinds[film.PhotometricInterpretation] += 1
            inverse = film.PhotometricInterpretation == "MONOCHROME1"
            assert np.array_equal(film.pixel_array, 4095 - knee_of(item).image if inverse else knee_of(item).image)
    assert kinds["PNG"] == pytest.approx(50, abs=12)
    assert min(kinds["MONOCHROME1"], kinds["MONOCHROME2"]) >= 10


def test_the_reader_takes_it(knees: Path) -> None:
    rows = Datalist(knees)
    assert not rows.unlabelled()
    for item, stored in zip(rows.labelled(), datalist(knees)["training"], strict=True):
        assert (item["group"], item["label"]) == (stored["group"], stored["label"])
    assert len(Datalist(knees, labelled_share=0.1).unlabelled()) > 100


def test_dicom_headers_are_a_persons(knees: Path) -> None:
    films = {
        Path(item["image"]).stem: pydicom.dcmread(knees / item["image"])
        for item in items_of(knees)
        if item["image"].endswith(".dcm")
    }
    assert len(films) == 100
    for name, film in films.items():
        assert (film.Modality, film.BodyPartExamined, film.ViewPosition) == ("CR", "KNEE", "AP")
        assert (film.PatientID, film.Laterality) == (name[:-1], name[-1])
        assert [float(value) for value in film.ImagerPixelSpacing] == [90 / 64] * 2
        assert film.StudyInstanceUID == films[name[:-1] + "L"].StudyInstanceUID
    assert len({film.StudyInstanceUID for film in films.values()}) == 50
    assert len({film.SeriesInstanceUID for film in films.values()}) == 100
    assert len({film.SOPInstanceUID for film in films.values()}) == 100


@pytest.mark.parametrize("monochrome1", [False, True])
def test_a_film_of_both_knees_is_a_dicom_of_both(tmp_path: Path, monochrome1: bool) -> None:
    path = tmp_path / "both.dcm"
    film = write_both_knees(path, 2, 7, (3, 0), SMALL, monochrome1=monochrome1)
    expected, stored = both_knees_xray_phantom(2, 7, (3, 0), SMALL), pydicom.dcmread(path)
    assert film.centres == expected.centres
    assert np.abs(read_radiograph(str(path)) - expected.image / 4095).max() < 1e-6
    assert (stored.Modality, stored.BodyPartExamined, stored.ViewPosition) == ("CR", "KNEE", "PA")
    assert (stored.PatientID, stored.ImageLaterality) == ("P00007", "B")
    assert "Laterality" not in stored
    assert list(stored.PatientOrientation) == ["L", "F"]
    assert stored.PhotometricInterpretation == ("MONOCHROME1" if monochrome1 else "MONOCHROME2")


def test_dciodvfy_finds_no_error(knees: Path, tmp_path: Path) -> None:
    if not (tool := shutil.which("dciodvfy")):
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    write_both_knees(tmp_path / "both.dcm", 2, 7, (3, 0), SMALL)
    for path in (*sorted((knees / "images").glob("*.dcm"))[:2], tmp_path / "both.dcm"):
        said = subprocess.run([tool, str(path)], capture_output=True, text=True, check=False).stderr
        assert "CRImage" in said
        assert "Error" not in said


@pytest.mark.usefixtures("nothing_written")
@pytest.mark.parametrize("file_format", ["dicom", "png"])
def test_formats_differ_in_nothing_but_the_file(knees: Path, tmp_path: Path, file_format: str) -> None:
    other = knee_xray_phantom_set(tmp_path / "set", 100, 2, file_format, appearance=SMALL)
    for item, twin in zip(items_of(knees), items_of(other), strict=True):
        assert {**item, "image": Path(item["image"]).stem} == {**twin, "image": Path(twin["image"]).stem}
        assert Path(twin["image"]).suffix == (".dcm" if file_format == "dicom" else ".png")


def test_two_processes_write_the_same_bytes_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forked here, as spawned ones import the library anew; the MR knees' test spawns them."""
    make: Callable[..., Path] = lambda name, workers: knee_xray_phantom_set(  # noqa: E731
        tmp_path / name, 10, 1, appearance=SMALL, workers=workers
    )
    monkeypatch.setattr(sets, "get_context", lambda _: multiprocessing.get_context("fork"))
    assert digests(make("one", 1)) == digests(make("two", 2))


def test_a_larger_set_has_the_same_persons(knees: Path, tmp_path: Path) -> None:
    smaller = knee_xray_phantom_set(tmp_path / "smaller", 10, 2, appearance=SMALL)
    files = sorted((smaller / "images").iterdir())
    assert len(files) == 20
    for file in files:
        assert np.array_equal(read_radiograph(str(file)), read_radiograph(str(knees / "images" / file.name)))


def test_every_fifty_persons_have_the_grades_in_their_shares() -> None:
    assert sum(GRADE_SHARES) == pytest.approx(1)
    for start in (0, 350):
        grades = Counter(grade for person in range(start, start + 50) for grade in knee_xray_grades(5, person))
        assert [grades[grade] for grade in range(5)] == [40, 18, 26, 13, 3]


def test_a_persons_grades_are_mostly_equal_or_one_apart_but_not_always() -> None:
    """In OAI's public set 54 % are equal and 28 % one apart, with a correlation of 0.50."""
    grades = np.array([knee_xray_grades(seed, person) for seed in range(4) for person in range(400)])
    apart = np.abs(np.subtract(*grades.T))
    assert np.mean(apart == 0) == pytest.approx(0.53, abs=0.06)
    assert np.mean(apart == 1) == pytest.approx(0.37, abs=0.06)
    assert 0.6 < np.corrcoef(grades.T)[0, 1] < 0.82


@pytest.mark.usefixtures("nothing_written")
def test_cache_is_used_and_its_key_holds_all_parameters(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = knee_xray_phantom_set(people=100, appearance=SMALL)
    assert first.parent == cache
    assert datalist(first)["provenance"]["generator"] == "semimed_monai.data.phantoms.knee_xray_phantom_set"
    stamp = (first / "datalist.json").stat().st_mtime_ns
    assert knee_xray_phantom_set(people=100, seed=0, appearance=SMALL, workers=2) == first
    assert (first / "datalist.json").stat().st_mtime_ns == stamp
    changed: list[dict[str, Any]] = [{"seed": 1}, {"people": 101}, {"file_format": "png"}]
    changed += [{"appearance": replace(SMALL, signs=replace(SMALL.signs, doubt=0.2))}]
    settings = {"people": 100, "appearance": SMALL}
    names = {knee_xray_phantom_set(**{**settings, **change}).name for change in changed}
    monkeypatch.setattr(knee_xray_set, "KNEE_XRAY_PHANTOM_VERSION", "other")
    names.add(knee_xray_phantom_set(**settings).name)
    assert len(names | {first.name}) == 6


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"people": 9}, "ask for 10 or more, got people=9"),
        ({"file_format": "nifti"}, "mixed, dicom, png"),
        ({"seed": -1}, "seed must be a whole number from 0"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Path, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        knee_xray_phantom_set(tmp_path / "set", **parameters)
    assert not list(tmp_path.iterdir())
