"""Phantom limbs: the same numbers, the same picture; a lesion is where and what it should be; what means nothing."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label

from semimed_monai.data.phantoms import (
    BONE_LESIONS,
    STANDARD_BONES,
    BoneAppearance,
    BonePhantom,
    LesionAppearance,
    bone_phantom,
)
from semimed_monai.data.phantoms.bone_distractors import side_letter, writing
from semimed_monai.data.phantoms.bone_lesions import drawn_around

# A part that is displaced changes the bone far beyond the line.
QUIET = replace(STANDARD_BONES, noise=(0.0, 0.0), lesions=LesionAppearance(step=(0.0, 0.0)))
SHARES = ("metal_share", "ring_share", "letter_share", "writing_share", "shutter_share")
PLAIN = replace(QUIET, **dict.fromkeys(SHARES, 0.0), islands=0, vessels=0)
NUMBERS = st.tuples(st.integers(0, 10_000), st.integers(0, 1), st.integers(0, 2))
AXIS = (np.arange(128, dtype=np.float32) + 0.5) * 160 / 128 - 80


def twins(
    kind: str, patient: int, study: int = 0, view: int = 0, looks: BoneAppearance = QUIET
) -> tuple[BonePhantom, BonePhantom]:
    """The picture with and without the lesion."""
    with_it, without = (bone_phantom(3, patient, lesion, study, view, looks) for lesion in (kind, None))
    return with_it, without


def change(kind: str, patient: int, looks: BoneAppearance = PLAIN) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What the lesion adds, in shares of the whole range, and where it is seen."""
    with_it, without = twins(kind, patient, looks=looks)
    return (with_it.image.astype(float) - without.image) / 4095, with_it.lesion


def test_a_picture_is_the_same_whenever_asked_for() -> None:
    one, again = (bone_phantom(1, 5, "lytic", 1, 2) for _ in range(2))
    assert np.array_equal(one.image, again.image)
    assert np.array_equal(one.mark, again.mark)
    others = [(2, 5, "lytic", 1, 2), (1, 6, "lytic", 1, 2), (1, 5, None, 1, 2), (1, 5, "sclerotic", 1, 2)]
    others += [(1, 5, "lytic", 0, 2), (1, 5, "lytic", 1, 1)]
    assert all(not np.array_equal(one.image, bone_phantom(*other).image) for other in others)


@settings(max_examples=30)
@given(NUMBERS, st.sampled_from(BONE_LESIONS))
def test_a_lesion_changes_its_place_and_can_be_seen_there(numbers: tuple[int, int, int], kind: str) -> None:
    """The same limb without it has the same anatomy, distractors, exposure and noise."""
    with_it, without = twins(kind, *numbers)
    away = np.abs(with_it.image.astype(int) - without.image)
    assert not without.lesion.any()
    assert not without.mark.any()
    assert with_it.lesion.sum() > 40
    assert away[with_it.lesion].mean() > 40  # of 4095
    near = binary_dilation(with_it.lesion, iterations=4)
    assert away[~near].max() < 0.25 * away.max()
    assert (away[~near] > 40).mean() < 0.01


@settings(max_examples=30)
@given(NUMBERS, st.sampled_from(BONE_LESIONS))
def test_a_mark_lies_over_the_lesion_and_is_somewhat_too_large(numbers: tuple[int, int, int], kind: str) -> None:
    picture = bone_phantom(0, numbers[0], kind, *numbers[1:])
    inside = picture.mark > 0
    assert set(np.unique(picture.mark)) == {0, 255}
    assert label(inside)[1] == 1
    assert (picture.lesion & inside).sum() > 0.98 * picture.lesion.sum()
    assert 1.3 * picture.lesion.sum() < inside.sum() < 0.3 * inside.size


