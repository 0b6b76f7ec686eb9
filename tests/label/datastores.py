"""Datastores as MONAI Label leaves them on disk, and labels as its clients submit them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from semimed_monai.data.phantoms import KneePhantom

Pairs = list[dict[str, str]]


def write_index(
    root: Path,
    extensions: Mapping[str, str],
    labelled: Mapping[str, str],
    drafts: Mapping[str, str] | None = None,
    images: str = ".",
) -> None:
    """`datastore_v2.json` of images and, of some, the extension of the label, or of a draft that nobody submitted."""

    def labels(name: str) -> dict[str, Any]:
        tags = {"final": labelled, "original": drafts or {}}
        return {tag: {"ext": of[name], "info": {}} for tag, of in tags.items() if name in of}

    objects = {name: {"image": {"ext": ext, "info": {}}, "labels": labels(name)} for name, ext in extensions.items()}
    content = {"name": "new-dataset", "images_dir": images, "labels_dir": "labels", "objects": objects}
    (root / "datastore_v2.json").write_text(json.dumps(content))


def picture_store(root: Path, labels: list[str], unlabelled: int) -> Pairs:
    """Pictures, the first of them with a label of this text; what MONAI Label would make of them."""
    (root / "labels/final").mkdir(parents=True)
    count = len(labels) + unlabelled
    digits = max(2, len(str(count - 1)))
    names = [f"skin_{number:0{digits}d}" for number in range(count)]
    for number, name in enumerate(names):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(root / f"{name}.png")
    pairs = []
    for name, label in zip(names, labels, strict=False):
        (root / f"labels/final/{name}").write_text(label)
        pairs.append({"image": str(root / f"{name}.png"), "label": str(root / f"labels/final/{name}")})
    write_index(root, dict.fromkeys(names, ".png"), dict.fromkeys(names[: len(labels)], ""))
    return pairs


def paint(knee: KneePhantom, slices: list[int], file: Path) -> Path:
    """A label map as a client submits it: the cartilage of some slices, filled with the slice's grade + 1."""
    values = np.zeros(knee.site.shape, np.uint8)
    for index in slices:
        values[:, :, index] = knee.site[:, :, index] * (knee.grades[index] + 1)
    nib.save(nib.Nifti1Image(values, knee.affine), file)
    return file
