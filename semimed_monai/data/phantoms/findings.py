"""Chest radiograph phantoms with any of ChestX-ray14's fourteen findings: what STSC's multi-label bundle learns from.

A finding is a plane of attenuation that is added to (a fluid, a mass) or missing from (air) the shadow of a healthy
chest: it is the same whatever else there is. Each is expressed more or less, of random side, place and size.
Looked for: as in chest.py, whose chest this is; simulators (DeepDRR, gVXR) project CT volumes or meshes, which would
have to be there, with each of these findings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semimed_monai.data.phantoms.chest import SIDES, Chest, ChestAnatomy
from semimed_monai.data.phantoms.film import Plane, Range, exposed, inside

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""In ChestX-ray14's order, with its names."""

FINDING_PHANTOM_VERSION = "1"
"""Part of every set's cache key: raise it whenever the same (seed, patient, film) would give another picture."""

# One random stream per concern, and one for each finding and each film.
STREAMS = {"place": 500, "tissue": 501, "diaphragm": 502, "distractor": 503}
_OF_FINDING, _OF_FILM = 600, 700
_SEEN = 0.1  # of its strongest: less of a finding is outside its box


@dataclass(frozen=True)
class FindingAppearance(ChestAnatomy):
    """Ranges from which chests, their findings and their films are drawn: `ChestAnatomy`'s, and these.

    What decides how hard the task is: `expressed`, `noise` and the distractors.

    >>> FindingAppearance(expressed=(1.0, 1.0)).size
    128

    Raises:
        ValueError: a size below 64, at which a nodule is a pixel.
    """

    spots: int = 4
    expressed: Range = (0.35, 1.0)  # of each finding
    dome: Range = (20.0, 38.0)  # height of the diaphragm
    move: float = 8.0  # mm between a film's middle and the usual one, at most, each way
    zoom: Range = (0.96, 1.04)


STANDARD_FINDINGS = FindingAppearance()


@dataclass(frozen=True)
class FindingPhantom:
    """One film of a patient.

    Args:
        image: uint16, 0 to 4095, rows × columns, bones bright.
        boxes: for each finding [x0, y0, x1, y1] around all of it, in pixels: pixel j lies from j to j + 1.
        spacing: mm of a pixel.
    """

    image: NDArray[np.uint16]
    boxes: dict[str, tuple[int, int, int, int]]
    spacing: float


def finding_phantom(
    seed: int,
    patient: int,
    findings: Collection[str],
    film: int = 0,
    appearance: FindingAppearance = STANDARD_FINDINGS,
) -> FindingPhantom:
    """A film of a patient of the population `seed` who has these of the `FINDINGS`, or none.

    Two films of a patient show the same chest and findings, moved a little and exposed anew.

    >>> picture = finding_phantom(seed=0, patient=3, findings=["Mass", "Effusion"])
    >>> picture.image.shape, sorted(picture.boxes)
    ((128, 128), ['Effusion', 'Mass'])

    Raises:
        ValueError: a negative number, or a finding that is none.
    """
    if min(seed, patient, film) < 0:
        raise ValueError(f"seed, patient and film must not be negative, got {seed}, {patient} and {film}")
    if isinstance(findings, str) or not {*findings} <= {*FINDINGS}:
        raise ValueError(f"findings are {findings!r}: give some of {', '.join(FINDINGS)}")
    shot = np.random.default_rng([seed, patient, _OF_FILM + film])
    chest = _Patient(seed, patient, shot, appearance)
    shadow, boxes = chest.signal, {}
    for number, name in enumerate(FINDINGS):
        if name in findings:
            rng = np.random.default_rng([seed, patient, _OF_FINDING + number])
            found = _PAINTERS[name](chest, rng, float(rng.uniform(*appearance.expressed)))
            boxes[name] = _box(found)
            shadow = shadow + found
    image = exposed(np.asarray(shadow, dtype=np.float32), shot, appearance.blur, appearance.noise)
    return FindingPhantom(image, boxes, chest.spacing)


def _box(found: Plane) -> tuple[int, int, int, int]:
    strength = np.abs(found)
    rows, columns = np.nonzero(strength >= _SEEN * strength.max())
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


