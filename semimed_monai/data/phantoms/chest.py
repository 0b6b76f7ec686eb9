"""Chest radiograph phantoms: lungs, heart, spine, ribs and clavicles in projection, some of the bones broken.

Painted like the knee's from signed distances with one-pixel soft edges, in mm; what lies behind one another adds up, as
in an X-ray. A fracture is a lucent gap across a rib or a clavicle, or a step in it. Looked for: monai.data.synthetic
and skimage.data have no thorax; TorchIO transforms given images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semimed_monai.data.phantoms.film import Plane, Range, exposed, level, texture

CHEST_PHANTOM_VERSION = "2"
"""Part of every set's cache key: raise it whenever the same (seed, index) would give another picture."""

# One random stream per concern: a fracture drawn otherwise leaves anatomy and noise as they are.
STREAMS = ("place", "tissue", "fracture", "distractor", "noise")
SIGNALS = ("soft", "lung", "heart", "spine", "rib_signal")  # in the order in which they are drawn
FIELD = 340.0  # mm
SIDES = (-1, 1)  # of the picture: the patient's right, and left


@dataclass(frozen=True)
class ChestAnatomy:
    """Ranges from which a person's chest is drawn: lengths in mm, signals as shares of the film's range.

    A pair is a uniform range (low, high). What decides how hard the task is: `gap`, `step`, `rib_signal`, `noise` and
    the distractors.

    >>> ChestAnatomy(gap=(4.0, 5.0)).size
    128

    Raises:
        ValueError: a size below 64, at which a rib is thinner than a pixel.
    """

    size: int = 128  # pixels per side
    # The thorax
    shift: float = 8.0  # largest displacement of the body's middle
    half_width: Range = (115.0, 140.0)
    apex: Range = (40.0, 60.0)  # of the lungs, from the upper border
    base: Range = (245.0, 285.0)
    ribs: int = 8  # a side
    rib_half_width: Range = (3.6, 5.2)
    rib_rise: Range = (-14.0, 6.0)  # from the spine to the flank; down is positive
    rib_sag: Range = (14.0, 34.0)
    # Signals
    soft: Range = (0.42, 0.55)
    lung: Range = (0.12, 0.24)
    heart: Range = (0.14, 0.26)
    spine: Range = (0.10, 0.18)
    rib_signal: Range = (0.12, 0.20)
    texture: Range = (0.004, 0.010)
    # Fractures
    fractures: tuple[int, ...] = (1, 1, 2, 3)  # one of these is drawn
    clavicle_share: float = 0.15
    stepped_share: float = 0.7
    gap: Range = (5.0, 8.0)
    step: Range = (6.0, 11.0)
    depth: Range = (0.85, 1.0)  # share of the bone's signal that the gap lacks
    # Distractors, drawn without regard to fractures
    vessels: int = 14  # at most, a side
    spots: int = 6  # at most: nodules and calcifications, bright or dark
    tubes: int = 2  # at most
    # The film
    blur: Range = (0.3, 0.6)  # px
    noise: Range = (0.006, 0.014)

    def __post_init__(self) -> None:
        if self.size < 64:
            raise ValueError(f"size is {self.size}: a rib needs 64 pixels a side or more")


STANDARD_CHEST = ChestAnatomy()


@dataclass(frozen=True)
class ChestPhantom:
    """One person's radiograph.

    Args:
        image: uint16, 0 to 4095, rows × columns, bones bright.
        boxes: [x0, y0, x1, y1] of each fracture, in pixels: pixel j lies from j to j + 1.
        spacing: mm of a pixel.
    """

    image: NDArray[np.uint16]
    boxes: tuple[tuple[float, float, float, float], ...]
    spacing: float


