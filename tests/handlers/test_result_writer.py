"""Slices in any batches become one file per image, on a real MONAI evaluator."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.engines.evaluator import SupervisedEvaluator
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from semimed_monai.data import TolerantDataset, find_images
from semimed_monai.handlers import ResultWriter, UnreadableImagesError
from semimed_monai.transforms import ChosenClassesd, knee_mr, slice_items_of, write_map

AFFINE = np.array([[0.0, 0, 3, 0], [-0.5, 0, 0, 0], [0, -0.5, 0, 0], [0, 0, 0, 1]])


def volume(path: Path, slices: int, seed: int) -> str:
    array = np.random.default_rng(seed).integers(0, 1000, (16, 16, slices)).astype(np.int16)
    nib.save(nib.Nifti1Image(array, AFFINE), path)
    return str(path)


class Threshold(nn.Module):
    """Two classes: bright pixels are of class 1."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([1 - images, images], dim=1)


def run(folder: Path, writer: ResultWriter, batch_size: int, masks: bool = True) -> SupervisedEvaluator:
    rows = TolerantDataset(slice_items_of(find_images(folder)), knee_mr(16), size=16)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(rows, batch_size=batch_size),
        network=Threshold(),
        postprocessing=ChosenClassesd("pred", [1]) if masks else lambda row: {**row, "pred": row["pred"][1:]},
        val_handlers=[writer],
    )
    evaluator.run()
    return evaluator


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_an_image_is_written_when_its_last_slice_came(tmp_path: Path, batch_size: int) -> None:
    for number, slices in enumerate((3, 5, 1)):
        volume(tmp_path / f"v{number}.nii.gz", slices, number)
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "p.png")
    items = slice_items_of(find_images(tmp_path))
    writer = ResultWriter(items, ending="_bright")
    order: list[str] = []
    write = writer.write
    writer.write = lambda *given, **named: (order.append(Path(given[1]).name), write(*given, **named))[1]
    run(tmp_path, writer, batch_size)
    writer.finish()
    assert order == ["p.png", "v0.nii.gz", "v1.nii.gz", "v2.nii.gz"]
    for number in range(3):
        image, mask = (nib.load(tmp_path / f"v{number}{end}.nii.gz") for end in ("", "_bright"))
        expected = [
            knee_mr(16)(item)["image"][0] > 0.5 for item in slice_items_of([str(tmp_path / f"v{number}.nii.gz")])
        ]
        # Stored axes are posterior, inferior, right: planes are their transpose.
        stored = np.stack([plane.numpy().T for plane in expected], axis=2)
        np.testing.assert_array_equal(np.asarray(mask.dataobj), stored)
        np.testing.assert_array_equal(mask.affine, image.affine)
    assert np.asarray(Image.open(tmp_path / "p_bright.png")).any()
    assert not writer._parts


def test_maps_are_floats_in_the_images_geometry(tmp_path: Path) -> None:
    image = volume(tmp_path / "v.nii", 3, seed=0)
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "p.png")
    writer = ResultWriter(slice_items_of(find_images(tmp_path)), ending="_map", write=write_map)
    run(tmp_path, writer, batch_size=2, masks=False)
    written = nib.load(tmp_path / "v_map.nii.gz")
    assert written.get_data_dtype() == np.float32
    expected = knee_mr(16)({"image": image, "slice": 1})["image"][0].T
    np.testing.assert_allclose(np.asarray(written.dataobj)[..., 1], expected, atol=1e-6)
    grey = np.asarray(Image.open(tmp_path / "p_map.png"))
    picture = knee_mr(16)({"image": str(tmp_path / "p.png")})["image"][0]
    np.testing.assert_array_equal(grey, np.rint(255 * picture.numpy()))
    with pytest.raises(ValueError, match="a map holds values from 0 to 1"):
        write_map(torch.full((3, 16, 16), 1.5), image, tmp_path / "x.nii")
    with pytest.raises(ValueError, match="a map holds values from 0 to 1"):
        write_map(torch.full((3, 16, 16), torch.nan), image, tmp_path / "x.nii")


def test_a_damaged_image_has_no_result_and_is_named_at_the_end(tmp_path: Path) -> None:
    volume(tmp_path / "good.nii.gz", 2, seed=0)
    cut = volume(tmp_path / "cut.nii.gz", 2, seed=1)
    Path(cut).write_bytes(Path(cut).read_bytes()[:-100])
    writer = ResultWriter(slice_items_of(find_images(tmp_path)), ending="_bright")
    run(tmp_path, writer, batch_size=3)
    with pytest.raises(UnreadableImagesError, match=r"1 of 2 images could not be .*\n  .*cut\.nii\.gz: .*cut short"):
        writer.finish()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cut.nii.gz", "good.nii.gz", "good_bright.nii.gz"]


