"""Where bones lie in a phantom's limb: regions of the body as tubes in space, and what a tube looks like from one side.

Lengths are in units of which a picture is 160 wide, x to the right, y down and z to the front. A tube has a shaft, two
ends that are wider, and a shell, and is seen after the limb has been turned about y.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from semimed_monai.data.phantoms.film import Plane, chord

FIELD = 160.0  # units
REACH = 32.0  # how far above and below the middle a lesion may lie, so that it is in the picture of every view
_MARGIN = 9.0  # how far it lies from a bone's ends

Point = tuple[float, float, float]
Pair = tuple[float, float]


class Seen(NamedTuple):
    """A tube as one view shows it, at each pixel.

    `along` and `across` are places in its own axes, `half` is its half width there; `thick` is how much of it a ray
    passes, and `filled` how much of what its shell encloses; `ends` are the distances from its two ends.
    """

    along: Plane
    across: Plane
    half: Plane
    thick: Plane
    filled: Plane
    ends: tuple[Plane, Plane]


@dataclass(frozen=True)
class Tube:
    """A bone, or a part of a limb, from `start` to `end`.

    Args:
        start: its one end's middle.
        end: its other end's.
        shaft: half its width between them.
        heads: half its width at the two ends.
        shell: how thick its cortex is, at the shaft.
        blunt: how far from each end its sides begin to close, as a share of the head.
        bend: how far its middle lies aside.
        lobes: how far two condyles stand out at each end.
        flat: how deep a head is, as a share of how wide it is.
        grows: whether each end has a growth plate when young.
        long: whether it may be broken or ill.
    """

    start: Point
    end: Point
    shaft: float
    heads: Pair
    shell: float
    blunt: float = 0.5
    bend: float = 0.0
    lobes: Pair = (0.0, 0.0)
    flat: float = 0.75
    grows: tuple[bool, bool] = (False, False)
    long: bool = False

    def point(self, share: float, turn: float) -> Pair:
        """Where that share of its length is, seen with the limb turned by an angle in radians."""
        x, y, z = (a + share * (b - a) for a, b in zip(self.start, self.end, strict=True))
        return float(x * np.cos(turn) + z * np.sin(turn)), y

    def length(self, turn: float) -> float:
        (x0, y0), (x1, y1) = self.point(0, turn), self.point(1, turn)
        return float(np.hypot(x1 - x0, y1 - y0))

    def shares_in_reach(self) -> Pair:
        """From where to where a lesion may lie, as shares of its length: the second is less if there is no place."""
        low, high = sorted((side * REACH - self.start[1]) / (self.end[1] - self.start[1]) for side in (-1, 1))
        margin = _MARGIN / abs(self.end[1] - self.start[1])
        return max(low, margin), min(high, 1 - margin)

    def own_axes(self, x: Plane, y: Plane, turn: float) -> tuple[Plane, Plane]:
        """Places along and across it."""
        (x0, y0), (x1, y1) = self.point(0, turn), self.point(1, turn)
        length = self.length(turn)
        right, down = (x1 - x0) / length, (y1 - y0) / length
        along = (x - x0) * right + (y - y0) * down
        share = np.clip(along / length, 0, 1)
        bend = 4 * self.bend * float(np.cos(turn)) * share * (1 - share)
        return along, np.asarray((y - y0) * right - (x - x0) * down - bend, dtype=np.float32)

    def seen(self, along: Plane, across: Plane, turn: float) -> Seen:
        """What it looks like, given its own axes, which may have been broken."""
        wider, deeper = float(np.hypot(np.cos(turn), self.flat * np.sin(turn))), float(abs(np.cos(turn)))
        half, solid = np.full_like(along, self.shaft), np.ones_like(along)
        cap, inner_cap, ends = np.ones_like(along), np.ones_like(along), []
        for away, head, lobe in zip((along, self.length(turn) - along), self.heads, self.lobes, strict=True):
            shown = self.shaft + (head - self.shaft) * wider
            flare = np.exp(-((np.clip(away, 0, None) / (1.25 * max(head, self.shaft))) ** 2))
            half += (shown - self.shaft) * flare
            solid *= 1 - 0.8 * flare
            condyles = 1 - np.cos(np.clip(across / shown, -1, 1) * (2 * np.pi)) if lobe else 0.0
            ends.append(np.asarray(away + 0.5 * lobe * deeper * condyles, dtype=np.float32))
            cap *= _cap(ends[-1] / (self.blunt * shown))
            inner_cap *= _cap((ends[-1] - 0.12 * self.shell - 0.5) / (self.blunt * shown))
        thick, shell = self.shaft + 0.35 * (half - self.shaft), self.shell * (0.2 + 0.8 * solid)
        inner = np.clip(half - shell, 0.1, None) * inner_cap
        half *= cap
        filled = np.clip(thick - shell, 0, None) * chord(across, inner)
        return Seen(along, across, half, thick * chord(across, half), filled, (ends[0], ends[1]))


def _cap(share: NDArray[np.floating[Any]]) -> Plane:
    """How a side closes towards an end: 0 there, 1 from where it is open."""
    left = 1 - np.clip(share, 0, 1)
    return np.asarray(np.sqrt(1 - np.square(left * left)), dtype=np.float32)


@dataclass(frozen=True)
class Limb:
    """A region of the body: its bones, the soft tissue around them, and how it is photographed.

    Args:
        part: DICOM's name of it.
        bones: from the body outwards.
        flesh: what is around them.
        turns: by how many degrees it is turned for each view: the first is frontal.
        scale: mm of a unit.
    """

    part: str
    bones: tuple[Tube, ...]
    flesh: tuple[Tube, ...]
    turns: tuple[float, float, float]
    scale: float

    @property
    def thickest(self) -> float:
        """Half the width of the thickest shaft."""
        return max(bone.shaft for bone in self.bones)

    @property
    def long_bones(self) -> list[Tube]:
        return [bone for bone in self.bones if bone.long]


class _Varied:
    """Tubes near to those that a plan names, as they differ between people, whose cortex is `shell` of a shaft."""

    def __init__(self, rng: np.random.Generator, shell: float) -> None:
        self.rng, self.shell = rng, shell

    def bone(
        self,
        start: Point,
        end: Point,
        shaft: float,
        heads: Pair,
        *,
        blunt: float = 0.5,
        bend: float = 1.5,
        lobes: Pair = (0.0, 0.0),
        flat: float = 0.75,
        grows: tuple[bool, bool] = (False, False),
        long: bool = True,
    ) -> Tube:
        """A bone with a shaft."""
        (x0, y0, z0), (x1, y1, z1) = (np.array([start, end]) + self.rng.normal(0, 1.2, (2, 3))).tolist()
        half, first, last = (np.array([shaft, *heads]) * self.rng.uniform(0.9, 1.12, 3)).tolist()
        bent = float(self.rng.normal(0, bend))
        tube = (x0, y0, z0), (x1, y1, z1), half, (first, last), self.shell * half
        return Tube(*tube, blunt, bent, lobes, flat, grows, long)

    def short(self, x: float, y: float, z: float, wide: float, tall: float) -> Tube:
        """A bone without a shaft, such as the wrist's."""
        x, y, lean = (np.array([x, y, 0.0]) + self.rng.normal(0, (1, 1, 1.5))).tolist()
        wide, tall, round_off = (self.rng.uniform(0.9, 1.12, 3) * (wide, tall, 0.9)).tolist()
        return Tube(
            (x - lean, y - tall, z), (x + lean, y + tall, z), wide, (wide, wide), 0.14 * wide, round_off * tall / wide
        )

    def flesh(self, start: Point, end: Point, shaft: float, heads: Pair, blunt: float = 0.6) -> Tube:
        """Soft tissue around bones."""
        return self.bone(start, end, shaft, heads, blunt=blunt, bend=0.0, long=False)


