"""Where the bones of a phantom knee lie on a radiograph from the front: signed depths in mm.

x runs to the lateral side and y down, from the middle of the tibial plateau; a depth is positive inside a bone. The
femur stands on the plateau with a joint space beneath each condyle, sinks where space or bone is lost, and tilts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semimed_monai.data.phantoms.film import Plane, bump
from semimed_monai.data.phantoms.knee_xray_signs import KneeSigns, Pair


class KneeSizes(NamedTuple):
    """Of a knee's bones, in mm unless said otherwise.

    `plateau`, `shaft` and `femur_shaft` are half widths, `flare` and `femur_flare` lengths along which these narrow;
    `wide` is the femur's half width as a share of the plateau's, `tall` half a condyle's height and `square` its
    exponent, `valgus` the femur's lean; a `lip` is the plateau's margin in front of it or behind it.
    """

    plateau: float
    shaft: float
    flare: float
    wide: float
    tall: float
    square: float
    femur_shaft: float
    femur_flare: float
    valgus: float
    notch: float
    notch_height: float
    spine: float
    spine_aside: float
    dish: float
    lip: float
    medial_space: float
    lateral_space: float
    patella: float
    patella_aside: float
    patella_up: float
    fibula: float
    fibula_aside: float
    fibula_down: float
    scar_up: float
    scar_down: float


SMALLEST = KneeSizes(
    *(34.0, 13.0, 24.0, 0.96, 19.0, 2.7, 17.0, 22.0, -0.02, 6.0, 14.0, 4.0, 3.5, 0.5, 1.2, 3.9, 4.4),
    *(17.0, -3.0, 24.0, 6.5, -3.0, 8.0, 22.0, 10.0),
)
LARGEST = KneeSizes(
    *(38.5, 17.0, 33.0, 1.03, 24.0, 3.4, 21.0, 32.0, 0.14, 9.5, 22.0, 7.5, 6.0, 1.6, 4.0, 5.2, 5.9),
    *(22.0, 5.0, 42.0, 9.0, 4.0, 16.0, 34.0, 17.0),
)

_MIDDLE = 0.56  # of a compartment, as a share of the plateau's half width
_PLATE = 0.8  # thickness of the bone that faces the joint


class Bone(NamedTuple):
    """A bone as seen: how deep inside it a place is, how much of a femur's depth it has, and what is denser in it."""

    depth: Plane
    thick: float
    dense: Plane


def knee_sizes(person: np.random.Generator, own: np.random.Generator, unlike: float) -> KneeSizes:
    """Those of one knee: a person's, and what is its own, a share `unlike` of them."""
    drawn = person.uniform(SMALLEST, LARGEST)
    return KneeSizes(*(drawn * (1 + unlike * own.standard_normal(len(drawn)))).tolist())


