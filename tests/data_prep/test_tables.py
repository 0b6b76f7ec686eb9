"""Tables of any separator, their classes, names of files, and sections in which nobody is learned from and tested."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.names import Names
from data_prep.sections import split
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


@given(st.lists(st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=4), min_size=1))
def test_every_label_that_a_column_shows_is_one_of_its_classes(cells):
    classes = classes_in(cells)
    assert len({*classes}) == len(classes)
    assert all(classes[class_index(cell, classes) or 0] in (cell, cell.removesuffix(".0")) for cell in cells)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_of_every_separator_are_read(tmp_path, separator):
    (tmp_path / "t.csv").write_bytes(f'\ufeffa{separator}b\r\n 1 {separator}"x\ny"\r\n\r\n3\r\n'.encode())
    table = read_table(tmp_path / "t.csv")
    assert [(row.number, row.cells) for row in table.rows] == [(3, {"a": "1", "b": "x\ny"}), (5, {"a": "3", "b": ""})]


def test_hints_are_given_for_the_first_few_names_only():
    names = Names([("a/knee.nii", 1)])
    assert [names.hint("kne.nii") for _ in range(12)] == ["; did you mean a/knee.nii?"] * 10 + [""] * 2
    assert Names([("a/knee.nii", 1)]).hint("xyz") == ""
