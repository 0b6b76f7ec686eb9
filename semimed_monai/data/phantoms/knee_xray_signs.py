"""By what a phantom knee shows its Kellgren-Lawrence grade: lost joint space, osteophytes, sclerosis, deformed ends.

Readers disagree: a knee's signs are those of its grade and a bit, so that neighbouring grades overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KNEE_XRAY_CLASSES = ("KL 0", "KL 1", "KL 2", "KL 3", "KL 4")

Pair = tuple[float, float]
OfGrades = tuple[float, float, float, float, float]

SITES = ("medial femur", "lateral femur", "medial tibia", "lateral tibia")
"""Where osteophytes grow: at the joint's margins."""


@dataclass(frozen=True)
class KneeSigns:
    """What a knee has of osteoarthritis; a pair is medial and lateral.

    Args:
        lost: share of the joint space that is lost.
        spurs: how far each of the `SITES` stands out, in mm.
        dense: how dense the bone is beneath the joint: 1 is most.
        worn: how far the plateau is worn down, in mm.
    """

    lost: Pair
    spurs: tuple[float, ...]
    dense: Pair
    worn: Pair


@dataclass(frozen=True)
class KneeSignsAppearance:
    """What each grade looks like in the compartment that is ill; between two grades it is interpolated.

    >>> KneeSignsAppearance(doubt=0.0).spurs[4]
    7.0

    Args:
        doubt: by how much a knee's looks are off its grade, in grades: a standard deviation. It decides how hard the
            task is.
        lost: share of the joint space.
        spurs: the largest osteophyte, in mm.
        dense: sclerosis.
        worn: of the plateau, in mm.
        lateral_share: of the knees; in the others the medial compartment is ill.
    """

    doubt: float = 0.3
    lost: OfGrades = (0.0, 0.05, 0.25, 0.58, 0.95)
    spurs: OfGrades = (0.2, 1.3, 3.0, 4.8, 7.0)
    dense: OfGrades = (0.0, 0.0, 0.2, 0.7, 1.0)
    worn: OfGrades = (0.0, 0.0, 0.0, 0.3, 2.4)
    lateral_share: float = 0.25


def knee_signs(grade: int, rng: np.random.Generator, looks: KneeSignsAppearance) -> KneeSigns:
    """The signs of a knee; each grade draws the same numbers, so that a knee's twin of another grade is alike."""
    seen = float(np.clip(grade + looks.doubt * rng.standard_normal(), 0, 4))
    lateral = bool(rng.random() < looks.lateral_share)
    spared = float(rng.uniform(0.1, 0.5))  # share of it that the other compartment has
    sites = rng.permutation([1.0, rng.uniform(0.35, 0.95)]).tolist()  # one is the largest
    others = rng.uniform(0.15, 0.85, 2).tolist()
    uneven = rng.normal(0, 0.05), rng.uniform(0.6, 1.0), rng.uniform(0.5, 1.0)

    def at(ends: OfGrades, share: float = 1.0) -> float:
        return float(np.interp(share * seen, range(len(ends)), ends))

    def pair(ill: float, other: float) -> Pair:
        return (other, ill) if lateral else (ill, other)

    largest = at(looks.spurs)
    femur, tibia = (pair(largest * own, largest * other) for own, other in zip(sites, others, strict=True))
    lost = float(np.clip(at(looks.lost) + uneven[0], 0, 0.97))
    return KneeSigns(
        lost=pair(lost, at(looks.lost, spared)),
        spurs=(*femur, *tibia),
        dense=pair(at(looks.dense) * uneven[1], at(looks.dense, spared)),
        worn=pair(at(looks.worn) * uneven[2], 0.0),
    )
