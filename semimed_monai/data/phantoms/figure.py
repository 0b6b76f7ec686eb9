"""A sheet of phantom slices, for the README and for whoever tunes `KneeAnatomy`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from semimed_monai.data.phantoms.anatomy import KNEE_CLASSES, STANDARD_KNEE, KneeAnatomy
from semimed_monai.data.phantoms.knee import knee_phantom
from semimed_monai.data.phantoms.knee_set import cartilage_mask


def draw_phantoms(
    path: str | Path, count: int = 12, seed: int = 0, anatomy: KneeAnatomy = STANDARD_KNEE, dilation: int = 3
) -> None:
    """Draw one slice each of `count` people, the classes in turn, with the mask's outline, as a PNG (or PDF, SVG).

    Example:
        >>> draw_phantoms("/tmp/phantoms.png", count=4)
    """
    columns = min(count, 4)
    rows = -(-count // columns)
    figure = Figure(figsize=(2.6 * columns, 2.85 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    index = -1
    for place in range(count):
        grade = place % len(KNEE_CLASSES)
        index, person = next(
            (candidate, knee)
            for candidate in range(index + 1, index + 100)
            if grade in (knee := knee_phantom(seed, candidate, anatomy)).grades
        )
        k = person.grades.index(grade)
        image, mask = person.volume[..., k].T, cartilage_mask(person.site, dilation)[..., k].T
        axes[place].imshow(image, cmap="gray", vmin=0, vmax=np.percentile(image, 99.7))
        axes[place].contour(mask, levels=[0.5], colors="tab:orange", linewidths=0.8)
        axes[place].set_title(KNEE_CLASSES[grade], fontsize=10)
    figure.savefig(path, dpi=110)
