"""Films with several findings, through MONAI's evaluator: what is written of which finding, and where.

The network is a stand-in: the map is the image itself, a probability its mean in a quarter of the picture.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from monai.engines.evaluator import SupervisedEvaluator
from PIL import Image
from small_files import conforms, write_radiograph
from torch import nn
from torch.utils.data import DataLoader

from semimed_monai.data import TolerantDataset, find_images
from semimed_monai.handlers import FindingResults, FindingTable, ResultWriter
from semimed_monai.transforms import chest_xray, slice_items_of
from semimed_monai.transforms.overlays import OUTLINE

NAMES = ("Nodule", "Mass")


class Halves(nn.Module):
    """The first finding is the brightness of the upper half, the second of the lower."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        halves = [part.mean(dim=(1, 2, 3)) for part in images.chunk(2, dim=2)]
        planes = [half[:, None, None, None].expand_as(images) for half in halves]
        return torch.cat([images, *planes], dim=1)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A DICOM film bright below, a picture bright above, and one that is cut short."""
    folder, out = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    below = np.zeros((64, 64), np.uint8)
    below[40:56, 8:40] = 255
    write_radiograph(folder / "film.dcm", 4 * below.astype(int))
    Image.fromarray(below[::-1]).save(folder / "picture.png")
    (folder / "cut.png").write_bytes((folder / "picture.png").read_bytes()[:60])
    (folder / ".weights").write_bytes(b"weights")
    blank = {"boxes": torch.zeros(0, 4), "role": -1}
    rows = TolerantDataset(slice_items_of(find_images(folder)), chest_xray(64), size=64, blank=blank)
    table = FindingTable(out / "predictions.csv", NAMES, facts={"threshold": 0.5})
    results = FindingResults(table, "stand-in", folder / ".weights")
    writer = ResultWriter(rows.data, ending="_attention", output_dir=out, root=folder, write=results)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(rows, batch_size=3),
        network=Halves(),
        val_handlers=[table, writer],
    )
    table.finish_after(evaluator.run)
    return folder, out


def test_every_film_has_its_results(done: tuple[Path, Path]) -> None:
    assert sorted(file.name for file in done[1].iterdir()) == [
        *("film_attention.nii.gz", "film_attention_capture.dcm", "film_attention_overlay.png"),
        *("picture_attention.png", "picture_attention_overlay.png", "predictions.csv", "predictions.json"),
    ]


def test_the_table_by_hand(done: tuple[Path, Path]) -> None:
    """16 of 32 rows, 32 of 64 columns are bright: a quarter."""
    folder, out = done
    with (out / "predictions.csv").open() as file:
        rows = {Path(row["image"]).name: row for row in csv.DictReader(file)}
    for name, likeliest, chances in (("film.dcm", "Mass", (0, 0.25)), ("picture.png", "Nodule", (0.25, 0))):
        assert rows[name]["likeliest"] == likeliest
        assert [float(rows[name][f"probability/{finding}"]) for finding in NAMES] == pytest.approx(chances, abs=1e-3)
    content = json.loads((out / "predictions.json").read_text())
    assert (content["classes"], content["threshold"]) == (list(NAMES), 0.5)
    assert content["images"][0] == {
        "image": str(folder / "film.dcm"),
        "likeliest": "Mass",
        "probabilities": {name: float(rows["film.dcm"][f"probability/{name}"]) for name in NAMES},
    }
    assert [Path(failed["image"]).name for failed in content["failed"]] == ["cut.png"]


def test_outlines_and_maps_lie_where_the_film_is_bright(done: tuple[Path, Path]) -> None:
    _, out = done
    attention = np.asarray(nib.load(out / "film_attention.nii.gz").dataobj).squeeze().T
    bright = np.argwhere(attention > 0.5)
    assert bright.min(axis=0).tolist() == [40, 8]
    assert bright.max(axis=0).tolist() == [55, 39]
    picture = np.asarray(Image.open(out / "film_attention_overlay.png")).astype(int)
    outline = np.argwhere(np.abs(picture - OUTLINE).max(axis=2) < 40) / (len(picture) / 64)
    assert np.abs(outline.min(axis=0) - [40, 8]).max() <= 1
    assert np.abs(outline.max(axis=0) - [56, 40]).max() <= 1


def test_a_capture_keeps_patient_and_study(done: tuple[Path, Path]) -> None:
    folder, out = done
    source, capture = pydicom.dcmread(folder / "film.dcm"), pydicom.dcmread(out / "film_attention_capture.dcm")
    for name in ("PatientID", "StudyInstanceUID"):
        assert capture[name].value == source[name].value
    assert capture.SeriesInstanceUID != source.SeriesInstanceUID
    assert np.array_equal(capture.pixel_array, np.asarray(Image.open(out / "film_attention_overlay.png")))


def test_a_capture_conforms(done: tuple[Path, Path]) -> None:
    conforms(done[1] / "film_attention_capture.dcm")
