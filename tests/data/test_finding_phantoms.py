"""Phantom chests with findings: the same numbers, the same film; a finding is where and what it should be; files."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label

from semimed_monai.data import Datalist
from semimed_monai.data.phantoms import (
    FINDINGS,
    STANDARD_FINDINGS,
    FindingAppearance,
    finding_phantom,
    finding_phantom_set,
    findings_set,
)
from semimed_monai.data.phantoms.findings_set import COMPANIONS, FINDING_SHARES, findings_and_films
from semimed_monai.data.splits import split_by_group
from semimed_monai.transforms import chest_xray, read_radiograph

SMALL = replace(STANDARD_FINDINGS, size=64)
QUIET = replace(STANDARD_FINDINGS, noise=(0.0, 0.0), blur=(0.01, 0.01))
STILL = replace(QUIET, shift=0.0, move=0.0, zoom=(1.0, 1.0), expressed=(1.0, 1.0))
MM = np.arange(128) * 340 / 128 + 340 / 256
RIGHT, DOWN = np.meshgrid(MM - 170, MM)  # of the body's middle and of the upper border, on a film that lies STILL

Change = NDArray[np.float64]


def change_of(name: str, patient: int, appearance: FindingAppearance = STILL) -> Change:
    """What a finding adds to a patient's film, in shares of the whole range."""
    with_it = finding_phantom(7, patient, [name], 0, appearance).image.astype(float)
    return (with_it - healthy(patient, appearance)) / 4095


@cache
def healthy(patient: int, appearance: FindingAppearance) -> NDArray[np.uint16]:
    return finding_phantom(7, patient, [], 0, appearance).image


def changes(name: str, patients: int = 8) -> list[Change]:
    return [change_of(name, patient) for patient in range(patients)]


def pieces(change: Change) -> list[int]:
    """How many pixels each connected part of what became brighter has."""
    parts, _ = label(change > 0.02)
    return sorted(np.bincount(parts.ravel())[1:].tolist())


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finding_phantom_set(tmp_path_factory.mktemp("chests") / "set", patients=200, seed=2, appearance=SMALL)


def datalist(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "datalist.json").read_text())
    return content


def items_of(folder: Path) -> list[dict[str, Any]]:
    return [item for section in ("training", "validation", "test") for item in datalist(folder)[section]]


def numbers_of(item: dict[str, Any]) -> tuple[int, int]:
    """Patient and film, by the file's name."""
    patient, film = Path(item["image"]).stem[1:].split("_")
    return int(patient), int(film)


def test_a_film_is_the_same_whenever_asked_for() -> None:
    one = finding_phantom(1, 5, ["Mass", "Effusion"])
    again = finding_phantom(1, 5, ("Effusion", "Mass"))
    assert np.array_equal(one.image, again.image)
    assert one.boxes == again.boxes
    others = [(2, 5, ["Mass", "Effusion"]), (1, 6, ["Mass", "Effusion"]), (1, 5, ["Mass"]), (1, 5, one.boxes, 1)]
    assert all(not np.array_equal(one.image, finding_phantom(*other).image) for other in others)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(FINDINGS))
def test_a_finding_changes_its_box_and_can_be_seen_there(patient: int, name: str) -> None:
    """The same patient without it has the same anatomy, distractors and noise."""
    with_it, without = (finding_phantom(0, patient, findings, 0, STANDARD_FINDINGS) for findings in ([name], []))
    away = np.abs(with_it.image.astype(float) - without.image)
    x0, y0, x1, y1 = with_it.boxes[name]
    inside = np.zeros(away.shape, bool)
    inside[y0:y1, x0:x1] = True
    assert without.boxes == {}
    assert away[inside].max() > 40
    assert away[~binary_dilation(inside, iterations=2)].max(initial=0) < 0.2 * away.max()
    assert (away > 0.1 * away.max()).mean() < {"Emphysema": 0.5, "Edema": 0.35}.get(name, 0.2)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from(FINDINGS), st.sampled_from(FINDINGS))
def test_findings_do_not_change_one_another(patient: int, one: str, other: str) -> None:
    """What one adds is the same whether the other is there or not, as far as the film shows it."""
    if one == other:
        return
    both, first, second, none = (
        finding_phantom(0, patient, findings, 0, QUIET).image.astype(int)
        for findings in ([one, other], [one], [other], [])
    )
    shown = np.all([(image > 0) & (image < 4095) for image in (both, first, second, none)], axis=0)
    assert np.abs(both - second - (first - none))[shown].max() <= 2