def test_results_go_where_they_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    inside, series = volume(tmp_path / "in" / "deep" / "a.b.nii", 1, 0), tmp_path / "in" / "left.knee"
    series.mkdir()
    items = [{"image": inside}, {"image": str(series)}, {"image": str(tmp_path / "x.dcm")}]
    beside = ResultWriter(items, ending="_m").places
    assert [str(place.relative_to(tmp_path)) for place in beside.values()] == [
        "in/deep/a.b_m.nii.gz",
        "in/left.knee_m.nii.gz",
        "x_m.nii.gz",
    ]
    monkeypatch.chdir(tmp_path)
    apart = ResultWriter(items, ending="_m", output_dir="out", root="in").places
    assert [str(place.relative_to(tmp_path)) for place in apart.values()] == [
        "out/deep/a.b_m.nii.gz",
        "out/left.knee_m.nii.gz",
        "out/x_m.nii.gz",
    ]


def test_no_file_of_a_person_is_overwritten(tmp_path: Path) -> None:
    image = volume(tmp_path / "v.nii", 1, 0)
    volume(tmp_path / "v_m.nii.gz", 1, 1)
    with pytest.raises(ValueError, match=r"v_m\.nii\.gz is there and no result"):
        ResultWriter([{"image": image}], ending="_m")
    writer = ResultWriter([{"image": image}], ending="_n")
    writer.add(image, 0, torch.ones(1, 16, 16))
    ResultWriter([{"image": image}], ending="_n")  # its own earlier result may be replaced


def test_images_that_would_have_one_file_keep_their_whole_names(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    for name in ("v.nii.gz", "v.nii", "w.nii"):
        volume(tmp_path / name, 1, 0)
    for name in ("p.png", "p.jpg"):
        Image.new("L", (4, 4)).save(tmp_path / name)
    images = ("v", "v.nii.gz", "v.nii", "w.nii", "p.png", "p.jpg")
    places = ResultWriter([{"image": str(tmp_path / name)} for name in images], ending="_m").places
    assert [place.name for place in places.values()] == [
        *("v_m.nii.gz", "v.nii.gz_m.nii.gz", "v.nii_m.nii.gz", "w_m.nii.gz", "p.png_m.png", "p.jpg_m.png")
    ]
    elsewhere = tmp_path / "other" / "v.nii"
    with pytest.raises(ValueError, match="would both have"):
        ResultWriter([{"image": str(tmp_path / "v.nii")}, {"image": str(elsewhere)}], ending="_m", output_dir=tmp_path)


def test_a_film_and_its_picture_do_not_share_what_stands_beside_their_maps(tmp_path: Path) -> None:
    """`_overlay.png` of `a.dcm` and of `a.png` would be one file."""
    images = ("a.png", "a.nii.gz", "b.png")
    places = ResultWriter([{"image": str(tmp_path / name)} for name in images], ending="_m").places
    assert [place.name for place in places.values()] == ["a.png_m.png", "a.nii.gz_m.nii.gz", "b_m.png"]


def test_others_are_spoken_of_where_there_are_some(tmp_path: Path) -> None:
    Path(volume(tmp_path / "cut.nii.gz", 2, seed=1)).write_bytes(b"")
    writer = ResultWriter(slice_items_of(find_images(tmp_path)), ending="_bright")
    run(tmp_path, writer, batch_size=3)
    with pytest.raises(UnreadableImagesError, match=r"^1 of 1 images could not be read:\n  .*: is no NIfTI"):
        writer.finish()


def test_chosen_classes() -> None:
    scores = torch.eye(4)[:, None]  # a row of four pixels, of class 0, 1, 2, 3
    names = ["background", "femoral", "tibial", "meniscus"]
    assert ChosenClassesd("x", [3], names)({"x": scores})["x"].tolist() == [[[0, 0, 0, 1]]]
    kept = ChosenClassesd("x", [1, 3], names)({"x": scores})["x"]
    assert (kept.tolist(), kept.dtype) == ([[[0, 1, 0, 3]]], torch.uint8)
    for wrong in ([], [0], [4], ["femoral"]):
        with pytest.raises(ValueError, match="1 to 3: 1 femoral, 2 tibial, 3 meniscus"):
            ChosenClassesd("x", wrong, names)  # type: ignore[arg-type]
