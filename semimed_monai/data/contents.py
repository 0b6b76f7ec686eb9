"""What lies in the files that a datalist names: whether each is there, whole and finite, and fits its items.

A mask's values are those that its list gives a meaning: class indices in a list without labels, any whole numbers from
0 in one with labels, class index + 1 in a label map. It lies on its image's grid.
"""

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

from semimed_monai.data.roles import box_problem
from semimed_monai.files import cache_folder

# nibabel has no type hints.
turning: Any = nib.orientations

# Raise it when the checks become stricter: what older ones found good is then examined again.
_CHECKS = 3


class Use(NamedTuple):
    """The files that an item names, the slice that it takes of them, and the boxes that should lie in it."""

    where: str
    files: Mapping[str, str]
    slice: object
    boxes: Sequence[Sequence[float]] = ()


class _Contents(NamedTuple):
    """A file's format, its size along each axis as the format orders them, how many slices there are to choose from,
    and, of a NIfTI, how voxel indices become millimetres.
    """

    kind: str
    shape: tuple[int, ...]
    slices: int
    affine: NDArray[np.float64] | None = None


class _Meaning(NamedTuple):
    """What the values of a mask may be: whole numbers from 0 to `highest`; and how to say so."""

    highest: float
    name: str
    advice: str


def _opened(path: Path) -> tuple[NDArray[Any], _Contents]:
    """All pixels of a file (only reading them all shows that it is whole), and what it is."""
    name = path.name.lower()
    if path.is_dir():
        scans = [pydicom.dcmread(file) for file in sorted(path.iterdir()) if not file.name.startswith(".")]
        pixels = np.stack([scan.pixel_array for scan in scans])
        return pixels, _Contents("DICOM", (scans[0].Columns, scans[0].Rows, len(scans)), len(scans))
    if name.endswith((".nii", ".nii.gz")):
        volume: Any = nib.load(path)
        if not abs(np.linalg.det(volume.affine)) > 0:
            raise ValueError("its affine has no inverse")
        shape = (*volume.shape, 1, 1)[:3]
        axis = turning.io_orientation(volume.affine)[:, 0].tolist().index(0)  # 0 is left-right
        lone = shape[2] == 1 and axis != 2  # a plane that is not sagittal (a radiograph) is one slice
        return np.asanyarray(volume.dataobj), _Contents("NIfTI", shape, 1 if lone else shape[axis], volume.affine)
    if name.endswith((".png", ".jpg", ".jpeg")):
        with Image.open(path) as picture:
            picture.load()  # numpy, not every version, swallows what goes wrong while it asks for the pixels
            # A mask in colours counts by its brightness, one with a palette by its indices: so is it read to train.
            single = picture.mode in {"1", "L", "F", "P"} or picture.mode.startswith("I")
            return np.asarray(picture if single else picture.convert("L")), _Contents("picture", (*picture.size, 1), 0)
    scan = pydicom.dcmread(path)
    frames = int(scan.get("NumberOfFrames", 1))
    return scan.pixel_array, _Contents("DICOM", (scan.Columns, scan.Rows, frames), frames if frames > 1 else 0)


def _examined(path: Path, meaning: _Meaning | None) -> _Contents | str:
    """What a file is, or what is wrong with it; `meaning` is given for a mask or a label map."""
    try:
        pixels, contents = _opened(path)
    except Exception as error:  # noqa: BLE001 - every reader has errors of its own kinds, and each of them belongs into the list
        return f"cannot be read ({type(error).__name__}: {error}): copy it again, or remove its items"
    if pixels.dtype.kind not in "biuf":
        return f"has {pixels.dtype} pixels, not a number each: convert it to grey, or remove its items"
    if pixels.dtype.kind == "f" and (bad := np.count_nonzero(~np.isfinite(pixels))):
        return f"has {bad} values that are NaN or infinite: replace them in the file, or remove its items"
    if meaning and (strange := _strange(pixels, meaning.highest)):
        return f"has values that are no {meaning.name} ({strange}): write {meaning.advice}"
    return contents


def _strange(pixels: NDArray[Any], highest: float) -> list[Any]:
    """The first few of the values that are not whole numbers from 0 to `highest`."""
    wrong = (pixels < 0) | (pixels > highest)
    if pixels.dtype.kind == "f":
        wrong |= pixels != np.rint(pixels)
    few: list[Any] = np.unique(pixels[wrong])[:5].tolist()
    return few


def _meanings(uses: Sequence[Use], classes: int, graded: bool) -> dict[str, _Meaning]:
    """What the values of each mask and label map may be, by file."""
    mask = _Meaning(np.inf, "whole numbers from 0", "0 outside, 1 inside")
    if not graded:
        indices = f"class indices, 0 to {classes - 1} (the list has no labels: its masks are segmentations)"
        mask = _Meaning(classes - 1, "class", indices)
    label_map = _Meaning(classes, "class", "0 for background, else class index + 1")
    masks = {use.files["mask"]: mask for use in uses if "mask" in use.files}
    return masks | {use.files["label_map"]: label_map for use in uses if "label_map" in use.files}


