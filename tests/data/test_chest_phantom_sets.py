"""Phantom chests as files: roles and counts, DICOM CR and PNG that are read as one picture, the same bytes anywhere."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semimed_monai.data import Datalist
from semimed_monai.data.phantoms import (
    STANDARD_CHEST,
    STANDARD_COUNTS,
    ChestCounts,
    chest_phantom,
    chest_phantom_set,
    chest_set,
    write_dicom_radiograph,
    write_png,
)
from semimed_monai.transforms import chest_xray, read_radiograph
from semimed_monai.vocabulary import ROLES

SMALL = replace(STANDARD_CHEST, size=64)
FEW = ChestCounts(P_hos=3, N_hos=6, P_pub=4, N_pub=5, P_val=2, N_val=3, P_test=3, N_test=4)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chest_phantom_set(tmp_path_factory.mktemp("mixed") / "set", seed=3, counts=FEW, anatomy=SMALL)


def datalist(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "datalist.json").read_text())
    return content


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_set_has_its_roles_and_counts(mixed: Path) -> None:
    content = datalist(mixed)
    assert content["classes"] == ["normal", "fracture"]
    assert Counter(item["role"] for item in content["training"]) == {"P_hos": 3, "N_hos": 6, "P_pub": 4, "N_pub": 5}
    assert [sum(item["label"] == label for item in content["validation"]) for label in (1, 0)] == [2, 3]
    assert [sum(item["label"] == label for item in content["test"]) for label in (1, 0)] == [3, 4]
    everybody = [item for section in ("training", "validation", "test") for item in content[section]]
    assert len({item["group"] for item in everybody}) == len(everybody) == FEW.total
    assert {item["image"] for item in everybody} == {f"images/{path.name}" for path in (mixed / "images").iterdir()}
    for item in everybody:
        assert ("boxes" in item) == (item["label"] == 1 and item.get("role") != "P_pub")
    assert content["provenance"]["counts"] == asdict(FEW)


def test_the_reader_and_the_preprocessing_take_it(mixed: Path, cache: Path) -> None:
    rows = Datalist(mixed)
    preprocess = chest_xray(64, refuse_blank=True)
    for item in [*rows.labelled(), *rows.section("validation"), *rows.section("test")]:
        row = preprocess(item)
        assert row["has_mask"] == (item.get("role") != ROLES.index("P_pub"))
        assert bool(row["mask"].any()) == (len(row["boxes"]) > 0) == ("boxes" in item)
    assert not rows.unlabelled()


def test_files_hold_the_persons_picture_and_boxes(mixed: Path) -> None:
    """A hospital's film is the phantom, whatever its file is; a public one nearly."""
    content = datalist(mixed)
    for item in [*content["training"], *content["test"]]:
        person = chest_phantom(3, int(item["group"][1:]), item["label"] == 1, SMALL)
        shown = read_radiograph(str(mixed / item["image"]))
        expected = person.image / 4095
        if item.get("role", "").endswith("pub"):
            assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.95
            assert np.abs(shown - expected).max() > 0.02
        else:
            assert np.abs(shown - expected).max() < 1 / 255
        if "boxes" in item:
            assert item["boxes"] == [list(box) for box in person.boxes]


@pytest.mark.parametrize("file_format", ["dicom", "png"])
def test_formats_differ_in_nothing_but_the_file(mixed: Path, tmp_path: Path, file_format: str) -> None:
    other = chest_phantom_set(tmp_path / "set", seed=3, file_format=file_format, counts=FEW, anatomy=SMALL)
    assert {path.suffix for path in (other / "images").iterdir()} == {".dcm" if file_format == "dicom" else ".png"}
    for section in ("training", "validation", "test"):
        for item, twin in zip(datalist(mixed)[section], datalist(other)[section], strict=True):
            assert {**item, "image": ""} == {**twin, "image": ""}
            images = [read_radiograph(str(folder / found["image"])) for folder, found in ((mixed, item), (other, twin))]
            assert np.abs(images[0] - images[1]).max() < 1 / 255


def test_mixed_has_dicom_of_both_polarities_from_the_hospital_only(mixed: Path) -> None:
    content = datalist(mixed)
    suffixes = Counter((item["role"][2:], item["image"][-3:]) for item in content["training"])
    assert suffixes == {("hos", "dcm"): 5, ("hos", "png"): 4, ("pub", "png"): 9}
    kinds = Counter(pydicom.dcmread(path).PhotometricInterpretation for path in mixed.rglob("*.dcm"))
    assert min(kinds["MONOCHROME1"], kinds["MONOCHROME2"]) >= 3


def test_people_stay_the_same_whatever_the_others_counts(mixed: Path, tmp_path: Path) -> None:
    more = chest_phantom_set(tmp_path / "more", seed=3, counts=replace(FEW, P_hos=5, N_val=1), anatomy=SMALL)
    small, large = (
        {item["group"]: item for item in datalist(folder)["training"] + datalist(folder)["test"]}
        for folder in (mixed, more)
    )
    assert len(large) == len(small) + 2
    assert all(large[group] == item for group, item in small.items())
    assert (mixed / "images/p600001.png").read_bytes() == (more / "images/p600001.png").read_bytes()


def test_a_second_set_has_the_same_bytes(mixed: Path, tmp_path: Path) -> None:
    """Processes are spread as for knees, whose test spawns them."""
    again = chest_phantom_set(tmp_path / "again", seed=3, counts=FEW, anatomy=SMALL)
    assert digests(again) == digests(mixed)


