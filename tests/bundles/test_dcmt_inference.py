"""DC-MT's inference as a user runs it: every kind of input, good and bad files, teacher and student, with a network of
the recipe's own kind and of a tiny size.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from semimed_monai.data import Datalist, find_images
from semimed_monai.data.phantoms import knee_phantom, write_dicom_series
from semimed_monai.messages import cause_of
from semimed_monai.metrics import Predictions
from semimed_monai.networks import AttentionClassifier, DeployedAttentionClassifier, load_weights, write_card
from semimed_monai.transforms import knee_mr, read_grid, slice_items

CONFIGS = Path(__file__).parents[2] / "bundles/dcmt/configs"
TRAIN, INFERENCE = CONFIGS / "train.json", CONFIGS / "inference.json"
NAMES = ("normal", "partial", "full")
SIZE = 32
OBLIQUE = np.array([[0.1, -0.05, -2.8, 12], [0.5, 0.1, 0.3, -30], [0.05, -0.6, 0.2, 8], [0, 0, 0, 1]])

Run = Callable[..., str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What training leaves, though nothing was learned: models/model.pt, models/network.json and student.pt."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "models").mkdir()
    for seed, file in enumerate((folder / "models/model.pt", folder / "student.pt")):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = AttentionClassifier(layers=(1, 1, 1, 1), width=16, map_stride=8)
        with torch.no_grad():
            network.last_linear.weight *= 4  # grades that differ between slices
        torch.save(network.state_dict(), file)
    card = {"size": SIZE, "classes": list(NAMES), "n4": False, "arguments": network.arguments}
    write_card(folder / "models/network.json", card)
    return folder


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as it comes: volumes, a series, a lone DICOM file, a picture; and those that cannot be graded."""
    folder = tmp_path_factory.mktemp("my scans")
    knee = knee_phantom(seed=0, index=3)
    nib.save(nib.Nifti1Image(knee.volume, OBLIQUE), folder / "oblique.nii.gz")
    write_dicom_series(folder / "series", knee.volume, knee.affine, "p3")
    lone = write_dicom_series(folder / "made", knee.volume[:, :, :1], knee.affine, "p4")[0]
    lone.rename(folder / "lone.dcm")
    (folder / "made").rmdir()
    grey = (knee.volume[:100, :, 2].T / 16).astype(np.uint8)
    Image.fromarray(grey).save(folder / "picture.png")
    good = (folder / "oblique.nii.gz").read_bytes()
    (folder / "cut.nii.gz").write_bytes(good[: len(good) // 2])
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 2), np.float32), np.eye(4)), folder / "fmri.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 0), np.float32), np.eye(4)), folder / "hollow.nii.gz")
    colours = np.stack([grey, 255 - grey, grey], axis=2)
    Image.fromarray(colours).save(folder / "skin.png")
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), folder / "blank.nii.gz")
    (folder / "text.png").write_text("no picture")
    series = {
        name: write_dicom_series(folder / name, knee.volume, knee.affine, name)
        for name in ("emptied", "gap", "mixed", "nowhere", "truncated", "twice")
    }
    series["emptied"][2].write_bytes(b"")
    series["truncated"][2].write_bytes(series["truncated"][2].read_bytes()[:-500])
    series["gap"][2].unlink()
    shutil.copy(series["twice"][0], folder / "twice" / "copy.dcm")
    data = pydicom.dcmread(series["mixed"][0])
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.save_as(series["mixed"][0])
    for file in series["nowhere"]:
        data = pydicom.dcmread(file)
        del data.ImagePositionPatient, data.ImageOrientationPatient
        data.save_as(file)
    return folder