def test_two_films_of_a_patient_show_the_same_findings_a_little_moved() -> None:
    for patient in range(6):
        one, two = (finding_phantom(0, patient, ["Mass", "Hernia"], film) for film in (0, 1))
        assert one.boxes != two.boxes
        for name in ("Mass", "Hernia"):
            # Twice 8 mm and 8 % of half of the film, in pixels of 340 / 128 mm, and two for rounding.
            assert np.abs(np.subtract(one.boxes[name], two.boxes[name])).max() <= (16 + 0.08 * 170) / (340 / 128) + 2


def test_two_films_of_a_patient_show_the_same_chest_exposed_anew() -> None:
    still = replace(STANDARD_FINDINGS, move=0.0, zoom=(1.0, 1.0))
    for patient in range(6):
        numbers = ((patient, 0), (patient, 1), (patient + 10, 0))
        one, two, stranger = (finding_phantom(0, number, [], film, still).image.ravel() for number, film in numbers)
        assert np.corrcoef(one, two)[0, 1] > 0.97 > np.corrcoef(one, stranger)[0, 1]
        assert (one != two).mean() > 0.9


def test_heart_lungs_and_diaphragm_change_where_they_should() -> None:
    for change in changes("Cardiomegaly"):
        sides = [change[(side * RIGHT > 40) & (DOWN > 120)].sum() for side in (-1, 1)]
        assert min(sides) > 0.5
        assert change.min() == 0
        assert not change[DOWN < 80].any()
    for change in changes("Emphysema"):
        lungs = [change[(np.abs(side * RIGHT - 65) < 15) & (np.abs(DOWN - 130) < 40)].mean() for side in (-1, 1)]
        assert max(lungs) < -0.02
        assert change[DOWN > 210].min() < 2 * max(lungs)  # where the diaphragm was, more is gone than in the lungs
    for change in changes("Atelectasis"):
        assert change.min() == 0
        assert not change[DOWN < 120].any()  # it is basal
        assert min(change[RIGHT < -15].max(), change[RIGHT > 15].max()) == 0 < change.max()  # on one side
        rows, columns = np.nonzero((change > 0.02) & (DOWN < 205))
        assert rows.size == 0 or np.ptp(columns) > np.ptp(rows) / 2  # lying plates


def test_fluid_and_haze_are_bright_where_they_should_be() -> None:
    for change in changes("Effusion"):
        assert change.min() == 0
        assert change.max() > 0.08
        assert not change[DOWN < 140].any()
        side = np.sign(change[RIGHT > 0].sum() - change[RIGHT < 0].sum())
        flank, medial = (
            (change > 0.02) & (side * RIGHT > low) & (side * RIGHT < high) for low, high in ((85, 100), (30, 55))
        )
        assert not medial.any() or DOWN[flank].min() < DOWN[medial].min()  # the meniscus
    for change in changes("Edema"):
        halves = [change[side * RIGHT > 15] for side in (-1, 1)]
        assert 0.4 < halves[0].sum() / halves[1].sum() < 2.5
        assert min(half.max() for half in halves) > 0.04
        central = change[(np.abs(RIGHT) < 65) & (np.abs(DOWN - 160) < 45)].mean()
        assert central > 4 * change[(np.abs(RIGHT) > 90) & (DOWN < 110)].mean()
        assert change.min() >= 0


def test_patches_differ_in_density_and_grain() -> None:
    """Infiltration is faint, consolidation dense and even, pneumonia has bronchi in it."""
    of = {name: changes(name, 10) for name in ("Infiltration", "Consolidation", "Pneumonia")}
    assert all(change.min() == 0 and (change > 0.02).sum() > 60 for found in of.values() for change in found)
    peaks = {name: np.mean([change.max() for change in found]) for name, found in of.items()}
    assert peaks["Infiltration"] < 0.7 * peaks["Pneumonia"]
    assert peaks["Infiltration"] < 0.7 * peaks["Consolidation"]
    full = {
        name: np.mean([(change > 0.9 * change.max()).sum() / (change > 0.1 * change.max()).sum() for change in found])
        for name, found in of.items()
    }
    assert full["Consolidation"] > 1.5 * full["Pneumonia"]