def test_standard_counts_are_the_papers_proportions() -> None:
    assert STANDARD_COUNTS.total == 2280
    hospital, public = (STANDARD_COUNTS.N_hos / STANDARD_COUNTS.P_hos, STANDARD_COUNTS.N_pub / STANDARD_COUNTS.P_pub)
    assert hospital == pytest.approx(9858 / 580, rel=0.1)
    assert public == pytest.approx(16921 / 4825, rel=0.3)
    assert STANDARD_COUNTS.P_pub / STANDARD_COUNTS.P_hos == pytest.approx(4825 / 580, rel=0.1)


@given(st.integers(57, 20_000))
def test_scaled_counts_add_up_and_keep_their_proportions(people: int) -> None:
    scaled = STANDARD_COUNTS.scaled_to(people)
    assert scaled.total == people
    for group, count in asdict(scaled).items():
        assert abs(count - asdict(STANDARD_COUNTS)[group] * people / 2280) <= 1


def test_cache_is_used_and_its_key_holds_all_parameters(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = chest_phantom_set(people=60, anatomy=SMALL)
    assert first.parent == cache
    assert datalist(first)["provenance"]["generator"] == "semimed_monai.data.phantoms.chest_phantom_set"
    stamp = (first / "datalist.json").stat().st_mtime_ns
    assert chest_phantom_set(counts=STANDARD_COUNTS.scaled_to(60), anatomy=SMALL) == first
    assert (first / "datalist.json").stat().st_mtime_ns == stamp
    changes: list[dict[str, Any]] = [{"seed": 1}, {"file_format": "png"}, {"people": 61}]
    changes += [{"anatomy": replace(SMALL, gap=(4.0, 5.0))}]
    keys = {first.name, *(chest_phantom_set(**{"people": 60, "anatomy": SMALL, **change}).name for change in changes)}
    monkeypatch.setattr(chest_set, "CHEST_PHANTOM_VERSION", "other")
    keys.add(chest_phantom_set(people=60, anatomy=SMALL).name)
    assert len(keys) == 6


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"people": 30}, "people=30 leaves nobody for P_val: ask for more"),
        ({"file_format": "nifti"}, "mixed, dicom, png"),
        ({"seed": -1}, "seed must be a whole number from 0"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Path, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chest_phantom_set(tmp_path / "set", **parameters)
    assert not list(tmp_path.iterdir())


def test_counts_that_are_none_and_a_folder_with_something_else(tmp_path: Path) -> None:
    for count in (-1, 2.5, 100_000):
        with pytest.raises(ValueError, match=r"N_pub=.*whole number from 0 to 99999"):
            ChestCounts(N_pub=count)  # type: ignore[arg-type]
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="something else"):
        chest_phantom_set(tmp_path, counts=FEW, anatomy=SMALL)


def test_two_thousand_people_take_less_than_eighty_seconds(tmp_path: Path) -> None:
    start = time.process_time()
    chest_phantom_set(tmp_path / "set", people=80)
    assert (time.process_time() - start) * 2000 / 80 < 80


def test_dicom_header(tmp_path: Path) -> None:
    person = chest_phantom(0, 4, broken=True)
    for monochrome1 in (False, True):
        file = tmp_path / f"{monochrome1}.dcm"
        write_dicom_radiograph(file, person.image, person.spacing, "p4", "set", monochrome1=monochrome1)
        film = pydicom.dcmread(file)
        assert film.SOPClassUID == pydicom.uid.ComputedRadiographyImageStorage == film.file_meta.MediaStorageSOPClassUID
        assert film.file_meta.MediaStorageSOPInstanceUID == film.SOPInstanceUID
        assert (film.Modality, film.BodyPartExamined, film.ViewPosition, film.PatientID) == ("CR", "CHEST", "PA", "p4")
        assert film.PhotometricInterpretation == ("MONOCHROME1" if monochrome1 else "MONOCHROME2")
        assert [float(value) for value in film.ImagerPixelSpacing] == [340 / 128, 340 / 128]
        assert np.array_equal(film.pixel_array, 4095 - person.image if monochrome1 else person.image)
        assert np.abs(read_radiograph(str(file)) - person.image / 4095).max() < 1e-6
        again = tmp_path / "again.dcm"
        write_dicom_radiograph(again, person.image, person.spacing, "p4", "set", monochrome1=monochrome1)
        assert again.read_bytes() == file.read_bytes()
    write_dicom_radiograph(again, person.image, person.spacing, "p4", "another set")
    assert pydicom.dcmread(again).StudyInstanceUID != film.StudyInstanceUID
    with pytest.raises(ValueError, match="p4: a 12-bit image holds 0 to 4095, got"):
        write_dicom_radiograph(again, person.image + np.uint16(4000), person.spacing, "p4")


@pytest.mark.parametrize("monochrome1", [False, True])
def test_dciodvfy_finds_no_error(tmp_path: Path, monochrome1: bool) -> None:
    if not (tool := shutil.which("dciodvfy")):
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    person = chest_phantom(0, 4, broken=True)
    write_dicom_radiograph(tmp_path / "film.dcm", person.image, person.spacing, "p4", monochrome1=monochrome1)
    said = subprocess.run([tool, str(tmp_path / "film.dcm")], capture_output=True, text=True, check=False).stderr
    assert "CRImage" in said
    assert "Error" not in said


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_png_keeps_its_bits(tmp_path: Path, kind: type[np.uint8 | np.uint16]) -> None:
    image = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (9, 7), dtype=kind, endpoint=True)
    image[0, :2] = 0, np.iinfo(kind).max
    for name in ("one.png", "two.png"):
        write_png(tmp_path / name, image)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    shown = read_radiograph(str(tmp_path / "one.png"))
    assert np.array_equal((shown * np.iinfo(kind).max).round().astype(kind), image)
