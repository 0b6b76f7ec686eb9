"""What a knee phantom may look like: every number that makes the task harder or easier stands in `KneeAnatomy`."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]

KNEE_PHANTOM_VERSION = "5"
"""Part of every set's cache key: raise it whenever the same (seed, index) would give another picture."""

KNEE_CLASSES = ("normal", "partial", "full")
KNEE_TISSUES = ("background", "femoral cartilage", "tibial cartilage", "meniscus")

# Residual thickness rule, WORMS-like: the smallest share of the healthy thickness that is left anywhere along a slice.
FULL_RESIDUAL = 0.05
PARTIAL_RESIDUAL = 0.75


def grade_of(residual: float) -> int:
    """Grade of a slice: 2 (full) if residual <= 0.05, 1 (partial) if <= 0.75, else 0 (normal).

    `KneeAnatomy` refuses losses near the two thresholds, so no slice is ambiguous.

    Example:
        >>> [grade_of(residual) for residual in (1.0, 0.5, 0.0)]
        [0, 1, 2]
    """
    return 2 if residual <= FULL_RESIDUAL else 1 if residual <= PARTIAL_RESIDUAL else 0


@dataclass(frozen=True)
class KneeAnatomy:
    """Ranges from which a person's knee is drawn: lengths in mm, angles in degrees, signals relative to about 1.

    A pair is a uniform range (low, high). What decides how hard the task is: `lesion_half_width`, `lost_partial`,
    `fill_contrast`, `fill_dark_share`, `noise`, `thickness` and the distractors. Place (`shift`, `rotation`, the radii)
    decides how far a fixed shape gets in localisation.

    Example:
        >>> easier = KneeAnatomy(noise=(0.01, 0.02), fill_contrast=(0.9, 1.0))
        >>> easier.size
        128

    Raises:
        ValueError: a partial loss outside 0.3-0.7 (or a full one below 0.95), which would make grades ambiguous; a loss
            of exactly (0, 0) is allowed and gives the healthy twin of the same person.
    """

    # The picture
    size: int = 128  # pixels per side; with `spacing`, 96 mm field of view
    spacing: float = 0.75
    slice_spacing: float = 3.0
    oblique: float = 6.0  # largest rotation of the slab about each axis
    # Femoral condyle and its cartilage
    shift: tuple[float, float] = (10.0, 8.0)  # largest displacement of the condyle's centre, along and down
    rotation: float = 20.0
    radius_along: Range = (22.0, 31.0)
    radius_down: Range = (19.0, 26.0)
    squareness: Range = (2.0, 2.6)  # exponent of the superellipse
    ripple: float = 0.02  # bumps of the bone's outline, share of the radius
    slice_drift: float = 0.05  # how much sizes change from the middle to the outer slices
    thickness: Range = (4.5, 7.0)  # 6-9 px: thin alone is no sign
    thickness_variation: float = 0.14  # smooth change along the arc
    arc_anterior: Range = (58.0, 85.0)  # from straight down to where the cartilage ends
    arc_posterior: Range = (65.0, 100.0)
    # Lesion
    lesion_half_width: Range = (6.0, 10.0)
    lost_partial: Range = (0.40, 0.60)  # share of the local thickness, lost from the articular side
    lost_full: Range = (0.97, 1.0)
    fill_contrast: Range = (0.50, 0.85)  # 0: looks like cartilage, 1: like fluid (or, dark, like fibrous tissue)
    fill_dark_share: float = 0.0  # share of lesions filled with dark tissue instead of fluid
    # Joint
    gap: Range = (0.3, 1.6)
    film: Range = (0.2, 1.3)  # fluid along the femoral cartilage
    tibial_thickness: Range = (2.0, 4.0)
    tibial_tilt: float = 9.0
    # Signals
    marrow: Range = (0.20, 0.55)
    fat: Range = (0.30, 0.75)
    muscle: Range = (0.20, 0.45)
    cartilage: Range = (0.45, 0.70)
    fluid_over_cartilage: Range = (0.40, 0.60)
    meniscus: Range = (0.05, 0.20)
    cortex: Range = (0.03, 0.15)
    texture: Range = (0.01, 0.04)
    # Distractors: drawn without regard to the grade, and brighter than the lesion: whoever does not know where to look
    # is led astray by them, as in a patient's knee
    marrow_spots: int = 10  # at most, per person
    marrow_spot_signal: Range = (0.30, 0.80)
    fluid_pockets: int = 3  # at most, along the femoral cartilage, outside it
    fluid_pocket_depth: Range = (0.8, 3.0)
    tibial_defect_share: float = 0.9
    meniscal_signal_share: float = 0.9
    recess_share: float = 0.6  # people with an effusion
    # Scanner
    blur: Range = (0.35, 0.70)  # px
    bias: float = 0.22  # standard deviation of each coefficient of the log bias field
    noise: Range = (0.02, 0.05)  # sigma of the Rician noise
    gain: Range = (450.0, 1100.0)

    def __post_init__(self) -> None:
        if self.lost_partial != (0, 0) and not 0.3 <= self.lost_partial[0] <= self.lost_partial[1] <= 0.7:
            raise ValueError(f"lost_partial must lie within 0.3-0.7 (or be (0, 0)), got {self.lost_partial}")
        if self.lost_full != (0, 0) and not 1 - FULL_RESIDUAL <= self.lost_full[0] <= self.lost_full[1] <= 1:
            raise ValueError(f"lost_full must lie within {1 - FULL_RESIDUAL}-1 (or be (0, 0)), got {self.lost_full}")


STANDARD_KNEE = KneeAnatomy()
