"""Dermatoscopic phantoms: a lesion on skin, in colours, of one of seven classes that differ as ISIC 2018's do.

A class shows in its colours, its border and its structure, each expressed more or less: no single sign tells it.
Looked for: skimage.data has one photograph of skin, monai.data.synthetic discs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Range = tuple[float, float]
Plane = NDArray[np.float32]

SKIN_CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
"""In ISIC 2018's order."""

SKIN_PHANTOM_VERSION = "1"
"""Part of every set's cache key: raise it whenever the same (seed, lesion, shot) would give another picture."""

# One random stream per concern: what is drawn for one leaves the others as they are.
STREAMS = ("skin", "shape", "sign", "distractor")  # and "shot", one for each photograph

BROWN, DARK, BLUE = (-0.30, -0.38, -0.34), (-0.52, -0.50, -0.42), (-0.42, -0.30, -0.10)
PINK, RED, WHITE = (-0.02, -0.20, -0.14), (-0.14, -0.42, -0.36), (0.06, 0.12, 0.14)
"""What a pigment or blood adds to the skin's red, green and blue."""


@dataclass(frozen=True)
class SkinAppearance:
    """Ranges from which lesions and their photographs are drawn; lengths are shares of the picture's side.

    What decides how hard the task is: `expressed`, `noise` and the distractors.

    >>> SkinAppearance(noise=(0.0, 0.0)).size
    96

    Raises:
        ValueError: a size below 32, at which structures are no longer seen.
    """

    size: int = 96  # pixels per side
    radius: Range = (0.17, 0.34)
    expressed: Range = (0.35, 1.0)  # of each of a class's signs
    depth: Range = (0.7, 1.1)  # of colours
    texture: Range = (0.01, 0.03)
    noise: Range = (0.01, 0.03)
    hairs: int = 9  # at most
    bubbles: int = 3  # at most
    mottles: int = 6  # at most: spots in and around a lesion that say nothing of its class
    turn: float = 180.0  # degrees between two photographs of a lesion, at most
    zoom: Range = (0.85, 1.2)

    def __post_init__(self) -> None:
        if self.size < 32:
            raise ValueError(f"size is {self.size}: a lesion's structure needs 32 pixels a side or more")


STANDARD_SKIN = SkinAppearance()