class _Patient(Chest):
    """A healthy chest with a diaphragm, painted, and the forms that findings are made of."""

    def __init__(self, seed: int, patient: int, shot: np.random.Generator, appearance: FindingAppearance) -> None:
        streams = {name: np.random.default_rng([seed, patient, number]) for name, number in STREAMS.items()}
        right, down = shot.uniform(-appearance.move, appearance.move, 2).tolist()
        super().__init__(
            streams["place"], streams["tissue"], appearance, (right, down, float(shot.uniform(*appearance.zoom)))
        )
        self.domes = dict(zip(SIDES, streams["diaphragm"].uniform(*appearance.dome, 2).tolist(), strict=True))
        self.cavities = self.lungs
        self.lungs = {side: self.lung_above(side, self.domes[side]) for side in SIDES}
        self.paint(streams["distractor"], shot)

    @property
    def both_lungs(self) -> Plane:
        return np.maximum(*self.lungs.values())

    def lung_above(self, side: int, dome: float) -> Plane:
        """Share of each pixel that is lung where the diaphragm of that side is so high."""
        away = (side * self.x / self.half - 0.45) / 0.5
        height = self.base - dome + (dome + 12) * away**2
        return np.asarray(self.cavities[side] * self.inside(height - self.y), dtype=np.float32)

    def with_dome(self, side: int, raised: float) -> Plane:
        """What changes where the diaphragm of that side is so many mm higher: a lower one bares more of the heart."""
        opened = self.lung_above(side, self.domes[side] + raised) - self.lungs[side]
        heart = self.levels["heart"] * self.heart_shape() * np.clip(opened, 0, None)
        return np.asarray(heart - self.levels["lung"] * opened, dtype=np.float32)

    def inside(self, depth: NDArray[np.floating[Any]]) -> Plane:
        """Share of a pixel that lies where a depth, in mm, is positive."""
        return inside(depth, self.spacing)

    def place_in_lung(self, rng: np.random.Generator, side: int, low: float, high: float) -> tuple[float, float]:
        """Somewhere in a lung between two shares of the way from its apex to its diaphragm."""
        right = side * self.half * 0.53 + 0.6 * self.lung_halves[side] * rng.uniform(-1, 1)
        return float(right), float(self.apex + rng.uniform(low, high) * (self.base - self.domes[side] - self.apex))

    def cloud(self, places: NDArray[np.float64], sizes: NDArray[np.float64]) -> Plane:
        """The sum of round bumps at N×2 places, of N×2 sizes (standard deviations) or N."""
        spread = np.broadcast_to(sizes.reshape(len(places), -1), places.shape)
        across, down = (
            np.exp(-(((axis.ravel() - places[:, [k]]) / spread[:, [k]]) ** 2) / 2)
            for k, axis in enumerate((self.x, self.y))
        )
        return np.asarray(np.einsum("nr,nc->rc", down, across), dtype=np.float32)

    def patch(self, rng: np.random.Generator, centre: tuple[float, float], wide: float, bumps: int) -> Plane:
        """An irregular patch of bumps within a lung, 0 to 1, about so wide each way from its centre."""
        places = np.array(centre) + rng.normal(0, 0.45 * wide, (bumps, 2))
        return np.asarray(1 - np.exp(-self.cloud(places, rng.uniform(0.22, 0.45, bumps) * wide)), dtype=np.float32)

    def streak(self, centre: tuple[float, float], length: float, thick: float, lean: float) -> Plane:
        """A thin band, 0 to 1, that fades towards its ends; it leans by an angle in radians."""
        right, down = self.x - centre[0], self.y - centre[1]
        along, across = right * np.cos(lean) + down * np.sin(lean), down * np.cos(lean) - right * np.sin(lean)
        fading = np.clip(2 - 4 * np.abs(along) / length, 0, 1)
        return np.asarray(fading * self.inside(thick / 2 - np.abs(across)), dtype=np.float32)


def _side(rng: np.random.Generator) -> int:
    return int(rng.choice(SIDES))


def _sides(rng: np.random.Generator, both: float) -> list[int]:
    """One side, or both of them with that chance."""
    one = _side(rng)
    return [one, -one] if rng.random() < both else [one]


