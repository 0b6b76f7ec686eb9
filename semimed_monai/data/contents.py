"""What lies in the files that a datalist names: whether each is there, whole and finite, and fits its items."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from semimed_monai.places import cache_folder


class Use(NamedTuple):
    """The files that an item names, and the slice that it takes of them."""

    where: str
    files: Mapping[str, str]
    slice: object


class _Contents(NamedTuple):
    """A file's format, its size along each axis as the format orders them, how many slices there are to choose from."""

    kind: str
    shape: tuple[int, ...]
    slices: int


def _opened(path: Path) -> tuple[NDArray[Any], _Contents]:
    """All pixels of a file (only reading them all shows that it is whole), and what it is."""
    name = path.name.lower()
    if path.is_dir():
        scans = [pydicom.dcmread(file) for file in sorted(path.iterdir()) if not file.name.startswith(".")]
        pixels = np.stack([scan.pixel_array for scan in scans])
        return pixels, _Contents("DICOM", (scans[0].Columns, scans[0].Rows, len(scans)), len(scans))
    if name.endswith((".nii", ".nii.gz")):
        volume: Any = nib.load(path)
        shape = (*volume.shape, 1, 1)[:3]
        nearest = nib.io_orientation(volume.affine)[:, 0]  # type: ignore[no-untyped-call]
        axis = nearest.tolist().index(0)  # 0 is left-right
        return np.asanyarray(volume.dataobj), _Contents("NIfTI", shape, shape[axis])
    if name.endswith((".png", ".jpg", ".jpeg")):
        with Image.open(path) as picture:
            picture.load()  # numpy, not every version, swallows what goes wrong while it asks for the pixels
            return np.asarray(picture), _Contents("picture", (*picture.size, 1), 0)
    scan = pydicom.dcmread(path)
    frames = int(scan.get("NumberOfFrames", 1))
    return scan.pixel_array, _Contents("DICOM", (scan.Columns, scan.Rows, frames), frames if frames > 1 else 0)


def _examined(path: Path, classes: int | None) -> _Contents | str:
    """What a file is, or what is wrong with it; `classes` is given for a label map."""
    try:
        pixels, contents = _opened(path)
    except Exception as error:  # noqa: BLE001 - every reader has errors of its own kinds, and each of them belongs into the list
        return f"cannot be read ({type(error).__name__}: {error}): copy it again, or remove its items"
    if pixels.dtype.kind == "f" and (bad := np.count_nonzero(~np.isfinite(pixels))):
        return f"has {bad} values that are NaN or infinite: replace them in the file, or remove its items"
    if classes is not None and (strange := {*np.unique(pixels).tolist()} - {*range(classes + 1)}):
        return f"has values that are no class ({sorted(strange)[:5]}): write 0 for background, else class index + 1"
    return contents


def file_problems(uses: Sequence[Use], root: Path, digest: str, classes: int) -> list[str]:
    """What is wrong with the files: each is opened once, and not at all if the very same were found good before."""
    users: dict[str, str] = {}
    for use in uses:
        for name in use.files.values():
            users.setdefault(name, use.where)
    maps = {use.files.get("label_map") for use in uses}
    missing = [name for name in users if not (root / name).exists()]
    problems = [
        f"{users[name]}: {name} is missing in {root}: correct the path, or remove its items" for name in missing
    ]
    there = sorted({*users} - {*missing})
    stamp = _stamp([root / name for name in there], digest)
    if not missing and os.path.exists(stamp):  # noqa: PTH110 - False, too, where the folder may not be looked into
        return []
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda name: _examined(root / name, classes if name in maps else None), there)
        progress = tqdm(results, "checking files", len(there), delay=2, leave=False)
        found = dict(zip(there, progress, strict=True))
    problems += [f"{users[name]}: {name} {result}" for name, result in found.items() if isinstance(result, str)]
    problems += _grid_problems(uses, {name: result for name, result in found.items() if isinstance(result, _Contents)})
    if not problems:
        with contextlib.suppress(OSError):  # where nothing can be written, the files are read again the next time
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.touch()
    return problems


def _stamp(paths: Sequence[Path], digest: str) -> Path:
    """The file in the cache folder whose existence says that these files, as they are now, are good."""
    state = hashlib.sha256(digest.encode())
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            state.update(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}\n".encode())
    return cache_folder() / "checked" / state.hexdigest()


def _grid_problems(uses: Sequence[Use], found: Mapping[str, _Contents]) -> list[str]:
    """Slices that an image does not have, and masks of another shape than their image, each pair of files once."""
    problems: dict[object, str] = {}
    for use in uses:
        image = found.get(use.files.get("image", ""))
        if image and type(use.slice) is int and use.slice >= image.slices:
            last = f"its last slice is {image.slices - 1}" if image.slices else "it has no slices, leave 'slice' out"
            problems[use.where] = f"{use.where}: slice {use.slice} of {use.files['image']} does not exist: {last}"
        for key in ("mask", "label_map"):
            mask = found.get(use.files.get(key, ""))
            if image and mask and not _same_grid(image, mask):
                names = (use.files["image"], use.files[key])
                sizes = " and ".join(" x ".join(map(str, contents.shape)) for contents in (image, mask))
                text = f"{use.where}: {names[0]} and its {key} {names[1]} differ in shape ({sizes}): resample the {key}"
                problems.setdefault(names, text)
    return list(problems.values())


def _same_grid(image: _Contents, mask: _Contents) -> bool:
    """Formats differ in the order of their axes; within a format the order must be the same too."""
    if image.kind == mask.kind:
        return image.shape == mask.shape
    return sorted(image.shape) == sorted(mask.shape)
