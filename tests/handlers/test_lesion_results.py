"""Candidates of radiographs, through MONAI's evaluator, with a network whose map is the image itself, reduced.

Such a stand-in shows where things are written and nothing about lesions: a bright square must be found where it is.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from highdicom import sr
from ignite.engine import Events
from monai.engines.evaluator import SupervisedEvaluator
from numpy.typing import NDArray
from PIL import Image
from small_files import conforms, write_radiograph
from torch import nn
from torch.nn.functional import avg_pool2d
from torch.utils.data import DataLoader

from semimed_monai.data import TolerantDataset, coco_images, find_images
from semimed_monai.handlers import CandidateTable, LesionResults, ResultWriter, UnreadableImagesError
from semimed_monai.transforms import chest_xray, slice_items_of
from semimed_monai.transforms.overlays import FOUND, GIVEN

SIZE = 64
CELL = 100 * 4 / SIZE
"""Pixels of a map's cell, of images whose longer side has 100."""
PLACED = {
    "FrameOfReferenceUID": "1.2.3.99",
    "PositionReferenceIndicator": "",
    "ImagePositionPatient": [10.0, -20.0, 30.0],
    "ImageOrientationPatient": [0.0, -1.0, 0.0, 0.0, 0.0, -1.0],  # a lateral view whose columns run to the front
    "PixelSpacing": [0.2, 0.2],
}
SECTION = {**PLACED, "SliceThickness": 3.0}  # of a tomosynthesis, say


class ImageAsMap(nn.Module):
    """The map of a bright image is high."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return avg_pool2d(images, 4)


def run(
    folder: Path,
    out: Path,
    batch_size: int = 2,
    annotations: str = "",
    after: Callable[[int], None] = lambda images: None,
) -> ResultWriter:
    """The part of a recipe that follows the network."""
    (folder / ".weights").write_bytes(b"weights")
    images = find_images(folder)
    blank = {"boxes": torch.zeros(0, 4), "role": -1}
    rows = TolerantDataset(slice_items_of(images), chest_xray(SIZE), size=SIZE, blank=blank)
    coco = coco_images(images, folder, annotations, category="fracture")
    table = CandidateTable(out / "candidates.csv", coco, facts={"weights": "stand-in", "threshold": 0.5})
    results = LesionResults(table, "stand-in", folder / ".weights")
    writer = ResultWriter(rows.data, ending="_lesions", output_dir=out, root=folder, write=results)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(rows, batch_size=batch_size),
        network=ImageAsMap(),
        val_handlers=[table, writer],
    )
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: after(engine.state.iteration))
    table.finish_after(evaluator.run)
    return writer


def film(*boxes: tuple[int, int, int, int], rows: int = 60, columns: int = 100, value: int = 255) -> NDArray[np.uint8]:
    """A dark picture with bright boxes, [x0, y0, x1, y1], of which one pixel is white."""
    pixels = np.zeros((rows, columns), np.uint8)
    for x0, y0, x1, y1 in boxes:
        pixels[y0:y1, x0:x1] = value
    return pixels


def read(file: Path) -> Any:
    return json.loads(file.read_text())


def table_of(out: Path) -> list[dict[str, str]]:
    with (out / "candidates.csv").open() as file:
        return list(csv.DictReader(file))


TWO = ((8, 12, 28, 32), (60, 30, 90, 55))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A CR, a section with its place in the patient, pictures: the folder, and where their results are."""
    folder, out = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    write_radiograph(folder / "cr.dcm", 4 * film(*TWO).astype(int))
    write_radiograph(folder / "dx.dcm", 4 * film(*TWO).astype(int), **SECTION)
    Image.fromarray(film(*TWO)).save(folder / "two.png")
    Image.fromarray(film(TWO[0], rows=100, columns=60)).save(folder / "tall.jpg", quality=100)
    Image.fromarray(film((8, 12, 28, 32), value=100)).save(folder / "weak.png")
    run(folder, out).finish()
    return folder, out