def chest_phantom(seed: int, index: int, broken: bool, anatomy: ChestAnatomy = STANDARD_CHEST) -> ChestPhantom:
    """Person `index` of the population `seed`, with fractures or, otherwise the same, without.

    >>> person = chest_phantom(seed=0, index=3, broken=True)
    >>> person.image.shape, len(person.boxes) > 0, chest_phantom(seed=0, index=3, broken=False).boxes
    ((128, 128), True, ())

    Raises:
        ValueError: a negative seed or index.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"a phantom's seed and index must not be negative, got seed {seed} and index {index}")
    streams = {name: np.random.default_rng([seed, index, 100 + place]) for place, name in enumerate(STREAMS)}
    chest = Chest(streams["place"], streams["tissue"], anatomy)
    boxes = chest.break_bones(streams["fracture"]) if broken else ()
    chest.paint(streams["distractor"], streams["tissue"])
    return ChestPhantom(exposed(chest.signal, streams["noise"], anatomy.blur, anatomy.noise), boxes, chest.spacing)


class _Bone:
    """A rib or a clavicle: a band about the curve y(x), from x = start outwards (side ±1) to `end`."""

    def __init__(self, side: int, start: float, end: float, heights: NDArray[np.float64], half: float) -> None:
        self.side, self.start, self.end, self.half = side, start, end, half
        self.curve = np.polynomial.Polynomial(heights)
        self.slope = self.curve.deriv()
        self.cut: tuple[float, float, float, float, float] | None = None

    def along(self, x: Plane) -> Plane:
        """Share of the way from the spine's side to the far end."""
        return np.asarray((self.side * x - self.start) / (self.end - self.start), dtype=np.float32)

    def place(self, share: float) -> tuple[float, float]:
        """Where that share of the way is, x and y in mm."""
        return self.side * (self.start + share * (self.end - self.start)), float(self.curve(share))

    def inside(self, x: Plane, y: Plane, pixel: float) -> Plane:
        """Share of a pixel that is bone: rounder in the middle of the band than at its edges."""
        share = self.along(x)
        middle = self.curve(share)
        steepness = self.slope(share) / (self.end - self.start)
        gap: Plane | float = 0.0
        if self.cut is not None:
            at, width, step, lean, depth = self.cut
            beyond = (share - at) * (self.end - self.start) - lean * (y - middle)
            middle = middle + step * np.clip(0.5 + beyond / pixel, 0, 1) * np.exp(-np.clip(beyond, 0, None) / 40)
            gap = np.asarray(depth * np.clip(0.5 + (width / 2 - np.abs(beyond)) / pixel, 0, 1), dtype=np.float32)
        away = np.abs(y - middle) / np.sqrt(1 + steepness**2)
        band = np.clip(0.5 + (self.half - away) / pixel, 0, 1)
        ends = np.clip(0.5 + (share * (self.end - self.start)) / pixel, 0, 1) * np.clip(
            0.5 + (1 - share) * (self.end - self.start) / pixel, 0, 1
        )
        rim = 0.75 + 0.25 * np.clip(away / self.half, 0, 1) ** 2  # the cortex is denser than what it encloses
        return np.asarray(band * ends * rim * (1 - gap), dtype=np.float32)


