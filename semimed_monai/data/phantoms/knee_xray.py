"""Phantom radiographs of knees from the front, Kellgren-Lawrence grades 0 to 4: what an ensemble of graders learns.

The two knees of a person are alike in size, shape, tissue and exposure, and so are their grades: whoever has seen the
one knows something of the other. The grade shows by the joint's signs only (knee_xray_signs.py); a film of both knees
is what OAI's baseline has. Looked for: as in chest.py; the radiographs of OAI are images of patients, and no generator.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from semimed_monai.data.phantoms import bone_shapes
from semimed_monai.data.phantoms.bone_distractors import Ring, shutters, side_letter
from semimed_monai.data.phantoms.film import Plane, Pose, Range, bump, chord, exposed, inside, level, texture
from semimed_monai.data.phantoms.knee_xray_shapes import Bone, KneeBones, knee_sizes
from semimed_monai.data.phantoms.knee_xray_signs import (
    KNEE_XRAY_CLASSES,
    KneeSigns,
    KneeSignsAppearance,
    Pair,
    knee_signs,
)

KNEE_XRAY_PHANTOM_VERSION = "1"
"""Part of every set's cache key: raise it whenever the same (seed, person, side, grade) would give another picture."""

FIELD = 90.0  # mm: of one knee
BOTH_FIELD = (340.0, 250.0)  # mm across and down: of a film of both
KNEE_SIDES = ("L", "R")

# One random stream per concern. A person's is the same for both knees.
_OF_PERSON, _OF_BOTH = 900, 901
STREAMS = {"bones": 910, "signs": 911, "pose": 912, "tissue": 913, "film": 914, "labels": 915}
_OF_A_PERSON = (
    *("flesh", "fat", "leg", "sponge", "cortex", "shell", "trabeculae", "beams"),
    *("exposure", "contrast", "sharpened", "blur", "noise"),
)

_TRABECULAE = (1.5, 0.45)  # mm down and across
_GRAIN = 0.6  # mm
_SHADOWS = 5  # of fat and muscle, in a person's legs
_GREY = 0.55  # what stays as it is, whatever the contrast
_SHARP = 6.0  # mm: what is finer is sharpened
_SLOPE = (-0.001, 0.001)  # of the exposure, per mm
_SHUT = 0.7  # shutters are so much further apart than a limb's, as they must not hide the joint's margins
_BEHIND_SHUTTERS = (0.02, 0.05, 0.10, 0.95)  # signal: one of these is drawn


@dataclass(frozen=True)
class KneeXrayAppearance:
    """Ranges from which knees and films are drawn: lengths in mm.

    >>> KneeXrayAppearance(noise=(0.0, 0.0)).size
    160

    Raises:
        ValueError: a size below 64, at which a joint space is two pixels wide.
    """

    size: int = 160  # pixels per side, of one knee
    # Place, of each knee
    move: float = 4.0  # between the knee's middle and the picture's, each way, at most
    lean: float = 6.0  # degrees
    zoom: Range = (0.95, 1.08)
    opened: Range = (0.84, 1.08)  # how wide a joint space looks, as a share of what it is: flexion changes it
    unlike: float = 0.02  # how much a person's two knees differ, as a share of each size
    # Tissue, of a person
    flesh: Range = (0.30, 0.55)
    fat: Range = (4.0, 14.0)
    leg: Range = (50.0, 68.0)  # half of it
    sponge: Range = (0.22, 0.42)
    cortex: Range = (0.22, 0.42)
    shell: Range = (1.0, 2.0)  # thickness
    trabeculae: Range = (0.04, 0.15)
    beams: Range = (0.02, 0.07)
    shadow: float = 0.08  # of fat and muscle: a standard deviation
    # What else is on the picture, whatever the grade
    letter_share: float = 0.3
    ring_share: float = 0.15
    shutter_share: float = 0.5
    fabella_share: float = 0.2
    # The film
    exposure: Range = (1.1, 1.7)  # of a person, as are the next four
    contrast: Range = (1.0, 1.5)
    sharpened: Range = (0.0, 1.2)
    blur: Range = (0.4, 0.9)  # px
    noise: Range = (0.005, 0.014)
    signs: KneeSignsAppearance = field(default_factory=KneeSignsAppearance)

    def __post_init__(self) -> None:
        if self.size < 64:
            raise ValueError(f"size is {self.size}: a joint space needs 64 pixels a side or more")


STANDARD_KNEE_XRAY = KneeXrayAppearance()


@dataclass(frozen=True)
class KneeXrayPhantom:
    """One knee of a person.

    Args:
        image: uint16, 0 to 4095, rows × columns, bones bright; the patient's left is on the right.
        spacing: mm of a pixel.
        centre: where the joint's middle is, x and y in pixels: pixel j lies from j to j + 1.
        spaces: how wide the joint space is, medial and lateral, in mm.
        signs: what the knee has of osteoarthritis.
    """

    image: NDArray[np.uint16]
    spacing: float
    centre: Pair
    spaces: Pair
    signs: KneeSigns