def test_a_mass_is_larger_than_nodules_which_are_one_to_three_and_round() -> None:
    for change in changes("Mass"):
        (size,) = pieces(change)
        assert size > np.pi * (12 / 340 * 128) ** 2
        assert change.max() > 0.1
        assert change.min() == 0
    for change in changes("Nodule"):
        sizes = pieces(change)
        assert 1 <= len(sizes) <= 3
        assert sizes[0] < np.pi * (13 / 340 * 128) ** 2
        assert change.min() == 0
        if len(sizes) == 1:
            rows, columns = np.nonzero(change > 0.02)
            assert abs(np.ptp(rows) - np.ptp(columns)) <= 2


def test_a_pneumothorax_is_a_dark_rim_beyond_a_bright_line_and_has_no_vessels() -> None:
    for patient, change in enumerate(changes("Pneumothorax")):
        assert change.max() > 0.02
        assert change.min() < -0.04
        assert change.sum() < 0
        side = np.sign(np.abs(change[RIGHT > 0]).sum() - np.abs(change[RIGHT < 0]).sum())
        row = change[60][:: -int(side)]  # 160 mm down, from the flank inwards
        assert (row < -0.01).argmax() < (row > 0.01).argmax() or row.max() <= 0.01
        lung = replace(STILL, spots=0, tubes=0)
        bare = replace(lung, vessels=0)
        # What vessels add to a healthy film is all that is missing more than from a lung without them.
        vessels = (healthy(patient, lung) - healthy(patient, bare).astype(float)) / 4095
        gone = change_of("Pneumothorax", patient, bare) - change_of("Pneumothorax", patient, lung)
        assert np.allclose(gone[change < -0.06], vessels[change < -0.06], atol=2 / 4095)


def test_lines_bands_and_bubbles() -> None:
    for change in changes("Fibrosis"):
        assert change.min() == 0
        assert not change[DOWN < 110].any()
        assert min(change[RIGHT > 15].max(), change[RIGHT < -15].max()) > 0.015  # on both sides
        net = change[(np.abs(RIGHT) > 45) & (np.abs(RIGHT) < 85) & (DOWN > 190) & (DOWN < 215)]
        assert net.std() > 0.4 * net.mean() > 0
    for change in changes("Pleural_Thickening"):
        assert change.min() == 0
        assert change.max() > 0.08
        assert not change[np.abs(RIGHT) < 55].any()  # along the flank
        rows, columns = np.nonzero(change > 0.02)
        assert np.ptp(rows) > np.ptp(columns)
    for change in changes("Hernia"):
        rows, columns = np.nonzero(change > 0.02)
        assert abs(MM[columns].mean() - 170) < 40
        assert MM[rows].mean() > 170
        middle = round((columns.min() + columns.max()) / 2)
        column = change[rows.min() : rows.max() + 1, middle]
        quarter = len(column) // 4
        assert column[quarter] < min(column[:quarter].max(), column[-quarter:].mean()) - 0.05  # air above a level


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_is_expressed_more_or_less(name: str) -> None:
    weak, full = (change_of(name, 1, replace(STILL, expressed=(much, much))) for much in (0.35, 1.0))
    assert 0 < np.abs(weak).sum() < 0.9 * np.abs(full).sum()


def test_a_set_has_its_findings_films_and_patients(chests: Path) -> None:
    content = datalist(chests)
    assert content["classes"] == list(FINDINGS)
    items = items_of(chests)
    assert {item["group"] for item in items} == {f"P{number:05d}" for number in range(200)}
    assert {item["image"] for item in items} == {f"images/{path.name}" for path in (chests / "images").iterdir()}
    films = Counter(item["group"] for item in items)
    for item in items:
        findings, count = findings_and_films(2, numbers_of(item)[0])
        assert item["label"] == [int(name in findings) for name in FINDINGS]
        assert films[item["group"]] == count
    parts = {name: content[name] for name in ("training", "validation", "test")}
    groups = {name: {item["group"] for item in part} for name, part in parts.items()}
    assert sum(map(len, groups.values())) == 200
    for name, share in findings_set.SECTIONS.items():
        assert len(parts[name]) / len(items) == pytest.approx(share, abs=0.02)
        assert np.any([item["label"] for item in parts[name]], axis=0).all()