def _atelectasis(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """Plates of airless lung above a diaphragm that is drawn up."""
    side = _side(rng)
    found = chest.with_dome(side, much * rng.uniform(8, 20))
    for _ in range(rng.integers(1, 4)):
        length, thick, lean, bright = rng.uniform((35, 2.5, -0.4, 0.09), (75, 4.5, 0.4, 0.15))
        plate = chest.streak(chest.place_in_lung(rng, side, 0.5, 0.85), length, thick, lean)
        found += np.float32(much * bright) * plate * chest.lungs[side]
    return found


def _cardiomegaly(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """A heart that is wider."""
    wider = much * rng.uniform(18, 38)
    added = (chest.heart_shape(wider) - chest.heart_shape()) * chest.levels["heart"]
    return np.asarray(added * chest.both_lungs, dtype=np.float32)


def _effusion(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """Fluid that fills the angle between diaphragm and flank, with a meniscus up the flank; on one side or both."""
    found = np.zeros_like(chest.signal)
    for side in _sides(rng, both=0.25):
        deep, rise, dense = 22 + much * rng.uniform(15, 65), rng.uniform(12, 26), rng.uniform(0.75, 1.0)
        flank = np.clip(side * chest.x / chest.half, 0, 1)
        level = chest.base - deep + rise * (1 - flank**3)
        found += np.float32(dense * chest.levels["lung"]) * chest.lungs[side] * chest.inside(chest.y - level)
    return found


def _infiltration(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """A faint, wide, uneven haze."""
    found = np.zeros_like(chest.signal)
    for side in _sides(rng, both=0.35):
        wide, bright = rng.uniform((28, 0.07), (48, 0.13))
        patch = chest.patch(rng, chest.place_in_lung(rng, side, 0.3, 0.8), wide, bumps=14)
        found += np.float32(much * bright) * patch * chest.lungs[side]
    return found


def _mass(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """One large round shadow with bulges."""
    side = _side(rng)
    right, down = chest.place_in_lung(rng, side, 0.2, 0.85)
    radius, bright = rng.uniform((15, 0.17), (28, 0.27))
    angle = np.arctan2(chest.y - down, chest.x - right)
    edge = radius * (1 + sum(0.06 * np.sin(waves * angle + rng.uniform(0, 2 * np.pi)) for waves in (2, 3, 5)))
    ball = np.clip((edge - np.hypot(chest.x - right, chest.y - down)) / 5, 0, 1)
    return np.asarray(much * bright * ball * chest.lungs[side], dtype=np.float32)


def _nodule(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """One small round shadow, or up to three."""
    found = np.zeros_like(chest.signal)
    for _ in range(rng.integers(1, 4)):
        side = _side(rng)
        right, down = chest.place_in_lung(rng, side, 0.15, 0.9)
        radius, bright = rng.uniform((5.5, 0.18), (11, 0.30))
        ball = np.clip((radius - np.hypot(chest.x - right, chest.y - down)) / 3 + 0.5, 0, 1)
        found += np.float32(much * bright) * ball * chest.lungs[side]
    return found


def _pneumonia(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """A patch, low more often than not, with the air of bronchi in it."""
    side = _side(rng)
    right, down = chest.place_in_lung(rng, side, 0.45, 0.9)
    wide, bright = rng.uniform((24, 0.16), (40, 0.24))
    patch = chest.patch(rng, (right, down), wide, bumps=9)
    for lean in rng.uniform(0.1, 1.2, rng.integers(3, 6)).tolist():
        centre = (right + rng.normal(0, 0.3 * wide), down + rng.normal(0, 0.3 * wide))
        patch *= 1 - np.float32(0.75) * chest.streak(centre, 1.3 * wide, rng.uniform(2.5, 4), side * lean)
    return np.asarray(much * bright * patch * chest.lungs[side], dtype=np.float32)


def _pneumothorax(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """Air without vessels above and beside a lung that has shrunk, whose pleura is a line."""
    side = _side(rng)
    fallen, drawn, dark, line = rng.uniform((20, 6, 0.04, 0.07), (50, 18, 0.08, 0.13))
    reach = chest.reach(side, -side * much * drawn, much * fallen)
    depth = (reach - 1 + 0.05 * much) * chest.lung_halves[side]
    beyond = chest.inside(depth) * (side * chest.x > 0)
    pleura = line * chest.inside(1.5 - np.abs(depth)) - dark * (0.5 + 0.5 * much) * beyond
    return np.asarray(chest.lungs[side] * pleura - beyond * chest.vessels, dtype=np.float32)


def _consolidation(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """A dense, even patch that ends straight at a fissure."""
    side = _side(rng)
    right, down = chest.place_in_lung(rng, side, 0.25, 0.85)
    wide, bright, lean, near = rng.uniform((24, 0.17, -0.5, 0.1), (38, 0.26, 0.5, 0.6))
    patch = np.clip(2.2 * chest.patch(rng, (right, down), wide, bumps=10) - 0.5, 0, 1)
    fissure = rng.choice(SIDES) * (chest.y - down - lean * (chest.x - right)) + near * wide
    return np.asarray(much * bright * patch * chest.inside(fissure) * chest.lungs[side], dtype=np.float32)


def _edema(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """Haze around both hila, like wings, and vessels that are fuller."""
    bright, full = rng.uniform((0.06, 0.3), (0.11, 0.9))
    sizes = rng.uniform((22, 32), (34, 50), (2, 2))
    centres = np.array([(side * rng.uniform(34, 50), chest.hilum + rng.uniform(-12, 18)) for side in SIDES])
    haze = chest.cloud(centres, sizes) * (0.7 + 0.6 * chest.patch(rng, (0.0, chest.hilum), 90, bumps=40))
    return np.asarray(much * (bright * haze * chest.both_lungs + full * chest.vessels), dtype=np.float32)


def _emphysema(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """Lungs that hold more air and fewer vessels, above a diaphragm pressed flat."""
    dark, fewer, flat = rng.uniform((0.03, 0.4, 12), (0.06, 0.8, 24))
    found = -much * (dark * chest.both_lungs + fewer * chest.vessels)
    for side in SIDES:
        found += chest.with_dome(side, -much * flat)
    return np.asarray(found, dtype=np.float32)


def _fibrosis(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """A net of lines at the bases."""
    spacing, bright, from_above = rng.uniform((9, 0.035, 0.45), (13, 0.075, 0.65))
    bend = rng.uniform(0.04, 0.08, 2)
    across = chest.x + 3 * np.sin(bend[0] * chest.y)
    down = chest.y + 3 * np.sin(bend[1] * chest.x)
    net = np.clip(
        1 - 2.0 * np.abs(np.cos(np.pi * (across + down) / spacing) * np.cos(np.pi * (across - down) / spacing)), 0, 1
    )
    start = chest.apex + from_above * (chest.base - chest.apex)
    return np.asarray(much * bright * net * np.clip((chest.y - start) / 40, 0, 1) * chest.both_lungs, dtype=np.float32)


def _pleural_thickening(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """A band along the flank, thicker here and thinner there."""
    side = _side(rng)
    thick, middle, half, waves, bright = rng.uniform((8, 0.3, 30, 0.06, 0.14), (17, 0.75, 65, 0.14, 0.22))
    height = chest.y - chest.apex - middle * (chest.base - chest.apex)
    deep = much * thick * (1 + 0.3 * np.sin(waves * height)) * np.clip(2 - 2 * np.abs(height) / half, 0, 1)
    from_wall = (1 - chest.reach(side)) * chest.lung_halves[side]
    flank = np.clip((side * chest.x / chest.half - 0.5) * 8, 0, 1)
    band = chest.inside(deep - from_wall) * flank * chest.lungs[side] * (deep > 0)
    return np.asarray((0.5 + 0.5 * much) * bright * band, dtype=np.float32)


def _hernia(chest: _Patient, rng: np.random.Generator, much: float) -> Plane:
    """The stomach behind the heart: a round shadow with a bubble of air on a level."""
    right, above, radius, bright, dark, full = rng.uniform(
        (-12, 18, 20, 0.10, 0.13, -0.2), (30, 42, 33, 0.17, 0.22, 0.4)
    )
    x, y = chest.x - right, chest.y - (chest.base - above - radius / 2)
    away = np.hypot(x, y)
    wall = np.clip((radius - away) / 4, 0, 1)
    air = chest.inside(0.78 * radius - away) * chest.inside(full * radius - y)
    return np.asarray(much * (bright * wall - dark * air), dtype=np.float32)


_PAINTERS: dict[str, Callable[[_Patient, np.random.Generator, float], Plane]] = {
    "Atelectasis": _atelectasis,
    "Cardiomegaly": _cardiomegaly,
    "Effusion": _effusion,
    "Infiltration": _infiltration,
    "Mass": _mass,
    "Nodule": _nodule,
    "Pneumonia": _pneumonia,
    "Pneumothorax": _pneumothorax,
    "Consolidation": _consolidation,
    "Edema": _edema,
    "Emphysema": _emphysema,
    "Fibrosis": _fibrosis,
    "Pleural_Thickening": _pleural_thickening,
    "Hernia": _hernia,
}
"""What each finding adds to the shadow, given how much it is expressed."""