def test_every_kind_of_image_has_its_results(done: tuple[Path, Path]) -> None:
    assert sorted(file.name for file in done[1].iterdir()) == [
        *("candidates.csv", "candidates.json", "coco_images.json", "coco_results.json"),
        *("cr_lesions.nii.gz", "cr_lesions_capture.dcm", "cr_lesions_overlay.png", "cr_lesions_report.dcm"),
        *("dx_lesions.dcm", "dx_lesions.nii.gz", "dx_lesions_capture.dcm", "dx_lesions_overlay.png"),
        *("tall_lesions.png", "tall_lesions_overlay.png", "two_lesions.png", "two_lesions_overlay.png"),
        *("weak_lesions.png", "weak_lesions_overlay.png"),
    ]


def test_candidates_are_where_the_bright_boxes_are(done: tuple[Path, Path]) -> None:
    folder, out = done
    images = {Path(image["image"]).name: image for image in read(out / "candidates.json")["images"]}
    expected = {"cr.dcm": TWO, "dx.dcm": TWO, "two.png": TWO, "tall.jpg": TWO[:1], "weak.png": ()}
    assert images.keys() == expected.keys()
    for name, boxes in expected.items():
        found = sorted(candidate["box"] for candidate in images[name]["candidates"])
        assert len(found) == len(boxes), name
        for box, known in zip(found, sorted(boxes), strict=True):
            assert np.abs(np.subtract(box, known)).max() <= CELL, name
    assert images["two.png"]["score"] == pytest.approx(1, abs=1e-5)
    assert images["weak.png"]["score"] == pytest.approx(100 / 255, abs=1e-3)
    for image in images.values():
        scores = [candidate["score"] for candidate in image["candidates"]]
        assert scores == sorted(scores, reverse=True)
        assert image["score"] == max([*scores, image["score"]])
    content = read(out / "candidates.json")
    assert (content["weights"], content["threshold"], content["failed"]) == ("stand-in", 0.5, [])
    assert images["two.png"]["image"] == str(folder / "two.png")