def test_the_datalist_hides_labels_and_keeps_every_class(chests: Path) -> None:
    rows = Datalist(chests, labelled_share=0.2, seed=1)
    assert np.any([item["label"] for item in rows.labelled()], axis=0).all()
    assert {tuple(item["label"]) for item in rows.unlabelled()} == {(-1,) * 14}


def test_the_reader_shows_the_films_whatever_their_files_are(chests: Path) -> None:
    """Those of both polarities of DICOM, and those of eight bits."""
    kinds = Counter()
    for item in items_of(chests)[:36]:
        patient, film = numbers_of(item)
        picture = finding_phantom(2, patient, findings_and_films(2, patient)[0], film, SMALL)
        file = chests / item["image"]
        png = file.suffix == ".png"
        kinds["PNG" if png else str(pydicom.dcmread(file).PhotometricInterpretation)] += 1
        row = chest_xray(64)({**item, "image": str(file)})
        shown = row["image"][0].numpy()
        assert row["label"].tolist() == item["label"]
        assert np.abs(shown - picture.image / 4095).max() < (0.51 / 255 if png else 1e-6)
        assert np.array_equal(shown, read_radiograph(str(file)))
    assert kinds["PNG"] == pytest.approx(18, abs=6)
    assert min(kinds["MONOCHROME1"], kinds["MONOCHROME2"]) >= 3


def test_a_patients_films_are_studies_of_one_patient(chests: Path) -> None:
    films = [pydicom.dcmread(path) for path in (chests / "images").glob("*.dcm")]
    assert len({film.StudyInstanceUID for film in films}) == len({film.SOPInstanceUID for film in films}) == len(films)
    assert max(Counter(film.PatientID for film in films).values()) == 2
    assert {film.PatientID for film in films} <= {item["group"] for item in items_of(chests)}


def test_findings_have_their_shares_in_every_hundred_and_go_together() -> None:
    assert set(FINDING_SHARES) == set(FINDINGS)
    assert list(FINDING_SHARES.values()) == sorted(FINDING_SHARES.values(), reverse=True)
    plans = [findings_and_films(5, patient) for patient in range(600)]
    for start in (0, 300):
        counts = Counter(name for found, _ in plans[start : start + 100] for name in found)
        assert counts == {name: round(100 * share) for name, share in FINDING_SHARES.items()}
    assert np.mean([not found for found, _ in plans]) == pytest.approx(0.4, abs=0.05)
    films = [count for _, count in plans]
    assert set(films) == {1, 2, 3, 4}
    assert np.mean(films) == pytest.approx(1.7, abs=0.12)
    for pair in COMPANIONS:
        together = np.mean([{*pair} <= {*found} for found, _ in plans])
        assert together > 1.4 * FINDING_SHARES[pair[0]] * FINDING_SHARES[pair[1]]


def planned(seed: int, patients: int) -> list[dict[str, Any]]:
    """The items of a set that nobody makes."""
    return [
        {"image": f"{patient}_{film}", "group": str(patient), "label": [int(name in found) for name in FINDINGS]}
        for patient in range(patients)
        for found, films in [findings_and_films(seed, patient)]
        for film in range(films)
    ]


@settings(max_examples=5)
@given(st.integers(0, 10_000), st.integers(200, 260))
def test_no_section_of_any_population_is_without_a_finding(seed: int, patients: int) -> None:
    for part in findings_set._split(planned(seed, patients), seed).values():
        assert np.any([item["label"] for item in part], axis=0).all()


