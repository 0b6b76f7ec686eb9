"""PadChest: what its label words mean, the lists in its cells, projections, and where its films lie."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from public_sets import passed_by, refusal, roles_of, write_picture, write_published
from written import items_of

from data_prep import padchest
from data_prep.padchest import TABLES, fracture, labels_in, prepare
from semimed_monai.data import Datalist

COLUMNS = ["", "ImageID", "ImageDir", "StudyID", "PatientID", "Projection", "Report", "MethodLabel", "Labels"]
LABELS = {
    "rib": "['rib fracture', 'normal']",
    "clavicle": "[' Clavicle fracture', 'pleural effusion', '']",
    "normal": "['normal']",
    "quoted": """["Chilaiditi's sign", 'nodule']""",
    "callus": "['callus rib fracture']",
    "spine": "['vertebral fracture', 'scoliosis']",
    "spine and rib": "['vertebral fracture', 'rib fracture']",
    "arm": "['humeral fracture']",
    "compressed": "['vertebral anterior compression']",
    "some bone": "['fracture']",
    "excluded": "['exclude', 'rib fracture']",
    "unchanged": "['unchanged', 'suboptimal study']",
    "empty": "[]",
    "nothing": "",
    "nan": "nan",
}


def film(name: str) -> str:
    return f"{name.replace(' ', '_')}_01.png"


def line(number: int, name: str, labels: str, projection: str = "PA", method: str = "Physician") -> list[object]:
    report = 'fractura "antigua", sin\ncambios'
    return [number, film(name), number % 3, f"s{number}", f"p{number // 2}", projection, report, method, labels]


@pytest.fixture
def source(tmp_path) -> Path:
    """A film for each list of labels, in folders 0 to 2; and others of a rib in each projection."""
    source = tmp_path / "padchest"
    lines = [line(number, name, labels) for number, (name, labels) in enumerate(LABELS.items())]
    views = ("AP", "AP_horizontal", "L", "COSTAL", "EXCLUDE", "")
    lines += [line(40 + n, f"view{n}", LABELS["rib"], view, "RNN_model") for n, view in enumerate(views)]
    write_published(source / TABLES[0], [COLUMNS, *lines])
    for number, cells in enumerate(lines):
        write_picture(source / str(cells[2]) / str(cells[1]), number, deep=True)
    return source


def made(source: Path, **settings) -> Path:
    return prepare(source, source.parent / "out", **settings)


def test_each_word_means_what_is_stated(source):
    file = made(source)
    Datalist(file)
    roles = roles_of(file)
    positives = ("rib", "clavicle", "spine and rib", "view0", "view1")
    assert roles == {
        **dict.fromkeys(map(film, positives), "P_pub"),
        **dict.fromkeys(map(film, ("normal", "quoted")), "N_pub"),
    }
    assert passed_by(file) == {
        "of another projection than PA and AP": 4,
        "to be excluded": 1,
        "with a fracture of another bone": 4,
        "with an old fracture only (callus)": 1,
        "without a label that says something": 4,
    }
    item = items_of(file)[film("clavicle")]
    assert (item["image"], item["group"]) == ("../padchest/1/clavicle_01.png", "p0")
    assert json.loads(file.read_text())["provenance"]["rules"] == {"callus": "drop", "method": "all"}


@pytest.mark.parametrize(("callus", "role"), [("drop", None), ("negative", "N_pub"), ("positive", "P_pub")])
def test_an_old_fracture_is_what_it_is_taken_for(source, callus, role):
    assert roles_of(made(source, callus=callus)).get(film("callus")) == role


def test_labels_of_the_network_may_be_left_out(source):
    file = made(source, method="physician")
    assert not {film("view0"), film("view1")} & items_of(file).keys()
    assert passed_by(file)["not labelled by a physician"] == 2


def test_films_may_lie_all_together_and_the_table_be_packed(source):
    expected = roles_of(made(source))
    for file in list(source.glob("*/*.png")):
        file.rename(source / file.name)
    table = source / TABLES[0]
    (source / f"{table.name}.gz").write_bytes(gzip.compress(table.read_bytes()))
    table.unlink()
    file = made(source)
    assert roles_of(file) == expected
    assert items_of(file)[film("rib")]["image"] == "../padchest/rib_01.png"


WORDS = [
    *("rib fracture", "clavicle fracture", "callus rib fracture", "vertebral fracture", "humeral fracture", "fracture"),
    *("vertebral compression", "exclude", "unchanged", "normal", "nodule"),
]


@given(st.sets(st.sampled_from(WORDS)), st.sampled_from(["drop", "negative", "positive"]))
def test_a_film_is_a_negative_only_if_no_word_tells_of_a_break(labels, callus):
    found = fracture(labels, callus)
    if found is True:
        assert labels & ({*WORDS[:2]} if callus != "positive" else {*WORDS[:3]})
    if found is False:
        allowed = {"normal", "nodule", "unchanged"} | ({"callus rib fracture"} if callus == "negative" else set())
        assert labels <= allowed
    assert not isinstance(found, bool) or "exclude" not in labels


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=9)))
def test_a_list_as_python_writes_it_is_read(labels):
    assert labels_in(str(labels)) == {label.strip().lower() for label in labels} - {""}


@pytest.mark.parametrize("text", ["rib fracture", "['rib fracture'", "{'a': 1}", "[1]", "__import__('os')"])
def test_a_cell_that_is_no_list_is_refused(source, text):
    write_published(source / TABLES[0], [COLUMNS, line(1, "rib", LABELS["rib"]), line(2, "x", text)])
    message = refusal(prepare, source)
    assert f"Labels {text!r} must be a list such as ['normal']: take the published table" in message


def test_tables_of_another_form_are_refused(source):
    write_published(source / TABLES[0], [COLUMNS[:-1], line(1, "rib", "")[:-1]])
    assert "has no column Labels: take it from the published set" in refusal(prepare, source)
    write_published(source / TABLES[0], [COLUMNS, [*line(1, "rib", "")[:4], "", "PA", "", "", "[]"]])
    assert "ImageID and PatientID must be there" in refusal(prepare, source)
    (source / TABLES[0]).unlink()
    assert f"has no {TABLES[0]} and no {TABLES[1]} (or .gz)" in refusal(prepare, source)


def test_the_command_line_gives_what_the_function_gives(monkeypatch, capsys):
    given_to: dict = {}
    monkeypatch.setattr(padchest, "prepare", lambda **settings: given_to.update(settings))
    padchest.main(["--source", "a", "--out", "b", "--callus", "positive", "--method", "physician"])
    assert given_to == {
        "source": Path("a"),
        "out": Path("b"),
        "negatives": 3.5,
        "seed": 0,
        "dry_run": False,
        "callus": "positive",
        "method": "physician",
    }
    with pytest.raises(SystemExit):
        padchest.main(["--help"])
    assert "callus rib fracture                              an old one" in capsys.readouterr().out
