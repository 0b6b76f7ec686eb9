from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semimed_monai.data import choose_labelled, require_label_form, split_by_group
from semimed_monai.data.splits import classes_of, group_of

SECTIONS = {"training": 0.7, "validation": 0.1, "test": 0.2}


@st.composite
def grouped_items(draw) -> list[dict]:
    """Items of some groups of 1-6 images whose classes differ within a group."""
    groups = draw(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=3, max_size=30))
    return [
        {"image": f"{number}-{n}.png", "group": f"p{number}", "label": label}
        for number, labels in enumerate(groups)
        for n, label in enumerate(labels)
    ]


def knees(count: int) -> list[dict]:
    """Four slices of each knee; a knee has one or two grades."""
    return [
        {"image": f"{knee}-{n}", "group": f"k{knee}", "label": (knee + n // 3) % 3}
        for knee in range(count)
        for n in range(4)
    ]


@settings(max_examples=60)
@given(items=grouped_items(), seed=st.integers(0, 9))
def test_split_puts_every_group_in_one_section_and_leaves_none_empty(items, seed):
    sections = split_by_group(items, SECTIONS, seed)
    groups = [{group_of(item) for item in rows} for rows in sections.values()]
    assert list(sections) == list(SECTIONS)
    assert sorted(item["image"] for rows in sections.values() for item in rows) == sorted(i["image"] for i in items)
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert all(groups)


@settings(max_examples=40)
@given(items=grouped_items(), share=st.floats(0.01, 1), seed=st.integers(0, 9), shuffle=st.randoms())
def test_input_order_changes_nothing(items, share, seed, shuffle):
    mixed = shuffle.sample(items, len(items))
    for one, other in zip(
        split_by_group(items, SECTIONS, seed).values(), split_by_group(mixed, SECTIONS, seed).values(), strict=True
    ):
        assert {item["image"] for item in one} == {item["image"] for item in other}
    chosen, again = choose_labelled(items, share, seed), choose_labelled(mixed, share, seed)
    assert {items[n]["image"] for n in chosen} == {mixed[n]["image"] for n in again}


def test_split_of_single_items_is_exact_in_each_class():
    items = [{"image": str(n), "label": n % 10 // 7} for n in range(200)]  # 140 of class 0, 60 of class 1
    sections = split_by_group(items, SECTIONS, seed=3)
    counts = {name: Counter(item["label"] for item in rows) for name, rows in sections.items()}
    assert counts == {"training": {0: 98, 1: 42}, "validation": {0: 14, 1: 6}, "test": {0: 28, 1: 12}}


@pytest.mark.parametrize("seed", range(5))
def test_split_of_knees_keeps_the_class_shares(seed):
    items = knees(60)
    for name, rows in split_by_group(items, SECTIONS, seed).items():
        assert len(rows) == pytest.approx(SECTIONS[name] * 240, abs=4)
        for label in range(3):
            share = sum(item["label"] == label for item in rows) / len(rows)
            assert share == pytest.approx(1 / 3, abs=0.09)


def test_split_rounds_to_the_nearest():
    items = [{"image": str(n), "label": 0} for n in range(15)]  # 12, 1.5 and 1.5 of them
    sections = split_by_group(items, {"training": 0.8, "validation": 0.1, "test": 0.1}, seed=0)
    assert [len(rows) for rows in sections.values()] == [12, 2, 1]


def test_large_groups_are_not_all_in_the_largest_section():
    items = [{"image": f"{g}-{n}", "group": str(g), "label": 0} for g in range(40) for n in range(10 if g < 10 else 1)]
    sections = split_by_group(items, {"training": 0.5, "test": 0.5}, seed=0)
    assert [Counter(Counter(group_of(i) for i in rows).values()) for rows in sections.values()] == [{10: 5, 1: 15}] * 2


def test_seed_decides_the_split_and_the_choice():
    items = knees(30)
    splits = [split_by_group(items, SECTIONS, seed) for seed in (0, 0, 1)]
    choices = [choose_labelled(items, 0.3, seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]
    assert choices[0] == choices[1] != choices[2]


@pytest.mark.parametrize("fractions", [{}, {"a": 0.5, "b": 0.4}, {"a": 1.2, "b": -0.2}, {"a": 1.0, "b": 0.0}])
def test_split_refuses_wrong_fractions(fractions):
    with pytest.raises(ValueError, match="must be positive and add up to 1"):
        split_by_group(knees(9), fractions, 0)


def test_split_refuses_fewer_groups_than_sections():
    with pytest.raises(ValueError, match="2 groups cannot fill 3 sections"):
        split_by_group(knees(2), SECTIONS, 0)


@settings(max_examples=80)
@given(items=grouped_items(), shares=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), seed=st.integers(0, 9))
def test_larger_share_contains_the_smaller_and_both_hold_whole_groups_of_every_class(items, shares, seed):
    small, large = (choose_labelled(items, share, seed) for share in sorted(shares))
    assert small <= large
    for chosen in (small, large):
        groups = {group_of(items[index]) for index in chosen}
        assert chosen == {index for index, item in enumerate(items) if group_of(item) in groups}
        assert {items[index]["label"] for index in chosen} == {item["label"] for item in items}


@settings(max_examples=40)
@given(items=grouped_items(), share=st.floats(0.01, 1), seed=st.integers(0, 9))
def test_share_is_missed_by_half_a_group_at_most_but_for_one_group_of_each_class(items, share, seed):
    largest = max(Counter(map(group_of, items)).values())
    chosen = choose_labelled(items, share, seed)
    least = len(choose_labelled(items, 1e-9, seed))
    assert abs(len(chosen) - share * len(items)) <= largest / 2 or len(chosen) == least


def test_whole_share_chooses_all():
    assert choose_labelled(knees(9), 1.0, 0) == set(range(36))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_choice_keeps_the_class_shares(share, seed):
    items = [{"image": str(n), "label": min(n % 10, 2)} for n in range(500)]  # 10, 10 and 80 %
    counts = Counter(items[index]["label"] for index in choose_labelled(items, share, seed))
    size = round(500 * share)
    assert sum(counts.values()) == size
    assert all(abs(counts[label] - part * size) <= 1 for label, part in enumerate((0.1, 0.1, 0.8)))


@pytest.mark.parametrize("seed", range(5))
def test_choice_of_few_knees_has_the_classes_in_proportion(seed):
    items = knees(60)
    counts = Counter(items[index]["label"] for index in choose_labelled(items, 0.1, seed))
    assert sum(counts.values()) == 24
    assert all(6 <= counts[label] <= 10 for label in range(3))


def test_rare_class_is_chosen_however_small_the_share():
    items = [{"image": str(n), "label": int(n == 777)} for n in range(1000)]
    for seed in range(5):
        chosen = choose_labelled(items, 0.01, seed)
        assert 777 in chosen
        assert len(chosen) == 10


def test_several_labels_are_stratified_each():
    generator = random.Random(0)
    items = [{"image": str(n), "label": [int(generator.random() < p) for p in (0.5, 0.2, 0.05)]} for n in range(600)]
    chosen = choose_labelled(items, 0.2, 0)
    for column in range(3):
        total = sum(item["label"][column] for item in items)
        assert sum(items[index]["label"][column] for index in chosen) == pytest.approx(0.2 * total, abs=2)


def test_pins_override_the_choice():
    items = knees(10)
    for item in items:
        if item["group"] in ("k0", "k1"):
            item["labelled"] = item["group"] == "k0"
    for share in (0.1, 1.0):
        groups = {group_of(items[index]) for index in choose_labelled(items, share, 0)}
        assert "k0" in groups
        assert "k1" not in groups
    assert len(choose_labelled(items, 0.5, 0)) == 4 + 16  # half of the other eight knees
    assert choose_labelled([item for item in items if "labelled" in item], 0.5, 0) == {0, 1, 2, 3}


@pytest.mark.parametrize("share", [0, -0.1, 1.01])
def test_choice_refuses_a_share_that_is_none(share):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        choose_labelled(knees(3), share, 0)


def test_item_without_a_group_is_its_own():
    assert group_of({"image": "a.png"}) == "a.png"
    assert group_of({"image": "a.png", "group": "p"}) == "p"


def test_classes_of_each_form_of_label():
    assert [classes_of({"label": label}) for label in (2, [0, 1, 1], [0, 0, 0], None)] == [[2], [1, 2], [None], [None]]


@pytest.mark.parametrize(("label", "several"), [(3, False), ([0, 1], True)])
def test_labels_of_another_form_are_refused(label, several):
    items = [{"image": "a.png", "label": label}]
    require_label_form(items, several)
    with pytest.raises(
        ValueError, match=r"a\.png: its label is a (list of 0|class index).*, and the recipe learns from"
    ):
        require_label_form(items, not several)
