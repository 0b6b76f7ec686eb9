"""Grades and attention of whole images, through MONAI's evaluator, with a network whose attention is the image itself.

Such a stand-in shows the geometry of the writers and nothing about attention: what goes in at a place must come out
there. The real network runs in tests/bundles/test_dcmt_inference.py.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from ignite.engine import Events
from monai.engines.evaluator import SupervisedEvaluator
from numpy.typing import NDArray
from PIL import Image
from small_files import oblique_affines, write_nifti, write_series
from torch import nn
from torch.utils.data import DataLoader

from semimed_monai.data import TolerantDataset, find_images
from semimed_monai.handlers import GradedResults, GradeTable, ResultWriter, UnreadableImagesError
from semimed_monai.transforms import knee_mr, read_grid, slice_items_of
from semimed_monai.transforms.overlays import OUTLINE

NAMES = ["normal", "torn"]


class ImageAsAttention(nn.Module):
    """Attention is the image; the more of it is bright, the more probable is the second class."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        torn = images.mean((1, 2, 3), keepdim=True).sqrt().clamp(0.001, 0.95).expand_as(images)
        return torch.cat([images, 1 - torn, torn], dim=1)


def run(
    folder: Path, out: Path, size: int = 32, batch_size: int = 4, after: Callable[[int], None] = lambda images: None
) -> ResultWriter:
    """The part of a recipe that follows the network."""
    (folder / ".weights").write_bytes(b"weights")
    rows = TolerantDataset(slice_items_of(find_images(folder)), knee_mr(size), size=size)
    table = GradeTable(out / "predictions.csv", NAMES, facts={"weights": "stand-in"})
    results = GradedResults(table, "stand-in", folder / ".weights")
    writer = ResultWriter(rows.data, ending="_attention", output_dir=out, root=folder, write=results)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(rows, batch_size=batch_size),
        network=ImageAsAttention(),
        val_handlers=[table, writer],
    )
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: after(engine.state.iteration))
    table.finish_after(evaluator.run)
    return writer


def opened(file: Path) -> Any:
    return nib.load(file)


def report(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "predictions.json").read_text())
    return content


@pytest.mark.parametrize("affine", oblique_affines()[::3])
@pytest.mark.parametrize("resized", [False, True])
def test_a_point_in_the_patient_comes_back_there(tmp_path: Path, affine: NDArray[np.float64], resized: bool) -> None:
    shape, voxel = (16, 12, 14), (9, 4, 6)
    world = (affine @ [*voxel, 1])[:3]
    volume = np.zeros(shape, np.float32)
    volume[voxel] = 1
    (tmp_path / "in").mkdir()
    grid = read_grid(write_nifti(tmp_path / "in" / "knee.nii.gz", volume, affine))
    run(tmp_path / "in", tmp_path / "out", size=40 if resized else max(grid.size[1:])).finish()
    attention = opened(tmp_path / "out" / "knee_attention.nii.gz")
    assert attention.shape == shape
    np.testing.assert_array_equal(attention.affine, opened(tmp_path / "in" / "knee.nii.gz").affine)
    found = np.unravel_index(np.asarray(attention.dataobj).argmax(), shape)
    np.testing.assert_allclose((attention.affine @ [*found, 1])[:3], world, atol=1e-5)
    (image,) = report(tmp_path / "out")["images"]
    # Resized there and back, the centre may move by a fraction of a pixel.
    atol = 0.4 if resized else 0.01
    np.testing.assert_allclose(image["where"]["attention_centre_ras_mm"], world, atol=atol)
    assert image["worst_grade"] == "normal"


def test_a_point_of_a_picture_is_told_in_pixels(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pixels = np.zeros((20, 30), np.uint8)
    pixels[4, 25] = 255
    Image.fromarray(pixels).save(tmp_path / "in" / "knee.png")
    run(tmp_path / "in", tmp_path / "out", size=30).finish()
    (image,) = report(tmp_path / "out")["images"]
    assert image["where"] == {"slice": 0, "attention_centre_pixel": [4, 25]}
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "knee_attention.png",
        "knee_attention_overlay.png",
        "predictions.csv",
        "predictions.json",
    ]