def test_the_table_and_cocos_results_say_the_same(done: tuple[Path, Path]) -> None:
    _, out = done
    images = read(out / "candidates.json")["images"]
    rows = table_of(out)
    assert len(rows) == 2 + 2 + 1 + 2 + 1  # a line for each candidate, and one for the image without
    (empty,) = (row for row in rows if not row["candidate"])
    assert (Path(empty["image"]).name, empty["x0"], empty["score"]) == ("weak.png", "", "")
    assert float(empty["image_score"]) == images[-1]["score"]
    listed = [row for row in rows if row["candidate"]]
    boxes = [[float(row[edge]) for edge in ("x0", "y0", "x1", "y1")] for row in listed]
    assert boxes == [candidate["box"] for image in images for candidate in image["candidates"]]
    known = read(out / "coco_images.json")
    assert known["categories"] == [{"id": 1, "name": "fracture"}]
    assert [image["file_name"] for image in known["images"]] == ["cr.dcm", "dx.dcm", "tall.jpg", "two.png", "weak.png"]
    assert [(image["width"], image["height"]) for image in known["images"]][1:3] == [(100, 60), (60, 100)]
    names = {image["id"]: image["file_name"] for image in known["images"]}
    results = read(out / "coco_results.json")
    assert [names[result["image_id"]] for result in results] == [Path(row["image"]).name for row in listed]
    for result, (x0, y0, x1, y1), row in zip(results, boxes, listed, strict=True):
        assert result["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=1e-3)
        assert (result["score"], result["category_id"]) == (float(row["score"]), 1)


def test_maps_have_16_bits_in_the_images_own_geometry(done: tuple[Path, Path]) -> None:
    folder, out = done
    with Image.open(out / "weak_lesions.png") as picture:
        assert picture.mode.startswith("I;16")
        values = np.asarray(picture)
    assert values.shape == (60, 100)
    assert values[22, 18] == pytest.approx(65535 * 100 / 255, abs=2)
    assert values[22, 60] == 0
    for name in ("cr", "dx"):
        image: Any = nib.load(out / f"{name}_lesions.nii.gz")
        assert image.get_data_dtype() == np.uint16
        found = image.get_fdata()
        assert found.shape == (100, 60, 1)
        assert found.max() == pytest.approx(1, abs=1e-6)
        bright = pydicom.dcmread(folder / f"{name}.dcm").pixel_array > 0
        assert np.mean((found[:, :, 0].T >= 0.5) == bright) > 0.97  # cells at the edges are half bright
        assert found[18, 22, 0] > 0.99  # the section runs to the front, and is not turned for that


def test_overlays_show_candidates_and_captures_are_the_overlays(done: tuple[Path, Path]) -> None:
    _, out = done
    picture = np.asarray(Image.open(out / "cr_lesions_overlay.png"))
    times = picture.shape[1] // 100
    assert picture.shape == (60 * times, 100 * times, 3)
    framed = np.argwhere((picture == FOUND).all(axis=2))
    assert framed.size
    assert not (picture == GIVEN).all(axis=2).any()
    (cr,) = (image for image in read(out / "candidates.json")["images"] if image["image"].endswith("cr.dcm"))
    for candidate in cr["candidates"]:
        x0, y0, x1, y1 = (round(times * edge) for edge in candidate["box"])
        middle = (x0 + x1) // 2
        assert (picture[y0, middle] == FOUND).all()
        assert (picture[y1 - 1, middle] == FOUND).all()
    for name in ("cr", "dx"):
        capture = pydicom.dcmread(out / f"{name}_lesions_capture.dcm")
        np.testing.assert_array_equal(capture.pixel_array, np.asarray(Image.open(out / f"{name}_lesions_overlay.png")))


def test_a_radiograph_without_a_place_gets_a_report(done: tuple[Path, Path]) -> None:
    folder, out = done
    source, report = pydicom.dcmread(folder / "cr.dcm"), sr.srread(out / "cr_lesions_report.dcm")
    (cr,) = (image for image in read(out / "candidates.json")["images"] if image["image"].endswith("cr.dcm"))
    groups = report.content.get_planar_roi_measurement_groups()
    for group, candidate in zip(groups, cr["candidates"], strict=True):
        points = group.roi.value
        np.testing.assert_allclose([*points.min(axis=0), *points.max(axis=0)], candidate["box"], atol=1e-3)
        assert group.get_measurements()[0].value == pytest.approx(100 * candidate["score"], abs=0.01)
    assert len(groups) == 2
    for result in (report, pydicom.dcmread(out / "cr_lesions_capture.dcm")):
        for name in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"):
            assert result[name].value == source[name].value, name
    capture = pydicom.dcmread(out / "cr_lesions_capture.dcm")
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID


def test_a_projection_whose_place_is_known_gets_a_report_too(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_radiograph(tmp_path / "in/dx.dcm", film(*TWO), **PLACED)
    run(tmp_path / "in", tmp_path / "out").finish()
    written = sorted(file.name for file in (tmp_path / "out").glob("*.dcm"))
    assert written == ["dx_lesions_capture.dcm", "dx_lesions_report.dcm"]
    for name in written:
        conforms(tmp_path / "out" / name)


def test_a_section_with_its_place_gets_a_segmentation(done: tuple[Path, Path]) -> None:
    folder, out = done
    source, seg = pydicom.dcmread(folder / "dx.dcm"), highdicom.seg.segread(out / "dx_lesions.dcm")
    assert seg.get_segment_description(1).segment_label == "Fracture"
    assert seg.get_segment_description(1).segmented_property_type.value == "72704001"
    found = seg.get_pixels_by_source_instance([source.SOPInstanceUID])[0, :, :, 0]
    attention: Any = nib.load(out / "dx_lesions.nii.gz")
    np.testing.assert_array_equal(found, attention.get_fdata()[:, :, 0].T >= 0.5)
    assert (found[12:32, 8:28].mean(), found[:, 40:50].sum()) == (pytest.approx(1, abs=0.15), 0)
    assert seg.FrameOfReferenceUID == PLACED["FrameOfReferenceUID"]


def test_the_validator_finds_no_error(done: tuple[Path, Path]) -> None:
    results = sorted(done[1].glob("*.dcm"))
    assert len(results) == 4
    for result in results:
        conforms(result)


def test_ids_and_known_boxes_come_from_an_annotation_file(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(film(*TWO)).save(folder / name)
    content = {
        "images": [{"id": 70, "file_name": "b.png"}, {"id": 71, "file_name": "other.png"}],
        "annotations": [{"id": 1, "image_id": 70, "category_id": 5, "bbox": [40, 5, 30, 20]}],
        "categories": [{"id": 5, "name": "fractured"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    run(folder, tmp_path / "out", annotations=str(tmp_path / "coco.json")).finish()
    results = read(tmp_path / "out/coco_results.json")
    assert [(result["image_id"], result["category_id"]) for result in results] == [(70, 5), (70, 5)]
    assert len(read(tmp_path / "out/candidates.json")["images"]) == 2
    picture = np.asarray(Image.open(tmp_path / "out/b_lesions_overlay.png"))
    times = picture.shape[1] // 100
    framed = np.argwhere((picture == GIVEN).all(axis=2))
    assert framed.min(axis=0).tolist() == [5 * times, 40 * times]
    assert framed.max(axis=0).tolist() == [25 * times - 1, 70 * times - 1]
    assert not (np.asarray(Image.open(tmp_path / "out/a_lesions_overlay.png")) == GIVEN).all(axis=2).any()


def mixed(folder: Path) -> None:
    folder.mkdir()
    for name in ("a.png", "c.png", "d.png"):
        Image.fromarray(film(*TWO)).save(folder / name)
    (folder / "b.png").write_text("no picture")


def test_bad_images_are_listed_with_the_good_ones_done(tmp_path: Path) -> None:
    mixed(tmp_path / "in")
    with pytest.raises(UnreadableImagesError, match=r"1 of 4 images could not be read \(all others are done\)"):
        run(tmp_path / "in", tmp_path / "out").finish()
    content = read(tmp_path / "out/candidates.json")
    assert [Path(image["image"]).name for image in content["images"]] == ["a.png", "c.png", "d.png"]
    assert [Path(failed["image"]).name for failed in content["failed"]] == ["b.png"]
    assert "copy it anew" in content["failed"][0]["reason"]
    assert len(table_of(tmp_path / "out")) == 6


def test_exposures_of_one_series_are_a_film_each(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_radiograph(tmp_path / f"{name}.dcm", film(*TWO), SeriesInstanceUID="1.2.3")
    assert find_images(tmp_path) == [str(tmp_path)], "slices of a volume"
    assert find_images(tmp_path, series=False) == [str(tmp_path / "a.dcm"), str(tmp_path / "b.dcm")]


def test_an_interrupted_run_leaves_what_was_done(tmp_path: Path) -> None:
    mixed(tmp_path / "in")

    def interrupt(batch: int) -> None:
        if batch == 1:
            assert {Path(row["image"]).name for row in table_of(tmp_path / "out")} == {"a.png"}  # before a kill
        if batch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "in", tmp_path / "out", batch_size=1, after=interrupt)
    assert {Path(row["image"]).name for row in table_of(tmp_path / "out")} == {"a.png", "c.png"}
    for file in ("candidates.json", "coco_images.json"):
        assert len(read(tmp_path / "out" / file)["images"]) == 2
    assert len(read(tmp_path / "out/coco_results.json")) == 4


def test_results_beside_the_images_are_no_images_and_nothing_else_is_replaced(tmp_path: Path) -> None:
    write_radiograph(tmp_path / "cr.dcm", film(*TWO))
    write_radiograph(tmp_path / "dx.dcm", film(*TWO), **SECTION)
    before = find_images(tmp_path)
    for _ in range(2):
        run(tmp_path, tmp_path).finish()
        assert find_images(tmp_path) == before
    write_radiograph(tmp_path / "cr_lesions_report.dcm", film())
    with pytest.raises(UnreadableImagesError, match=r"cr_lesions_report\.dcm is there and no result of this library"):
        run(tmp_path, tmp_path).finish()
    images = {Path(image["image"]).name: image for image in read(tmp_path / "candidates.json")["images"]}
    assert "is there and no result" in images["cr.dcm"]["incomplete"]
    assert len(images["cr.dcm"]["candidates"]) == 2


def test_a_finding_is_a_code_a_scheme_and_a_meaning(tmp_path: Path) -> None:
    table = CandidateTable(tmp_path / "candidates.csv", coco_images([]))
    with pytest.raises(ValueError, match="give a code, its coding scheme and what it means"):
        LesionResults(table, "a method", "model.pt", finding=["Fracture"])
    with pytest.raises(ValueError, match="threshold is 1"):
        LesionResults(table, "a method", "model.pt", threshold=1)
