"""N4 takes a known bias away, and the same way each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_files import write_nifti

from semimed_monai.transforms import correct_bias, knee_mr


def knee_like(slices: int, side: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Two tissues on a dark background, times a ramp from 0.7 to 1.3; and where the outer tissue is."""
    y, x = np.mgrid[:side, :side] / (side - 1)
    tissue = np.where((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.05, 200.0, 100.0)
    tissue[(x < 0.1) | (x > 0.9)] = 2.0
    noise = np.random.default_rng(0).normal(0, 1, (slices, side, side))
    return (tissue * (0.7 + 0.6 * x) + noise).astype(np.float32), tissue == 100


def variation(volume: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    return float(volume[:, where].std() / volume[:, where].mean())


@pytest.mark.parametrize(("slices", "side"), [(1, 66), (6, 64), (5, 24)])
def test_a_ramp_is_reduced_three_times(slices: int, side: int) -> None:
    biased, tissue = knee_like(slices, side)

    corrected = correct_bias(biased)

    assert corrected.shape == biased.shape
    assert corrected.dtype == np.float32
    assert variation(corrected, tissue) < variation(biased, tissue) / 3
    np.testing.assert_array_equal(corrected, correct_bias(biased))


def test_knee_mr_corrects_when_it_is_told_to(tmp_path: Path) -> None:
    biased, tissue = knee_like(2, 64)
    path = write_nifti(tmp_path / "v.nii", biased.transpose(0, 2, 1), np.diag([1.0, -1, -1, 1]))

    plain, corrected = (knee_mr(64, n4=n4)({"image": path, "slice": 1})["image"].numpy() for n4 in (False, True))

    assert variation(corrected, tissue) < variation(plain, tissue) / 3


def test_the_tissues_stay_apart() -> None:
    biased, outer = knee_like(2, 64)
    inner = ~outer & (biased[0] > 50)

    corrected = correct_bias(biased)

    assert corrected[:, inner].mean() / corrected[:, outer].mean() == pytest.approx(2, rel=0.05)


def test_a_constant_stack_is_left_alone() -> None:
    flat = np.full((2, 64, 64), 3, np.float32)
    np.testing.assert_array_equal(correct_bias(flat), flat)
