"""Where things lie in a phantom knee: signed distances (mm) of the femur, its cartilage and lesion, and the tibia."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from semimed_monai.data.phantoms.anatomy import KneeAnatomy

Field = NDArray[np.floating[Any]]

SLICES = 6
"""Sagittal slices per person."""
STACK: Field = np.linspace(-1, 1, SLICES, dtype=np.float32)[:, None, None]
"""Where a slice lies in the slab, -1 to 1."""


def grid(anatomy: KneeAnatomy) -> tuple[Field, Field]:
    """Pixel centres in mm from the middle of the picture: x to the back (1×1×W), y down (1×H×1)."""
    axis = ((np.arange(anatomy.size) - (anatomy.size - 1) / 2) * anatomy.spacing).astype(np.float32)
    return axis[None, None, :], axis[None, :, None]


def drifting(rng: np.random.Generator, value: float, drift: float) -> Field:
    """A value that changes smoothly over the slices, by about `drift` of itself: S×1×1."""
    slope, bend = rng.uniform(-drift, drift, 2)
    return np.asarray(value * (1 + slope * STACK + bend * (STACK**2 - 0.5)), dtype=np.float32)


def step(low: float | Field, high: float | Field, value: Field) -> Field:
    """Smoothstep from 0 at `low` to 1 at `high`."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)


class Femur:
    """Condyle r(θ) = ((|sin θ|/a)^n + (|cos θ|/b)^n)^(-1/n) plus ripple; θ = 0 points down, θ > 0 to the back."""

    def __init__(self, rng: np.random.Generator, anatomy: KneeAnatomy) -> None:
        shift = rng.uniform(-1, 1, 2) * anatomy.shift
        self.centre_x = np.float32(shift[0]) + drifting(rng, 20, anatomy.slice_drift) - 20
        self.centre_y = np.float32(shift[1] - 13) + drifting(rng, 20, anatomy.slice_drift) - 20
        self.rotation = np.float32(np.deg2rad(rng.uniform(-anatomy.rotation, anatomy.rotation)))
        self.along = drifting(rng, rng.uniform(*anatomy.radius_along), anatomy.slice_drift)
        self.down = drifting(rng, rng.uniform(*anatomy.radius_down), anatomy.slice_drift)
        self.power = np.float32(rng.uniform(*anatomy.squareness))
        self.ripple = rng.normal(0, anatomy.ripple, 3).astype(np.float32)
        self.ripple_phase = rng.uniform(0, 2 * np.pi, 3).astype(np.float32)
        self.thick = drifting(rng, rng.uniform(*anatomy.thickness), 2 * anatomy.slice_drift)
        self.variation = rng.uniform(-1, 1, 2).astype(np.float32) * np.float32(anatomy.thickness_variation)
        self.variation_phase = rng.uniform(0, 2 * np.pi, 2).astype(np.float32)
        self.start = -drifting(rng, np.deg2rad(rng.uniform(*anatomy.arc_anterior)), anatomy.slice_drift)
        self.end = drifting(rng, np.deg2rad(rng.uniform(*anatomy.arc_posterior)), anatomy.slice_drift)
        self.taper = float(np.deg2rad(10))
        self.shaft = rng.uniform((-0.45, 0.45, -0.15), (-0.05, 0.65, 0.25)).astype(np.float32)  # place, width, lean
        self.x, self.y = grid(anatomy)
        dx, dy = self.x - self.centre_x, self.y - self.centre_y
        cos, sin = np.cos(self.rotation), np.sin(self.rotation)
        self.angle: Field = np.arctan2(dx * cos + dy * sin, dy * cos - dx * sin)
        self.distance: Field = np.hypot(dx, dy) - self.radius(self.angle)
        beside = np.abs(dx - self.shaft[0] * self.along + self.shaft[2] * dy) - self.shaft[1] * self.along
        shaft = np.maximum(beside, dy)
        fillet = np.clip(6 - np.abs(self.distance - shaft), 0, None) ** 2 / 24  # smooth union of condyle and shaft
        self.bone: Field = np.minimum(self.distance, shaft) - fillet
        self.healthy: Field = self.thickness(self.angle)

    def radius(self, angle: Field) -> Field:
        across = (np.abs(np.sin(angle)) / self.along) ** self.power + (np.abs(np.cos(angle)) / self.down) ** self.power
        waves = zip(self.ripple, (2, 3, 4), self.ripple_phase, strict=True)
        ripple = sum(size * np.cos(count * angle + phase) for size, count, phase in waves)
        return np.asarray(across ** (-1 / self.power) * (1 + ripple), dtype=np.float32)

    def thickness(self, angle: Field) -> Field:
        """Healthy cartilage: varies slowly along the arc and rounds off at its two ends."""
        waves = zip(self.variation, (1.0, 2.2), self.variation_phase, strict=True)
        vary = sum(size * np.sin(count * angle + phase) for size, count, phase in waves)
        ends = step(0, self.taper, angle - self.start) * step(0, self.taper, self.end - angle)
        return np.asarray(self.thick * (1 + vary) * np.sqrt(ends), dtype=np.float32)

    def point(self, angle: Field, beyond: Field | float) -> tuple[Field, Field]:
        """Offsets (back, down) from the centre of the point at `angle`, `beyond` mm outside the bone."""
        reach = self.radius(angle) + beyond
        back, down = reach * np.sin(angle), reach * np.cos(angle)
        cos, sin = np.cos(self.rotation), np.sin(self.rotation)
        return back * cos - down * sin, back * sin + down * cos


