"""What phantom radiographs share: how a limb lies in the picture, its tissues' grain, how a shadow becomes a film."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Range = tuple[float, float]
Plane = NDArray[np.float32]


def level(rng: np.random.Generator, bounds: Range) -> float:
    return float(rng.uniform(*bounds))


def inside(depth: NDArray[np.floating[Any]], pixel: float) -> Plane:
    """Share of a pixel, of that size, that lies where a depth is positive."""
    return np.asarray(np.clip(0.5 + depth / pixel, 0, 1), dtype=np.float32)


def bump(away: NDArray[np.floating[Any]]) -> Plane:
    """1 in the middle, falling to 0.37 where it is 1 away."""
    return np.asarray(np.exp(-np.square(away)), dtype=np.float32)


def chord(across: Plane, half: Plane) -> Plane:
    """What a ray passes of a round thing, so far from its middle, as a share of its thickness."""
    return np.asarray(np.sqrt(np.clip(1 - np.square(across / np.clip(half, 1e-3, None)), 0, None)), dtype=np.float32)


def texture(rng: np.random.Generator, shape: tuple[int, ...], size: float | Range, bounds: Range) -> Plane:
    """Smooth noise with a standard deviation that is drawn from the bounds.

    Its size is in pixels: one number, or how many down and across.
    """
    noise = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), size, mode="wrap", truncate=2.5)
    return np.asarray(noise / noise.std() * level(rng, bounds), dtype=np.float32)


def exposed(signal: Plane, rng: np.random.Generator, blur: Range, noise: Range) -> NDArray[np.uint16]:
    """12 bits, after a blur (in pixels) and noise that is stronger where fewer photons come through."""
    blurred = gaussian_filter(signal, level(rng, blur), truncate=3)
    sigma = level(rng, noise) * (0.6 + 0.8 * np.clip(blurred, 0, 1))
    noisy = blurred + sigma * rng.standard_normal(signal.shape, dtype=np.float32)
    low, high = rng.uniform((-0.05, 1.0), (0.05, 1.15))
    return np.asarray((4095 * np.clip((noisy - low) / (high - low), 0, 1)).round(), dtype=np.uint16)


class Pose:
    """How a limb lies in a picture: turned, larger or smaller, and a right one mirrored."""

    def __init__(self, rng: np.random.Generator, lean: float, zoom: Range, move: float, side: str) -> None:
        turned = np.deg2rad(rng.uniform(-lean, lean))
        self.cos, self.sin = float(np.cos(turned)), float(np.sin(turned))
        self.zoom, self.mirrored = level(rng, zoom), 1 if side == "L" else -1
        self.right, self.down = rng.uniform(-move, move, 2).tolist()

    def of_limb(self, x: Plane, y: Plane) -> tuple[Plane, Plane]:
        """Where the picture's places, of which `x` is a row and `y` a column, are in the limb."""
        across, along = x - self.right, y - self.down
        right = self.mirrored * (self.cos * across + self.sin * along) / self.zoom
        return right, (self.cos * along - self.sin * across) / self.zoom

    def in_picture(self, place: tuple[float, float]) -> tuple[float, float]:
        """Where a place in the limb is in the picture."""
        x, y = self.zoom * self.mirrored * place[0], self.zoom * place[1]
        return self.cos * x - self.sin * y + self.right, self.sin * x + self.cos * y + self.down
