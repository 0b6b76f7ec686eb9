"""The two knee joints of a frontal radiograph of both knees, found without a network, and squares in mm around them.

A joint is where a drawn knee fits best: the ends of femur and tibia as wide as they are in adults, a dark space between
them, shafts that narrow away from it, soft tissue beside. Two things have to fit, and their normalised correlations
with the film, which neither exposure nor contrast change, are multiplied: the picture as it is, which a collimator's
edge, a marker or a foot does not look like, and its changes from above to below, which a shaft has none of. The best
place in each half of the film, for any of three sizes, is the joint; one that fits badly or is at quite another height
than the other is none (`doubts`).

Tried on phantoms (`semimed_monai.data.phantoms.write_both_knees`); on published cut knees, set side by side on legs as
wide as they are; on limbs of FracAtlas, whose scale is not known. Of some 200 of the latter the 69 places that fit best
are all knee joints, then come feet.

Looked for: `skimage.feature.match_template` is what correlates here. KNEEL (arXiv:1907.12237) finds landmarks by a
network, with weights of its own; the extremes of row and column sums, by which others cut OAI's films, follow
collimators and markers.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.feature import match_template

Plane = NDArray[np.float32]  # rows x columns in [0, 1], bones bright

LEAST = 0.42
"""Where there is no joint, a drawn knee fits worse."""

_PIXEL = 2.0  # mm, at which it is looked for
_LEVEL = 60.0  # mm by which the heights of a person's two joints may differ
_MARGIN = 35.0  # mm from the border within which the ends of the bones would not be on the film
_GRAIN = 0.002  # of the film's range: what is blank resembles nothing
_SIZES = (0.85, 1.0, 1.15)
_REACH, _EDGE = (70, 55), 2.0  # mm of the drawing above and below the joint, and to either side; of what changes
# Lines of the right half of a knee in mm: half the bones' width by the place below the tibial plateau; and by the place
# beside the middle, where the femur ends and the tibia begins.
_WIDTH = (
    (-90, -58, -38, -25, -13, -6, 0, 9, 25, 45, 90),
    (20, 24, 37, 41, 41, 38, 38, 38, 32, 22, 16),
)
_FEMUR = ((0, 6, 14, 22, 32, 38, 45), (-19, -18, -8, -5.5, -6, -9, -14))
_TIBIA = ((0, 4, 10, 16, 36, 40), (-4, -6, -3, 0, 0, 3))
_SOFT, _SPACE = 0.4, 0.5  # of the brightness of bone: beside it, and in the joint


class Joint(NamedTuple):
    """The middle of a tibial plateau, in mm from the film's upper left corner; how well a drawn knee fits, up to 1."""

    row: float
    column: float
    fit: float


def find_joints(film: Plane, pitch: float) -> tuple[Joint, Joint]:
    """The most likely joint in the left and in the right half of a film.

    Args:
        film: rows x columns, bones bright.
        pitch: mm of a pixel.

    Raises:
        ValueError: it is too small for two knees.
    """
    rows, columns = (round(side * pitch / _PIXEL) for side in film.shape)
    margin = round(_MARGIN / _PIXEL)
    if rows < 4 * margin or columns < 6 * margin:
        high, wide = (side * pitch for side in film.shape)
        raise ValueError(f"it shows {wide:.0f} x {high:.0f} mm, too little for two knees: look at its PixelSpacing")
    coarse = np.asarray(Image.fromarray(film).resize((columns, rows), Image.Resampling.BOX))
    coarse = coarse + _GRAIN * np.random.default_rng(0).standard_normal(coarse.shape, dtype=np.float32)
    fits = np.max([_fits(coarse, size) for size in _SIZES], axis=0)
    inside, middle = slice(margin, rows - margin), columns // 2
    return _best(fits, inside, slice(margin, middle)), _best(fits, inside, slice(middle, columns - margin))


