"""Phantom knee radiographs: the same numbers, the same picture; what shows the grade, and what does not."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from semimed_monai.data.phantoms import (
    KNEE_XRAY_CLASSES,
    STANDARD_KNEE_XRAY,
    KneeXrayAppearance,
    KneeXrayPhantom,
    both_knees_xray_phantom,
    knee_xray_phantom,
)
from semimed_monai.data.phantoms.knee_xray_signs import SITES

SHARES = ("letter_share", "ring_share", "shutter_share", "fabella_share")
QUIET = replace(STANDARD_KNEE_XRAY, **dict.fromkeys(SHARES, 0.0), noise=(0.0, 0.0), sharpened=(0.0, 0.0))
STILL = replace(QUIET, move=0.0, lean=0.0, zoom=(1.0, 1.0))
BARE = replace(STILL, trabeculae=(0.0, 0.0), beams=(0.0, 0.0), blur=(0.01, 0.01))
SMALL = replace(STANDARD_KNEE_XRAY, size=64)
GRADES = range(len(KNEE_XRAY_CLASSES))
NUMBERS = st.tuples(st.integers(0, 10_000), st.sampled_from("LR"))


def shown(knee: KneeXrayPhantom) -> NDArray[np.float64]:
    return knee.image / 4095


def knees_of(grade: int, looks: KneeXrayAppearance = SMALL, count: int = 40) -> list[KneeXrayPhantom]:
    return [knee_xray_phantom(3, person, "LR"[person % 2], grade, looks) for person in range(count)]


def gap(knee: KneeXrayPhantom, side: str, medial: bool) -> float:
    """How wide the dark band is, in mm, in the middle of a compartment of a knee that lies still."""
    aside = 20 if (side == "L") != medial else -20
    column, row = (round(at + off / knee.spacing) for at, off in zip(knee.centre, (aside, 0), strict=True))
    reach = round(14 / knee.spacing)
    profile = shown(knee)[row - reach : row + reach + 1, column - 1 : column + 2].mean(axis=1)
    dark = int(np.argmin(profile[reach // 2 : reach + 2])) + reach // 2
    low, high = profile[dark], min(profile[:dark].max(), profile[dark:].max())
    is_dark = profile < (low + high) / 2
    above, below = (np.argmin(side) for side in (is_dark[dark::-1], is_dark[dark:]))
    return float(above + below - 1) * knee.spacing


def test_a_picture_is_the_same_whenever_asked_for() -> None:
    one, again = (knee_xray_phantom(1, 5, "L", 2) for _ in range(2))
    assert np.array_equal(one.image, again.image)
    assert one.signs == again.signs
    others = [(2, 5, "L", 2), (1, 6, "L", 2), (1, 5, "R", 2), (1, 5, "L", 4)]
    assert all(not np.array_equal(one.image, knee_xray_phantom(*other).image) for other in others)


@settings(max_examples=20)
@given(NUMBERS, st.integers(0, 3))
def test_the_grade_shows_at_the_joint_only(numbers: tuple[int, str], grade: int) -> None:
    """A knee's twin of another grade has the same tissue, labels, shutters, exposure and noise."""
    looks = replace(STANDARD_KNEE_XRAY, sharpened=(0.0, 0.0))
    one, other = (knee_xray_phantom(0, *numbers, of, looks) for of in (grade, 4))
    assert one.centre == other.centre
    away = np.abs(shown(one) - shown(other))
    at = round(one.centre[1])
    assert away[at - 12 : at + 12].max() > 0.05
    assert away[at + 45 :].max() < 0.01  # 28 mm and more below it


