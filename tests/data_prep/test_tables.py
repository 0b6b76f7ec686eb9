"""Tables of any separator, their classes, names of files, and sections in which nobody is learned from and tested."""

from __future__ import annotations

import gzip
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.names import Names
from data_prep.sections import divide, split
from data_prep.tables import class_index, classes_in, read_table


@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from([None, 0, 1])), min_size=1, max_size=30))
def test_nobody_is_learned_from_and_tested(pairs):
    items = [
        {"image": f"{number}.png", "group": str(group), **({} if label is None else {"label": label})}
        for number, (group, label) in enumerate(pairs)
    ]
    if len({group for group, label in pairs if label is not None}) < 3:
        with pytest.raises(ValueError, match=r"groups cannot fill|has a label"):
            split(items, (0.6, 0.2, 0.2), seed=0)
        return
    sections, held_back = split(items, (0.6, 0.2, 0.2), seed=0)
    learned = {item["group"] for item in sections["training"]}
    tested = {item["group"] for name in ("validation", "test") for item in sections[name]}
    assert not learned & tested
    assert all("label" in item for name in ("validation", "test") for item in sections[name])
    assert sum(map(len, sections.values())) + len(held_back) == len(items)
    assert all("label" not in item and item["group"] in tested for item in held_back)


def test_a_file_may_have_no_line_of_columns(tmp_path):
    file = tmp_path / "published.csv"
    file.write_text("a/,1\nb/,0\n\nc/\n")
    table = read_table(file, ("study", "label"))
    assert table.columns == ["study", "label"]
    rows = [(1, {"study": "a/", "label": "1"}), (2, {"study": "b/", "label": "0"}), (4, {"study": "c/", "label": ""})]
    assert table.rows == rows
    with pytest.raises(ValueError, match="line 1: 2 cells under 1 columns"):
        read_table(file, ("study",))
    file.write_text("")
    with pytest.raises(ValueError, match=r"has no rows below its columns \(study, label\)"):
        read_table(file, ("study", "label"))


@given(st.lists(st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=4), min_size=1))
def test_every_label_that_a_column_shows_is_one_of_its_classes(cells):
    classes = classes_in(cells)
    assert len({*classes}) == len(classes)
    assert all(same(classes[class_index(cell, classes) or 0], cell) for cell in cells)
    assert {class_index(cell, classes) for cell in cells} == {*range(len(classes))}


def same(name: str, cell: str) -> bool:
    return name == cell or (name.isdecimal() and cell.isdecimal() and int(name) == int(cell))


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["1", "2", "3", "1.0"], ["1", "2", "3"]),
        (["1.0", "2.0", "3.0", ""], ["1", "2", "3"]),
        (["10", "-1.0", "0.5", "0.50"], ["-1", "0.5", "10"]),
        (["01", "02"], ["01", "02"]),
        (["b", "1.0", "1"], ["1", "b"]),
    ],
)
def test_classes_that_are_numbers_are_found_however_they_are_written(cells, classes):
    assert classes_in(cells) == classes
    for cell in filter(None, cells):
        found = classes[class_index(cell, classes)]
        assert found == cell or float(found) == float(cell)


@pytest.mark.parametrize(
    ("cell", "classes", "said"),
    [
        ("0", ["1", "2", "3"], "'0' is none of the classes 1, 2, 3: correct it, or set --classes"),
        ("4.0", ["1", "2", "3"], "'4.0' is none of the classes 1, 2, 3"),
        ("0", ["normal", "2"], "'0' is none of the classes normal, 2"),
        ("2", ["normal", "torn"], "'2' is none of the classes: write 0 = normal, 1 = torn, or set --classes"),
        ("1", ["1", "1.0"], "'1' may be each of the classes '1' and '1.0': rename all but one"),
    ],
)
def test_a_cell_that_is_no_class_is_never_an_index_where_a_class_is_a_number(cell, classes, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        class_index(cell, classes)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_of_every_separator_are_read(tmp_path, separator):
    (tmp_path / "t.csv").write_bytes(f'\ufeffa{separator}b\r\n 1 {separator}"x\ny"\r\n\r\n3\r\n'.encode())
    table = read_table(tmp_path / "t.csv")
    assert [(row.number, row.cells) for row in table.rows] == [(3, {"a": "1", "b": "x\ny"}), (5, {"a": "3", "b": ""})]


def test_columns_without_name_and_cells_are_none(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,,,\n1,2,,,\n3,4\n5,6,\n")
    table = read_table(tmp_path / "t.csv")
    assert table.columns == ["a", "b"]
    assert [row.cells for row in table.rows] == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}, {"a": "5", "b": "6"}]
    (tmp_path / "t.csv").write_text(",b,\n1,2,\n")  # the number that pandas writes before a row
    assert read_table(tmp_path / "t.csv").columns == ["", "b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2,3\n", "line 2: 3 cells under 2 columns: put a cell that holds the separator in quotes"),
        ("a,b,,\n1,2,,3\n", "column '' is there twice: rename one"),
        (",,\n,,\n", "has no rows below its columns"),
    ],
)
def test_cells_without_a_column_are_refused(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=re.escape(said)):
        read_table(tmp_path / "t.csv")


@given(st.integers(9, 40), st.integers(1, 3), st.integers(0, 9))
def test_by_image_every_torn_group_is_counted_and_none_is_torn_by_group(count, size, seed):
    items = [
        {"image": f"{n}.png", "id": str(n), "group": f"p{n // size}", "label": [n % 2, int(n % 5 == 0)]}
        for n in range(count)
    ]
    together = divide(items, (0.6, 0.2, 0.2), seed, group="patient")
    alone = divide(items, (0.6, 0.2, 0.2), seed, group="patient", by_image=True)
    for divided in (together, alone):
        assert sorted(int(item["id"]) for rows in divided.sections.values() for item in rows) == list(range(count))
    places: dict[int, set[str]] = {}
    for name, rows in alone.sections.items():
        for item in rows:
            places.setdefault(int(item["id"]) // size, set()).add(name)
    torn = sum(len(names) > 1 for names in places.values())
    assert alone.facts["patients in several sections"] == torn
    assert f"{torn} of {len(places)} patients" in alone.notes[0]
    assert (together.facts["by"], together.notes) == ("patient", [])
    groups = [{item["group"] for item in rows} for rows in together.sections.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == len(places)


def test_packed_tables_are_read_and_damaged_ones_refused(tmp_path):
    packed = gzip.compress("\ufeffa,b\r\n1,2\r\n".encode() + b"3,4\r\n" * 999)
    (tmp_path / "t.csv.gz").write_bytes(packed)
    table = read_table(tmp_path / "t.csv.gz")
    assert (table.columns, table.rows[0].cells, len(table.rows)) == (["a", "b"], {"a": "1", "b": "2"}, 1000)
    for damaged in (packed[:-12], b"a,b\n1,2\n", packed[:12] + b"\xff" * 9 + packed[21:]):
        (tmp_path / "t.csv.gz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"t\.csv\.gz cannot be unpacked \(.+\): copy it anew"):
            read_table(tmp_path / "t.csv.gz")


def test_hints_are_given_for_the_first_few_names_only():
    names = Names([("a/knee.nii", 1)])
    assert [names.hint("kne.nii") for _ in range(12)] == ["; did you mean a/knee.nii?"] * 10 + [""] * 2
    assert Names([("a/knee.nii", 1)]).hint("xyz") == ""
