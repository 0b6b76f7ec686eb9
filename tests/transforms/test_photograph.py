"""Photographs: colour order, range, shape."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image
from small_files import refused

from semimed_monai.transforms import photograph


@pytest.fixture
def red_left(tmp_path: Path) -> str:
    """4 wide, 2 high: red on the left half, blue on the right."""
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[:, :2, 0], pixels[:, 2:, 2] = 255, 51
    Image.fromarray(pixels).save(tmp_path / "skin.png")
    return str(tmp_path / "skin.png")


def test_padded_by_default(red_left: str) -> None:
    image = photograph(4)({"image": red_left})["image"]

    assert image.shape == (3, 4, 4)
    assert image.dtype == torch.float32
    assert not isinstance(image, MetaTensor)
    torch.testing.assert_close(image[0, :, 0], torch.tensor([0.0, 1.0, 1.0, 0.0]))
    torch.testing.assert_close(image[2, 1], torch.tensor([0.0, 0.0, 0.2, 0.2]))


def test_squashed_with_its_mask(tmp_path: Path, red_left: str) -> None:
    Image.fromarray(np.array([[0, 0, 0, 255]] * 2, np.uint8)).save(tmp_path / "m.png")

    item = photograph(4, aspect="squash")({"image": red_left, "mask": str(tmp_path / "m.png"), "label": [0, 1, 1]})

    torch.testing.assert_close(item["image"][0, :, 0], torch.ones(4))
    assert item["mask"][0].tolist() == [[0, 0, 0, 1]] * 4
    assert item["label"].tolist() == [0, 1, 1]


def test_a_row_has_a_study_if_its_item_has(red_left: str) -> None:
    assert photograph(4)({"image": red_left, "group": "p1", "study": "p1/s2"})["study"] == "p1/s2"
    assert "study" not in photograph(4)({"image": red_left, "study": None})


def test_grey_and_transparent_pictures_become_rgb(tmp_path: Path) -> None:
    Image.new("LA", (3, 3), (102, 255)).save(tmp_path / "grey.png")
    torch.testing.assert_close(
        photograph(3)({"image": str(tmp_path / "grey.png")})["image"], torch.full((3, 3, 3), 0.4)
    )


def test_sixteen_bits_are_refused_rather_than_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((3, 3), 4000, np.uint16)).save(tmp_path / "deep.png")
    with refused("an 8-bit photograph is wanted"):
        photograph(3)({"image": str(tmp_path / "deep.png")})


def test_a_mask_of_another_size_is_refused(tmp_path: Path, red_left: str) -> None:
    Image.new("L", (2, 4)).save(tmp_path / "m.png")
    with refused(r"m\.png: \(4, 2\) pixels"):
        photograph(4)({"image": red_left, "mask": str(tmp_path / "m.png")})


def test_a_volume_is_no_photograph(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 1), np.float32), np.eye(4)), tmp_path / "skin.nii.gz")
    with refused(r"skin\.nii\.gz: a photograph is a PNG or JPEG"):
        photograph(4)({"image": str(tmp_path / "skin.nii.gz")})