def test_joint_space_is_lost_and_osteophytes_grow_with_the_grade() -> None:
    spaces, largest, number = ([] for _ in range(3))
    for grade in GRADES:
        knees = knees_of(grade)
        spaces.append([min(knee.spaces) for knee in knees])
        largest.append([max(knee.signs.spurs) for knee in knees])
        number.append([sum(spur > 1.5 for spur in knee.signs.spurs) for knee in knees])
    means = np.mean(spaces, axis=1)
    assert (np.diff(means) < 0).all()
    assert means[0] - means[1] < 0.5  # nothing to see yet
    assert means[1] - means[2] < 1.3
    assert means[3] > 1.2
    assert means[4] < 0.9
    assert (np.diff(np.mean(largest, axis=1)) > 0.6).all()
    assert (np.diff(np.mean(number, axis=1)) > 0.1).all()
    assert all(len(knee.signs.spurs) == len(SITES) for knee in knees)


def test_neighbouring_grades_overlap_and_others_hardly() -> None:
    largest = [np.array([max(knee.signs.spurs) for knee in knees_of(grade)]) for grade in GRADES]
    for low, high in pairwise(largest):
        assert 0.0 < (low[:, None] > high[None, :]).mean() < 0.3
    for low, high in zip(largest, largest[2:], strict=False):
        assert (low[:, None] > high[None, :]).mean() < 0.05


def test_sclerosis_and_deformed_ends_are_late() -> None:
    dense, worn = (
        [np.mean([max(getattr(knee.signs, name)) for knee in knees_of(grade, count=20)]) for grade in GRADES]
        for name in ("dense", "worn")
    )
    assert dense[2] < 0.3 < dense[3] < dense[4]
    assert worn[3] < 1 < worn[4]


def test_the_picture_shows_the_space_that_is_said() -> None:
    """In either compartment, half a pixel's error at each border and the curve of the bones allowed for."""
    fine = replace(BARE, size=240, signs=replace(BARE.signs, doubt=0))
    said, seen = [], []
    for grade in (0, 2, 3):
        for person in range(12):
            side = "LR"[person % 2]
            knee = knee_xray_phantom(3, person, side, grade, fine)
            for place in range(2):
                said.append(knee.spaces[place])
                seen.append(gap(knee, side, medial=place == 0))
    off = np.subtract(seen, said)
    assert np.corrcoef(said, seen)[0, 1] > 0.9
    assert abs(np.median(off)) < 0.6
    assert np.mean(np.abs(off) < 1.2) > 0.9


def test_the_medial_side_is_the_inner_one_and_ill_more_often() -> None:
    ill = [np.argmax(knee.signs.lost) for knee in knees_of(3, count=80)]
    assert 8 <= sum(ill) <= 34
    outer = {"L": [], "R": []}
    for person in range(12):  # the fibula is what the two lower corners differ by, on average
        for side, brighter in outer.items():
            low = shown(knee_xray_phantom(3, person, side, 0, replace(BARE, size=64)))[-20:]
            brighter.append((low[:, -20:].mean() - low[:, :20].mean()) * (1 if side == "L" else -1))
    assert all(np.mean(brighter) > 0.02 for brighter in outer.values())


def test_a_persons_knees_are_alike_and_mirrored() -> None:
    alike = []
    for person in range(12):
        left, right = (knee_xray_phantom(0, person, side, 0, STILL).image for side in "LR")
        stranger = knee_xray_phantom(0, person + 50, "L", 0, STILL).image
        own, other = (np.corrcoef(left.ravel(), image.ravel())[0, 1] for image in (right[:, ::-1], stranger))
        alike.append(own > other)
        assert not np.array_equal(left, right[:, ::-1])
    assert np.mean(alike) > 0.8
    levels = np.array(
        [[knee_xray_phantom(0, person, side, 0, SMALL).image.mean() for side in "LR"] for person in range(24)]
    )  # exposure and tissue
    assert np.corrcoef(levels.T)[0, 1] > 0.6


def test_the_whole_picture_says_little_of_the_grade() -> None:
    for value in (np.mean, np.std):
        healthy, ill = ([value(knee.image) for knee in knees_of(grade, count=60)] for grade in (0, 3))
        assert abs(np.mean(np.subtract(ill, healthy))) < 0.25 * np.std(healthy)