@dataclass(frozen=True)
class SkinPhantom:
    """One photograph of a lesion.

    Args:
        image: uint8, rows × columns × 3.
        mask: uint8, rows × columns: 255 inside the lesion.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def skin_phantom(
    seed: int, lesion: int, label: int, shot: int = 0, appearance: SkinAppearance = STANDARD_SKIN
) -> SkinPhantom:
    """Photograph `shot` of a lesion of the population `seed`, of one of `SKIN_CLASSES`.

    Two shots of a lesion show the same one turned, nearer or farther, in another light.

    >>> picture = skin_phantom(seed=0, lesion=3, label=0)
    >>> picture.image.shape, int(picture.mask.max())
    ((96, 96, 3), 255)

    Raises:
        ValueError: a negative number, or a class that is none.
    """
    if min(seed, lesion, shot) < 0:
        raise ValueError(f"seed, lesion and shot must not be negative, got {seed}, {lesion} and {shot}")
    if not 0 <= label < len(SKIN_CLASSES):
        raise ValueError(f"label is {label}: give one from 0 to {len(SKIN_CLASSES) - 1}")
    streams = {name: np.random.default_rng([seed, lesion, 200 + place]) for place, name in enumerate(STREAMS)}
    streams["shot"] = np.random.default_rng([seed, lesion, 300 + shot])
    return _Photograph(streams, appearance).of(label)


class _Photograph:
    """A picture as it is painted: `colour` is H×W×3, `x` and `y` are places relative to the lesion's middle."""

    def __init__(self, streams: Mapping[str, np.random.Generator], appearance: SkinAppearance) -> None:
        self.rng, self.appearance = streams, appearance
        self.pixel = 1 / appearance.size
        shot = streams["shot"]
        axis = (np.arange(appearance.size, dtype=np.float32) + 0.5) * np.float32(self.pixel) - 0.5
        right, down = shot.uniform(-0.06, 0.06, 2)
        turn = np.deg2rad(shot.uniform(-appearance.turn, appearance.turn))
        zoom = shot.uniform(*appearance.zoom)
        across, along = axis[None, :] - right, axis[:, None] - down
        self.x = np.asarray((np.cos(turn) * across + np.sin(turn) * along) / zoom, dtype=np.float32)
        self.y = np.asarray((np.cos(turn) * along - np.sin(turn) * across) / zoom, dtype=np.float32)
        self.frame = (across, along)
        self.angle, self.reach = np.arctan2(self.y, self.x), np.hypot(self.x, self.y)
        tone = streams["skin"].uniform((0.80, 0.60, 0.50), (0.95, 0.74, 0.66))
        self.colour = np.broadcast_to(tone.astype(np.float32), (appearance.size, appearance.size, 3)).copy()
        self.colour += self._texture(streams["skin"], 2.0)[..., None]
        self.radius = streams["shape"].uniform(*appearance.radius)
        self.depth = streams["sign"].uniform(*appearance.depth)

    def of(self, label: int) -> SkinPhantom:
        """The lesion on the skin, and what else is on the picture."""
        self.inside = self._outline(*_BORDERS[label])
        _PAINTERS[label](self)
        self._distract()
        picture = self._exposed()
        return SkinPhantom(picture, np.asarray(255 * (self.inside >= 0.5), dtype=np.uint8))

    def _texture(self, rng: np.random.Generator, width: float) -> Plane:
        noise = rng.standard_normal(self.reach.shape, dtype=np.float32)
        smooth = gaussian_filter(noise, width * self.appearance.size / 96, mode="wrap", truncate=2.5)
        return np.asarray(smooth / smooth.std() * rng.uniform(*self.appearance.texture), dtype=np.float32)

    def _expressed(self) -> float:
        """How much of a sign there is."""
        return float(self.rng["sign"].uniform(*self.appearance.expressed))

    def _outline(self, uneven: float, soft: float) -> Plane:
        """Share of each pixel inside: a circle with waves of 2 to 9 around it, and an edge of some softness."""
        shape = self.rng["shape"]
        edge = np.full_like(self.reach, self.radius)
        for waves in range(2, 10):
            height, phase = shape.normal(0, 1 / waves), shape.uniform(0, 2 * np.pi)
            edge += np.float32(self.radius * uneven * height) * np.cos(waves * self.angle + np.float32(phase))
        width = max(self.pixel, soft * self.radius)
        return np.asarray(np.clip(0.5 + (edge - self.reach) / width, 0, 1), dtype=np.float32)

    def tint(self, where: Plane, pigment: tuple[float, float, float], much: float = 1.0) -> None:
        """Add a pigment where the lesion is, and there where asked."""
        self.colour += (self.inside * where * np.float32(much * self.depth))[..., None] * np.array(pigment, np.float32)

    def patches(self, count: int, size: Range, soft: float = 0.3) -> Plane:
        """Some round patches within the lesion, 0 to 1."""
        sign = self.rng["sign"]
        found: Plane = np.zeros_like(self.reach)
        for _ in range(count):
            far, angle, half = sign.uniform((0, 0, size[0]), (0.85, 2 * np.pi, size[1]))
            away = np.hypot(self.x - far * self.radius * np.cos(angle), self.y - far * self.radius * np.sin(angle))
            width = max(self.pixel, soft * half * self.radius)
            found = np.maximum(found, np.clip(0.5 + (half * self.radius - away) / width, 0, 1))
        return found

    def net(self, spacing: float) -> Plane:
        """A pigment network: lines around holes, 0 to 1."""
        sign = self.rng["sign"]
        bend = 0.02 * np.sin(self.x * sign.uniform(15, 30)) + 0.02 * np.sin(self.y * sign.uniform(15, 30))
        waves = np.cos(2 * np.pi * (self.x + bend) / spacing) * np.cos(2 * np.pi * (self.y - bend) / spacing)
        return np.asarray(np.clip(1 - 2.2 * np.abs(waves), 0, 1), dtype=np.float32)

    def vessels(self, count: int) -> Plane:
        """Thin branching lines across the lesion, 0 to 1."""
        sign = self.rng["sign"]
        found: Plane = np.zeros_like(self.reach)
        for _ in range(count):
            angle, offset, bend, waves = sign.uniform((0, -0.7, -0.05, 10), (2 * np.pi, 0.7, 0.05, 25))
            along = np.cos(angle) * self.x + np.sin(angle) * self.y
            across = np.cos(angle) * self.y - np.sin(angle) * self.x - offset * self.radius
            line = across - bend * np.sin(waves * along)
            found = np.maximum(found, np.clip(1.3 - np.abs(line) / (0.9 * self.pixel), 0, 1))
        return found

    def melanoma(self) -> None:
        """Several colours, unevenly, a bluish veil, an irregular border."""
        self.tint(np.ones_like(self.reach), BROWN)
        self.tint(self.patches(3, (0.2, 0.5)), DARK, 0.7 * self._expressed())
        self.tint(self.patches(2, (0.2, 0.45), soft=0.8), BLUE, 0.8 * self._expressed())
        self.tint(self.net(0.09), DARK, 0.25 * self._expressed())

    def nevus(self) -> None:
        """One brown, evenly, with a regular network."""
        self.tint(np.ones_like(self.reach), BROWN, float(self.rng["sign"].uniform(0.7, 1.3)))
        self.tint(self.net(0.06), DARK, 0.35 * self._expressed())
        self.tint(self.patches(1, (0.3, 0.6), soft=1.5), BROWN, 0.4 * self._expressed())

    def basal_cell_carcinoma(self) -> None:
        """Pink, with branching vessels and blue-grey nests."""
        self.tint(np.ones_like(self.reach), PINK)
        self.tint(self.vessels(4), RED, 0.9 * self._expressed())
        self.tint(self.patches(4, (0.08, 0.22)), BLUE, 0.9 * self._expressed())

    def actinic_keratosis(self) -> None:
        """Red, with white scales and a border that fades."""
        self.tint(np.ones_like(self.reach), RED, 0.55)
        scales = np.clip(self._texture(self.rng["sign"], 1.0) * 60 - 0.6, 0, 1)
        self.tint(np.asarray(scales, dtype=np.float32), WHITE, 1.6 * self._expressed())
        self.tint(self.net(0.05), PINK, 0.7 * self._expressed())

    def benign_keratosis(self) -> None:
        """Brown with a sharp border, white cysts and dark plugs."""
        self.tint(np.ones_like(self.reach), BROWN, float(self.rng["sign"].uniform(0.6, 1.2)))
        self.tint(self.patches(7, (0.05, 0.11)), WHITE, 2.2 * self._expressed())
        self.tint(self.patches(4, (0.05, 0.12)), DARK, 0.6 * self._expressed())

    def dermatofibroma(self) -> None:
        """A white middle in a brown ring."""
        middle = np.clip(1.4 - self.reach / (0.4 * self.radius), 0, 1)
        self.tint(np.asarray(1 - middle, dtype=np.float32), BROWN, 0.7)
        self.tint(np.asarray(middle, dtype=np.float32), WHITE, 1.2 * self._expressed())
        self.tint(self.net(0.06), BROWN, 0.4 * self._expressed())

    def vascular(self) -> None:
        """Red to purple lakes, sharply bordered."""
        self.tint(np.ones_like(self.reach), PINK)
        self.tint(self.patches(6, (0.2, 0.42), soft=0.2), RED, self._expressed())
        self.tint(self.patches(2, (0.15, 0.35)), BLUE, 0.6 * self._expressed())

    def _distract(self) -> None:
        """Mottles, hairs and bubbles, whatever the class."""
        odd, appearance, (across, along) = self.rng["distractor"], self.appearance, self.frame
        for _ in range(odd.integers(appearance.mottles + 1)):
            right, down, size, much = odd.uniform((-0.45, -0.45, 0.01, -0.10), (0.45, 0.45, 0.06, 0.08))
            spot = np.exp(-((self.x - right) ** 2 + (self.y - down) ** 2) / (2 * size**2))
            self.colour += np.float32(much) * spot[..., None] * odd.uniform(0.6, 1.2, 3).astype(np.float32)
        shot = self.rng["shot"]
        for _ in range(shot.integers(appearance.hairs + 1)):
            angle, offset, bend, dark = shot.uniform((0, -0.5, -0.6, 0.2), (np.pi, 0.5, 0.6, 0.55))
            run = np.cos(angle) * across + np.sin(angle) * along
            line = np.cos(angle) * along - np.sin(angle) * across - offset - bend * run**2
            self.colour -= np.float32(dark) * np.clip(1.2 - np.abs(line) / self.pixel, 0, 1)[..., None]
        for _ in range(shot.integers(appearance.bubbles + 1)):
            right, down, size = shot.uniform((-0.5, -0.5, 0.02), (0.5, 0.5, 0.06))
            ring = np.abs(np.hypot(across - right, along - down) - size) / self.pixel
            self.colour += np.float32(0.15) * np.clip(1.2 - ring, 0, 1)[..., None]

    def _exposed(self) -> NDArray[np.uint8]:
        """The light of this photograph, its vignette, blur and noise, in eight bits."""
        shot, (across, along) = self.rng["shot"], self.frame
        light = 1 + np.float32(shot.uniform(-0.15, 0.15)) * across + np.float32(shot.uniform(-0.15, 0.15)) * along
        light -= np.float32(shot.uniform(0.1, 0.5)) * (across**2 + along**2)
        colour = self.colour * light[..., None] * shot.uniform(0.95, 1.05, 3).astype(np.float32)
        blurred = gaussian_filter(colour, (*[shot.uniform(0.3, 0.7) * self.appearance.size / 96] * 2, 0), truncate=3)
        noise = shot.uniform(*self.appearance.noise) * shot.standard_normal(colour.shape, dtype=np.float32)
        return np.asarray(255 * np.clip(blurred + noise, 0, 1), dtype=np.uint8)


_BORDERS = ((0.28, 0.15), (0.08, 0.25), (0.18, 0.45), (0.25, 0.7), (0.16, 0.06), (0.08, 0.35), (0.14, 0.08))
"""How uneven and how soft each class's border is."""

_PAINTERS: tuple[Callable[[_Photograph], None], ...] = (
    _Photograph.melanoma,
    _Photograph.nevus,
    _Photograph.basal_cell_carcinoma,
    _Photograph.actinic_keratosis,
    _Photograph.benign_keratosis,
    _Photograph.dermatofibroma,
    _Photograph.vascular,
)