@dataclass(frozen=True)
class BothKneesPhantom:
    """A film of both knees, the right one at the left.

    Args:
        image: uint16, 0 to 4095, rows × columns, bones bright.
        spacing: mm of a pixel.
        centres: of each side, "L" and "R", where the joint's middle is, x and y in pixels.
    """

    image: NDArray[np.uint16]
    spacing: float
    centres: dict[str, Pair]


def knee_xray_phantom(
    seed: int, person: int, side: str, grade: int, appearance: KneeXrayAppearance = STANDARD_KNEE_XRAY
) -> KneeXrayPhantom:
    """The left ("L") or right ("R") knee of a person of the population `seed`, of any grade and else the same.

    >>> knee = knee_xray_phantom(seed=0, person=3, side="L", grade=4)
    >>> knee.image.shape, min(knee.spaces) < 1.5 < max(knee_xray_phantom(0, 3, "L", 0).spaces)
    ((160, 160), True)

    Raises:
        ValueError: a negative number, a side that is none, a grade that is none.
    """
    knee = _Knee(seed, person, side, grade, appearance)
    pixel = FIELD / appearance.size
    axis = _axis(appearance.size, pixel)
    signal = knee.signal(axis[None, :], axis[:, None], pixel)
    label = knee.stream("labels")
    signal += knee.labels(label)
    if label.random() < appearance.shutter_share:
        shut = float(label.choice(_BEHIND_SHUTTERS))
        units = axis * np.float32(_SHUT * bone_shapes.FIELD / FIELD)
        signal = np.asarray(shut + (signal - shut) * shutters(units, (0.0, 0.0), label), dtype=np.float32)
    x, y = (away / pixel + appearance.size / 2 for away in (knee.pose.right, knee.pose.down))
    return KneeXrayPhantom(knee.film(signal, knee.stream("film")), pixel, (x, y), knee.bones.spaces, knee.signs)


def both_knees_xray_phantom(
    seed: int, person: int, grades: tuple[int, int], appearance: KneeXrayAppearance = STANDARD_KNEE_XRAY
) -> BothKneesPhantom:
    """Both knees of a person on one film, of the left one's grade and the right one's.

    They are those of `knee_xray_phantom`, of the same pixel, and lie anywhere in their half of the film.

    >>> film = both_knees_xray_phantom(seed=0, person=3, grades=(0, 2))
    >>> film.image.shape, film.centres["R"][0] < film.image.shape[1] / 2 < film.centres["L"][0]
    ((444, 604), True)

    Raises:
        ValueError: a negative number, a grade that is none.
    """
    knees = [_Knee(seed, person, side, grade, appearance) for side, grade in zip(KNEE_SIDES, grades, strict=True)]
    pixel, size = FIELD / appearance.size, appearance.size
    columns, rows = round(BOTH_FIELD[0] / 2 / pixel), round(BOTH_FIELD[1] / pixel)
    rng = np.random.default_rng([seed, person, _OF_BOTH])
    place = rng.uniform((72, -25), (90, 25))
    halves: dict[str, Plane] = {}
    centres: dict[str, Pair] = {}
    for knee in knees:
        aside, below = ((place + rng.uniform(-4, 4, 2)) / pixel).tolist()
        column, row = round(aside if knee.side == "L" else columns - aside), round(rows / 2 + below)
        right = _axis(columns, pixel) + np.float32((columns / 2 - column) * pixel)
        down = _axis(rows, pixel) + np.float32((rows / 2 - row) * pixel)
        half = knee.signal(right[None, :], down[:, None], pixel)
        top, left = row - size // 2, column - size // 2
        half[top : top + size, left : left + size] += knee.labels(knee.stream("labels"))
        start = columns if knee.side == "L" else 0
        centres[knee.side] = (start + column + knee.pose.right / pixel, row + knee.pose.down / pixel)
        halves[knee.side] = half
    image = knees[0].film(np.hstack([halves["R"], halves["L"]]), rng)
    return BothKneesPhantom(image, pixel, centres)