def test_the_worst_slice_and_its_overlay(tmp_path: Path) -> None:
    affine = np.array([[0.0, 0, 3, 0], [-0.5, 0, 0, 0], [0, -0.5, 0, 0], [0, 0, 0, 1]])
    volume = np.full((64, 64, 5), 5, np.int16)
    for z, side in ((1, 50), (3, 60), (4, 20)):
        volume[:side, :side, z] = 1000
    (tmp_path / "in").mkdir()
    image = write_nifti(tmp_path / "in" / "knee.nii", volume, affine)
    run(tmp_path / "in", tmp_path / "out", size=64, batch_size=2).finish()
    content = report(tmp_path / "out")
    (found,) = content["images"]
    assert (found["image"], found["worst_grade"], found["where"]["slice"]) == (image, "torn", 3)
    assert [row["grade"] for row in found["slices"]] == ["normal", "torn", "normal", "torn", "normal"]
    assert sum(found["slices"][1]["probabilities"].values()) == pytest.approx(1)
    assert (content["weights"], content["failed"]) == ("stand-in", [])
    with (tmp_path / "out" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["worst"] for row in rows] == ["0", "0", "0", "1", "0"]
    for row, listed in zip(rows, found["slices"], strict=True):
        assert float(row["probability/torn"]) == listed["probabilities"]["torn"]
    overlays = sorted((tmp_path / "out" / "knee_attention_overlays").iterdir())
    assert [file.name for file in overlays] == [f"{z:03d}.png" for z in range(5)]
    picture = np.asarray(Image.open(overlays[1]))
    outlined = np.argwhere((picture == OUTLINE).all(axis=2))
    assert picture.shape == (256, 256, 3)  # four times the slice; columns run to posterior, where x = 0 is not
    assert outlined.max(axis=0).tolist() == pytest.approx([200, 200], abs=4)


def test_overlay_and_capture_of_a_slice_show_that_slice(tmp_path: Path) -> None:
    volume = np.zeros((16, 16, 5), np.int16)
    places = [(2, 12), (5, 4), (8, 8), (11, 13), (13, 2)]  # column, row of the one bright square in each slice
    for z, (column, row) in enumerate(places):
        volume[column - 1 : column + 2, row - 1 : row + 2, z] = 100
    affine = np.array([[0.0, 0, 3, 0], [-0.5, 0, 0, 0], [0, -0.5, 0, 0], [0, 0, 0, 1]])  # sagittal planes
    series = write_series(tmp_path / "in" / "knee", volume, affine)
    run(tmp_path / "in", tmp_path / "out").finish()

    sources = {file.SOPInstanceUID: file.pixel_array for file in map(pydicom.dcmread, Path(series).iterdir())}
    for z, (column, row) in enumerate(places):
        overlay = np.asarray(Image.open(tmp_path / f"out/knee_attention_overlays/{z:03d}.png"))
        assert (overlay[:, :, 0] > 250).nonzero()[0].size
        assert np.all(overlay[16 * row + 8, 16 * column + 8] == 255), z  # sixteen times as large
        capture = pydicom.dcmread(tmp_path / f"out/knee_attention_captures/{z:03d}.dcm")
        np.testing.assert_array_equal(capture.pixel_array, overlay)
        (shown,) = capture.SourceImageSequence
        assert sources[shown.ReferencedSOPInstanceUID][row, column] == 100, z


def test_an_older_result_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_nifti(tmp_path / "in" / "knee.nii", np.eye(8, dtype=np.float32)[None].repeat(3, 0), np.diag([1.0, -1, -1, 1]))
    run(tmp_path / "in", tmp_path / "out").finish()
    folder = tmp_path / "out" / "knee_attention_overlays"
    stale = folder / "007.png"
    (folder / "000.png").rename(stale)
    run(tmp_path / "in", tmp_path / "out").finish()
    assert sorted(file.name for file in folder.iterdir()) == ["000.png", "001.png", "002.png"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UnreadableImagesError) as raised:
        run(tmp_path / "in", tmp_path / "out").finish()
    assert "1 of 1 images could be read, but not all of their results be written:" in str(raised.value)
    assert "holds notes.txt, which this command did not write: move it" in str(raised.value)
    assert (folder / "notes.txt").read_text() == "mine"
    (found,) = report(tmp_path / "out")["images"]
    assert "holds notes.txt, which this command did not write" in found["incomplete"]
    assert not list((tmp_path / "out").glob(".*"))


