"""Knee MR phantoms: a person's sagittal slab with bones, cartilage, menisci, fluid, lesions, bias and noise.

Everything is painted from signed distances with one-pixel soft edges (partial volume), in mm, at the final resolution.
Looked for: skimage.data (`binary_blobs`, no anatomy), monai.data.synthetic (`create_test_image_2d`: discs on air) and
TorchIO (transforms of given images): none has a joint.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from semimed_monai.data.phantoms.anatomy import STANDARD_KNEE, KneeAnatomy, grade_of
from semimed_monai.data.phantoms.painting import Scene
from semimed_monai.data.phantoms.shapes import SLICES, STACK, Femur, Field, Lesion, Tibia, grid

# Four people's grades, slice by slice: each block holds eight slices of each grade, and a lesion tapers off over
# neighbouring slices (full, partial, normal) unless the slab ends first.
PLANS = (
    ("000000", "122221", "222210", "011111"),
    ("000000", "222221", "012221", "011111"),
    ("222210", "222210", "111100", "011000"),
)
BLOCK = 4
# One random stream per concern: a lesion drawn otherwise leaves anatomy and noise as they are.
STREAMS = ("plan", "place", "tissue", "lesion", "distractor", "noise")


@dataclass(frozen=True)
class KneePhantom:
    """One person's knee: arrays with axes (posterior, inferior, right), so that `[..., k]` is sagittal slice k.

    Args:
        volume: int16 signal, 0 to 4095.
        site: uint8, 1 where the femoral cartilage is or, in a defect, was.
        labels: uint8, 0 background, 1 femoral cartilage, 2 tibial cartilage, 3 meniscus.
        grades: per slice, 0 normal, 1 partial-thickness, 2 full-thickness defect of the femoral cartilage.
        residual: per slice, the smallest share of the healthy femoral cartilage's thickness that is left.
        affine: voxel to RAS mm, slightly oblique.
    """

    volume: NDArray[np.int16]
    labels: NDArray[np.uint8]
    site: NDArray[np.uint8]
    grades: tuple[int, ...]
    residual: tuple[float, ...]
    affine: NDArray[np.float64]


def knee_phantom(seed: int, index: int, anatomy: KneeAnatomy = STANDARD_KNEE) -> KneePhantom:
    """Person `index` of the population `seed`: the same two numbers always give the same phantom.

    Example:
        >>> person = knee_phantom(seed=0, index=3)
        >>> person.volume.shape, len(person.grades)
        ((128, 128, 6), 6)

    Raises:
        ValueError: a negative seed or index.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"a phantom's seed and index must not be negative, got seed {seed} and index {index}")
    streams = {name: np.random.default_rng([seed, index, place]) for place, name in enumerate(STREAMS)}
    plan = _plan(np.random.default_rng([seed, index // BLOCK, STREAMS.index("plan")]), index % BLOCK)
    femur = Femur(streams["place"], anatomy)
    lesion = Lesion(streams["lesion"], plan, femur, anatomy)
    tibia = Tibia(streams["place"], femur, anatomy)
    affine = _affine(streams["place"], anatomy)
    scene = Scene(femur, lesion, tibia, tissue=streams["tissue"], distractor=streams["distractor"], anatomy=anatomy)
    residual = tuple(float(share) for share in 1 - lesion.depth.ravel())
    return KneePhantom(
        volume=np.ascontiguousarray(_scan(scene.signal, streams["noise"], anatomy).transpose(2, 1, 0)),
        labels=np.ascontiguousarray(scene.labels.transpose(2, 1, 0)),
        site=np.ascontiguousarray(scene.site.transpose(2, 1, 0)).astype(np.uint8),
        grades=tuple(grade_of(share) for share in residual),
        residual=residual,
        affine=affine,
    )


def _plan(rng: np.random.Generator, place: int) -> list[int]:
    """Grades of one of a block's four people, in the block's random order and direction."""
    plans = PLANS[rng.integers(len(PLANS))]
    order, flipped = rng.permutation(BLOCK), rng.random(BLOCK) < 0.5
    grades = [int(grade) for grade in plans[order[place]]]
    return grades[::-1] if flipped[place] else grades


def _affine(rng: np.random.Generator, anatomy: KneeAnatomy) -> NDArray[np.float64]:
    """Voxel (posterior, inferior, right) to RAS mm: a slab tilted a little, around a left or a right knee."""
    tilt = Rotation.from_euler("xyz", rng.uniform(-anatomy.oblique, anatomy.oblique, 3), degrees=True).as_matrix()
    axes = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    voxel = tilt @ axes @ np.diag([anatomy.spacing, anatomy.spacing, anatomy.slice_spacing])
    knee = rng.uniform((70, -20, -40), (100, 20, 40)) * (rng.choice((-1, 1)), 1, 1)
    affine = np.eye(4)
    affine[:3, :3] = voxel
    affine[:3, 3] = knee - voxel @ ((np.array([anatomy.size, anatomy.size, SLICES]) - 1) / 2)
    return affine


def _scan(signal: Field, rng: np.random.Generator, anatomy: KneeAnatomy) -> NDArray[np.int16]:
    """Scan: gain · |blur(signal) · bias + complex noise|: the magnitude makes the noise Rician."""
    sigma, gain = rng.uniform(*anatomy.noise), rng.uniform(*anatomy.gain)
    x, y = (axis / np.abs(axis).max() for axis in grid(anatomy))
    waves = zip(rng.normal(0, anatomy.bias, 6), (x, y, 0.5 * STACK, x * x - 0.33, y * y - 0.33, x * y), strict=True)
    field = np.exp(sum(size * wave for size, wave in waves)).astype(np.float32)
    blur = rng.uniform(*anatomy.blur)
    clean = gaussian_filter(signal, (0, blur, blur), truncate=3) * field
    noise = rng.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(sigma)
    counts = np.clip(gain * np.hypot(clean + noise[0], noise[1]), 0, 4095)
    return np.asarray(counts.round(), dtype=np.int16)