class Chest:
    """The noise-free picture: `signal` (H×W) is about 0 to 1 after `paint`; `vessels` is what the lungs' add to it.

    Args:
        place: the random stream of where things are, in mm: `x` (1×W) from the body's middle and `y` (H×1) down.
        tissue: that of how bright they are: `levels`.
        anatomy: the ranges that both draw from.
        moved: how far to the right and down this body lies from where it would, in mm, and how many times larger.
    """

    def __init__(
        self,
        place: np.random.Generator,
        tissue: np.random.Generator,
        anatomy: ChestAnatomy,
        moved: tuple[float, float, float] = (0.0, 0.0, 1.0),
    ) -> None:
        self.anatomy, self.tissue = anatomy, tissue
        self.spacing = FIELD / anatomy.size
        pixels = ((np.arange(anatomy.size) + 0.5) * self.spacing).astype(np.float32)
        *shift, larger = moved
        across, down = (pixels / larger + (FIELD / 2 - (FIELD / 2 + far) / larger) for far in shift)
        self.middle = float(FIELD / 2 + place.uniform(-anatomy.shift, anatomy.shift))
        self.x, self.y = across[None, :] - np.float32(self.middle), down[:, None]
        self.half = level(place, anatomy.half_width)
        self.apex, self.base = level(place, anatomy.apex), level(place, anatomy.base)
        self.lung_halves = {side: float(self.half * place.uniform(0.36, 0.42)) for side in SIDES}
        self.lungs = {side: self.lung(side) for side in SIDES}
        self.ribs = [bone for side in SIDES for bone in self._ribs(place, side)]
        self.clavicles = [self._clavicle(place, side) for side in SIDES]
        self.heart = place.uniform((10, -75, 48, 55), (28, -45, 68, 75))  # from the middle, from the base, two radii
        self.levels = {name: level(tissue, getattr(anatomy, name)) for name in SIGNALS}
        self.signal: Plane = np.zeros((anatomy.size, anatomy.size), np.float32)
        self.vessels: Plane = self.signal

    def reach(self, side: int, right: float = 0.0, down: float = 0.0) -> Plane:
        """How far from the middle of a lung, which may be moved by some mm, a place is: 1 at its border."""
        centre, half = side * self.half * 0.53, self.lung_halves[side]
        middle, tall = (self.apex + self.base) / 2, (self.base - self.apex) / 2
        x, y = self.x - right, self.y - down
        width = half * np.clip(1 + 0.25 * (y - middle) / tall, 0.4, None)
        reach: Plane = (np.abs((x - centre) / width) ** 2.4 + np.abs((y - middle) / tall) ** 2.8) ** (1 / 2.5)
        return reach

    def lung(self, side: int) -> Plane:
        """Share of each pixel that is lung, of one side."""
        edge = (1 - self.reach(side)) * self.lung_halves[side] / (4 * self.spacing)
        return np.asarray(np.clip(0.5 + edge, 0, 1), dtype=np.float32)

    def heart_shape(self, wider: float = 0.0) -> NDArray[np.floating[Any]]:
        """How thick the heart is at each pixel, up to 1; it may be some mm wider."""
        right, above, wide, tall = self.heart
        reach = np.hypot((self.x - right) / (wide + wider), (self.y - self.base - above) / tall)
        thick: NDArray[np.floating[Any]] = np.clip((1 - reach) * 6, 0, 1)
        return thick

    def _ribs(self, rng: np.random.Generator, side: int) -> list[_Bone]:
        anatomy = self.anatomy
        gaps = rng.uniform(0.85, 1.15, anatomy.ribs)
        heights = self.apex + 8 + (self.base - self.apex - 20) * (np.cumsum(gaps) - gaps[0]) / gaps.sum()
        half, rise, sag = (level(rng, bounds) for bounds in (anatomy.rib_half_width, anatomy.rib_rise, anatomy.rib_sag))
        bones = []
        for number, height in enumerate(heights):
            end = self.half * min(1.0, 0.62 + 0.13 * number) * rng.uniform(0.96, 1.0)
            droop = (rise + sag) * (0.8 + 0.4 * rng.random())
            curve = np.array([height, -0.5 * sag + rng.normal(0, 2), droop, 0.15 * sag])
            bones.append(_Bone(side, 12 + rng.uniform(0, 4), end, curve, half * rng.uniform(0.9, 1.1)))
        return bones

    def _clavicle(self, rng: np.random.Generator, side: int) -> _Bone:
        curve = np.array([self.apex + rng.uniform(4, 16), rng.uniform(-30, -10), rng.uniform(5, 25), -8.0])
        return _Bone(side, 14 + rng.uniform(0, 8), self.half * rng.uniform(0.92, 1.05), curve, rng.uniform(4.5, 6.5))

    def break_bones(self, rng: np.random.Generator) -> tuple[tuple[float, float, float, float], ...]:
        """Cut some of the bones, each once; the boxes of the cuts, in pixels."""
        anatomy, boxes = self.anatomy, []
        clavicles = list(rng.permutation(np.array(self.clavicles, dtype=object)))
        ribs = list(rng.permutation(np.array(self.ribs, dtype=object)))
        for _ in range(int(rng.choice(anatomy.fractures))):
            bone: _Bone = clavicles.pop() if clavicles and rng.random() < anatomy.clavicle_share else ribs.pop()
            share, width, lean, depth = rng.uniform(
                (0.25, anatomy.gap[0], -0.7, anatomy.depth[0]), (0.9, anatomy.gap[1], 0.7, anatomy.depth[1])
            )
            step = rng.uniform(*anatomy.step) * rng.choice((-1, 1)) * (rng.random() < anatomy.stepped_share)
            bone.cut = (float(share), float(width), float(step), float(lean), float(depth))
            x, y = bone.place(float(share))
            half = 1.9 * bone.half + abs(step) / 2
            corners = np.array([x - half, y + step / 2 - half, x + half, y + step / 2 + half])
            corners[[0, 2]] += self.middle
            x0, y0, x1, y1 = np.clip(corners / self.spacing, 0, anatomy.size).round(2).tolist()
            boxes.append((x0, y0, x1, y1))
        return tuple(boxes)

    def paint(self, odd: np.random.Generator, grain: np.random.Generator) -> None:
        """All of it, from the soft tissue to the distractors (drawn from `odd`), with a texture (from `grain`)."""
        anatomy, levels, x, y = self.anatomy, self.levels, self.x, self.y
        body = np.clip(0.5 + (self.half + 14 + 0.06 * y - np.abs(x)) / 6, 0, 1)
        signal = np.asarray(levels["soft"] * body, dtype=np.float32)
        lungs = np.maximum(*self.lungs.values())
        signal -= lungs * levels["lung"]
        signal += self.heart_shape() * lungs * levels["heart"]
        vertebrae = 0.85 + 0.15 * np.cos(2 * np.pi * y / 24)
        signal += np.clip(0.5 + (13 - np.abs(x)) / 5, 0, 1) * vertebrae * levels["spine"]
        for bone in (*self.ribs, *self.clavicles):
            signal += levels["rib_signal"] * self.tissue.uniform(0.85, 1.15) * bone.inside(x, y, self.spacing)
        signal += texture(grain, signal.shape, 1.5, anatomy.texture) + texture(grain, signal.shape, 8, anatomy.texture)
        self.vessels = self._vessels(odd, lungs)
        self.signal = signal + self._with_distractors(odd, self.vessels)

    @property
    def hilum(self) -> float:
        """How far down vessels leave the mediastinum."""
        return (self.apex + self.base) / 2 + 5

    def _vessels(self, rng: np.random.Generator, lungs: Plane) -> Plane:
        """From the hila into the lungs, thinner and thinner."""
        found = np.zeros_like(self.signal)
        for side in SIDES:
            for _ in range(rng.integers(self.anatomy.vessels + 1)):
                angle, length, width, bright = rng.uniform((-1.4, 30, 0.8, 0.01), (1.4, 90, 2.2, 0.05))
                dx, dy = side * self.x - 22, self.y - self.hilum
                along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
                thin = width * np.clip(1 - along / length, 0, 1)
                found += bright * (along > 0) * np.clip(0.5 + (thin - np.abs(across)) / self.spacing, 0, 1) * lungs
        return found

    def _with_distractors(self, rng: np.random.Generator, vessels: Plane) -> Plane:
        """Vessels, nodules and calcifications, tubes."""
        anatomy, found = self.anatomy, vessels.copy()
        for _ in range(rng.integers(anatomy.spots + 1)):
            right, down, size, bright = rng.uniform((-110, 60, 1.5, 0.02), (110, 270, 5, 0.1))
            distance = (self.x - right) ** 2 + (self.y - down) ** 2
            found += bright * rng.choice((-0.6, 1)) * np.exp(-distance / (2 * size**2))
        for _ in range(rng.integers(anatomy.tubes + 1)):
            right, lean, bend, bright = rng.uniform((-90, -0.4, -0.001, 0.04), (90, 0.4, 0.001, 0.1))
            line = self.x - right - lean * (self.y - 170) - bend * (self.y - 170) ** 2
            found += bright * np.clip(0.5 + (0.8 - np.abs(line)) / self.spacing, 0, 1)
        return np.asarray(found, dtype=np.float32)
