"""Phantom radiographs of limbs: long bones and joints, sound, or broken or ill at one place; what PCAM learns from.

A bone is a tube with a cortex and a spongy inside, seen in projection; what lies behind one another adds up. The lesion
is the only sign of the class; growth plates, metal, letters, shutters and writing are as frequent without it.
Looked for: as in chest.py; MURA and FracAtlas are images of patients, and no generator.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from semimed_monai.data.phantoms.bone_distractors import Metal, Ring, burnt_in, shutters, side_letter, writing
from semimed_monai.data.phantoms.bone_lesions import BONE_LESIONS, Lesion, LesionAppearance, drawn_around, lesion_of
from semimed_monai.data.phantoms.bone_shapes import FIELD, Seen, Tube, limb
from semimed_monai.data.phantoms.film import Plane, Pose, Range, bump, exposed, level, texture

BONE_PHANTOM_VERSION = "1"
"""Part of every set's cache key: raise it whenever the same (seed, patient, study, view) would give another picture."""

VIEWS = 3
"""Of a limb, at most: from the front, and turned."""

# One random stream per concern. A person's and those of a study are the same for all of its views.
_OF_PERSON = 800
STREAMS = {"place": 810, "tissue": 811, "site": 812, "lesion": 813, "distractor": 814, "beams": 815, "oddities": 816}
_OF_FILM, _OF_LABELS, _OF_MARK = 820, 821, 822  # of each view

_UNEVEN = (0.01, 0.03)  # soft tissue
_SLOPE = (-0.0007, 0.0007)  # of the exposure, per unit
_BEHIND_SHUTTERS = (0.02, 0.05, 0.10, 0.95)  # signal: one of these is drawn


@dataclass(frozen=True)
class BoneAppearance:
    """Ranges from which limbs, lesions and films are drawn; lengths in units of which a picture is 160 wide.

    >>> BoneAppearance(noise=(0.0, 0.0)).size
    128

    Raises:
        ValueError: a size below 64, at which a fracture is a pixel wide.
    """

    size: int = 128  # pixels per side
    # Place
    move: float = 7.0  # between the limb's middle and the picture's, each way, at most
    lean: float = 15.0  # degrees
    zoom: Range = (1.2, 1.6)
    # Tissue
    shell: Range = (0.24, 0.42)  # thickness of the cortex, in half widths of a shaft
    cortex: Range = (0.65, 0.95)  # what half a shaft of it attenuates
    sponge: Range = (0.18, 0.32)
    flesh: Range = (0.22, 0.42)
    trabeculae: Range = (0.08, 0.22)
    grain: Range = (0.004, 0.012)
    young_share: float = 0.25  # of the persons: their growth plates are open
    # What else is on the picture, whether a bone is ill or not
    metal_share: float = 0.25
    ring_share: float = 0.2
    letter_share: float = 0.6
    writing_share: float = 0.35
    shutter_share: float = 0.4
    islands: int = 4  # at most: dense or empty spots smaller than a lesion
    vessels: int = 3  # at most: thin canals through the cortex
    # The film
    exposure: Range = (1.35, 1.9)
    blur: Range = (0.4, 0.8)  # px
    noise: Range = (0.006, 0.016)
    lesions: LesionAppearance = field(default_factory=LesionAppearance)

    def __post_init__(self) -> None:
        if self.size < 64:
            raise ValueError(f"size is {self.size}: a fracture needs 64 pixels a side or more")


STANDARD_BONES = BoneAppearance()


@dataclass(frozen=True)
class BonePhantom:
    """One view of a study.

    Args:
        image: uint16, 0 to 4095, rows × columns, bones bright.
        lesion: where it is seen; nowhere if there is none.
        mark: uint8, 255 inside what is drawn around it.
        spacing: mm of a pixel.
        part: DICOM's name of the region.
        side: "L" or "R".
        turn: by how many degrees it is turned; 0 is from the front.
    """

    image: NDArray[np.uint16]
    lesion: NDArray[np.bool_]
    mark: NDArray[np.uint8]
    spacing: float
    part: str
    side: str
    turn: float


