"""OAI's own films: the table of readings, whose films they are, and the knees that are found and cut out of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from skimage.draw import polygon
from small_files import write_radiograph
from written import items_of, left_out, sections_of

from data_prep import oai_films
from data_prep.knee_joints import LEAST, Joint, doubts, find_joints, square_around
from data_prep.oai_kl import prepare
from data_prep.oai_knee import Knee
from data_prep.oai_readings import read_readings
from semimed_monai.data import Datalist
from semimed_monai.data.phantoms import KneeXrayAppearance, knee_xray_grades, write_both_knees
from semimed_monai.transforms.radiographs import read_radiograph

WIDE, HIGH = 400, 300  # mm of a drawn film
PLACES = ((140.0, 110.0), (150.0, 290.0))  # mm: rows and columns of its joints
PITCH = 0.8

# Right halves of the bones: mm below the tibial plateau, mm beside the middle.
_FEMUR = [(-120, 19), (-60, 20), (-32, 38), (-12, 39), (-5, 22), (-14, 0)]
_TIBIA = [(0, 36), (20, 35), (60, 18), (130, 15)]
BONES = [[*half, *((down, -across) for down, across in half[::-1])] for half in (_FEMUR, _TIBIA)]


def drawn(pitch: float = PITCH, places: Mapping[int, tuple[float, float]] | None = None) -> NDArray[np.float64]:
    """Two legs, and the bones of the knees at these places in them: rows x columns in [0, 1]."""
    film = np.zeros((round(HIGH / pitch), round(WIDE / pitch)))
    there = dict(enumerate(PLACES)) if places is None else places
    for row, column in there.values():
        film[:, round((column - 60) / pitch) : round((column + 60) / pitch)] = 0.3
        for bone in BONES:
            down, across = np.add(bone, (row, column)).T / pitch
            film[polygon(down, across, film.shape)] = 0.8
    return film


def write_film(file: Path, image: NDArray[np.float64], subject: str, **header: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    said = {"PatientID": subject, "BodyPartExamined": "KNEE", "StudyDate": "20050214", "PixelSpacing": [PITCH, PITCH]}
    write_radiograph(file, np.rint(4095 * image), **{**said, **header})
    return file


def write_readings(file: Path, *rows: str, head: str = "ID|SIDE|READPRJ|VERSION|V00XRKL") -> Path:
    file.write_text("\n".join([head, *rows]) + "\n")
    return file


SUBJECTS = [f"90000{number:02d}" for number in range(15)]


def grade_of(subject: str, side: str) -> int:
    return (int(subject) + (side == "L")) % 5


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SEMIMED_CACHE", str(tmp_path / "cache"))


FOUND: dict[tuple[bytes, float], tuple[Joint, Joint]] = {}


@pytest.fixture(autouse=True)
def searched_once(monkeypatch) -> None:
    """Most films are the same picture, which takes longer to search than all the rest."""

    def find(film: NDArray[np.float32], pitch: float) -> tuple[Joint, Joint]:
        key = film.tobytes(), pitch
        if key not in FOUND:
            FOUND[key] = find_joints(film, pitch)
        return FOUND[key]

    monkeypatch.setattr(oai_films, "find_joints", find)


@pytest.fixture
def films(tmp_path) -> Path:
    """A film of each subject, in folders as OAI has them, and beside them the table of the readings."""
    image = drawn()
    for number, subject in enumerate(SUBJECTS):
        write_film(tmp_path / "00m" / subject / "20050214" / f"0113{number:04d}" / "001", image, subject)
    rows = [f"{subject}|{code}|15|0.9|{grade_of(subject, side)}" for subject in SUBJECTS
            for code, side in (("1: Right", "R"), ("2: Left", "L"))]  # fmt: skip
    write_readings(tmp_path / "kXR_SQ_BU00.txt", *rows)
    return tmp_path / "00m"


def film_of(films: Path, subject: str) -> Path:
    return next(films.glob(f"{subject}/*/0113*/001"))


def edit(file: Path, **values: Any) -> None:
    data = pydicom.dcmread(file)
    for key, value in values.items():
        if value is None:
            delattr(data, key)
        else:
            setattr(data, key, value)
    data.save_as(file)


def made(films: Path, **settings: Any) -> Path:
    return prepare(films, films.parent / "out", readings=films.parent / "kXR_SQ_BU00.txt", **settings)


def refusal(films: Path, **settings: Any) -> str:
    with pytest.raises((ValueError, OSError)) as caught:
        made(films, **settings)
    assert not (films.parent / "out").exists()
    return str(caught.value)


def add_row(films: Path, row: str) -> None:
    with (films.parent / "kXR_SQ_BU00.txt").open("a") as lines:
        lines.write(row + "\n")


def test_both_knees_of_a_film_are_cut_out_and_have_the_grades_of_the_table(films, capsys):
    file = made(films)
    Datalist(file)  # opens every file
    items = items_of(file)
    assert items == {
        f"{subject}{side}": {
            "image": f"knees/{subject}{side}.png",
            "label": grade_of(subject, side),
            "group": subject,
            "id": f"{subject}{side}",
        }
        for subject in SUBJECTS
        for side in "LR"
    }
    sections = sections_of(file)
    groups = [{item["group"] for item in items} for items in sections.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == len(SUBJECTS)
    provenance = json.loads(file.read_text())["provenance"]
    assert provenance["counts"] == {"graded": 30, "films": 15, "images": 30, "subjects": 15, "passed by": {}}
    assert (provenance["table"], provenance["square_mm"]) == ("kXR_SQ_BU00.txt", 110)
    assert provenance["split"] == {"by": "subject", "fractions": [0.7, 0.1, 0.2], "seed": 0}
    assert provenance["left_out"] == {}
    assert "written: " in capsys.readouterr().out


def test_the_right_knee_is_at_the_left_unless_the_header_says_otherwise(films):
    def cut() -> list[NDArray[Any]]:
        file = made(films, square=100)
        return [np.asarray(Image.open(file.parent / f"knees/{SUBJECTS[0]}{side}.png")) for side in "RL"]

    image, side = np.rint(255 * drawn()), round(100 / PITCH)
    for found, (row, column) in zip(cut(), PLACES, strict=True):
        assert found.shape == (side, side)
        assert found.dtype == np.uint8
        top, left = (round(place / PITCH - side / 2) for place in (row, column))
        near = [image[top + down : top + down + side, left + right : left + right + side]
                for down in range(-4, 5) for right in range(-4, 5)]  # fmt: skip
        # The header's window is the film's own range; the square is at most some pixels away.
        assert min(np.abs(found / 255 - one / one.max()).mean() for one in near) < 0.01
    right, left = cut()
    edit(film_of(films, SUBJECTS[0]), PatientOrientation=["R", "F"])
    assert (np.array(cut()) == np.array([left, right])).all()


def test_whites_that_are_stored_as_zero_make_no_difference(films):
    expected = (made(films).parent / "knees" / f"{SUBJECTS[0]}L.png").read_bytes()
    film = film_of(films, SUBJECTS[0])
    pixels = pydicom.dcmread(film).pixel_array
    edit(film, PhotometricInterpretation="MONOCHROME1", PixelData=(pixels.max() - pixels).astype("<u2").tobytes())
    assert (made(films).parent / "knees" / f"{SUBJECTS[0]}L.png").read_bytes() == expected


def test_the_same_films_give_the_same_bytes_and_old_knees_are_replaced(films, tmp_path):
    first = made(films)
    knees = {file.name: file.read_bytes() for file in (first.parent / "knees").iterdir()}
    text = first.read_bytes()
    moved = films.rename(tmp_path / "elsewhere")
    again = prepare(moved, tmp_path / "out", readings=tmp_path / "kXR_SQ_BU00.txt")
    assert again.read_bytes() == text
    assert {file.name: file.read_bytes() for file in (again.parent / "knees").iterdir()} == knees
    assert str(tmp_path) not in text.decode()
    film_of(moved, SUBJECTS[0]).unlink()
    prepare(moved, tmp_path / "out", readings=tmp_path / "kXR_SQ_BU00.txt")
    assert len([*(tmp_path / "out" / "knees").iterdir()]) == 28


def test_squares_are_of_the_size_that_is_asked_for(films):
    for settings_, side in (({}, 138), ({"square": 100}, 125), ({"resize": 64}, 64), ({"resize": 500}, 138)):
        file = made(films, **settings_)
        with Image.open(file.parent / items_of(file)[f"{SUBJECTS[0]}L"]["image"]) as knee:
            assert (knee.size, knee.mode) == ((side, side), "L")


def test_films_of_several_visits_and_of_other_things_are_not_used(films, capsys):
    image = drawn()
    subject = SUBJECTS[0]
    later = write_film(films / subject / "20060301" / "1" / "001", image, subject, StudyDate="20060301")
    undated = write_film(films / subject / "0" / "001", image, subject, StudyDate="")
    write_film(films / subject / "hand", image, subject, BodyPartExamined="", SeriesDescription="PA Right Hand")
    write_film(films / subject / "mr", image, subject, Modality="MR")
    write_film(films / "x", image, "x")
    file = made(films)
    assert left_out(file) == {
        "films of nobody in the table": ["x"],
        "further films of a subject": sorted(film.relative_to(films).as_posix() for film in (later, undated)),
    }
    passed = {"BodyPartExamined": 0, "PA Right Hand": 1, "modality MR": 1}
    assert json.loads(file.read_text())["provenance"]["counts"]["passed by"] == {
        what: count for what, count in passed.items() if count
    }
    printed = capsys.readouterr().out
    assert "note: passed by: 1 files, PA Right Hand\n" in printed
    assert "note: passed by: 1 files, modality MR\n" in printed


NOT_USABLE = "subjects none of whose films of the baseline can be used"
PERHAPS_LATER = "used, but perhaps of a later visit: undated, or over a year after most"
BY_DATE = "note: a subject's earliest film counts: none has a V00BARCDBU of the table as its AccessionNumber\n"


def later_film(films: Path, subject: str, date: str) -> str:
    """The name of a film of both knees from another day."""
    return (
        write_film(films / subject / date / "9" / "001", drawn(), subject, StudyDate=date).relative_to(films).as_posix()
    )


def spoilt(film: Path) -> Path:
    """A file in its place without a header that could be read."""
    film = film.rename(film.with_suffix(".dcm"))
    film.write_bytes(b"nothing")
    return film


def test_a_later_film_does_not_stand_in_for_that_of_the_baseline(films, capsys):
    further = [later_film(films, subject, "20060301") for subject in SUBJECTS[:3]]
    first = [film_of(films, subject) for subject in SUBJECTS[:4]]
    edit(first[0], PixelSpacing=None, ImagerPixelSpacing=None)
    first[1] = spoilt(first[1])  # its folder tells the day, and so below
    edit(first[2], StudyDate="")
    first[3].unlink()
    only = later_film(films, SUBJECTS[3], "20090214")
    file = made(films)
    names = [path.relative_to(films).as_posix() for path in first]
    assert {item["group"] for item in items_of(file).values()} == {*SUBJECTS[2:]}
    lost = left_out(file)
    assert lost.pop("films that cannot be used") == [
        f"{names[0]} (no PixelSpacing, ImagerPixelSpacing, NominalScannedPixelSpacing: its size in mm is not known)",
        f"{names[1]} (no DICOM header: copy it anew)",
    ]
    assert lost == {
        "further films of a subject": further,
        NOT_USABLE: SUBJECTS[:2],
        PERHAPS_LATER: [f"{only} (20090214)"],
    }
    printed = capsys.readouterr().out
    assert f"{PERHAPS_LATER}: 1 ({only} (20090214))\n" in printed
    assert BY_DATE in printed


def test_a_film_is_named_if_undated_or_dated_more_than_a_year_after_most(films):
    dated = dict(zip(SUBJECTS, ("20060214", "20060215", ""), strict=False))
    for subject, date in dated.items():
        film = film_of(films, subject)
        edit(film, StudyDate=date)
        film.rename(films / f"{subject}.dcm")
    assert left_out(made(films)) == {
        PERHAPS_LATER: [
            f"{SUBJECTS[1]}.dcm (20060215)",
            f"{SUBJECTS[2]}.dcm (no date)",
        ]
    }


def with_barcodes(films: Path, given: str = "0166{:08d}") -> None:
    """Write into the table what barcode the film of each subject has."""
    table = films.parent / "kXR_SQ_BU00.txt"
    head, *rows = table.read_text().splitlines()
    codes = [given.format(SUBJECTS.index(row.partition("|")[0])) for row in rows]
    write_readings(table, *map("{}|{}".format, rows, codes), head=f"{head}|v00barcdbu")


@pytest.mark.parametrize("given", ["0166{:08d}", "166{:08d}.0"])
def test_where_the_table_has_barcodes_the_film_with_one_is_the_graded(films, capsys, given):
    with_barcodes(films, given)
    for number, subject in enumerate(SUBJECTS):
        edit(film_of(films, subject), AccessionNumber=f"0166{number:08d}")
    others = [later_film(films, SUBJECTS[0], date) for date in ("20040214", "20060214")]
    edit(film_of(films, SUBJECTS[1]), AccessionNumber="016600000000")  # of another subject
    edit(film_of(films, SUBJECTS[2]), PixelSpacing=None, ImagerPixelSpacing=None)
    others += [later_film(films, SUBJECTS[2], "20050215")]
    edit(film_of(films, SUBJECTS[3]), StudyDate="20090214")
    foreign = film_of(films, SUBJECTS[1]).relative_to(films).as_posix()
    file = made(films)
    lost = left_out(file)
    assert lost.pop("films that cannot be used")[0].startswith(
        film_of(films, SUBJECTS[2]).relative_to(films).as_posix()
    )
    assert lost == {
        "films of another barcode than the table's": sorted([*others, foreign]),
        "subjects without the film of the table's barcode": [SUBJECTS[1]],
        NOT_USABLE: [SUBJECTS[2]],
    }
    assert {item["group"] for item in items_of(file).values()} == {SUBJECTS[0], *SUBJECTS[3:]}
    assert BY_DATE not in capsys.readouterr().out


def test_where_no_film_has_a_barcode_of_the_table_the_date_counts_and_that_is_said(films, capsys):
    expected = items_of(made(films))
    assert BY_DATE in capsys.readouterr().out
    with_barcodes(films)
    assert items_of(made(films)) == expected
    assert BY_DATE in capsys.readouterr().out


def test_of_several_films_of_a_day_that_counts_in_which_the_most_knees_are_found(films):
    one_knee = drawn(places={0: PLACES[0]})
    for subject in SUBJECTS[:3]:
        write_film(film_of(films, subject), one_knee, subject)
    edit(film_of(films, SUBJECTS[1]), PixelSpacing=None, ImagerPixelSpacing=None)
    spoilt(film_of(films, SUBJECTS[2]))
    again = [write_film(films / subject / "20050214" / "9" / "001", drawn(), subject) for subject in SUBJECTS[:4]]
    file = made(films)
    assert len(items_of(file)) == 30
    lost = left_out(file)
    assert [name.split("/")[0] for name in lost.pop("films that cannot be used")] == SUBJECTS[1:3]
    assert lost == {
        "further films of a subject": [
            film_of(films, SUBJECTS[0]).relative_to(films).as_posix(),
            again[3].relative_to(films).as_posix(),  # as good as the other: the first by name counts
        ]
    }


def test_a_film_belongs_to_its_patient_id_its_folder_or_its_name(films):
    expected = items_of(made(films))
    edit(film_of(films, SUBJECTS[0]), PatientID="")
    edit(film_of(films, SUBJECTS[1]), PatientID="somebody")
    film_of(films, SUBJECTS[2]).rename(films / "film.dcm")
    film_of(films, SUBJECTS[3]).rename(films / f"{SUBJECTS[3]}.dcm")
    edit(films / f"{SUBJECTS[3]}.dcm", PatientID=None)
    assert items_of(made(films)) == expected
    edit(films / f"{SUBJECTS[3]}.dcm", PatientID=SUBJECTS[4])
    wrong = film_of(films, SUBJECTS[5])
    edit(wrong, PatientID=SUBJECTS[6])
    (films.parent / "out" / "datalist.json").unlink()
    with pytest.raises(ValueError, match="cannot be used") as caught:
        made(films)
    remedy = "move it, or correct its header"
    paths = f"{SUBJECTS[3]}.dcm", wrong.relative_to(films).as_posix()
    assert str(caught.value).splitlines()[1:] == [
        f"  - {path} is of {one} and of {two}, by its path and its PatientID {two!r}: {remedy}"
        for path, one, two in zip(paths, (SUBJECTS[3], SUBJECTS[5]), (SUBJECTS[4], SUBJECTS[6]), strict=True)
    ]


def test_films_that_cannot_be_used_are_left_out_with_the_reason(films):
    names = {subject: film_of(films, subject).relative_to(films).as_posix() for subject in SUBJECTS}
    edit(film_of(films, SUBJECTS[0]), PixelSpacing=None, ImagerPixelSpacing=None)
    edit(film_of(films, SUBJECTS[1]), PatientOrientation=["L", "H"])
    edit(film_of(films, SUBJECTS[2]), PixelSpacing=[0.2, 0.2])
    film_of(films, SUBJECTS[3]).write_bytes(film_of(films, SUBJECTS[3]).read_bytes()[:2000])
    edit(film_of(films, SUBJECTS[4]), PixelSpacing=None, ImagerPixelSpacing=[PITCH, PITCH])  # is as good
    file = made(films)
    said = dict(zip(SUBJECTS, left_out(file)["films that cannot be used"], strict=False))
    assert said[SUBJECTS[0]].startswith(f"{names[SUBJECTS[0]]} (no PixelSpacing, ImagerPixelSpacing, ")
    assert said[SUBJECTS[1]].startswith(f"{names[SUBJECTS[1]]} (PatientOrientation L\\H, where a person stands upright")
    assert said[SUBJECTS[2]] == (
        f"{names[SUBJECTS[2]]} (it shows 100 x 75 mm, too little for two knees: look at its PixelSpacing)"
    )
    assert said[SUBJECTS[3]].startswith(f"{names[SUBJECTS[3]]} (its pixels cannot be decoded")
    assert str(films) not in file.read_text()
    assert {item["group"] for item in items_of(file).values()} == {*SUBJECTS[4:]}


def test_knees_that_are_not_there_are_left_out_by_name(films):
    film = film_of(films, SUBJECTS[0])
    write_film(film, drawn(places={0: PLACES[0]}), SUBJECTS[0])
    rng = np.random.default_rng(0)
    write_film(film_of(films, SUBJECTS[1]), rng.random((375, 500)), SUBJECTS[1])
    low = (PLACES[1][0] + 75, PLACES[1][1])
    write_film(film_of(films, SUBJECTS[2]), drawn(places={0: PLACES[0], 1: low}), SUBJECTS[2])
    file = made(films)
    lost = left_out(file)["knees not found"]
    assert [name.split()[0] for name in lost[:3]] == [f"{SUBJECTS[0]}L", f"{SUBJECTS[1]}L", f"{SUBJECTS[1]}R"]
    assert lost[0].startswith(f"{SUBJECTS[0]}L in {film.relative_to(films).as_posix()} (fit ")
    assert lost[3][:9] in (f"{SUBJECTS[2]}L ", f"{SUBJECTS[2]}R ")
    assert lost[3].endswith(" the other joint)")
    assert len(lost) == 4
    assert len(items_of(file)) == 26


def test_knees_without_a_grade_are_left_out_by_name(films, capsys):
    table = films.parent / "kXR_SQ_BU00.txt"
    text = table.read_text()
    for subject, code in ((SUBJECTS[0], "1: Right"), (SUBJECTS[1], "1: Right"), (SUBJECTS[1], "2: Left")):
        side = "R" if code[0] == "1" else "L"
        line = f"{subject}|{code}|15|0.9|{grade_of(subject, side)}"
        assert line in text
        text = text.replace(line, f"{subject}|{code}|15|0.9|.: Missing Form/Incomplete Workbook")
    table.write_text(text)
    add_row(films, "9999999|1: Right|15|0.9|2")
    file = made(films)
    film = film_of(films, SUBJECTS[1]).relative_to(films).as_posix()
    assert left_out(file) == {
        "films of subjects without a grade": [film],
        "knees without a grade": [f"{SUBJECTS[0]}R"],
    }
    assert "note: 1 of 28 graded knees are not used: no film of them, or not found\n" in capsys.readouterr().out


def test_a_sheet_of_the_knees_that_were_found(films, tmp_path):
    sheet = tmp_path / "sheet.png"
    made(films, check=sheet, dry_run=True)
    assert not sheet.exists()
    made(films, check=sheet)
    with Image.open(sheet) as drawn_sheet:
        assert drawn_sheet.size == (10 * 128, 3 * 142)
        assert np.asarray(drawn_sheet)[:128, :128].std() > 20


@pytest.mark.parametrize(
    ("given_settings", "said"),
    [
        ({"test_from": "val"}, "--test-from is for the published set: leave it out, or --readings"),
        ({"copy": True}, "--copy is for the published set"),
        ({"square": 0}, "square is 0: give a number above 0"),
        ({"fractions": (0.8, 0.2)}, "give three, for training, validation, test"),
        ({"fractions": (0.8, 0.2, 0.2)}, "add up to 1"),
    ],
)
def test_settings_without_sense_are_refused(films, given_settings, said):
    assert said in refusal(films, **given_settings)


def test_a_folder_without_films_is_refused(films, tmp_path):
    table = tmp_path / "kXR_SQ_BU00.txt"
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such folder: give the one with OAI's films"):
        prepare(tmp_path / "nowhere", tmp_path / "out", readings=table)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("L", (8, 8)).save(pictures / "9000000.png")
    with pytest.raises(ValueError, match="no DICOM file in this folder or below"):
        prepare(pictures, tmp_path / "out", readings=table)
    write_readings(table, "1|1|15|0|2")
    assert "of class KL 0, KL 1, KL 2, KL 3, KL 4 no image can be used" in refusal(films)
    assert "films of nobody in the table: 15, the first 9000000/20050214/01130000/001" in refusal(films)


def test_codes_sides_and_missing_grades_are_understood_however_they_are_written(tmp_path):
    explained = write_readings(
        tmp_path / "a.txt",
        "9000099|1: Right|15|0.9|2: Minimal",
        "9000099|2: Left|15|0.9|.: Missing Form/Incomplete Workbook",
        "9000296|1: Right|15|0.9|0",
        "9000296|2: Left|15|0.9|.A: Not Expected",
    )
    plain = write_readings(
        tmp_path / "b.csv",
        "9000099,2.0,1,15,x",
        "9000099,.,2,15,x",
        "9000296,0,1.0,15,x",
        "9000296,,2,15,x",
        head="id,v00xrkl,Side,ReadPrj,version",
    )
    for readings in map(read_readings, (explained, plain)):
        assert readings.grades == {Knee("9000099", "R"): 2, Knee("9000296", "R"): 0}
        assert readings.ungraded == ["9000099L", "9000296L"]
        assert readings.subjects == {"9000099", "9000296"}


@given(st.permutations([(15, 1), (37, 2), (42, 3), (9, 0), (77, 4)]), st.integers(1, 5))
def test_of_several_reading_projects_the_first_of_15_37_42_counts_that_gives_a_grade(tmp_path_factory, rows, count):
    file = tmp_path_factory.mktemp("readings") / "t.txt"
    chosen = dict(rows[:count])
    readings = read_readings(write_readings(file, *(f"1|1|{number}|0|{grade}" for number, grade in chosen.items())))
    expected = next(chosen[number] for number in (15, 37, 42, 9, 77) if number in chosen)
    assert readings.grades == {Knee("1", "R"): expected}
    assert readings.disagreed == (["1R"] if count > 1 else [])
    more = [f"1|1|{number}|0|." for number in (15, 37, 42)] + ["1|1|9|0|3"]
    assert read_readings(write_readings(file, *more)).grades == {Knee("1", "R"): 3}


def test_barcodes_are_those_of_the_readings_that_count(tmp_path):
    table = write_readings(
        tmp_path / "t.txt",
        "1|1|37|0|2|016600000007",
        "1|1|15|0|2|016600000005",
        "1|2|15|0|.|016600000006",
        "1|2|37|0|1|016600000008",
        "2|1|15|0|1|.: Missing Form",
        head="ID|SIDE|READPRJ|VERSION|V00XRKL|V00BARCDBU",
    )
    assert read_readings(table).barcodes == {"1": {"16600000005", "16600000008"}}


def test_all_lines_that_cannot_be_understood_are_named_together(tmp_path):
    file = write_readings(
        tmp_path / "t.txt",
        "1|3: Both|15|0|2",
        "1|1|15|0|5",
        "1|2|x|0|2",
        "|1|15|0|2",
        "2|1|15|0|.: missing",
        "2|1|15|0|1",
        "2|1|15|0|1",
        "2|1|15|0|3",
    )
    with pytest.raises(ValueError, match="cannot be used") as caught:
        read_readings(file)
    assert str(caught.value).splitlines()[1:] == [
        "  - line 2: SIDE '3: Both' must be 1 (right) or 2 (left)",
        "  - line 3: V00XRKL '5' must be 0 to 4, or begin with a dot where there is none",
        "  - line 4: READPRJ 'x' must be the number of a reading project",
        "  - line 5: ID is empty: fill it in, or remove the line",
        "  - line 9: knee 2R has grade 3, and 1 in line 7, both of project 15: remove the line that is wrong",
    ]


def test_another_table_is_refused(tmp_path):
    file = write_readings(tmp_path / "t.txt", "1|2", head="ID|V00XRKL")
    with pytest.raises(ValueError, match=r"t\.txt has no column SIDE, READPRJ: give OAI's readings at the baseline"):
        read_readings(file)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([0.35, 0.8, 1.3]),
    st.tuples(st.floats(110, 190), st.floats(75, 125), st.floats(-30, 30), st.floats(275, 325)),
    st.floats(0.2, 1),
    st.floats(0, 0.5),
)
def test_joints_are_found_wherever_they_are_and_however_bright_a_film_is(pitch, places, contrast, darkest):
    row, left, lower, right = places
    truth = ((row, left), (row + lower, right))
    film = np.asarray(darkest + contrast * drawn(pitch, dict(enumerate(truth))), np.float32)
    joints = find_joints(film, pitch)
    for joint, place in zip(joints, truth, strict=True):
        assert np.hypot(joint.row - place[0], joint.column - place[1]) < 3
    assert doubts(joints) == ("", "")


def test_where_no_knees_are_none_are_found():
    rng = np.random.default_rng(0)
    noise = rng.random((300, 400), dtype=np.float32)
    stripes = np.tile(np.linspace(0, 1, 400, dtype=np.float32), (300, 1)) % 0.2
    upside_down = 1 - np.asarray(drawn(1.0), np.float32)  # black and white exchanged
    for film in (noise, stripes, np.zeros((300, 400), np.float32), upside_down):
        assert all(joint.fit < LEAST for joint in find_joints(film, 1.0))


def test_of_two_joints_at_very_different_heights_the_better_counts():
    assert doubts((Joint(100, 90, 0.7), Joint(161, 300, 0.8))) == ("61 mm above the other joint", "")
    assert doubts((Joint(100, 90, 0.7), Joint(159, 300, 0.8))) == ("", "")


@given(st.floats(0, 30), st.floats(0, 40), st.integers(1, 30))
def test_a_square_holds_what_the_film_has_there_and_black(row, column, side):
    film = np.arange(1, 1201, dtype=np.float32).reshape(30, 40)
    square = square_around(film, Joint(row, column, 1), side, 1.0)
    top, left = round(row - side / 2), round(column - side / 2)
    expected = np.zeros((side, side))
    for down in range(side):
        for right in range(side):
            if 0 <= top + down < 30 and 0 <= left + right < 40:
                expected[down, right] = film[top + down, left + right]
    assert (square == expected).all()


def test_both_joints_of_nearly_all_phantoms_are_found(tmp_path):
    people, near, looks = 40, 0, KneeXrayAppearance(size=96)
    for person in range(people):
        file = tmp_path / f"{person}.dcm"
        film = write_both_knees(file, 0, person, knee_xray_grades(0, person), looks, monochrome1=person % 3 == 0)
        joints = find_joints(read_radiograph(str(file)), film.spacing)
        away = [
            np.hypot(*np.subtract((joint.column, joint.row), np.multiply(film.centres[side], film.spacing)))
            for joint, side in zip(joints, "RL", strict=True)
        ]
        near += max(away) < 4 and doubts(joints) == ("", "")
    assert near >= people - 1