def _forearm(v: _Varied) -> Limb:
    """Radius and ulna down to the wrist."""
    radius = v.bone((-11, -125, 1), (-14, 34, -2), 7.5, (8, 15.5), grows=(False, True))
    ulna = v.bone((11, -125, 0), (13, 30, 5), 6.5, (7, 8.5), grows=(False, True))
    first = [v.short(x, y, z, 6.5, 6) for x, y, z in ((-20, 44, 2), (-7, 43, -1), (6, 45, -2), (15, 46, 6))]
    second = [v.short(x, 57 - abs(x) / 8, 0, 5.5, 5.5) for x in (-23, -12, 0, 12)]
    hand = [v.bone((x, 66, 0), (1.35 * x, 124, 0), 4.5, (6.5, 6.5), bend=0, long=False) for x in (-24, -12, -1, 10, 20)]
    flesh = (v.flesh((0, -150, 0), (0, 62, 0), 35, (38, 27)), v.flesh((-3, 36, 0), (-3, 160, 0), 38, (29, 40)))
    return Limb("FOREARM", (radius, ulna, *first, *second, *hand), flesh, (0, 82, 40), 1.0)


def _leg(v: _Varied) -> Limb:
    """Tibia and fibula down to the ankle."""
    tibia = v.bone((-4, -130, 0), (-5, 40, 0), 11, (12, 18), grows=(False, True), blunt=0.3)
    fibula = v.bone((19, -130, -6), (18, 52, -3), 4.8, (5, 8.5), grows=(False, True))
    talus = v.short(-4, 58, 2, 19, 13)
    heel = v.bone((-2, 70, 12), (3, 112, -34), 15, (14, 17), blunt=0.7, long=False)
    flesh = (v.flesh((2, -150, -4), (2, 80, 0), 40, (46, 31)), v.flesh((2, 50, 0), (2, 150, 0), 34, (32, 36)))
    return Limb("LEG", (tibia, fibula, talus, heel), flesh, (0, 85, 35), 1.5)