BAD = {
    "blank.nii.gz": r"every pixel has the value 0; export or copy",
    "emptied": r"/0003\.dcm: no DICOM image, damaged or cut short.*copy it anew",
    "gap": r"slices are missing, or not evenly spaced: .* mm between 0002\.dcm and 0004\.dcm.*copy",
    "nowhere": r"no ImagePositionPatient or ImageOrientationPatient in 0001\.dcm.*export",
    "text.png": r"is no PNG or JPEG: .*copy it anew",
    "truncated": r"/0003\.dcm: no DICOM image, damaged or cut short.*copy it anew",
    "cut.nii.gz": r"the file is damaged or cut short.*copy it anew",
    "fmri.nii.gz": r"shape \(4, 4, 4, 2\); one volume or one plane is wanted: split the file",
    "hollow.nii.gz": r"shape \(4, 4, 0\): it has no slices or pixels; export or copy it anew",
    "mixed": r"slices of 2 orientations in one series.*move those of each",
    "skin.png": r"a colour picture, and the network takes grey ones; save it as grey",
    "twice": r"0001\.dcm and copy\.dcm are the same instance .*remove one",
}


@pytest.fixture(scope="module")
def graded(trained: Path, scans: Path, run_bundle: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The whole folder by the command in the manual: where the results are, and what was said."""
    out = tmp_path_factory.mktemp("graded")
    settings = ("--input", str(scans), "--ckpt_dir", str(trained / "models"), "--output_dir", str(out))
    return out, run_bundle(INFERENCE, *settings, "--batch_size", "4", cwd=out, run_id="run", expect=1)


def report(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "predictions.json").read_text())
    return content


def test_the_good_are_done_and_the_bad_are_named_with_a_remedy(graded: tuple[Path, str], scans: Path) -> None:
    out, said = graded
    assert "Traceback" not in said
    assert f"{len(BAD)} of {len(BAD) + 4} images could not be read (all others are done):" in said
    failed = {Path(one["image"]).name: one["reason"] for one in report(out)["failed"]}
    assert failed.keys() == BAD.keys()
    for name, pattern in BAD.items():
        assert re.search(rf"^  {re.escape(str(scans / name))}(: )?{pattern}", said, re.MULTILINE), name
        assert re.search(pattern, failed[name])
    written = sorted(path.name for path in out.iterdir())
    assert written == [
        "lone_attention.dcm",
        "lone_attention.nii.gz",
        "lone_attention_captures",
        "lone_attention_overlays",
        "oblique_attention.nii.gz",
        "oblique_attention_overlays",
        "picture_attention.png",
        "picture_attention_overlay.png",
        "predictions.csv",
        "predictions.json",
        "series_attention.dcm",
        "series_attention.nii.gz",
        "series_attention_captures",
        "series_attention_overlays",
    ]


def test_table_and_report_say_what_the_network_says(graded: tuple[Path, str], scans: Path, trained: Path) -> None:
    out, _ = graded
    network = DeployedAttentionClassifier(layers=(1, 1, 1, 1), width=16, map_stride=8).eval()
    load_weights(network, trained / "models/model.pt")
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    images = {Path(image["image"]).name: image for image in report(out)["images"]}
    assert {name: len(image["slices"]) for name, image in images.items()} == {
        "lone.dcm": 1,
        "oblique.nii.gz": read_grid(str(scans / "oblique.nii.gz")).size[0],
        "picture.png": 1,
        "series": 6,
    }
    for name, image in images.items():
        batch = torch.stack([knee_mr(SIZE)(item)["image"] for item in slice_items(str(scans / name))])
        with torch.no_grad():
            expected = network(batch)[:, 1:, 0, 0].numpy()
        own = [row for row in rows if Path(row["image"]).name == name]
        found = np.array([[float(row[f"probability/{grade}"]) for grade in NAMES] for row in own])
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert [row["grade"] for row in own] == [NAMES[k] for k in expected.argmax(axis=1)]
        assert image["worst_grade"] == NAMES[expected.argmax(axis=1).max()]
        assert [row["worst"] for row in own].index("1") == image["where"]["slice"]


@pytest.mark.parametrize("name", ["oblique.nii.gz", "series", "lone.dcm"])
def test_attention_lies_on_its_image(name: str, graded: tuple[Path, str], scans: Path) -> None:
    stem = name.split(".", maxsplit=1)[0]
    grid = read_grid(str(scans / name))
    attention: Any = nib.load(graded[0] / f"{stem}_attention.nii.gz")
    assert attention.shape == grid.stored
    np.testing.assert_allclose(attention.affine, grid.affine, atol=1e-5)
    if name.endswith(".gz"):
        image: Any = nib.load(scans / name)
        assert attention.shape == image.shape
        np.testing.assert_array_equal(attention.affine, image.affine)
    values = attention.get_fdata()
    assert 0 <= values.min() < 0.5 < values.max() <= 1
    overlays = sorted((graded[0] / f"{stem}_attention_overlays").iterdir())
    assert len(overlays) == grid.size[0]
    with Image.open(overlays[0]) as picture:
        assert min(picture.size) >= 256


@pytest.mark.parametrize("name", ["series", "lone"])
def test_dicom_in_is_dicom_out(name: str, graded: tuple[Path, str], scans: Path) -> None:
    out = graded[0]
    sources = [pydicom.dcmread(file) for file in sorted((scans / name).glob("*"))] or [
        pydicom.dcmread(scans / f"{name}.dcm")
    ]
    seg = highdicom.seg.segread(out / f"{name}_attention.dcm")
    captures = [pydicom.dcmread(file) for file in sorted((out / f"{name}_attention_captures").iterdir())]
    assert len(captures) == len(sources)
    instances = {source.SOPInstanceUID for source in sources}
    for result in (seg, *captures):
        for key in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
            assert result[key].value == sources[0][key].value, key
        (series,) = result.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == sources[0].SeriesInstanceUID
    shown = {capture.SourceImageSequence[0].ReferencedSOPInstanceUID for capture in captures}
    assert shown == instances
    # Above one half, in the segment of the slice's grade: the same as in the NIfTI file.
    image = next(image for image in report(out)["images"] if Path(image["image"]).stem == name)
    ordered = sorted(sources, key=lambda source: source.InstanceNumber)
    found = seg.get_pixels_by_source_instance([source.SOPInstanceUID for source in ordered])
    attention: Any = nib.load(out / f"{name}_attention.nii.gz")
    above = np.asarray(attention.dataobj).transpose(2, 1, 0) > 0.5
    assert above.any()
    for z, row in enumerate(image["slices"]):
        segment = NAMES.index(row["grade"])
        np.testing.assert_array_equal(found[z, :, :, segment], above[z])
        assert found[z].sum() == above[z].sum()


def test_the_validator_finds_no_error(graded: tuple[Path, str], dicom_errors: Callable[[Path], str]) -> None:
    results = sorted(graded[0].rglob("*.dcm"))
    assert len(results) == 2 + 6 + 1
    for file in results:
        said = dicom_errors(file)
        assert said.startswith(("Segmentation", "SCImage"))
        assert "Error" not in said


def infer(trained: Path, out: Path, **given: Any) -> None:
    """In this process, which has imported everything already."""
    workflow = ConfigWorkflow(
        str(INFERENCE),
        workflow_type="inference",
        logging_file=False,
        ckpt_dir=str(trained / "models"),
        output_dir=str(out),
        **given,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


@pytest.mark.parametrize("key", ["input", "dataset_dir"])
@pytest.mark.parametrize("name", ["oblique.nii.gz", "series", "lone.dcm", "picture.png"])
def test_one_image_alone_is_graded_as_in_its_folder(
    name: str, key: str, trained: Path, scans: Path, graded: tuple[Path, str], tmp_path: Path
) -> None:
    infer(trained, tmp_path, **{key: str(scans / name)})
    (alone,) = report(tmp_path)["images"]
    among = next(image for image in report(graded[0])["images"] if Path(image["image"]).name == name)
    for one, other in zip(alone["slices"], among["slices"], strict=True):
        assert list(one["probabilities"].values()) == pytest.approx(list(other["probabilities"].values()), abs=1e-5)
    assert not report(tmp_path)["failed"]


def test_student_or_teacher_or_a_file(trained: Path, scans: Path, tmp_path: Path) -> None:
    found = {}
    for name, weights in {"teacher": {}, "student": {"weights": "student"}, "file": None}.items():
        given = {"weights": str(trained / "student.pt")} if weights is None else weights
        infer(trained, tmp_path / name, input=str(scans / "picture.png"), **given)
        found[name] = report(tmp_path / name)
    probabilities = {name: content["images"][0]["slices"][0]["probabilities"] for name, content in found.items()}
    assert probabilities["student"] == probabilities["file"]
    assert abs(probabilities["student"]["full"] - probabilities["teacher"]["full"]) > 1e-3
    assert found["teacher"]["weights"] == str(trained / "models/model.pt")
    assert found["student"]["weights"] == str(trained / "student.pt")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weights": "pupil"}, "there are no weights at pupil: give teacher, student or the path of a file"),
        ({"input": "nowhere/knee.nii"}, "no such file or folder; give a folder with images, or one image"),
        ({"input": "knee#3.nii"}, "a recipe cannot hold the # that may be in its name: rename it"),
    ],
)
def test_a_setting_that_is_not_possible(
    given: dict[str, str], said: str, trained: Path, scans: Path, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError) as raised:
        infer(trained, tmp_path, **{"input": str(scans / "picture.png"), **given})
    assert said in str(cause_of(raised.value))


def test_results_in_the_input_folder_are_not_graded(trained: Path, scans: Path, tmp_path: Path) -> None:
    shutil.copytree(scans / "series", tmp_path / "series")
    before = find_images(tmp_path)
    infer(trained, tmp_path, input=str(tmp_path))
    infer(trained, tmp_path, input=str(tmp_path))
    assert find_images(tmp_path) == before
    assert len(report(tmp_path)["images"]) == 1


def probabilities_of(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    return {row["id"]: [float(row[f"probability/{name}"]) for name in NAMES] for row in rows}


def test_training_evaluation_and_inference_give_the_same_probabilities(
    trained: Path, knee_set: Path, own_cache: Path, tmp_path: Path
) -> None:
    shared = {"dataset_dir": str(knee_set), "profile": "phantom", "labelled_share": 1.0}
    folders = {"output_dir": str(trained), "ckpt_dir": str(trained / "models")}
    size = {"image_size": SIZE}

    train = ConfigWorkflow(str(TRAIN), workflow_type="train", logging_file=False, **shared, **folders, **size)
    evaluator = train.parser.get_parsed_content("validate#evaluator")
    load_weights(evaluator.network, trained / "models/model.pt")
    predictions = Predictions()
    predictions.attach(evaluator)
    evaluator.run()
    in_training = probabilities_of(predictions.table(NAMES))

    evaluation = ConfigWorkflow(
        [str(TRAIN), str(CONFIGS / "evaluate.json")],
        workflow_type="train",
        logging_file=False,
        **shared,
        **folders,
        **{"test#section": "validation", "test#evaluation#output_dir": str(tmp_path)},
    )
    evaluation.initialize()
    evaluation.run()
    with (tmp_path / "predictions.csv").open() as file:
        in_evaluation = probabilities_of([row for row in csv.DictReader(file) if row["network"] == "teacher"])

    infer(trained, tmp_path / "out", input=str(knee_set / "images"))
    with (tmp_path / "out/predictions.csv").open() as file:
        rows = [
            {"id": f"{Path(row['image']).relative_to(knee_set)}#{row['slice']}", **row} for row in csv.DictReader(file)
        ]
    in_inference = probabilities_of(rows)

    wanted = {item["id"] for item in Datalist(knee_set).section("validation")}
    assert len(wanted) >= 6
    assert wanted == in_training.keys() == in_evaluation.keys()
    assert wanted <= in_inference.keys()
    assert np.std([in_training[item][2] for item in wanted]) > 1e-3  # the items can be told apart
    for item in wanted:
        assert in_evaluation[item] == pytest.approx(in_training[item], abs=1e-5)
        assert in_inference[item] == pytest.approx(in_training[item], abs=1e-5)