def doubts(joints: tuple[Joint, Joint]) -> tuple[str, str]:
    """Why each of a film's joints is not to be taken for one; nothing where it is.

    >>> doubts((Joint(150, 100, 0.8), Joint(260, 300, 0.6)))
    ('', '110 mm below the other joint')
    >>> doubts((Joint(150, 100, 0.8), Joint(260, 300, 0.3)))
    ('', 'fit 0.30')
    """
    said = [f"fit {joint.fit:.2f}" if joint.fit < LEAST else "" for joint in joints]
    apart = joints[1].row - joints[0].row
    if not any(said) and abs(apart) > _LEVEL:
        worse = int(joints[1].fit < joints[0].fit)
        below = apart > 0 if worse else apart < 0
        said[worse] = f"{abs(apart):.0f} mm {'below' if below else 'above'} the other joint"
    return said[0], said[1]


def square_around(film: Plane, joint: Joint, side: float, pitch: float) -> Plane:
    """The square with a side of so many mm whose centre the joint is; black where the film ends.

    >>> film = np.arange(12, dtype=np.float32).reshape(3, 4)
    >>> square_around(film, Joint(row=1.25, column=0.25, fit=1), side=1.5, pitch=0.5)
    array([[0., 4., 5.],
           [0., 8., 9.],
           [0., 0., 0.]], dtype=float32)
    """
    pixels = round(side / pitch)
    square = np.zeros((pixels, pixels), np.float32)
    top, left = (round(centre / pitch - pixels / 2) for centre in (joint.row, joint.column))
    part = film[max(top, 0) : max(top + pixels, 0), max(left, 0) : max(left + pixels, 0)]
    down, right = max(-top, 0), max(-left, 0)
    square[down : down + part.shape[0], right : right + part.shape[1]] = part
    return square


def _best(fits: Plane, rows: slice, columns: slice) -> Joint:
    part = fits[rows, columns]
    row, column = np.unravel_index(np.argmax(part), part.shape)
    centre = (rows.start + int(row) + 0.5) * _PIXEL, (columns.start + int(column) + 0.5) * _PIXEL
    return Joint(*centre, float(part[row, column]))


def _fits(film: Plane, size: float) -> Plane:
    """How well a knee of that size fits around each pixel, 0 where one of the two does not fit at all."""
    alike = [_correlation(seen, drawn) for seen, drawn in zip((film, _changes(film)), _drawn_knee(size), strict=True)]
    return np.asarray(np.sqrt(np.prod(np.clip(alike, 0, None), axis=0)), dtype=np.float32)


def _correlation(film: Plane, drawing: Plane) -> Plane:
    reach = [(side // 2, side // 2) for side in drawing.shape]
    return np.asarray(match_template(np.pad(film, reach, mode="edge"), drawing), dtype=np.float32)


def _changes(picture: Plane) -> Plane:
    """From above to below."""
    return np.asarray(gaussian_filter(picture, _EDGE / _PIXEL, order=(1, 0)), dtype=np.float32)


@cache
def _drawn_knee(size: float) -> tuple[Plane, Plane]:
    """A knee, the middle of the tibial plateau at its centre, and its changes from above to below."""
    beyond = 5 * _EDGE  # so that what is cut off afterwards is all that the border has a part in
    reaches = [round((reach * size + beyond) / _PIXEL) for reach in _REACH]
    below, beside = (np.arange(-reach, reach + 1) * _PIXEL / size for reach in reaches)
    row, column = below[:, None], np.abs(beside)[None]
    bone = (row < np.interp(column, *_FEMUR)) | (row > np.interp(column, *_TIBIA))
    knee = np.where(column < np.interp(row, *_WIDTH), np.where(bone, 1.0, _SPACE), _SOFT)
    smooth = np.asarray(gaussian_filter(knee, 1.5 / _PIXEL), dtype=np.float32)
    inner = (slice(round(beyond / _PIXEL), -round(beyond / _PIXEL)),) * 2
    return smooth[inner], _changes(smooth)[inner]