def bone_phantom(
    seed: int,
    patient: int,
    lesion: str | None,
    study: int = 0,
    view: int = 0,
    appearance: BoneAppearance = STANDARD_BONES,
) -> BonePhantom:
    """A view of a study of a patient of the population `seed`, with one of the `BONE_LESIONS` or, else the same, none.

    Views of a study show the same limb and the same lesion, turned, placed and exposed anew.

    >>> picture = bone_phantom(seed=0, patient=3, lesion="fracture")
    >>> picture.image.shape, bool(picture.lesion.any()), int(picture.mark.max())
    ((128, 128), True, 255)

    Raises:
        ValueError: a negative number, more views than there are, or a lesion that is none.
    """
    if min(seed, patient, study, view) < 0 or view >= VIEWS:
        raise ValueError(
            f"seed, patient, study and view must not be negative, and view at most {VIEWS - 1}, "
            f"got {seed}, {patient}, {study} and {view}"
        )
    if lesion is not None and lesion not in BONE_LESIONS:
        raise ValueError(f"lesion is {lesion!r}: give None or one of {', '.join(BONE_LESIONS)}")
    return _Study(seed, patient, study, lesion, appearance).film(view)


class _Study:
    """A limb that is photographed: its bones, how dense they are, and what else there is in every view."""

    def __init__(self, seed: int, patient: int, study: int, kind: str | None, looks: BoneAppearance) -> None:
        self.numbers, self.looks = [seed, patient, study], looks
        person = np.random.default_rng([seed, patient, _OF_PERSON])
        self.young = bool(person.random() < looks.young_share)
        shell, self.cortex, self.sponge = (
            level(person, bounds) for bounds in (looks.shell, looks.cortex, looks.sponge)
        )
        place, tissue, site, odd = (self._stream(name) for name in ("place", "tissue", "site", "distractor"))
        self.side = str(place.choice(("L", "R")))
        self.limb = limb(place, shell)
        self.flesh, self.trabeculae = level(tissue, looks.flesh), level(tissue, looks.trabeculae)
        within = [bone for bone in self.limb.long_bones if np.less(*bone.shares_in_reach())]
        self.bone = within[int(site.integers(len(within)))]
        self.share = level(site, self.bone.shares_in_reach())
        self.lesion: Lesion | None = None
        if kind is not None:
            self.lesion = lesion_of(kind, self._stream("lesion"), self.bone.shaft, looks.lesions)
        _, site_y = self.bone.point(self.share, 0.0)
        self.metal = Metal(self.limb.long_bones, site_y, odd) if odd.random() < looks.metal_share else None
        self.ring = Ring(site_y, odd) if odd.random() < looks.ring_share else None

    def _stream(self, name: str) -> np.random.Generator:
        return np.random.default_rng([*self.numbers, STREAMS[name]])

    def film(self, view: int) -> BonePhantom:
        """What is added from the bones outwards: the limb, its letter, the shutters, the noise, the writing."""
        looks, label = self.looks, np.random.default_rng([*self.numbers, view, _OF_LABELS])
        shot = np.random.default_rng([*self.numbers, view, _OF_FILM])
        pixel = FIELD / looks.size
        axis = ((np.arange(looks.size) + 0.5) * pixel - FIELD / 2).astype(np.float32)
        pose = Pose(shot, looks.lean, looks.zoom, looks.move, self.side)
        turn = float(np.deg2rad(self.limb.turns[view] + shot.uniform(-8, 8)))
        shadow, where = self._shadow(*pose.of_limb(axis[None, :], axis[:, None]), turn, pixel / pose.zoom, shot)
        site = pose.in_picture(self.bone.point(self.share, turn))
        if label.random() < looks.letter_share:
            shadow += 1.5 * side_letter(axis, self.side, site, label)
        signal = 1 - np.exp(-level(shot, looks.exposure) * shadow)
        signal += level(shot, _SLOPE) * axis[None, :] + level(shot, _SLOPE) * axis[:, None]
        if label.random() < looks.shutter_share:
            shut = float(label.choice(_BEHIND_SHUTTERS))
            signal = shut + (signal - shut) * shutters(axis, site, label)
        image = exposed(np.asarray(signal, dtype=np.float32), shot, looks.blur, looks.noise)
        if label.random() < looks.writing_share:
            image = burnt_in(image, writing(axis, site, label))
        mark = drawn_around(where, np.random.default_rng([*self.numbers, view, _OF_MARK]))
        part, side, angle = self.limb.part, self.side, self.limb.turns[view]
        return BonePhantom(image, where, mark, pixel * self.limb.scale, part, side, angle)

    def _shadow(
        self, x: Plane, y: Plane, turn: float, pixel: float, shot: np.random.Generator
    ) -> tuple[Plane, NDArray[np.bool_]]:
        """What the limb attenuates at each pixel, and where one sees the lesion."""
        looks, beams, odd = self.looks, self._stream("beams"), self._stream("oddities")
        passed = [tube.seen(*tube.own_axes(x, y, turn), turn).thick / tube.shaft for tube in self.limb.flesh]
        grain = texture(shot, x.shape, 1.0, looks.grain) + texture(shot, x.shape, 9.0, _UNEVEN)
        shadow = (self.flesh + grain) * np.sqrt(np.maximum.reduce(passed))
        sponge = self.sponge * (1 + texture(shot, x.shape, 0.9, (0.5 * self.trabeculae, self.trabeculae)))
        where = np.zeros(x.shape, bool)
        for bone in self.limb.bones:
            along, across = bone.own_axes(x, y, turn)
            beyond = along - self.share * bone.length(turn)
            here = bone is self.bone
            if here and self.lesion:
                across = self.lesion.displaced(beyond, across)
            seen = bone.seen(along, across, turn)
            found = self._of_bone(bone, seen, sponge, beams)
            if here:
                found *= self._oddities(seen, beyond, pixel, odd)
            if here and self.lesion:
                factor, where = self.lesion.changed(beyond, seen, pixel)
                found *= factor
            shadow += found
        if self.metal:
            shadow += self.metal.seen(x, y, turn, pixel)
        if self.ring:
            shadow += self.ring.seen(x, y, pixel)
        return shadow, where

    def _of_bone(self, bone: Tube, seen: Seen, sponge: Plane, rng: np.random.Generator) -> Plane:
        """Cortex and sponge, whose beams run along the bone, and the growth plates of the young."""
        beams = np.ones_like(seen.along)
        for fast, slow, phase in rng.uniform((0.9, 0.0, 0), (2.4, 0.35, 6.3), (4, 3)).tolist():
            beams += 0.35 * self.trabeculae * np.cos(fast * seen.across + slow * seen.along + phase)
        found = self.cortex * (seen.thick - seen.filled) + sponge * beams * seen.filled
        for away, head, grows in zip(seen.ends, bone.heads, bone.grows, strict=True):
            if grows and self.young:
                line = away - 0.42 * head - 0.05 * head * np.cos(seen.across * (4 / head))
                found *= 1 - 0.4 * bump(line / 0.9) + 0.12 * bump(np.abs(line) - 2.4)
        return np.asarray(found / (self.limb.thickest * bone.shaft) ** 0.5, dtype=np.float32)

    def _oddities(self, seen: Seen, beyond: Plane, pixel: float, rng: np.random.Generator) -> Plane:
        """Islands of dense or missing bone, and the canals of vessels through the cortex, which are normal."""
        found, half = np.ones_like(beyond), self.bone.shaft
        for _ in range(rng.integers(self.looks.islands + 1)):
            at, aside, size, dense = rng.uniform((-45, -0.7, 1.1, 0.15), (45, 0.7, 2.4, 0.5)).tolist()
            away = np.hypot(beyond - at, seen.across - aside * half)
            found += dense * float(rng.choice((-0.7, 1))) * bump(away / max(size, pixel))
        for _ in range(rng.integers(self.looks.vessels + 1)):
            at, lean, dark, long = rng.uniform((-45, 0.12, 0.15, 5), (45, 0.4, 0.35, 12)).tolist()
            canal = int(rng.choice((-1, 1))) * seen.across - 0.9 * half + lean * (beyond - at)
            found -= dark * bump(canal / 0.9) * (np.abs(beyond - at) < long)
        return found