class Lesion:
    """Loss of femoral cartilage: depth(slice) × a flat-topped bump along the arc, from the articular side."""

    def __init__(self, rng: np.random.Generator, plan: list[int], femur: Femur, anatomy: KneeAnatomy) -> None:
        # Share of the five slices around each that the lesion covers: it is shallower and narrower towards its ends.
        inside = [sum(plan[i] > 0 for i in range(max(k - 2, 0), min(k + 3, SLICES))) / 5 for k in range(SLICES)]
        core = np.array(inside, dtype=np.float32)[:, None, None]
        ranges = np.array([(0.0, 0.0), anatomy.lost_partial, anatomy.lost_full])[plan]
        strength = rng.uniform(0.2, 1, SLICES) * (0.4 + 0.6 * np.array(inside))
        self.depth = (ranges[:, 0] + strength * (ranges[:, 1] - ranges[:, 0])).astype(np.float32)[:, None, None]
        half = rng.uniform(*anatomy.lesion_half_width) / 25 * (0.75 + 0.25 * core)
        low, high = femur.start.max() + femur.taper + half.max(), femur.end.min() - femur.taper - half.max()
        centre = np.clip(rng.uniform(low, high) + rng.normal(0, 0.03, SLICES), low, high)
        away = np.abs(femur.angle - centre.astype(np.float32)[:, None, None]) / half
        self.lost: Field = self.depth * (1 - step(0.6, 1.0, away))
        self.contrast = float(rng.uniform(*anatomy.fill_contrast))
        self.dark = bool(rng.random() < anatomy.fill_dark_share)


class Tibia:
    """Plateau below the lowest point of the femoral cartilage: v = v0 - curve·u², in axes (u, v) tilted with it."""

    def __init__(self, rng: np.random.Generator, femur: Femur, anatomy: KneeAnatomy) -> None:
        tilt = np.float32(np.deg2rad(rng.uniform(-anatomy.tibial_tilt, anatomy.tibial_tilt)))
        self.cos, self.sin = np.cos(tilt), np.sin(tilt)
        angle = np.linspace(-np.pi / 2, np.pi / 2, 181, dtype=np.float32)[None, None, :]
        back, down = femur.point(angle, femur.thickness(angle))
        below = down * self.cos - back * self.sin
        lowest = below.argmax(axis=2, keepdims=True)
        touch = np.take_along_axis(back * self.cos + down * self.sin, lowest, axis=2)
        self.top = below.max(axis=2, keepdims=True) + drifting(rng, rng.uniform(*anatomy.gap), 0.3)
        dx, dy = femur.x - femur.centre_x, femur.y - femur.centre_y
        self.u: Field = dx * self.cos + dy * self.sin - touch
        self.curve = np.float32(rng.uniform(0.0, 0.006))
        surface = self.top - self.curve * np.minimum(self.u**2, 500)
        self.v: Field = dy * self.cos - dx * self.sin - surface  # 0 on the surface of the healthy tibial cartilage
        self.middle, self.half = rng.uniform(-4, 4), rng.uniform(22, 29)
        beside = np.abs(self.u - self.middle) - self.half
        self.thick: Field = drifting(rng, rng.uniform(*anatomy.tibial_thickness), 0.1) * np.sqrt(
            step(0, 5, -2 - beside)
        )
        narrowing = np.clip(self.v, 0, 25) * np.float32(rng.uniform(0.15, 0.4))
        self.bone: Field = np.maximum(self.thick - self.v, beside + narrowing)