def file_problems(uses: Sequence[Use], root: Path, digest: str, *, classes: int, graded: bool) -> list[str]:
    """What is wrong with the files: each is opened once, and not at all if the very same were found good before.

    Args:
        uses: what each item names.
        root: the folder that the names are relative to.
        digest: of the datalist.
        classes: how many there are.
        graded: whether any item has a label; if none has, the masks hold classes.
    """
    users: dict[str, str] = {}
    for use in uses:
        for name in use.files.values():
            users.setdefault(name, use.where)
    meanings = _meanings(uses, classes, graded)
    missing = [name for name in users if not (root / name).exists()]
    problems = [
        f"{users[name]}: {name} is missing in {root}: correct the path, or remove its items" for name in missing
    ]
    there = sorted({*users} - {*missing})
    stamp = _stamp([root / name for name in there], digest)
    if not missing and os.path.exists(stamp):  # noqa: PTH110 - False, too, where the folder may not be looked into
        return []
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda name: _examined(root / name, meanings.get(name)), there)
        progress = tqdm(results, "checking files", len(there), delay=2, leave=False)
        found = dict(zip(there, progress, strict=True))
    problems += [f"{users[name]}: {name} {result}" for name, result in found.items() if isinstance(result, str)]
    problems += _use_problems(uses, {name: result for name, result in found.items() if isinstance(result, _Contents)})
    if not problems:
        with contextlib.suppress(OSError):  # where nothing can be written, the files are read again the next time
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.touch()
    return problems


def _stamp(paths: Sequence[Path], digest: str) -> Path:
    """The file in the cache folder whose existence says that these files, as they are now, are good."""
    state = hashlib.sha256(f"{_CHECKS} {digest}\n".encode())
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            state.update(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}\n".encode())
    return cache_folder() / "checked" / state.hexdigest()


def _use_problems(uses: Sequence[Use], found: Mapping[str, _Contents]) -> list[str]:
    """Slices that an image does not have or an item does not name; boxes outside it; masks off their image's grid, each
    pair once.
    """
    problems: list[str] = []
    pairs: dict[tuple[str, str], tuple[str, str]] = {}
    for use in uses:
        name = use.files.get("image", "")
        if name not in found:
            continue
        if wrong := _slice_problem(use.slice, name, found[name].slices):
            problems.append(f"{use.where}: {wrong}")
        if wrong := box_problem(use.boxes, *found[name].shape[:2]):
            problems.append(f"{use.where}: {wrong}")
        for key in ("mask", "label_map"):
            if use.files.get(key) in found:
                pairs.setdefault((name, use.files[key]), (use.where, key))
    for (image, mask), (where, key) in pairs.items():
        if wrong := _grid_problem(found[image], found[mask]):
            advice = f"resample the {key} to the image's grid, or correct the path"
            problems.append(f"{where}: {image} and its {key} {mask} {wrong}: {advice}")
    return problems


def _slice_problem(wanted: object, image: str, slices: int) -> str | None:
    if wanted is None and slices > 1:
        return f'{image} has {slices} slices and the item names none: add "slice" (0 to {slices - 1}), an item for each'
    if type(wanted) is int and wanted >= slices:
        last = f"its last slice is {slices - 1}" if slices else "it has no slices, leave 'slice' out"
        return f"slice {wanted} of {image} does not exist: {last}"
    return None


def _grid_problem(image: _Contents, mask: _Contents) -> str | None:
    """How the grids differ. Two NIfTI files may differ in their axes' order and direction, and by half a voxel: what
    `semimed_monai.transforms.grid.Grid.align`, which reads them to train, can bring together.
    """
    shape, apart, voxel = mask.shape, 0.0, 1.0
    if image.affine is not None and mask.affine is not None:
        turn = turning.ornt_transform(turning.io_orientation(mask.affine), turning.io_orientation(image.affine))
        shape = tuple(mask.shape[axis] for axis in np.argsort(turn[:, 0]))
        moved = mask.affine @ turning.inv_ornt_aff(turn, mask.shape) - image.affine
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in image.shape], [1])).reshape(4, -1)
        apart = np.linalg.norm((moved @ corners)[:3], axis=0).max()
        voxel = np.linalg.norm(image.affine[:3, :3], axis=0).min()
    # Formats differ in the order of their axes; within a format the order must be the same too.
    same = shape == image.shape if image.kind == mask.kind else sorted(shape) == sorted(image.shape)
    if not same:
        sizes = " and ".join(" x ".join(map(str, size)) for size in (image.shape, shape))
        return f"differ in shape ({sizes})"
    if apart / voxel > 0.5:
        return f"lie up to {apart:.3g} mm apart ({apart / voxel:.3g} voxels; half of one is allowed)"
    return None
