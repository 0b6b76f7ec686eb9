"""What every phantom radiograph shares: the grain of its tissues, and how a shadow becomes a film."""

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


def texture(rng: np.random.Generator, shape: tuple[int, ...], size: float, bounds: Range) -> Plane:
    """Smooth noise of some pixels' size, with a standard deviation that is drawn from the bounds."""
    noise = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), size, mode="wrap", truncate=2.5)
    return np.asarray(noise / noise.std() * level(rng, bounds), dtype=np.float32)


def exposed(signal: Plane, rng: np.random.Generator, blur: Range, noise: Range) -> NDArray[np.uint16]:
    """12 bits, after a blur (in pixels) and noise that is stronger where fewer photons come through."""
    blurred = gaussian_filter(signal, level(rng, blur), truncate=3)
    sigma = level(rng, noise) * (0.6 + 0.8 * np.clip(blurred, 0, 1))
    noisy = blurred + sigma * rng.standard_normal(signal.shape, dtype=np.float32)
    low, high = rng.uniform((-0.05, 1.0), (0.05, 1.15))
    return np.asarray((4095 * np.clip((noisy - low) / (high - low), 0, 1)).round(), dtype=np.uint16)