def test_marks_are_drawn_each_time_anew_around_what_is_seen() -> None:
    seen = np.zeros((64, 64), bool)
    seen[20:24, 10:40] = True
    marks = [drawn_around(seen, np.random.default_rng(number)) > 0 for number in range(20)]
    assert all(mark[seen].all() for mark in marks)
    assert len({mark.tobytes() for mark in marks}) == 20
    for mark in marks:
        rows, columns = np.nonzero(mark)
        assert np.ptp(columns) > 1.5 * np.ptp(rows)  # it lies as the lesion does
        assert mark.sum() < 8 * seen.sum()
    assert not drawn_around(np.zeros((64, 64), bool), np.random.default_rng(0)).any()


def test_lytic_bone_is_darker_sclerotic_brighter_and_both_are_one_patch() -> None:
    for patient in range(12):
        lytic, lost = change("lytic", patient)
        sclerotic, gained = change("sclerotic", patient)
        assert lytic[lost].mean() < -0.02
        assert sclerotic[gained].mean() > 0.02
        assert sclerotic.min() > -0.02
        assert label(lost)[1] == label(gained)[1] == 1


def test_a_gap_is_a_dark_line_across_the_bone_and_an_impacted_one_bright() -> None:
    dark, bright = (
        replace(PLAIN, lesions=LesionAppearance(step=(0.0, 0.0), impacted_share=share)) for share in (0.0, 1.0)
    )
    for patient in range(12):
        gap, where = change("fracture", patient, dark)
        overlap, same = change("fracture", patient, bright)
        assert gap.max() < 0.005
        assert gap[where].mean() < -0.01
        assert overlap.min() > -0.005
        assert overlap[same].mean() > 0.01
        rows, columns = np.nonzero(where)
        spread = np.linalg.eigvalsh(np.cov(np.vstack([rows, columns])))
        assert spread[1] > 2 * spread[0]  # a line


def test_a_displaced_part_changes_the_bone_on_one_side_of_the_line() -> None:
    stepped = replace(PLAIN, lesions=LesionAppearance(step=(0.6, 0.6)))
    for patient in range(6):
        moved, where = change("fracture", patient, stepped)
        still, _ = change("fracture", patient)
        beyond = (np.abs(moved) > 0.05) & ~binary_dilation(where, iterations=2)
        assert beyond.any()
        assert (np.abs(moved) > 0.05).sum() > (np.abs(still) > 0.05).sum()
        # All of it is at one side of the lesion's middle, along the limb or the finger, or nearly.
        rows = np.nonzero(beyond)[0] - np.nonzero(where)[0].mean()
        assert abs(np.sign(rows).mean()) > 0.6


@settings(max_examples=20)
@given(NUMBERS, st.sampled_from(BONE_LESIONS))
def test_what_is_conspicuous_is_the_same_in_both_classes_and_covers_no_lesion(
    numbers: tuple[int, int, int], kind: str
) -> None:
    """Metal, rings, letters, writing and shutters all at once: they change the same, with a lesion or without."""
    crowded = replace(QUIET, **dict.fromkeys(SHARES, 1.0))
    bare = replace(QUIET, **dict.fromkeys(SHARES, 0.0))
    ill, sound = twins(kind, *numbers, looks=crowded)
    ill_bare, sound_bare = twins(kind, *numbers, looks=bare)
    added, to_sound = (np.abs(one.image.astype(int) - two.image) for one, two in ((ill, ill_bare), (sound, sound_bare)))
    other = (np.maximum(added, to_sound) > 60) & (np.minimum(added, to_sound) < 20)
    assert (added > 60).mean() > 0.01
    assert not other[~binary_dilation(ill.lesion, iterations=4)].any()
    assert (added[ill.lesion] > 20).mean() < 0.15


@pytest.mark.parametrize("share", [*SHARES, "young_share"])
def test_each_share_is_what_it_says(share: str) -> None:
    never, always, half = (replace(PLAIN, **{share: value}, size=64) for value in (0.0, 1.0, 0.5))
    shown = [
        [bone_phantom(0, patient, None, 0, 0, looks).image for looks in (never, always, half)] for patient in range(32)
    ]
    assert sum(not np.array_equal(without, with_it) for without, with_it, _ in shown) >= 24  # some are out of sight
    assert all(np.array_equal(either, without) or np.array_equal(either, with_it) for without, with_it, either in shown)
    assert 6 <= sum(np.array_equal(either, without) for without, _, either in shown) <= 26


