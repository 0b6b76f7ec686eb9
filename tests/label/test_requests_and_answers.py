"""A request of MONAI Label through a bundle's transforms, without the app: the planes that `run` sees, and its maps."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from semimed_monai.label import ClassAnswer, MapAnswer, MaskAnswer, ReadRequest, SlicesInferer
from semimed_monai.transforms import knee_mr, slice_items, to_source_geometry
from semimed_monai.transforms.squares import Aspect

AFFINE = np.array([[0.1, -0.05, -2.8, 12], [0.5, 0.1, 0.3, -30], [0.05, -0.6, 0.2, 8], [0, 0, 0, 1]])
SIZE = 16


@pytest.fixture
def volume(tmp_path: Path) -> str:
    array = np.random.default_rng(0).random((10, 12, 5)).astype(np.float32)
    nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / "knee.nii.gz")
    return str(tmp_path / "knee.nii.gz")


@pytest.fixture
def picture(tmp_path: Path) -> str:
    pixels = np.random.default_rng(1).integers(0, 255, (10, 14), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "knee.png")
    return str(tmp_path / "knee.png")


def test_a_request_keeps_what_it_says_and_gets_all_slices(volume: str) -> None:
    preprocess = knee_mr(SIZE)
    read = ReadRequest(preprocess)({"image": volume, "model": "dcmt", "image_path": volume})
    assert (read["model"], read["image_path"], read["source"], read["result_extension"]) == (
        "dcmt",
        volume,
        volume,
        ".nii.gz",
    )
    assert read["image"].shape == (1, 5, SIZE, SIZE)
    for index, item in enumerate(slice_items(volume)):
        assert torch.equal(read["image"][:, index], preprocess(item)["image"])


def test_a_request_may_say_in_what_its_answer_is_written(picture: str) -> None:
    read = ReadRequest(knee_mr(SIZE))
    assert read({"image": picture})["result_extension"] == ".png"
    assert read({"image": picture, "result_extension": ".nrrd"})["result_extension"] == ".nrrd"


def test_the_network_sees_slices_in_batches_as_it_sees_them_in_a_run() -> None:
    seen = []

    def network(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images.mean((2, 3), keepdim=True) + torch.arange(2)[None, :, None, None]

    volume = torch.rand(1, 1, 5, 8, 8)
    infer = SlicesInferer(2)
    answer = infer(volume, network)
    assert seen == [2, 2, 1]
    assert answer.shape == (1, 2, 5, 1, 1)
    assert torch.equal(answer[0].transpose(0, 1), network(volume[0].transpose(0, 1)))
    assert torch.equal(infer(volume[:, :, 0], network), network(volume[:, :, 0]))


def planes(maps: Tensor, *probabilities: list[float]) -> Tensor:
    """What a deployed classifier gives for each slice: (1+C)×S×H×W."""
    constant = torch.tensor(probabilities).T[:, :, None, None].expand(-1, -1, *maps.shape[1:])
    return torch.cat([maps[None], constant])


def test_a_map_is_cut_off_in_the_geometry_of_its_image(volume: str) -> None:
    maps = torch.rand(5, SIZE, SIZE)
    grades = [[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.0, 1.0]]
    answer = MapAnswer(0.5, ["normal", "torn"])({"pred": planes(maps, *grades), "source": volume, "image": maps})
    found, affine = to_source_geometry(maps, volume)
    index, _ = to_source_geometry(torch.tensor([2, 1, 2, 1, 2])[:, None, None].expand(5, SIZE, SIZE), volume)
    assert answer["pred"].dtype == np.uint8
    np.testing.assert_array_equal(answer["pred"], (found > 0.5) * index)
    np.testing.assert_array_equal(answer["pred_meta_dict"]["affine"], affine)
    assert answer["result"] == {"classes": ["torn", "normal", "torn", "normal", "torn"]}
    assert "image" not in answer


def test_the_threshold_is_the_recipe_s(picture: str) -> None:
    even = torch.full((1, 1, 4, 4), 0.4)
    assert not MapAnswer(0.5, plane=True)({"pred": even, "source": picture})["pred"].any()
    assert MapAnswer(0.3, plane=True)({"pred": even, "source": picture})["pred"].all()


@pytest.mark.parametrize(("aspect", "rows"), [("pad", 0), ("squash", 1)])
def test_a_map_lies_where_the_preprocessing_put_the_image(picture: str, aspect: Aspect, rows: int) -> None:
    """Of a picture of 10×14 the first row of a 7×7 map is padding, or the first 1.4 rows."""
    first = torch.zeros(1, 1, 7, 7)
    first[..., 0, :] = 1
    found = MapAnswer(0.5, plane=True, aspect=aspect)({"pred": first, "source": picture})["pred"].T
    assert found.shape == (10, 14)
    np.testing.assert_array_equal(found.sum(axis=1), [14] * rows + [0] * (10 - rows))


def test_a_map_without_classes_gives_ones(picture: str) -> None:
    coarse = torch.zeros(1, 1, 4, 4)
    coarse[..., 1, 2] = 1
    answer = MapAnswer(0.5, plane=True)({"pred": coarse, "source": picture})
    assert answer["pred"].shape == (14, 10)  # x and y
    # The square is 14 wide, with two rows of padding above: a cell is 3.5 pixels, the cell's centre at row 5.25 - 2.
    assert answer["pred"][8, 3] == 1
    assert set(np.unique(answer["pred"])) == {0, 1}
    assert answer["pred_meta_dict"]["affine"] is None


def test_a_mask_is_turned_as_a_run_writes_it(volume: str) -> None:
    mask = torch.randint(0, 3, (1, 5, SIZE, SIZE))
    answer = MaskAnswer()({"pred": mask, "source": volume})
    np.testing.assert_array_equal(answer["pred"], to_source_geometry(mask[0], volume)[0])


def test_the_class_of_several_slices_is_refused(volume: str) -> None:
    with pytest.raises(ValueError, match=r"knee.nii.gz: 5 slices, and MONAI Label asks for the class of one"):
        ClassAnswer()({"pred": torch.rand(3, 5, SIZE, SIZE), "source": volume})