def _knee(v: _Varied) -> Limb:
    """Femur, tibia, fibula and kneecap."""
    femur = v.bone((0, -130, 0), (0, -9, 0), 13, (15, 29), grows=(False, True), lobes=(0, 6), blunt=0.35)
    tibia = v.bone((0, 4, 0), (-2, 130, 0), 11.5, (28, 13), grows=(True, False), blunt=0.25)
    fibula = v.bone((24, 18, -8), (22, 130, -6), 4.8, (7.5, 5), grows=(True, False))
    patella = v.short(0, -26, 27, 11, 13)
    flesh = (v.flesh((0, -160, 0), (0, 20, 0), 50, (56, 42)), v.flesh((0, -20, 0), (0, 160, 0), 42, (41, 46)))
    return Limb("KNEE", (femur, tibia, fibula, patella), flesh, (0, 85, 40), 1.3)


def _elbow(v: _Varied) -> Limb:
    """Humerus, ulna and radius."""
    humerus = v.bone((2, -130, 0), (0, -6, 0), 10, (11, 25), lobes=(0, 4), blunt=0.3, flat=0.5)
    ulna = v.bone((9, -16, -6), (12, 130, -2), 7, (11, 7), blunt=0.6)
    radius = v.bone((-11, 4, 2), (-9, 130, 3), 6, (9.5, 7), grows=(True, False), blunt=0.3)
    flesh = (v.flesh((0, -160, 0), (0, 25, 0), 38, (46, 38)), v.flesh((0, -25, 0), (0, 160, 0), 38, (38, 42)))
    return Limb("ELBOW", (humerus, ulna, radius), flesh, (0, 80, 40), 1.0)


def _hand(v: _Varied) -> Limb:
    """Metacarpals and fingers, which point up."""
    bones, flesh = [], [v.flesh((0, 22, 0), (0, 150, 0), 46, (46, 44), blunt=0.3)]
    for number, (x, length, lean) in enumerate(_RAYS):
        foot, right, up, depth = np.array([x, 70.0]), float(np.sin(lean)), float(np.cos(lean)), 4.0 * number - 4
        for share, shaft, head in ((1.0, 7.0, 10.0), (0.66, 6.3, 9.0), (0.42, 5.6, 7.8)):
            top = foot + share * length * np.array([right, -up])
            grows = (True, False) if share < 1 else (False, True)
            ends = (float(foot[0]), float(foot[1]), depth), (float(top[0]), float(top[1]), depth)
            bones.append(v.bone(*ends, shaft, (head, 0.9 * head), grows=grows, blunt=0.75, bend=0, long=share > 0.5))
            foot = top + 3.5 * np.array([right, -1])
        flesh.append(
            v.flesh((x, 60, 0), (float(foot[0]) + 12 * right, float(foot[1]) - 12, 0), 14, (16, 13), blunt=0.9)
        )
    wrist = [v.short(x, 82 + abs(x) / 9, 0, 9, 8) for x in (-27, -9, 9, 27)]
    return Limb("HAND", (*bones, *wrist), tuple(flesh), (0, 30, 45), 0.7)


_RAYS = ((-22.0, 58.0, -0.18), (1.0, 62.0, 0.0), (23.0, 56.0, 0.18))
"""Of each finger: where its metacarpal begins, how long that is, and how it leans."""

_PLANS: tuple[Callable[[_Varied], Limb], ...] = (_forearm, _leg, _knee, _elbow, _hand)


def limb(rng: np.random.Generator, shell: float) -> Limb:
    """One of the regions, of a person whose cortex is that share of a shaft's half width."""
    return _PLANS[int(rng.integers(len(_PLANS)))](_Varied(rng, shell))
