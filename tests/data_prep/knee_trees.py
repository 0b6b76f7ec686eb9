"""Small trees of knee MR volumes, their tables of grades, and what is in the datalists made of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from data_prep.knee_mri import prepare

# Columns run to the back, rows down, slices to the right: what a scanner calls sagittal, in RAS.
SAGITTAL = np.array([[0, 0, 3.0, -9], [-0.7, 0, 0, 5], [0, -0.7, 0, 5], [0, 0, 0, 1]])
CORONAL = np.array([[-0.7, 0, 0, 5], [0, 0, -3.0, -9], [0, -0.7, 0, 5], [0, 0, 0, 1]])
SLICES = 4
SUBJECTS = [f"s{number}" for number in range(6)]


def counted(slices: int = SLICES) -> np.ndarray:
    """8 x 8 x slices voxels; slice n has n + 1 bright ones."""
    volume = np.zeros((64, slices), np.int16)
    for number in range(slices):
        volume[: number + 1, number] = 900
    return volume.reshape(8, 8, slices)


def write_table(file: Path, rows: list[str], head: str = "subject,volume,slice,grade") -> Path:
    file.write_text("\n".join([head, *rows]) + "\n")
    return file


def edit(file: Path, **values) -> None:
    data = pydicom.dcmread(file)
    for key, value in values.items():
        setattr(data, key, value)
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.save_as(file)


def edit_all(folder: Path, **values) -> None:
    for file in folder.iterdir():
        edit(file, **values)


def nifti(file: Path, array: np.ndarray, affine: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), file)


def made(tree: Path, **settings) -> Path:
    return prepare(tree, tree.parent / "grades.csv", tree.parent / "out", **settings)


def refusal(tree: Path, kind: type[Exception] = ValueError, **settings) -> str:
    with pytest.raises(kind) as caught:
        made(tree, **settings)
    assert not (tree.parent / "out").exists()
    return str(caught.value)


def add_row(tree: Path, row: str) -> None:
    with (tree.parent / "grades.csv").open("a") as lines:
        lines.write(row + "\n")


def share_a_folder(tree: Path) -> None:
    """s0 and s1 put their series into one folder, with another one that nobody graded."""
    shared = tree / "both"
    shared.mkdir()
    for name in ("s0", "s1"):
        for file in (tree / name / "pd").iterdir():
            shutil.move(file, shared / f"{name}{file.name}")
        (tree / name / "pd").rmdir()
    table = tree.parent / "grades.csv"
    table.write_text(table.read_text().replace("s0/pd", "both").replace("s1/pd", "both"))
