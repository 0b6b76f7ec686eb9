"""Phantom skin lesions: the same numbers give the same picture, classes differ by their signs, files and split."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import binary_dilation

from semimed_monai.data import Datalist
from semimed_monai.data.phantoms import SKIN_CLASSES, STANDARD_SKIN, SkinAppearance, skin_phantom, skin_phantom_set
from semimed_monai.data.phantoms.skin_set import CLASS_SHARES, class_and_shots
from semimed_monai.transforms import photograph

SMALL = replace(STANDARD_SKIN, size=32)
PLAIN = replace(STANDARD_SKIN, hairs=0, bubbles=0, mottles=0, noise=(0.0, 0.0), expressed=(1.0, 1.0))


@pytest.fixture(scope="module")
def skins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return skin_phantom_set(tmp_path_factory.mktemp("skins") / "set", lesions=120, seed=2, appearance=SMALL)


def _datalist(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "datalist.json").read_text())
    return content


def test_a_picture_is_the_same_whenever_asked_for() -> None:
    one, again = (skin_phantom(1, 5, label=2) for _ in range(2))
    assert np.array_equal(one.image, again.image)
    assert np.array_equal(one.mask, again.mask)
    others = (skin_phantom(2, 5, 2), skin_phantom(1, 6, 2), skin_phantom(1, 5, 3), skin_phantom(1, 5, 2, shot=1))
    assert all(not np.array_equal(one.image, other.image) for other in others)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 6), st.integers(0, 2))
def test_the_lesion_lies_in_the_picture_and_differs_from_the_skin(lesion: int, label: int, shot: int) -> None:
    picture = skin_phantom(0, lesion, label, shot, PLAIN)
    inside = picture.mask > 0
    assert 0.03 < inside.mean() < 0.7
    assert set(np.unique(picture.mask)) == {0, 255}
    away = picture.image[inside].astype(float).mean(axis=0) - picture.image[~inside].astype(float).mean(axis=0)
    assert np.abs(away).max() > 8


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.integers(0, 2))
def test_the_lesion_is_the_only_sign_of_the_class(lesion: int, shot: int) -> None:
    """The same lesion as each class: away from all of its borders, which are soft, the pictures are one."""
    pictures = [skin_phantom(0, lesion, label, shot) for label in range(len(SKIN_CLASSES))]
    reached = binary_dilation(np.any([picture.mask > 0 for picture in pictures], axis=0), iterations=18)
    away = np.stack([picture.image.astype(int) for picture in pictures])[:, ~reached]
    assert away.shape[1] > 500
    assert np.ptp(away, axis=0).max() <= 1


def test_two_shots_of_a_lesion_are_alike_in_size_and_colour_and_unlike_in_place() -> None:
    shots = [skin_phantom(0, 7, 1, shot, PLAIN) for shot in (0, 1)]
    areas = [float((shot.mask > 0).mean()) for shot in shots]
    assert areas[0] / areas[1] == pytest.approx(1, abs=1.1)
    colours = [shot.image[shot.mask > 0].mean(axis=0) for shot in shots]
    assert np.abs(colours[0] - colours[1]).max() < 60
    assert (shots[0].mask != shots[1].mask).any()


def test_the_classes_signs_show() -> None:
    """Over thirty lesions: vascular ones and keratoses are redder than nevi, melanomas darker, a dermatofibroma's
    middle lighter than its rim, a nevus' border rounder than a melanoma's.
    """
    of = {
        name: [skin_phantom(4, lesion, SKIN_CLASSES.index(name), 0, PLAIN) for lesion in range(30)]
        for name in SKIN_CLASSES
    }

    def mean(name: str, value: Any) -> float:
        return float(np.mean([value(shot.image.astype(float), shot.mask > 0) for shot in of[name]]))

    def red(image: np.ndarray, inside: np.ndarray) -> float:
        return float((image[inside][:, 0] - image[inside][:, 1]).mean())

    def dark(image: np.ndarray, inside: np.ndarray) -> float:
        return float(np.percentile(image[inside].mean(axis=1), 10))

    def middle_over_rim(image: np.ndarray, inside: np.ndarray) -> float:
        rows, columns = np.nonzero(inside)
        away = np.hypot(rows - rows.mean(), columns - columns.mean())
        values = image[rows, columns].mean(axis=1)
        return float(values[away < np.percentile(away, 15)].mean() - values[away > np.percentile(away, 60)].mean())

    def roundness(_: np.ndarray, inside: np.ndarray) -> float:
        rows, columns = np.nonzero(inside)
        away = np.hypot(rows - rows.mean(), columns - columns.mean())
        return float(inside.sum() / (np.pi * away.max() ** 2))

    assert min(mean("VASC", red), mean("AKIEC", red)) > mean("NV", red) + 10
    assert mean("MEL", dark) < mean("NV", dark) - 10
    assert mean("DF", middle_over_rim) > max(mean(name, middle_over_rim) for name in ("NV", "BKL", "MEL")) + 10
    assert mean("NV", roundness) > mean("MEL", roundness) + 0.1


def test_a_set_has_its_classes_masks_and_lesions(skins: Path) -> None:
    content = _datalist(skins)
    assert content["classes"] == list(SKIN_CLASSES)
    sections = {name: content[name] for name in ("training", "validation", "test")}
    items = [item for section in sections.values() for item in section]
    assert {item["group"] for item in items} == {f"L{number:05d}" for number in range(120)}
    assert all({item["label"] for item in section} == set(range(7)) for section in sections.values())
    shots = Counter(item["group"] for item in items)
    assert all(shots[f"L{n:05d}"] == class_and_shots(2, n)[1] for n in range(120))
    for item in items[:5]:
        lesion, shot = int(item["group"][1:]), int(item["image"][-5])
        person = skin_phantom(2, lesion, item["label"], shot, SMALL)
        assert np.array_equal(np.asarray(Image.open(skins / item["image"])), person.image)
        assert np.array_equal(np.asarray(Image.open(skins / item["mask"])), person.mask)


def test_the_reader_and_the_preprocessing_take_it(skins: Path) -> None:
    preprocess = photograph(32)
    for item in Datalist(skins, labelled_share=0.3).section("validation"):
        row = preprocess(item)
        assert row["image"].shape == (3, 32, 32)
        assert row["mask"].any()


def test_classes_have_their_shares_in_every_hundred() -> None:
    assert sum(CLASS_SHARES) == pytest.approx(1)
    for start in (0, 300):
        counts = Counter(class_and_shots(5, lesion)[0] for lesion in range(start, start + 100))
        assert [counts[label] for label in range(7)] == [round(100 * share) for share in CLASS_SHARES]


def test_a_second_set_has_the_same_bytes_and_a_larger_one_the_same_lesions(skins: Path, tmp_path: Path) -> None:
    def digests(folder: Path) -> dict[str, str]:
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    again = skin_phantom_set(tmp_path / "again", lesions=120, seed=2, appearance=SMALL)
    assert digests(again) == digests(skins)
    larger = digests(skin_phantom_set(tmp_path / "larger", lesions=130, seed=2, appearance=SMALL))
    assert all(larger[name] == digest for name, digest in digests(skins).items() if name != "datalist.json")


def test_cache_is_used_and_its_key_holds_all_parameters(cache: Path) -> None:
    first = skin_phantom_set(lesions=120, appearance=SMALL)
    assert first.parent == cache
    stamp = (first / "datalist.json").stat().st_mtime_ns
    assert skin_phantom_set(lesions=120, appearance=SMALL) == first
    assert (first / "datalist.json").stat().st_mtime_ns == stamp
    changes: list[dict[str, Any]] = [{"seed": 1}, {"lesions": 121}, {"appearance": replace(SMALL, hairs=1)}]
    names = {skin_phantom_set(**{"lesions": 120, "appearance": SMALL, **change}).name for change in changes}
    assert len(names | {first.name}) == 4


def test_what_makes_no_phantom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="120 lesions or more"):
        skin_phantom_set(tmp_path / "set", lesions=100)
    with pytest.raises(ValueError, match="label is 7"):
        skin_phantom(0, 0, 7)
    with pytest.raises(ValueError, match="must not be negative"):
        skin_phantom(0, -1, 0)
    with pytest.raises(ValueError, match="32 pixels"):
        SkinAppearance(size=16)


def test_a_thousand_lesions_take_less_than_a_minute(tmp_path: Path) -> None:
    start = time.process_time()
    skin_phantom_set(tmp_path / "set", lesions=120)
    assert (time.process_time() - start) * 1000 / 120 < 60