class KneeBones:
    """The bones of one knee.

    Args:
        sizes: of the bones.
        signs: what the knee has of osteoarthritis.
        opened: how wide the joint space looks, as a share of what it is: with the knee's flexion it changes.
        leans: the directions in which osteophytes grow, up or down, in radians.
    """

    def __init__(self, sizes: KneeSizes, signs: KneeSigns, opened: float, leans: NDArray[np.float64]) -> None:
        self.sizes, self.signs, self.leans = sizes, signs, leans.tolist()
        self.whole: Pair = (opened * sizes.medial_space, opened * sizes.lateral_space)
        lost = [share * space for share, space in zip(signs.lost, self.whole, strict=True)]
        self.spaces: Pair = (self.whole[0] - lost[0], self.whole[1] - lost[1])
        medial, lateral = (gone + worn for gone, worn in zip(lost, signs.worn, strict=True))
        self.middle = _MIDDLE * sizes.plateau
        self.sunk, self.tilt = (medial + lateral) / 2, (medial - lateral) / (2 * self.middle)

    def seen(self, x: Plane, y: Plane) -> tuple[Bone, ...]:
        """All of them at each place."""
        return self._tibia(x, y), self._femur(x, y), self._fibula(x, y), self._patella(x, y)

    def _compartment(self, x: Plane) -> Plane:
        """1 in the middle of either compartment, 0 between them and beyond."""
        away = (np.abs(x) - self.middle) / (0.46 * self.sizes.plateau)
        return np.asarray(np.exp(-np.square(np.square(away))), dtype=np.float32)

    def _tibia(self, x: Plane, y: Plane) -> Bone:
        sizes, aside, here = self.sizes, np.abs(x), self._compartment(x)
        dish = np.clip(np.square((aside - self.middle) / (sizes.plateau - self.middle)), 0, 1.2)
        spines = np.where(x < 0, sizes.spine, 0.8 * sizes.spine) * bump((aside - sizes.spine_aside) / 2.8)
        top = _of(x, self.signs.worn) * here - sizes.dish * dish - spines - 2.0 * bump(x / 9)
        below = y - top
        half = sizes.shaft + (sizes.plateau - sizes.shaft) * bump(np.clip(y - 3, 0, None) / sizes.flare)
        depth = _both(below, half - aside, 3.0)
        for side, size, lean in zip((-1, 1), self.signs.spurs[2:], self.leans[2:], strict=True):
            depth = _either(depth, _spur(x, y, (side * sizes.plateau, 1.6), (side, -lean), size), 1.2)
        dense = here * (0.9 * bump((below - _PLATE) / _PLATE) + self._sclerosis(x, below))
        dense += 0.35 * here * bump((below - sizes.lip) / 0.7) + 0.18 * bump((y - sizes.scar_down + 0.1 * aside) / 0.8)
        return Bone(depth, 1.0, dense)

    def _femur(self, x: Plane, y: Plane) -> Bone:
        sizes = self.sizes
        right, down = x - self.tilt * y, y - self.sunk + self.tilt * x
        aside, space = np.abs(right), _of(right, self.whole)
        wide = sizes.wide * sizes.plateau
        half = (wide - sizes.notch) / 2
        across, up = np.abs(aside - sizes.notch - half) / half, np.abs(down + space + sizes.tall) / sizes.tall
        reach = (across**sizes.square + up**sizes.square) ** (1 / sizes.square)
        condyle = np.asarray((1 - reach) * min(half, sizes.tall), dtype=np.float32)
        above = np.clip(-down - 1.2 * sizes.tall, 0, None)
        trunk = sizes.femur_shaft + (wide - 2 - sizes.femur_shaft) * bump(above / sizes.femur_flare)
        arch = 5 * np.square(right / sizes.notch).clip(0, 1) - sizes.notch_height - down
        roof = np.asarray(arch, dtype=np.float32)
        depth = _either(condyle, _both(trunk - np.abs(right - sizes.valgus * above), roof, 4.0), 5.0)
        for side, size, lean, gap in zip((-1, 1), self.signs.spurs, self.leans, self.whole, strict=False):
            out = sizes.notch + half * (1 + (1 - 0.72**sizes.square) ** (1 / sizes.square))
            at = side * out, -gap - 0.28 * sizes.tall
            depth = _either(depth, _spur(right, down, at, (side, lean), size), 1.2)
        here = self._compartment(right) * np.clip((down + space + sizes.tall) / 8, 0, 1)
        dense = here * (0.5 * bump((condyle - _PLATE) / _PLATE) + self._sclerosis(right, condyle))
        dense += 0.18 * bump((down + sizes.scar_up - 0.1 * aside) / 0.8)
        return Bone(depth, 1.25, dense)

    def _sclerosis(self, x: Plane, depth: Plane) -> Plane:
        return np.asarray(_of(x, self.signs.dense) * np.exp(-np.clip(depth, 0, None) / 4.5), dtype=np.float32)

    def _fibula(self, x: Plane, y: Plane) -> Bone:
        sizes = self.sizes
        right, down = x - 0.86 * sizes.plateau - sizes.fibula_aside, y - sizes.fibula_down
        half = 0.62 * sizes.fibula + 0.38 * sizes.fibula * bump(np.clip(down - sizes.fibula, 0, None) / 9)
        depth = _both(half - np.abs(right + 0.06 * down), down - 0.25 * right, 5.0)
        return Bone(depth, 0.45, np.zeros_like(depth))

    def _patella(self, x: Plane, y: Plane) -> Bone:
        sizes = self.sizes
        right, down = (x - sizes.patella_aside) / sizes.patella, (y + sizes.patella_up) / (0.95 * sizes.patella)
        depth = (1 - np.hypot(right * (1 + 0.2 * np.clip(down, -1, 1)), down)) * sizes.patella
        return Bone(np.asarray(depth, dtype=np.float32), 0.3, np.zeros_like(depth))


def _of(x: Plane, pair: Pair) -> Plane:
    """What holds of the compartment on whose side a place is."""
    return np.asarray(np.where(x < 0, pair[0], pair[1]), dtype=np.float32)


def _both(one: Plane, two: Plane, round_off: float) -> Plane:
    """How deep a place is inside two shapes at once, whose corners are rounded off."""
    corner = np.square(np.clip(round_off - np.abs(one - two), 0, None)) / (4 * round_off)
    return np.asarray(np.minimum(one, two) - corner, dtype=np.float32)


def _either(one: Plane, two: Plane, fill: float) -> Plane:
    """How deep a place is inside one or another shape, with the angle between them filled."""
    return -_both(-one, -two, fill)


def _spur(x: Plane, y: Plane, at: Pair, towards: Pair, size: float) -> Plane:
    """A beak that stands out by its size from a bone's margin, and is rooted in the bone."""
    long = float(np.hypot(*towards))
    right, down = towards[0] / long, towards[1] / long
    from_x, from_y, length = x - at[0] + 3 * right, y - at[1] + 3 * down, 2.5 + size
    share = np.clip((from_x * right + from_y * down) / length, 0, 1)
    away = np.hypot(from_x - share * (length * right), from_y - share * (length * down))
    return np.asarray((1.2 + 0.42 * size) * (1 - share) + 0.5 * share - away, dtype=np.float32)
