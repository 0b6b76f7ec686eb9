"""CheXpert's table and folders: which labels become which role, by each rule; what all public sets do."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from public_sets import passed_by, refusal, roles_of, write_picture, write_published
from written import items_of, left_out, sections_of

from data_prep import chexpert
from data_prep.chexpert import OBSERVATIONS, fracture, prepare
from semimed_monai.data import Datalist

COLUMNS = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *OBSERVATIONS]
# Fracture, No Finding, Edema: a report each.
REPORTS = {
    "positive": ("1.0", "", ""),
    "negative": ("0.0", "", "1.0"),
    "uncertain": ("-1.0", "", ""),
    "healthy": ("", "1.0", ""),
    "edema": ("", "", "-1.0"),
    "silent": ("", "", ""),
}
SAID = {name: number for number, name in enumerate(REPORTS, start=1)}


def line(number: int, report: str, view: str = "view1_frontal.jpg", root: str = "CheXpert-v1.0/train") -> list[str]:
    broken, healthy, edema = REPORTS[report]
    known = {"Fracture": broken, "No Finding": healthy, "Edema": edema}
    side, position = ("Lateral", "") if "lateral" in view else ("Frontal", "AP")
    path = f"{root}/patient{number:05d}/study1/{view}"
    return [path, "Female", "68", side, position, *(known.get(column, "") for column in OBSERVATIONS)]


def film(number: int, view: str = "view1_frontal.jpg") -> str:
    return f"patient{number:05d}/study1/{view}"


def write_set(source: Path, lines: list[list[str]], folder: str = "train") -> None:
    write_published(source / "train.csv", [COLUMNS, *lines])
    for number, cells in enumerate(lines):
        write_picture(source / folder / "/".join(cells[0].split("/")[2:]), number)


@pytest.fixture
def source(tmp_path) -> Path:
    """Patient n has the report n of the list, and a lateral film of it."""
    source = tmp_path / "CheXpert-v1.0"
    views = ("view1_frontal.jpg", "view2_lateral.jpg")
    write_set(source, [line(number, name, view) for name, number in SAID.items() for view in views])
    return source


def made(source: Path, **settings) -> Path:
    return prepare(source, source.parent / "out", **settings)


def test_frontal_films_become_public_positives_and_negatives(source, capsys):
    file = made(source)
    listed = Datalist(file)  # opens every file
    assert listed.classes == ["normal", "fracture"]
    item = items_of(file)[film(SAID["positive"])]
    assert item == {
        "image": "../CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg",
        "label": 1,
        "group": "patient00001",
        "id": "patient00001/study1/view1_frontal.jpg",
        "role": "P_pub",
    }
    assert roles_of(file) == {
        film(SAID["positive"]): "P_pub",
        **dict.fromkeys((film(SAID[name]) for name in ("negative", "healthy", "edema")), "N_pub"),
    }
    assert passed_by(file) == {"lateral": 6, "uncertain": 1, "not mentioned": 1}
    said = capsys.readouterr().out
    assert "note: passed by: 6 lateral\n" in said
    assert "note: training items only: python -m data_prep.join_datalists puts them beside a hospital's own\n" in said
    assert sections_of(file)["test"] == []


RULED = {"drop": None, "negative": False, "positive": True}
VALUES = st.sampled_from(["", "1.0", "0.0", "-1.0"])


@given(st.fixed_dictionaries(dict.fromkeys(OBSERVATIONS, VALUES)), st.sampled_from([*RULED]))
def test_each_rule_is_the_stated_one(cells, uncertain):
    for blank in ("reported", "no-finding", "drop"):
        said = cells["Fracture"]
        mentioned = {
            "reported": any(cells.values()),
            "no-finding": cells["No Finding"] == "1.0",
            "drop": False,
        }[blank]
        expected = {"1.0": True, "0.0": False, "-1.0": RULED[uncertain], "": False if mentioned else None}[said]
        found = fracture(cells, uncertain, blank)
        assert (found if isinstance(found, bool) else None) is expected


@pytest.mark.parametrize(("uncertain", "role"), [("drop", None), ("negative", "N_pub"), ("positive", "P_pub")])
def test_uncertain_films_are_what_they_are_taken_for(source, uncertain, role):
    file = made(source, uncertain=uncertain)
    assert roles_of(file).get(film(SAID["uncertain"])) == role
    assert json.loads(file.read_text())["provenance"]["rules"] == {"uncertain": uncertain, "blank": "reported"}


def test_films_of_which_fractures_are_not_mentioned_are_negatives_by_rule(source):
    negatives = {
        blank: sorted(name for name, role in roles_of(made(source, blank=blank)).items() if role == "N_pub")
        for blank in ("reported", "no-finding", "drop")
    }
    assert negatives["no-finding"] == [film(SAID["negative"]), film(SAID["healthy"])]
    assert negatives["drop"] == [film(SAID["negative"])]


def test_patients_of_valid_csv_are_kept_for_evaluation(source):
    valid = line(SAID["edema"], "edema", root="CheXpert-v1.0/valid")
    write_published(source / "valid.csv", [COLUMNS, valid])
    file = made(source)
    assert film(SAID["edema"]) not in items_of(file)
    assert passed_by(file)["of patients who are in valid.csv"] == 1


@pytest.mark.parametrize("root", ["CheXpert-v1.0-small/train", "anywhere/train"])
def test_the_small_release_and_the_published_batches_are_found(tmp_path, root):
    lines = [line(1, "positive", root=root), line(2, "negative", root=root)]
    small, batches = tmp_path / "small", tmp_path / "batches"
    write_set(small, lines)
    assert sorted(items_of(made(small))) == [film(1), film(2)]
    write_published(batches / "CheXpert-v1.0 batch 1 (validate & csv)" / "train.csv", [COLUMNS, *lines])
    for number, folder in ((1, "batch 2 (train 1)"), (2, "batch 4 (train 3)")):
        write_picture(batches / f"CheXpert-v1.0 {folder}" / film(number))
    items = items_of(made(batches))
    assert items[film(2)]["image"] == f"../batches/CheXpert-v1.0 batch 4 (train 3)/{film(2)}"


def test_missing_and_broken_films_are_left_out_by_name(source, capsys):
    write_set(source, [line(number, "positive" if number % 2 else "negative") for number in range(1, 9)])
    (source / "train" / film(3)).unlink()
    whole = (source / "train" / film(4)).read_bytes()
    (source / "train" / film(4)).write_bytes(whole[:-40])
    (source / "train" / film(5)).write_text("<html>")
    file = made(source)
    assert sorted(items_of(file)) == [film(number) for number in (1, 2, 6, 7, 8)]
    reasons = left_out(file)
    assert reasons["images missing"] == [film(3)]
    assert reasons["images broken"][0].startswith(f"{film(4)} (image file is truncated")
    assert reasons["images broken"][1] == f"{film(5)} (not a picture)"
    assert f"images missing: 1 ({film(3)})\n" in capsys.readouterr().out
    Datalist(file)


def test_negatives_are_as_many_as_wished_and_fewer_are_the_same_ones(source, capsys):
    write_set(source, [line(number, "positive" if number <= 4 else "negative") for number in range(1, 41)])
    chosen = []
    for negatives in (1, 3.5, math.inf):
        roles = roles_of(made(source, negatives=negatives))
        assert sum(role == "P_pub" for role in roles.values()) == 4
        chosen.append({name for name, role in roles.items() if role == "N_pub"})
    assert [len(names) for names in chosen] == [4, 14, 36]
    assert all(few < many for few, many in itertools.pairwise(chosen))
    assert "of 36 negatives that are there 14 are chosen (--negatives)" in capsys.readouterr().out
    assert roles_of(made(source, negatives=1, seed=1)).keys() != {film(n) for n in range(1, 5)} | chosen[0]
    assert "negatives 0: give how many for each positive" in refusal(prepare, source, negatives=0)


def test_the_same_source_and_seed_give_the_same_bytes_wherever_they_lie(source, tmp_path):
    first = made(source).read_bytes()
    assert made(source).read_bytes() == first
    moved = shutil.copytree(source, tmp_path / "elsewhere" / source.name)
    assert made(moved).read_bytes() == first
    assert str(tmp_path) not in first.decode()


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({5: "2.0"}, "line 3: No Finding '2.0' must be 1.0, 0.0, -1.0 or empty: take the published table"),
        ({0: "patient1.jpg"}, "line 3: Path 'patient1.jpg' must end like patient00001/study1/view1_frontal.jpg"),
        ({0: "CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg"}, f"{film(1)} is there twice: remove one"),
    ],
)
def test_lines_that_cannot_be_understood_are_refused(source, cells, said):
    wrong = line(2, "negative")
    for place, text in cells.items():
        wrong[place] = text
    write_published(source / "train.csv", [COLUMNS, line(1, "positive"), wrong])
    message = refusal(prepare, source)
    assert said in message
    assert str(source / "train.csv") in message


def test_another_layout_is_refused(source):
    assert "is a file: give the folder that it is in" in refusal(prepare, source / "train.csv")
    write_published(source / "train.csv", [["Path", "Fracture"], [film(1), "1.0"]])
    assert "train.csv has no column Frontal/Lateral, No Finding" in refusal(prepare, source)
    write_published(source / "train.csv", [COLUMNS, line(99, "positive")])
    message = refusal(prepare, source)
    assert "of 1 frontal films with a fracture none is there; the first is looked for at" in message
    assert film(99) in message
    (source / "train.csv").unlink()
    assert "has no train.csv (or .gz): give the folder with the published files" in refusal(prepare, source)


def test_the_command_line_gives_what_the_function_gives(monkeypatch, capsys):
    given_to: dict = {}
    monkeypatch.setattr(chexpert, "prepare", lambda **settings: given_to.update(settings))
    chexpert.main(["--source", "a", "--out", "b"])
    assert given_to == {
        "source": Path("a"),
        "out": Path("b"),
        "negatives": 3.5,
        "seed": 0,
        "dry_run": False,
        "uncertain": "drop",
        "blank": "reported",
    }
    others = "--negatives inf --seed 3 --dry-run --uncertain positive --blank drop"
    chexpert.main(["--source", "a", "--out", "b", *others.split()])
    assert list(given_to.values())[2:] == [math.inf, 3, True, "positive", "drop"]
    with pytest.raises(SystemExit):
        chexpert.main(["--help"])
    assert "Not mentioned is a negative if the report was read at all" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(source, capsys):
    file = made(source, dry_run=True)
    assert not file.parent.exists()
    assert f"dry run: {file} is not written" in capsys.readouterr().out
