"""The settings with which DC-MT's recipe takes seconds."""

from __future__ import annotations

TINY_DCMT = (
    "--image_size=32",
    "--width=16",
    "--max_epochs=2",
    "--steps_per_epoch=3",
    "--labelled_rows=4",
    "--unlabelled_rows=2",
    "--test#evaluation#bootstrap_repeats=20",
)