class _Knee:
    """A knee that is photographed: its bones and tissue, as on any of its films."""

    def __init__(self, seed: int, person: int, side: str, grade: int, looks: KneeXrayAppearance) -> None:
        if min(seed, person) < 0:
            raise ValueError(f"seed and person must not be negative, got {seed} and {person}")
        if side not in KNEE_SIDES:
            raise ValueError(f"side is {side!r}: give L or R")
        if grade not in range(len(KNEE_XRAY_CLASSES)):
            raise ValueError(f"grade is {grade!r}: give a whole number from 0 to {len(KNEE_XRAY_CLASSES) - 1}")
        self.numbers, self.looks, self.side = [seed, person, KNEE_SIDES.index(side)], looks, side
        who, own, place = np.random.default_rng([seed, person, _OF_PERSON]), self.stream("bones"), self.stream("pose")
        self.of_person = {name: level(who, getattr(looks, name)) for name in _OF_A_PERSON}
        self.shadows = who.normal((0, 0, 9, 0), (28, 28, 3, looks.shadow), (_SHADOWS, 4)).tolist()
        self.waves = who.uniform((0.6, -0.25, 0), (1.8, 0.25, 6.3), (4, 3)).tolist()
        self.fabella = who.uniform((14, -26, 2), (24, -14, 4)).tolist()
        self.has_fabella = bool(who.random() < looks.fabella_share)
        self.signs = knee_signs(grade, self.stream("signs"), looks.signs)
        self.pose = Pose(place, looks.lean, looks.zoom, looks.move, side)
        sizes, leans = knee_sizes(who, own, looks.unlike), own.uniform(-0.2, 0.7, 4)
        self.bones = KneeBones(sizes, self.signs, level(place, looks.opened), leans)

    def stream(self, name: str) -> np.random.Generator:
        return np.random.default_rng([*self.numbers, STREAMS[name]])

    def signal(self, right: Plane, down: Plane, pixel: float) -> Plane:
        """The film before it is sharpened and noisy; `right` is a row of places in mm, `down` a column."""
        of, rng = self.of_person, self.stream("tissue")
        x, y = self.pose.of_limb(right, down)
        shadow = self._flesh(x, y) * (1 + texture(rng, x.shape, _GRAIN / pixel, (0.02, 0.04)))
        beams = 1 + texture(rng, x.shape, (_TRABECULAE[0] / pixel, _TRABECULAE[1] / pixel), _just(of["trabeculae"]))
        for fast, slow, phase in self.waves:
            beams += of["beams"] * np.cos(fast * x + slow * y + phase)
        for bone in self.bones.seen(x, y):
            shadow += self._of_bone(bone, beams, pixel / self.pose.zoom)
        if self.has_fabella:
            aside, above, size = self.fabella
            shadow += 0.5 * of["sponge"] * inside(size - np.hypot(x - aside, (y - above) / 0.8), pixel)
        return np.asarray(1 - np.exp(-of["exposure"] * shadow), dtype=np.float32)

    def _flesh(self, x: Plane, y: Plane) -> Plane:
        """Fat, the muscles in it, and some shadows of a person's own."""
        of = self.of_person
        leg = np.asarray(of["leg"] * (1.02 + 0.06 * np.tanh(-y / 40)), dtype=np.float32)
        passed = 0.55 * chord(x, leg) + 0.45 * chord(x, leg - of["fat"])
        shadows = np.ones_like(x)
        for aside, below, size, strong in self.shadows:
            shadows += strong * bump(np.hypot(x - aside, y - below) / (abs(size) + 3))
        return np.asarray(of["flesh"] * passed * np.clip(shadows, 0.3, None), dtype=np.float32)

    def _of_bone(self, bone: Bone, beams: Plane, pixel: float) -> Plane:
        """Sponge, cortex, and what is denser beneath the joint."""
        of, deep = self.of_person, np.clip(bone.depth, 0, None)
        sponge = of["sponge"] * bone.thick * beams * np.sqrt(np.clip(deep / 9, 0, 1))
        cortex = of["cortex"] * (0.3 + 0.7 * min(bone.thick, 1)) * (0.8 * np.exp(-deep / of["shell"]) + bone.dense)
        return np.asarray(inside(bone.depth, pixel) * (sponge + cortex), dtype=np.float32)

    def labels(self, rng: np.random.Generator) -> Plane:
        """A letter and a ring around one knee, away from the joint: size × size."""
        looks, scale = self.looks, bone_shapes.FIELD / FIELD
        axis = _axis(looks.size, bone_shapes.FIELD / looks.size)
        found: Plane = np.zeros((looks.size, looks.size), np.float32)
        ring = Ring(0.0, rng)
        letter = side_letter(axis, self.side, (0.0, 0.0), rng)
        if rng.random() < looks.letter_share:
            found += 0.4 * letter
        if rng.random() < looks.ring_share:
            found += 0.4 * ring.seen(axis[None, :], axis[:, None], scale * FIELD / looks.size)
        return found

    def film(self, signal: Plane, rng: np.random.Generator) -> NDArray[np.uint16]:
        """As a person's films are sharpened and exposed."""
        of, pixel = self.of_person, FIELD / self.looks.size
        down, right = (_axis(count, pixel) for count in signal.shape)
        signal = signal + level(rng, _SLOPE) * right[None, :] + level(rng, _SLOPE) * down[:, None]
        sharp = signal + of["sharpened"] * (signal - gaussian_filter(signal, _SHARP / pixel, truncate=2))
        sharp = np.asarray(_GREY + of["contrast"] * (sharp - _GREY), dtype=np.float32)
        return exposed(sharp, rng, _just(of["blur"]), _just(of["noise"]))


def _axis(count: int, pixel: float) -> Plane:
    """Pixels' places from the middle of so many."""
    return np.asarray((np.arange(count) - (count - 1) / 2) * pixel, dtype=np.float32)


def _just(value: float) -> Range:
    """The range of one value only: a person's films have it in common."""
    return value, value
