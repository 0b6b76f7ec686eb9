"""MIMIC-CXR-JPG: three packed tables that belong together; views, splits and studies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from public_sets import passed_by, refusal, roles_of, write_picture, write_published
from written import items_of, left_out

from data_prep import mimic_cxr
from data_prep.chexpert import OBSERVATIONS
from data_prep.mimic_cxr import prepare
from semimed_monai.data import Datalist

METADATA = [
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "Rows",
    "Columns",
]
TABLE = "mimic-cxr-2.0.0-{}.csv.gz"


class Film:
    """A film's lines in the three tables; study s of subject 10000000 + n."""

    def __init__(self, number: int, study: int, label: str | None, view: str = "PA", split: str = "train") -> None:
        self.subject, self.study = str(10000000 + number), str(50000000 + study)
        self.name = f"{number:08x}-{study:08x}-{view.lower() or 'none'}"
        self.label, self.view, self.split = label, view, split

    @property
    def file(self) -> str:
        return f"files/p10/p{self.subject}/s{self.study}/{self.name}.jpg"


FILMS = {
    "fracture": Film(1, 1, "1.0"),
    "portable": Film(1, 1, "1.0", "AP"),
    "side": Film(1, 1, "1.0", "LATERAL"),
    "unknown view": Film(1, 1, "1.0", ""),
    "later": Film(1, 2, "0.0"),
    "healthy": Film(2, 3, ""),
    "uncertain": Film(3, 4, "-1.0"),
    "unread": Film(4, 5, None),
    "test": Film(5, 6, "1.0", split="test"),
    "both": Film(6, 7, "0.0"),
    "both, tested": Film(6, 8, "0.0", split="test"),
}


def write_tables(source: Path, films: list[Film], ending: str = ".gz") -> None:
    studies = {film.study: film for film in films if film.label is not None}
    tables = {
        "metadata": [METADATA, *([f.name, f.subject, f.study, "CHEST", f.view, 9, 12] for f in films)],
        "chexpert": [
            ["subject_id", "study_id", *sorted(OBSERVATIONS)],
            *([f.subject, f.study, *(labels(f)[column] for column in sorted(OBSERVATIONS))] for f in studies.values()),
        ],
        "split": [
            ["dicom_id", "study_id", "subject_id", "split"],
            *([f.name, f.study, f.subject, f.split] for f in films),
        ],
    }
    for kind, rows in tables.items():
        write_published(source / (TABLE.format(kind).removesuffix(".gz") + ending), rows)


def labels(film: Film) -> dict[str, str]:
    healthy = {"No Finding": "1.0"} if film.label == "" else {}
    return {**dict.fromkeys(OBSERVATIONS, ""), **healthy, "Fracture": film.label or ""}


@pytest.fixture
def source(tmp_path) -> Path:
    source = tmp_path / "mimic"
    write_tables(source, list(FILMS.values()))
    for number, film in enumerate(FILMS.values()):
        write_picture(source / film.file, number)
    return source


def made(source: Path, **settings) -> Path:
    return prepare(source, source.parent / "out", **settings)


def named(*names: str) -> list[str]:
    return sorted(FILMS[name].name for name in names)


def test_frontal_films_of_the_training_split_have_the_label_of_their_study(source):
    file = made(source)
    Datalist(file)
    roles = roles_of(file)
    assert sorted(name for name, role in roles.items() if role == "P_pub") == named("fracture", "portable")
    assert sorted(name for name, role in roles.items() if role == "N_pub") == named("later", "healthy")
    item = items_of(file)[FILMS["fracture"].name]
    assert (item["image"], item["group"]) == (f"../mimic/{FILMS['fracture'].file}", "p10000001")
    assert passed_by(file) == {
        "of another view than PA and AP": 2,
        "in another split": 2,
        "of patients who are in another split, too": 1,
        "of studies without labels": 1,
        "uncertain": 1,
    }
    provenance = json.loads(file.read_text())["provenance"]
    assert provenance["rules"] == {"uncertain": "drop", "blank": "reported", "splits": ["train"]}
    assert {*provenance["tables_sha256"]} == {TABLE.format(kind) for kind in ("metadata", "chexpert", "split")}


def test_more_splits_may_be_used_and_then_their_patients_too(source):
    roles = roles_of(made(source, splits=["train", "test"], negatives=9))
    assert sorted(roles) == named("fracture", "portable", "later", "healthy", "test", "both", "both, tested")
    assert "has no split validate; it has test, train" in refusal(prepare, source, splits=["train", "validate"])


def test_unpacked_tables_are_read_too_and_rules_hold(source):
    expected = items_of(made(source, uncertain="negative", blank="drop"))
    assert sorted(expected) == named("fracture", "portable", "later", "uncertain")
    for kind in ("metadata", "chexpert", "split"):
        (source / TABLE.format(kind)).unlink()
    write_tables(source, list(FILMS.values()), "")
    assert items_of(made(source, uncertain="negative", blank="drop")) == expected


def test_films_that_are_not_there_are_left_out_by_name(source):
    (source / FILMS["portable"].file).unlink()
    file = made(source)
    assert left_out(file) == {"images missing": named("portable")}


def test_tables_of_another_form_are_refused(source):
    write_published(source / TABLE.format("split"), [["dicom_id", "part"], ["a", "train"]])
    assert "split.csv.gz has no column subject_id, split: take it from the published set" in refusal(prepare, source)
    (source / TABLE.format("split")).unlink()
    assert "has no mimic-cxr-2.0.0-split.csv (or .gz)" in refusal(prepare, source)
    write_tables(source, [Film(1, 1, "yes"), Film(2, 2, "0.0")])
    message = refusal(prepare, source)
    assert "metadata.csv.gz cannot be used" in message
    assert "line 2: Fracture 'yes' must be 1.0, 0.0, -1.0 or empty" in message
    write_published(source / TABLE.format("metadata"), [METADATA, ["a", "", "5", "", "PA", 1, 1]])
    assert "line 2: dicom_id, subject_id and study_id must be there" in refusal(prepare, source)


def test_the_command_line_gives_what_the_function_gives(monkeypatch):
    given: dict = {}
    monkeypatch.setattr(mimic_cxr, "prepare", lambda **settings: given.update(settings))
    mimic_cxr.main(["--source", "a", "--out", "b"])
    assert given == {
        "source": Path("a"),
        "out": Path("b"),
        "negatives": 3.5,
        "seed": 0,
        "dry_run": False,
        "uncertain": "drop",
        "blank": "reported",
        "splits": ("train",),
    }
    mimic_cxr.main(["--source", "a", "--out", "b", "--splits", "train", "test"])
    assert given["splits"] == ["train", "test"]