def test_letters_and_numbers_are_read_away_from_the_site() -> None:
    for number in range(30):
        site = (float(number) - 15, 40.0 if number % 2 else -40.0)
        drawn = {side: side_letter(AXIS, side, site, np.random.default_rng(number)) > 0.5 for side in "LR"}
        assert drawn["R"].sum() > drawn["L"].sum() > 5
        assert label(drawn["L"], np.ones((3, 3)))[1] == 1
        rows, columns = np.nonzero(drawn["R"])
        assert np.hypot(AXIS[rows] - site[1], AXIS[columns] - site[0]).min() > 20
        number_rows = np.nonzero(writing(AXIS, site, np.random.default_rng(number)) > 0.5)[0]
        assert number_rows.size > 20
        assert (np.sign(AXIS[number_rows]) == -np.sign(site[1])).all()


def test_views_of_a_study_show_one_limb_turned_and_exposed_anew() -> None:
    for patient in range(6):
        views = [bone_phantom(0, patient, "lytic", 0, view) for view in range(3)]
        assert len({(view.part, view.side, view.spacing) for view in views}) == 1
        assert len({view.turn for view in views}) == 3
        assert views[0].turn == 0
    still = replace(STANDARD_BONES, move=0.0, lean=0.0, zoom=(1.3, 1.3))
    alike = []
    for patient in range(12):
        front, turned = (bone_phantom(0, patient, None, 0, view, still).image.ravel() for view in (0, 2))
        stranger = bone_phantom(0, patient + 50, None, 0, 0, still).image.ravel()
        alike.append(np.corrcoef(front, turned)[0, 1] > np.corrcoef(front, stranger)[0, 1])
    assert np.mean(alike) > 0.7


def test_every_region_and_side_occurs() -> None:
    small = replace(PLAIN, size=64)
    pictures = [bone_phantom(0, patient, None, 0, 0, small) for patient in range(60)]
    assert {picture.part for picture in pictures} == {"FOREARM", "LEG", "KNEE", "ELBOW", "HAND"}
    assert 20 < sum(picture.side == "L" for picture in pictures) < 40


def test_the_whole_picture_says_little_of_the_class() -> None:
    """Mean and spread of a picture differ between limbs by more than ten times what a lesion changes."""
    small = replace(STANDARD_BONES, size=64)
    pairs = [twins(BONE_LESIONS[patient % 3], patient, looks=small) for patient in range(60)]
    for value in (np.mean, np.std):
        ill, sound = np.array([[value(picture.image) for picture in pair] for pair in pairs]).T
        assert abs((ill - sound).mean()) < 0.1 * sound.std()


@pytest.mark.parametrize("size", [64, 256])
def test_the_picture_scales(size: int) -> None:
    """A lesion is at the same place at any size, in that size's pixels."""
    for patient in range(4):
        standard, other = (
            bone_phantom(0, patient, "sclerotic", 0, 0, replace(QUIET, size=number)) for number in (128, size)
        )
        assert other.image.shape == (size, size)
        assert other.spacing == pytest.approx(standard.spacing * 128 / size)
        middles = [np.mean(np.nonzero(picture.lesion), axis=1) / len(picture.lesion) for picture in (standard, other)]
        assert np.allclose(*middles, atol=0.02)


def test_what_makes_no_phantom_is_refused() -> None:
    with pytest.raises(ValueError, match="give None or one of fracture, lytic, sclerotic"):
        bone_phantom(0, 0, "cyst")
    for numbers in ((-1, 0, None), (0, -1, None), (0, 0, None, -1), (0, 0, None, 0, -1), (0, 0, None, 0, 3)):
        with pytest.raises(ValueError, match="must not be negative, and view at most 2"):
            bone_phantom(*numbers)
    with pytest.raises(ValueError, match="64 pixels"):
        BoneAppearance(size=32)


def test_a_thousand_pictures_take_less_than_a_minute() -> None:
    start = time.process_time()
    for patient in range(40):
        bone_phantom(0, patient, "fracture")
    assert (time.process_time() - start) * 1000 / 40 < 60
