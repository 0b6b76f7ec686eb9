"""What is conspicuous on a radiograph of a phantom's bones and means nothing: metal, letters, shutters, writing.

They are drawn without regard to whether a bone is ill. They keep off the site where a lesion would be, whether there is
one or not, so that none covers one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from semimed_monai.data.phantoms.bone_shapes import FIELD, REACH, Pair, Tube
from semimed_monai.data.phantoms.film import Plane, inside, level

Strokes = Sequence[tuple[float, float, float, float]]

_TRIES = 50  # to find a place that is clear of the site
_CLEAR = 12.0  # units along the limb around a site, without metal

_R: Strokes = (
    (0, 0, 0, 1),
    (0, 0, 0.5, 0),
    (0.5, 0, 0.6, 0.25),
    (0.6, 0.25, 0.5, 0.5),
    (0.5, 0.5, 0, 0.5),
    (0.3, 0.5, 0.6, 1),
)
_LETTERS: dict[str, Strokes] = {"L": ((0, 0, 0, 1), (0, 1, 0.6, 1)), "R": _R}
"""Lines from (x0, y0) to (x1, y1) in a letter that is 1 tall."""

_BARS: Strokes = (
    (0, 0, 0.5, 0),
    (0, 0, 0, 0.5),
    (0.5, 0, 0.5, 0.5),
    (0, 0.5, 0.5, 0.5),
    (0, 0.5, 0, 1),
    (0.5, 0.5, 0.5, 1),
    (0, 1, 0.5, 1),
)
_DIGITS = ("012456", "25", "02346", "02356", "1235", "01356", "013456", "025", "0123456", "012356")
"""Which of the seven bars each digit has."""


def _drawn(x: Plane, y: Plane, lines: Strokes, wide: float, pixel: float) -> Plane:
    """Share of each pixel that lies on lines so wide."""
    nearest = np.full(np.broadcast_shapes(x.shape, y.shape), np.inf, np.float32)
    for x0, y0, x1, y1 in lines:
        right, down = x1 - x0, y1 - y0
        share = np.clip(((x - x0) * right + (y - y0) * down) / (right**2 + down**2), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - x0 - share * right, y - y0 - share * down))
    return inside(wide / 2 - nearest, pixel)


def side_letter(axis: Plane, side: str, site: Pair, rng: np.random.Generator) -> Plane:
    """An L or an R of lead near one of the corners, not the site's; `axis` has the pixels' places, each way."""
    corners = rng.permutation([(x, y) for x in (-1, 1) for y in (-1, 1)]) * rng.uniform(50, 64, (4, 2))
    x, y = next((x, y) for x, y in corners.tolist() if np.hypot(x - site[0], y - site[1]) > 32)
    tall, wide, lean = level(rng, (9, 15)), level(rng, (1.2, 2.4)), level(rng, (-0.35, 0.35))
    cos, sin = float(np.cos(lean)), float(np.sin(lean))
    across, down = (axis[None, :] - x) / tall, (axis[:, None] - y) / tall
    pixel = float(axis[1] - axis[0]) / tall
    return _drawn(across * cos + down * sin + 0.3, down * cos - across * sin + 0.5, _LETTERS[side], wide / tall, pixel)


def writing(axis: Plane, site: Pair, rng: np.random.Generator) -> Plane:
    """A number that the sensor writes at the upper or the lower edge, away from the site."""
    tall, left, middle = level(rng, (5.5, 7.5)), level(rng, (-74, 10)), level(rng, (66, 71))
    top = (-middle if site[1] > 0 else middle) - tall / 2
    pixel = float(axis[1] - axis[0]) / tall
    found: Plane = np.zeros((len(axis), len(axis)), np.float32)
    rows = np.abs(axis - top - tall / 2) < tall
    for place, digit in enumerate(rng.integers(0, 10, rng.integers(4, 10)).tolist()):
        x, y = (axis[None, :] - left) / tall - 0.75 * place, (axis[rows, None] - top) / tall
        bars = [_BARS[int(bar)] for bar in _DIGITS[digit]]
        found[rows] = np.maximum(found[rows], _drawn(x, y, bars, 0.9 * pixel, pixel))
    return found


def shutters(axis: Plane, site: Pair, rng: np.random.Generator) -> Plane:
    """Share of each pixel that the collimator leaves open: some of its four edges are in the picture."""
    lean, pixel = level(rng, (-0.09, 0.09)), float(axis[1] - axis[0])
    found: Plane = np.ones((len(axis), len(axis)), np.float32)
    for angle in lean + np.arange(4) * np.pi / 2:
        right, down = float(np.cos(angle)), float(np.sin(angle))
        edge = level(rng, (52, 77)) if rng.random() < 0.45 else FIELD
        edge = max(edge, site[0] * right + site[1] * down + 26)
        found *= inside(edge - axis[None, :] * right - axis[:, None] * down, pixel)
    return found


class Metal:
    """A plate with screws, screws by themselves, or a wire in one of the bones; not at the height of the site."""

    def __init__(self, bones: Sequence[Tube], site_y: float, rng: np.random.Generator) -> None:
        self.kind = str(rng.choice(("plate", "screws", "wire")))
        wanted = level(rng, (14, 24) if self.kind == "plate" else (8, 14))
        for _ in range(_TRIES):
            self.bone = bones[int(rng.integers(len(bones)))]
            self.half = min(wanted, 0.3 * self.bone.length(0.0))
            top, bottom = sorted((self.bone.start[1], self.bone.end[1]))
            self.y = level(rng, (max(top, -FIELD / 2) + self.half, min(bottom, FIELD / 2) - self.half))
            if abs(self.y - site_y) > self.half + _CLEAR:
                break
        self.beside = int(rng.choice((-1, 1)))
        self.screws = (
            np.linspace(-0.85, 0.85, rng.integers(2, 4 if self.kind == "screws" else 6)) * self.half
        ).tolist()
        self.lean, self.wide = level(rng, (0.15, 0.4)), level(rng, (1.6, 2.6))

    def seen(self, x: Plane, y: Plane, turn: float, pixel: float) -> Plane:
        """How much it attenuates."""
        along, across = self.bone.own_axes(x, y, turn)
        above, below = self.bone.start[1], self.bone.end[1]
        down = along - (self.y - above) / (below - above) * self.bone.length(turn)
        if self.kind == "wire":
            line = np.abs(across - self.lean * self.beside * down)
            return 0.7 * inside(0.9 - line, pixel) * inside(1.3 * self.half - np.abs(down), pixel)
        found, edge_on = np.zeros_like(along), float(abs(np.cos(turn)))
        reach = self.bone.shaft * edge_on
        for screw in self.screws:
            shank = inside(0.8 - np.abs(down - screw), pixel) * inside(reach + 0.8 - np.abs(across), pixel)
            head = inside(1.7 - np.hypot(down - screw, across - self.beside * reach), pixel)
            found = np.maximum(found, np.maximum(0.75 * shank, head))
        if self.kind == "plate":
            wide = self.wide * (1 - 0.5 * edge_on)
            beside = np.abs(across - self.beside * (self.bone.shaft + wide) * edge_on)
            plate = inside(wide - beside, pixel) * inside(self.half - np.abs(down), pixel)
            found = np.maximum(found, 0.9 * plate)
        return found


class Ring:
    """A ring or an eyelet somewhere on the limb, not at the height of the site."""

    def __init__(self, site_y: float, rng: np.random.Generator) -> None:
        places = rng.uniform((-30, -1.5 * REACH), (30, 1.5 * REACH), (_TRIES, 2)).tolist()
        self.x, self.y = next((x, y) for x, y in places if abs(y - site_y) > 2 * _CLEAR)
        self.radius, self.flat, self.wide = rng.uniform((4, 0.3, 0.9), (9, 1.0, 1.8)).tolist()

    def seen(self, x: Plane, y: Plane, pixel: float) -> Plane:
        """How much it attenuates."""
        away = np.abs(np.hypot(x - self.x, (y - self.y) / self.flat) - self.radius)
        return inside(self.wide / 2 - away * self.flat**0.5, pixel)


def burnt_in(image: NDArray[np.uint16], written: Plane) -> NDArray[np.uint16]:
    """The image with white letters over it."""
    return np.asarray(image + (4095 - image.astype(np.float32)) * written, dtype=np.uint16)