def test_where_a_split_leaves_a_section_without_a_finding_the_next_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a set so small that most do."""
    used: list[int] = []

    def counted(items: list[dict[str, Any]], shares: dict[str, float], seed: int) -> dict[str, list[dict[str, Any]]]:
        used.append(seed)
        return split_by_group(items, shares, seed)

    monkeypatch.setattr(findings_set, "split_by_group", counted)
    for seed in range(4):
        parts = findings_set._split(planned(seed, 130), seed)
        assert all(np.any([item["label"] for item in part], axis=0).all() for part in parts.values())
    assert len(used) > 4
    assert {*range(4)} <= {*used}


@pytest.mark.parametrize("file_format", ["dicom", "png"])
def test_formats_differ_in_nothing_but_the_file(
    chests: Path, tmp_path: Path, monkeypatch: Any, file_format: str
) -> None:
    monkeypatch.setattr(findings_set, "_write_patient", lambda *_: None)
    other = finding_phantom_set(tmp_path / "set", 200, 2, file_format, appearance=SMALL)
    for item, twin in zip(items_of(chests), items_of(other), strict=True):
        assert {**item, "image": Path(item["image"]).stem} == {**twin, "image": Path(twin["image"]).stem}
        assert Path(twin["image"]).suffix == (".dcm" if file_format == "dicom" else ".png")


def test_a_second_set_has_the_same_bytes_and_a_larger_one_the_same_patients(
    chests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first patients of it; processes are spread as for knees, whose test spawns them."""
    write = findings_set._write_patient

    def write_few(folder: Path, recipe: Any, patient: int) -> None:
        if patient < 12:
            write(folder, replace(recipe, patients=200), patient)  # its key is in the DICOM files' identifiers

    monkeypatch.setattr(findings_set, "_write_patient", write_few)
    for patients in (200, 230):
        again = finding_phantom_set(tmp_path / f"{patients}", patients, 2, appearance=SMALL)
        files = sorted((again / "images").iterdir())
        assert len(files) >= 12
        assert all(file.read_bytes() == (chests / "images" / file.name).read_bytes() for file in files)
        if patients == 200:
            assert (again / "datalist.json").read_bytes() == (chests / "datalist.json").read_bytes()


def test_cache_is_used_and_its_key_holds_all_parameters(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings_set, "_write_patient", lambda *_: None)
    first = finding_phantom_set(patients=200, appearance=SMALL)
    assert first.parent == cache
    assert datalist(first)["provenance"]["generator"] == "semimed_monai.data.phantoms.finding_phantom_set"
    stamp = (first / "datalist.json").stat().st_mtime_ns
    assert finding_phantom_set(patients=200, seed=0, appearance=SMALL, workers=2) == first
    assert (first / "datalist.json").stat().st_mtime_ns == stamp
    changed: list[dict[str, Any]] = [{"seed": 1}, {"patients": 201}, {"file_format": "png"}]
    changed += [{"appearance": replace(SMALL, expressed=(0.5, 1.0))}]
    names = {finding_phantom_set(**{"patients": 200, "appearance": SMALL, **change}).name for change in changed}
    monkeypatch.setattr(findings_set, "FINDING_PHANTOM_VERSION", "other")
    names.add(finding_phantom_set(patients=200, appearance=SMALL).name)
    assert len(names | {first.name}) == 6


def test_what_makes_no_phantom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="200 patients or more, got patients=199"):
        finding_phantom_set(tmp_path / "set", patients=199)
    with pytest.raises(ValueError, match="mixed, dicom, png"):
        finding_phantom_set(tmp_path / "set", file_format="nifti")
    with pytest.raises(ValueError, match="seed must be a whole number from 0"):
        finding_phantom_set(tmp_path / "set", seed=-1)
    assert not list(tmp_path.iterdir())
    for wrong in (["Fracture"], "Mass"):
        with pytest.raises(ValueError, match="give some of Atelectasis, Cardiomegaly"):
            finding_phantom(0, 0, wrong)
    for numbers in ((-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="must not be negative"):
            finding_phantom(*numbers, [])
    with pytest.raises(ValueError, match="must not be negative, got 0, 0 and -1"):
        finding_phantom(0, 0, [], film=-1)
    with pytest.raises(ValueError, match="64 pixels"):
        FindingAppearance(size=32)


@pytest.mark.parametrize("size", [64, 256])
def test_the_picture_scales(size: int) -> None:
    """Boxes are the same places at any size, in that size's pixels, whose edges are as soft as they are large."""
    findings = ["Mass", "Pneumonia"]
    standard, other = (finding_phantom(0, 4, findings, 0, replace(STANDARD_FINDINGS, size=n)) for n in (128, size))
    assert other.image.shape == (size, size)
    for name, box in standard.boxes.items():
        assert np.allclose(np.array(other.boxes[name]) * 128 / size, box, atol=4)


def test_a_thousand_films_take_less_than_a_minute() -> None:
    start = time.process_time()
    for patient in range(40):
        finding_phantom(0, patient, findings_and_films(0, patient)[0])
    assert (time.process_time() - start) * 1000 / 40 < 55
