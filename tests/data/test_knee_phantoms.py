"""Knee phantoms: determinism, grades that follow the thickness rule, no way around the lesion."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.morphology import dilation, disk
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from semimed_monai.data.phantoms import (
    KneeAnatomy,
    KneePhantom,
    cartilage_mask,
    grade_of,
    knee_phantom,
)

HEALTHY = KneeAnatomy(lost_partial=(0, 0), lost_full=(0, 0))


@pytest.fixture(scope="module")
def people() -> list[KneePhantom]:
    return [knee_phantom(7, index) for index in range(40)]


@pytest.fixture(scope="module")
def twins() -> list[KneePhantom]:
    return [knee_phantom(7, index, HEALTHY) for index in range(40)]


def smallest_share(left: NDArray[np.bool_], healthy: NDArray[np.bool_]) -> float:
    """Thinnest place, measured on label maps alone: pixels left per sector of a circle fitted to the healthy band."""
    x, y = np.nonzero(healthy)
    solution = np.linalg.lstsq(np.stack([x, y, np.ones_like(x)], axis=1).astype(float), x**2.0 + y**2.0, rcond=None)[0]
    angle = np.arctan2(x - solution[0] / 2, y - solution[1] / 2)
    still = left[x, y]
    sectors = [np.abs(angle - middle) < 0.05 for middle in np.linspace(angle.min() + 0.2, angle.max() - 0.2, 150)]
    return float(min(still[sector].mean() for sector in sectors if sector.sum() >= 8))


@given(seed=st.integers(0, 2**31), index=st.integers(0, 10_000))
@settings(max_examples=8)
def test_same_numbers_give_the_same_person_and_others_another(seed: int, index: int) -> None:
    first, _, again = knee_phantom(seed, index), knee_phantom(seed, index + 1), knee_phantom(seed, index)
    assert first.volume.tobytes() == again.volume.tobytes()
    assert first.labels.tobytes() == again.labels.tobytes()
    assert np.array_equal(first.affine, again.affine)
    assert first.grades == again.grades
    for other in (knee_phantom(seed + 1, index), knee_phantom(seed, index + 1)):
        assert not np.array_equal(first.volume, other.volume)


def test_arrays_look_like_a_scanner_s(people: list[KneePhantom]) -> None:
    for person in people:
        assert person.volume.shape == person.labels.shape == (128, 128, 6)
        assert len(person.grades) == 6
        assert person.volume.dtype == np.int16
        assert person.labels.dtype == np.uint8
        assert person.volume.min() >= 0
        assert 300 < person.volume.max() <= 4095
        assert all(set(np.unique(person.labels[..., k])) >= {0, 1, 2} for k in range(6))
        assert "".join(nib.aff2axcodes(person.affine)) == "PIR"
        assert nib.affines.voxel_sizes(person.affine) == pytest.approx([0.75, 0.75, 3.0])
        assert not np.allclose(person.affine[:3, :3], np.round(person.affine[:3, :3] / 0.75) * 0.75), "not oblique"


def test_grades_are_balanced_over_any_four_people_and_taper(people: list[KneePhantom]) -> None:
    for start in range(0, 40, 4):
        counts = Counter(grade for person in people[start : start + 4] for grade in person.grades)
        assert counts == {0: 8, 1: 8, 2: 8}
    for person in people:
        assert np.abs(np.diff(person.grades)).max() <= 1
        lesion = np.flatnonzero(person.grades)
        assert lesion.size == 0 or np.array_equal(lesion, np.arange(lesion[0], lesion[-1] + 1)), "not contiguous"


def test_grade_is_the_residual_thickness_measured_on_the_label_maps(
    people: list[KneePhantom], twins: list[KneePhantom]
) -> None:
    for person, twin in zip(people, twins, strict=True):
        assert twin.grades == (0,) * 6
        for k, grade in enumerate(person.grades):
            share = smallest_share(person.labels[..., k] == 1, twin.labels[..., k] == 1)
            assert (share == 1, 0.2 < share < 0.8, share < 0.2).index(True) == grade, (share, person.residual[k])
            assert abs(share - person.residual[k]) < 0.2


def test_no_slice_is_ambiguous(people: list[KneePhantom]) -> None:
    assert [grade_of(share) for share in (0, 0.05, 0.06, 0.75, 0.76, 1)] == [2, 2, 1, 1, 0, 0]
    for share in (share for person in people for share in person.residual):
        assert share == 1 or 0.35 - 1e-6 <= share <= 0.65 + 1e-6 or share <= 0.05


def test_lesion_is_the_only_difference_from_the_healthy_twin(
    people: list[KneePhantom], twins: list[KneePhantom]
) -> None:
    for person, twin in zip(people, twins, strict=True):
        assert np.array_equal(person.affine, twin.affine)
        assert np.array_equal(person.site == 1, twin.labels == 1)
        for k, grade in enumerate(person.grades):
            changed = person.volume[..., k] != twin.volume[..., k]
            assert changed.any() == (grade > 0)
            cartilage = dilation(twin.labels[..., k] == 1, disk(4))
            assert not changed[~cartilage].any()


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        knee_phantom(-1, 0)


@pytest.mark.parametrize("lost", [{"lost_partial": (0.1, 0.5)}, {"lost_partial": (0.5, 0.8)}, {"lost_full": (0.9, 1)}])
def test_ambiguous_losses_are_refused(lost: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match=next(iter(lost))):
        KneeAnatomy(**lost)  # type: ignore[arg-type]


def test_grade_cannot_be_read_from_global_statistics(people: list[KneePhantom]) -> None:
    people = [*people, *(knee_phantom(7, index) for index in range(40, 100))]
    features, grades = [], []
    for person in people:
        for k, grade in enumerate(person.grades):
            image = person.volume[..., k].astype(float)
            scaled = image / np.percentile(image, 99)
            spread = np.percentile(scaled, [5, 50, 95])
            features.append([image.mean(), image.std(), scaled.mean(), scaled.std(), *spread])
            grades.append(grade)
    table, truth = np.array(features), np.array(grades)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(table[:360], truth[:360])
    assert roc_auc_score(truth[360:], model.predict_proba(table[360:]), multi_class="ovr") < 0.62


def test_signal_along_the_cartilage_carries_the_sign(people: list[KneePhantom], twins: list[KneePhantom]) -> None:
    """Knowing where healthy cartilage would be, the largest smoothed deviation in it tells defects from none."""
    oddness, defect = [], []
    for person, twin in zip(people, twins, strict=True):
        for k, grade in enumerate(person.grades):
            image, band = person.volume[..., k].astype(float), twin.labels[..., k] == 1
            x, y = np.nonzero(band)
            near = np.hypot(x[:, None] - x, y[:, None] - y) < 2.5
            smooth = (near @ image[band]) / near.sum(axis=1)
            slow = (near_wide := np.hypot(x[:, None] - x, y[:, None] - y) < 14) @ image[band] / near_wide.sum(axis=1)
            oddness.append(np.abs(smooth / slow - 1).max())
            defect.append(grade > 0)
    assert roc_auc_score(defect, oddness) > 0.7


def test_noise_is_rician() -> None:
    nothing = dict.fromkeys(
        ("marrow", "fat", "muscle", "cartilage", "fluid_over_cartilage", "meniscus", "cortex", "texture"), (0.0, 0.0)
    )
    empty = KneeAnatomy(**nothing, noise=(0.1, 0.1), gain=(1000.0, 1000.0))  # type: ignore[arg-type]
    air = knee_phantom(0, 0, empty).volume[:8].astype(float)  # in front of the skin: no signal, so Rayleigh
    assert air.mean() == pytest.approx(100 * np.sqrt(np.pi / 2), rel=0.05)
    assert air.std() == pytest.approx(100 * np.sqrt(2 - np.pi / 2), rel=0.05)
    clean = knee_phantom(0, 0, replace(KneeAnatomy(), noise=(0.0, 0.0), gain=(1000.0, 1000.0))).volume.astype(float)
    noisy = knee_phantom(0, 0, replace(KneeAnatomy(), noise=(0.05, 0.05), gain=(1000.0, 1000.0))).volume.astype(float)
    bright = clean > 500  # there it is nearly Gaussian, with mean sqrt(A² + σ²)
    assert (noisy - clean)[bright].std() == pytest.approx(50, rel=0.05)
    assert (noisy - clean)[bright].mean() == pytest.approx((50**2 / (2 * clean[bright])).mean(), abs=1.5)


def test_no_fixed_shape_finds_the_mask(people: list[KneePhantom]) -> None:
    masks = np.stack([cartilage_mask(person.site, 3)[..., 2] for person in people]).astype(bool)
    x, y = np.indices((128, 128)) - 63.5
    shapes = [np.ones((128, 128), bool), *(np.hypot(x, y) < radius for radius in (20, 30, 40, 50))]
    shapes += [masks.mean(axis=0) > level for level in (0.2, 0.3, 0.4, 0.5)]
    for shape in shapes:
        overlap = (masks & shape).sum(axis=(1, 2)) / (masks | shape).sum(axis=(1, 2))
        assert overlap.mean() < 0.45
