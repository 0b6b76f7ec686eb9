"""Which files in a folder are images, and which of them can be loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from semimed_monai.data import TolerantDataset, find_images
from semimed_monai.data.find import is_result
from semimed_monai.data.phantoms import write_dicom_series
from semimed_monai.transforms import knee_mr, slice_items_of, write_map, write_mask

AFFINE = np.array([[0.0, 0, 3, 0], [-0.5, 0, 0, 0], [0, -0.5, 0, 0], [0, 0, 0, 1]])


def volume(path: Path, value: int = 1) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.full((8, 6, 3), value, np.int16)
    array[0] += np.arange(6, dtype=np.int16)[:, None]
    nib.save(nib.Nifti1Image(array, AFFINE), path)
    return str(path)


def series(folder: Path, patient: str = "p") -> list[Path]:
    return write_dicom_series(folder, np.ones((8, 6, 3), np.int16), AFFINE, patient)


def found(folder: Path) -> list[str]:
    return [str(Path(image).relative_to(folder)) for image in find_images(folder)]


def test_every_kind_of_image_is_found_once_in_order(tmp_path: Path) -> None:
    volume(tmp_path / "b" / "knee.nii.gz")
    volume(tmp_path / "KNEE.NII")
    series(tmp_path / "series")
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    Image.new("L", (4, 4)).save(tmp_path / "b" / "c.JPG")
    volume(tmp_path / ".cache" / "hidden.nii")
    volume(tmp_path / ".hidden.nii")
    (tmp_path / "notes.txt").write_text("no image")
    assert found(tmp_path) == ["KNEE.NII", "a.png", "b/c.JPG", "b/knee.nii.gz", "series"]
    assert find_images(tmp_path / "series") == [str(tmp_path / "series")]
    assert find_images(str(tmp_path / "a.png")) == [str(tmp_path / "a.png")]


def test_dicom_files_are_one_series_or_each_an_image(tmp_path: Path) -> None:
    for number in range(2):  # radiographs: a series each; one has no ending, one is damaged but called .dcm
        first = series(tmp_path / "made" / str(number), patient=str(number))[0]
        (tmp_path / "chests").mkdir(exist_ok=True)
        first.rename(tmp_path / "chests" / ("IM0" if number else "one.dcm"))
    (tmp_path / "chests" / "cut.dcm").write_bytes(b"DICM")
    (tmp_path / "chests" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    assert found(tmp_path / "chests") == ["IM0", "cut.dcm", "one.dcm"]

    for file in (*series(tmp_path / "x", "one"), *series(tmp_path / "y", "two")):
        (tmp_path / "mixed").mkdir(exist_ok=True)
        file.rename(tmp_path / "mixed" / f"{file.parent.name}{file.name}")
    assert find_images(tmp_path / "mixed") == [str(tmp_path / "mixed")]
    rows = TolerantDataset(slice_items_of([str(tmp_path / "mixed")]), knee_mr(16), size=16)
    assert "2 DICOM series in this folder; give each series a folder of its own" in rows[0]["problem"]


def test_results_are_no_images(tmp_path: Path) -> None:
    image = volume(tmp_path / "knee.nii.gz")
    Image.new("L", (8, 8)).save(tmp_path / "p.png")
    # A person's own mask has no mark, whatever its name: it is listed.
    volume(tmp_path / "other_cartilage.nii")
    write_mask(torch.ones(3, 8, 8), image, tmp_path / "knee_cartilage.nii.gz")
    write_map(torch.rand(3, 8, 8), image, tmp_path / "renamed.nii")
    write_mask(torch.ones(8, 8), str(tmp_path / "p.png"), tmp_path / "p_cartilage.png")
    assert found(tmp_path) == ["knee.nii.gz", "other_cartilage.nii", "p.png"]
    assert is_result(tmp_path / "renamed.nii")
    with pytest.raises(ValueError, match=r"p_cartilage\.png: a result .* give the image beside it"):
        find_images(tmp_path / "p_cartilage.png")


def test_nothing_found_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no NIfTI, DICOM, PNG or JPEG"):
        find_images(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        find_images(tmp_path / "nowhere")


def damaged(folder: Path) -> list[str]:
    """A good volume, one cut short, one that is no NIfTI at all, one that is missing."""
    good, cut = volume(folder / "good.nii.gz"), str(folder / "cut.nii.gz")
    noise = np.random.default_rng(0).integers(0, 1000, (40, 40, 3)).astype(np.int16)
    nib.save(nib.Nifti1Image(noise, AFFINE), cut)
    Path(cut).write_bytes(Path(cut).read_bytes()[:-40])
    (folder / "junk.nii").write_bytes(b"junk")
    return [good, cut, str(folder / "junk.nii"), str(folder / "missing.nii")]


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_becomes_a_blank_row_with_its_problem(tmp_path: Path, workers: int) -> None:
    images = damaged(tmp_path)
    rows = TolerantDataset(slice_items_of(images), knee_mr(16), size=16)
    batches: list[dict[str, Any]] = list(DataLoader(rows, batch_size=3, num_workers=workers))
    problems = dict(pair for b in batches for pair in zip(b["source"], b["problem"], strict=True))
    assert [len(batch["image"]) for batch in batches] == [3, 3, 2]
    assert torch.cat([batch["image"] for batch in batches])[3:].abs().sum() == 0
    assert batches[0]["image"].sum() > 0
    assert batches[0]["problem"] == ["", "", ""]
    assert "cut short" in problems[images[1]]
    assert "junk.nii" in problems[images[2]]
    assert "no such file" in problems[images[3]]


def test_an_image_that_failed_is_not_read_again(tmp_path: Path) -> None:
    read: list[str] = []

    def reading(item: dict[str, Any]) -> dict[str, Any]:
        read.append(item["image"])
        raise ValueError("damaged")

    items = [{"id": f"a#{index}", "image": "a", "slice": index} for index in range(3)]
    rows = TolerantDataset(items, reading, size=4, channels=3)
    assert [(rows[n]["problem"], rows[n]["slice"], rows[n]["image"].shape[0]) for n in range(3)] == [
        ("damaged", n, 3) for n in range(3)
    ]
    assert read == ["a"]
