"""What is wrong with a phantom's bone: a fracture, or a patch that has lost or gained bone; and how one marks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semimed_monai.data.phantoms.bone_shapes import Seen
from semimed_monai.data.phantoms.film import Plane, Range, inside, level

BONE_LESIONS = ("fracture", "lytic", "sclerotic")

Where = NDArray[np.bool_]


@dataclass(frozen=True)
class LesionAppearance:
    """Ranges from which lesions are drawn; lengths in units of which a picture is 160 wide, or in a bone's half widths.

    Beside the distractors they decide how hard the task is.
    """

    gap: Range = (3.0, 5.5)  # between the two parts of a broken bone
    gap_depth: Range = (0.6, 1.0)  # share of the bone's shadow that a gap lacks
    step: Range = (0.2, 0.6)  # by which a part is displaced, in half widths
    lean: Range = (-0.55, 0.55)  # of the line, along per across
    impacted_share: float = 0.15  # of the fractures: their parts overlap, so that the line is bright
    patch: Range = (0.7, 1.1)  # half the width of a patch, in half widths
    patch_bounds: Range = (6.0, 12.0)  # whatever the bone's width, in units
    lytic_depth: Range = (0.6, 0.95)
    sclerotic_depth: Range = (1.1, 1.8)


class Lesion(Protocol):
    """Something that changes a bone at one place along it, in all views alike."""

    def displaced(self, beyond: Plane, across: Plane) -> Plane:
        """Where across the bone a pixel lies, which is `beyond` the place by some units along it."""

    def changed(self, beyond: Plane, seen: Seen, pixel: float) -> tuple[Plane, Where]:
        """By how much the bone's shadow is multiplied, and where one sees the lesion."""


class _Fracture:
    """A jagged line across the bone, beyond which it is displaced."""

    def __init__(self, rng: np.random.Generator, half: float, looks: LesionAppearance) -> None:
        self.gap, self.depth, self.lean = (level(rng, bounds) for bounds in (looks.gap, looks.gap_depth, looks.lean))
        self.step = level(rng, looks.step) * half * int(rng.choice((-1, 1)))
        heights, waves, self.phases = rng.uniform((0.06, 1.5, 0), (0.16, 4.0, 6.3), (2, 3)).T.tolist()
        self.jags = [(high * half, wave / half) for high, wave in zip(heights, waves, strict=True)]
        if rng.random() < looks.impacted_share:
            self.depth *= -0.7

    def _from_line(self, beyond: Plane, across: Plane) -> Plane:
        line = self.lean * across
        for (high, wave), phase in zip(self.jags, self.phases, strict=True):
            line += high * np.sin(wave * across + phase)
        return np.asarray(beyond - line, dtype=np.float32)

    def displaced(self, beyond: Plane, across: Plane) -> Plane:
        away = self._from_line(beyond, across)
        moved = inside(away, 1.0) * np.exp(-np.clip(away, 0, None) / 28)
        return np.asarray(across - self.step * moved, dtype=np.float32)

    def changed(self, beyond: Plane, seen: Seen, pixel: float) -> tuple[Plane, Where]:
        away = np.abs(self._from_line(beyond, seen.across))
        where = (away < self.gap / 2 + 1.2) & (np.abs(seen.across) < seen.half + 1)
        return np.asarray(1 - self.depth * inside(self.gap / 2 - away, pixel), dtype=np.float32), where


class _Patch:
    """A roundish patch with an uneven border, that lacks bone, or has more where `depth` is negative."""

    def __init__(self, rng: np.random.Generator, half: float, looks: LesionAppearance, depth: float) -> None:
        self.wide = float(np.clip(level(rng, looks.patch) * half, *looks.patch_bounds))
        self.tall = self.wide * level(rng, (1.0, 1.5))
        self.aside, self.soft = level(rng, (-0.45, 0.45)) * half, level(rng, (0.25, 0.7))
        self.depth, self.rim = depth, level(rng, (0.0, 0.22)) if depth > 0 else 0.0
        self.waves = rng.uniform((0.02, 0), (0.11, 6.3), (3, 2)).tolist()

    def displaced(self, beyond: Plane, across: Plane) -> Plane:  # noqa: ARG002
        return across

    def changed(self, beyond: Plane, seen: Seen, pixel: float) -> tuple[Plane, Where]:
        right, down = (seen.across - self.aside) / self.wide, beyond / self.tall
        angle, away = np.arctan2(down, right), np.hypot(right, down)
        for count, (high, phase) in enumerate(self.waves, start=2):
            away -= high * np.sin(count * angle + phase)
        soft = max(self.soft, pixel / self.wide)
        rim = self.rim * np.exp(-(((away - 1 - soft / 2) / max(0.16, pixel / self.wide)) ** 2))
        where = (away < 1 + soft / 4) & (np.abs(seen.across) < seen.half)
        return np.asarray(1 - self.depth * inside(1 - away, soft) + rim, dtype=np.float32), where


def lesion_of(kind: str, rng: np.random.Generator, half: float, looks: LesionAppearance) -> Lesion:
    """One of a kind of `BONE_LESIONS`, in a bone of that half width."""
    if kind == "fracture":
        return _Fracture(rng, half, looks)
    lytic = kind == "lytic"
    depth = level(rng, looks.lytic_depth if lytic else looks.sclerotic_depth)
    return _Patch(rng, half, looks, depth if lytic else -depth)


def drawn_around(where: Where, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A mark as a clinician draws it: an ellipse or a rounded polygon around what is seen, somewhat too large.

    Around nothing there is none.

    >>> seen = np.zeros((9, 9), bool)
    >>> seen[4, 3:6] = True
    >>> int(drawn_around(seen, np.random.default_rng(0)).max())
    255
    """
    if not where.any():
        return np.zeros(where.shape, np.uint8)
    rows, columns = np.nonzero(where)
    away = np.column_stack([columns - columns.mean(), rows - rows.mean()])
    axes = np.linalg.eigh(away.T @ away + np.eye(2))[1]
    low, high = (away @ axes).min(axis=0), (away @ axes).max(axis=0)
    power = level(rng, (2, 4))
    # A box's corner lies on |u/a|^p + |v/b|^p = 1 if a and b are larger than its halves by 2^(1/p): lesions have none.
    halves = ((high - low) / 2 + 0.5) * min(2 ** (1 / power), 1.15) * rng.uniform(1.0, 1.25, 2)
    halves += len(where) * rng.uniform(0.018, 0.04, 2)
    centre = (low + high) / 2 + rng.uniform(-0.12, 0.12, 2) * halves
    y, x = np.indices(where.shape, dtype=np.float32)
    u, v = (
        ((x - columns.mean()) * right + (y - rows.mean()) * down - at) / half
        for (right, down), at, half in zip(axes.T.tolist(), centre.tolist(), halves.tolist(), strict=True)
    )
    uneven = 0.06 * np.sin(int(rng.integers(3, 6)) * np.arctan2(v, u) + level(rng, (0, 2 * np.pi)))
    return np.asarray(255 * (np.abs(u) ** power + np.abs(v) ** power < (1 + uneven) ** power), dtype=np.uint8)