def test_bad_images_are_listed_with_the_good_ones_done(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    good = write_nifti(tmp_path / "in" / "good.nii", np.ones((3, 8, 8), np.float32), np.diag([1.0, -1, -1, 1]))
    bad = write_nifti(tmp_path / "in" / "bad.nii", np.ones((3, 8, 8, 2), np.float32))
    with pytest.raises(UnreadableImagesError, match="1 of 2 images could not be read"):
        run(tmp_path / "in", tmp_path / "out").finish()
    content = report(tmp_path / "out")
    assert [image["image"] for image in content["images"]] == [good]
    assert [failed["image"] for failed in content["failed"]] == [bad]
    assert "split the file" in content["failed"][0]["reason"]


def test_nothing_good_is_a_table_without_rows(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_nifti(tmp_path / "in" / "bad.nii", np.ones((3, 8, 8, 2), np.float32))
    with pytest.raises(UnreadableImagesError):
        run(tmp_path / "in", tmp_path / "out").finish()
    assert (tmp_path / "out" / "predictions.csv").read_text().splitlines() == [
        "image,slice,grade,probability/normal,probability/torn,worst"
    ]


def test_results_beside_the_images_are_no_images(tmp_path: Path) -> None:
    series = write_series(tmp_path / "knee", np.arange(8 * 8 * 3).reshape(8, 8, 3), np.diag([-1.0, -1, 1, 1]))
    before = find_images(tmp_path)
    assert before == [series]
    run(tmp_path, tmp_path).finish()
    assert (tmp_path / "knee_attention_captures" / "000.dcm").is_file()
    assert find_images(tmp_path) == before
    with pytest.raises(ValueError, match="a result that inference wrote"):
        find_images(tmp_path / "knee_attention_captures" / "000.dcm")


def graded_rows(out: Path) -> dict[str, int]:
    """Slices by image, as both files have them."""
    with (out / "predictions.csv").open() as file:
        images = [Path(row["image"]).name for row in csv.DictReader(file)]
    assert [Path(image["image"]).name for image in report(out)["images"]] == list(dict.fromkeys(images))
    return {name: images.count(name) for name in images}


def three_volumes(folder: Path) -> None:
    for name in ("a", "b", "c"):
        (folder / name).mkdir(parents=True)
        volume = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
        write_nifti(folder / name / f"{name}.nii", volume, np.diag([1.0, -1, -1, 1]))


def test_an_interrupted_run_leaves_the_grades_of_what_was_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    three_volumes(tmp_path / "in")

    def interrupt(batch: int) -> None:
        if batch == 2:  # a is done, and b but for a slice
            assert graded_rows(tmp_path / "out") == {"a.nii": 3}  # at once: nobody is told before a kill
            raise KeyboardInterrupt

    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        run(tmp_path / "in", tmp_path / "out", batch_size=2, after=interrupt)
    assert graded_rows(tmp_path / "out") == {"a.nii": 3}
    assert f"images done, and in {tmp_path}/out/predictions.csv (and .json): 1" in caplog.text


def test_a_run_that_fails_leaves_the_grades_of_what_was_done(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    three_volumes(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "c").write_text("in the way of a folder")
    with pytest.raises(OSError, match=r"c/c_attention\.nii\.gz cannot be written"):
        run(tmp_path / "in", tmp_path / "out", batch_size=2)
    assert graded_rows(tmp_path / "out") == {"a.nii": 3, "b.nii": 3}
    assert "(and .json): 2" in caplog.text


def test_a_series_and_its_nifti_side_by_side_are_both_done(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 99, (8, 8, 3)).astype(np.int16)
    affine = np.array([[0.0, 0, 3, 0], [-0.5, 0, 0, 0], [0, -0.5, 0, 0], [0, 0, 0, 1]])
    write_series(tmp_path / "in" / "knee", volume, affine)
    write_nifti(tmp_path / "in" / "knee.nii.gz", volume, affine)
    for _ in range(2):
        run(tmp_path / "in", tmp_path / "in").finish()
        assert graded_rows(tmp_path / "in") == {"knee": 3, "knee.nii.gz": 3}
    written = sorted(file.name for file in (tmp_path / "in").iterdir() if "_attention" in file.name)
    assert written == [
        *("knee.nii.gz_attention.nii.gz", "knee.nii.gz_attention_overlays"),
        *("knee_attention.nii.gz", "knee_attention_captures", "knee_attention_overlays"),
    ]