@pytest.mark.parametrize("share", SHARES)
def test_each_share_is_what_it_says(share: str) -> None:
    never, always, half = (replace(QUIET, **{share: value}, size=64) for value in (0.0, 1.0, 0.5))
    three = [
        [knee_xray_phantom(0, person, "L", 1, looks).image for looks in (never, always, half)] for person in range(32)
    ]
    assert sum(not np.array_equal(without, with_it) for without, with_it, _ in three) >= 12  # some are out of sight
    assert all(np.array_equal(either, without) or np.array_equal(either, with_it) for without, with_it, either in three)
    assert 6 <= sum(np.array_equal(either, without) for without, _, either in three) <= 28


@pytest.mark.parametrize("size", [64, 256])
def test_the_picture_scales(size: int) -> None:
    for person in range(4):
        standard, other = (knee_xray_phantom(0, person, "R", 3, replace(QUIET, size=number)) for number in (160, size))
        assert other.image.shape == (size, size)
        assert other.spacing == pytest.approx(standard.spacing * 160 / size)
        assert np.allclose(np.divide(other.centre, size), np.divide(standard.centre, 160))
        assert (other.spaces, other.signs) == (standard.spaces, standard.signs)


@settings(max_examples=8)
@given(st.integers(0, 10_000), st.sampled_from([(0, 4), (4, 0)]))
def test_a_film_of_both_has_the_same_knees_where_it_says(person: int, grades: tuple[int, int]) -> None:
    """The right one at the left; cut out around its centre, each is the picture of it alone, and of no other knee."""
    looks = replace(QUIET, size=96, trabeculae=(0.0, 0.0), shadow=0.0)  # which are drawn for each film anew
    film = both_knees_xray_phantom(5, person, grades, looks)
    rows, columns = film.image.shape
    assert columns > rows > 2 * looks.size
    assert film.centres["R"][0] < columns / 2 < film.centres["L"][0]
    for side, grade in zip("LR", grades, strict=True):
        alone = knee_xray_phantom(5, person, side, grade, looks)
        assert film.spacing == alone.spacing
        left, top = (round(on - of) for on, of in zip(film.centres[side], alone.centre, strict=True))
        cut = film.image[top : top + looks.size, left : left + looks.size]
        of_another = knee_xray_phantom(5, person + 1, side, grade, looks)
        of_another_grade = knee_xray_phantom(5, person, side, 4 - grade, looks)
        likeness, *others = (_likeness(cut, knee.image) for knee in (alone, of_another, of_another_grade))
        assert likeness > max(0.75, *others)
    again = both_knees_xray_phantom(5, person, grades, looks)
    assert np.array_equal(film.image, again.image)
    assert film.centres == again.centres


def _likeness(one: NDArray[np.uint16], other: NDArray[np.uint16]) -> float:
    """Of the joints, by correlation: an exposure is of its film."""
    return float(np.corrcoef(one[24:72, 12:84].ravel(), other[24:72, 12:84].ravel())[0, 1])


def test_what_makes_no_phantom_is_refused() -> None:
    for numbers in ((-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="seed and person must not be negative"):
            knee_xray_phantom(*numbers, "L", 0)
    with pytest.raises(ValueError, match="side is 'left': give L or R"):
        knee_xray_phantom(0, 0, "left", 0)
    for grade in (-1, 5):
        with pytest.raises(ValueError, match=f"grade is {grade}: give a whole number from 0 to 4"):
            knee_xray_phantom(0, 0, "L", grade)
    with pytest.raises(ValueError, match="64 pixels"):
        KneeXrayAppearance(size=32)


def test_eight_hundred_knees_take_less_than_thirty_seconds() -> None:
    start = time.process_time()
    for person in range(40):
        knee_xray_phantom(0, person, "L", 2)
    assert (time.process_time() - start) * 800 / 40 < 30
