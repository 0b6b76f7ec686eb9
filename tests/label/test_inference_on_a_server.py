"""Every bundle in a real server of MONAI Label's stock app: it is there, and answers as `monai.bundle run` does."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from label_server import Server, command_with
from numpy.typing import NDArray
from PIL import Image
from processes import run_forked

pytest.importorskip("monailabel", reason="MONAI Label has an environment of its own: .ci/run makes it")

from semimed_monai.data.phantoms import (
    bone_phantom,
    chest_phantom,
    knee_phantom,
    skin_phantom,
    write_dicom_radiograph,
    write_dicom_series,
    write_nifti,
    write_png,
)

GRADED = ("dcmt", "pcam")
CLASSES = ("stsc_skin_classification", "stsc_chest_classification", "kl_ensemble_classification")
NAMES = ("cartilage_segmentation", "cxr_fracture", *GRADED, *CLASSES)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, place_bundles: Callable[..., Path]) -> Iterator[Server]:
    """All bundles, and images of all kinds that they take; DICOM lies elsewhere, as the datastore lists none of it."""
    folder = place_bundles(tmp_path_factory.mktemp("user"), *NAMES)
    images, scans = folder / "my_images", folder / "scans"
    scans.mkdir()
    knee = knee_phantom(seed=0, index=3)
    write_nifti(images / "knee.nii.gz", knee.volume, knee.affine)
    write_dicom_series(scans / "series", knee.volume, knee.affine, "p3")
    slice_of_it = (knee.volume[:100, :, 2].T / 16).clip(0, 255).astype(np.uint8)
    Image.fromarray(slice_of_it).save(images / "knee_slice.png")
    chest = chest_phantom(seed=0, index=1, broken=True).image
    write_dicom_radiograph(scans / "chest.dcm", chest, 0.3, "p1")
    write_png(images / "chest.png", chest)
    plane = bone_phantom(seed=0, patient=0, lesion=None).image.astype(np.float32)
    affine = np.array([[-0.2, 0, 0, 0], [0, 0, 1, 0], [0, -0.2, 0, 0], [0, 0, 0, 1.0]])
    write_nifti(images / "bone.nii.gz", plane.T[..., None], affine)
    Image.fromarray(skin_phantom(seed=0, lesion=0, label=0).image).save(images / "skin.png")
    with Server(folder).running() as started:
        yield started


RunOn = Callable[[str, Path], Path]


@pytest.fixture(scope="module")
def run_on(server: Server) -> RunOn:
    """run_on(bundle, image) -> the folder with what `monai.bundle run` of its inference.json writes for one image."""

    def run(name: str, image: Path) -> Path:
        out = server.folder / "runs" / name / image.name
        config = server.folder / "bundles" / name / "configs/inference.json"
        where = f"--{'dataset_dir' if name == 'cartilage_segmentation' else 'input'}={image}"
        command = ("-m", "monai.bundle", "run", "--config_file", str(config), where, f"--output_dir={out}")
        code, said = run_forked((*command, "--device=cpu"), server.folder, {}, seconds=300)
        assert code == 0, said
        return out

    return run


def pixels(file: Path) -> NDArray[Any]:
    """As stored; a picture's rows and columns."""
    return np.asarray(Image.open(file)) if file.suffix == ".png" else np.asanyarray(nib.load(file).dataobj)


def written_by(out: Path, ending: str) -> Path:
    """A run's map or mask of its one image, beside what else there is for DICOM."""
    (file,) = [file for file in out.glob(f"*_{ending}.*") if file.suffix in (".png", ".gz")]
    return file


def assert_same_place(answer: Path, of_run: Path) -> None:
    if answer.suffix != ".png":
        np.testing.assert_allclose(nib.load(answer).affine, nib.load(of_run).affine, atol=1e-3)


def images_of(server: Server, name: str) -> list[Path]:
    """PNG, NIfTI and DICOM, as far as the bundle's modality comes in them."""
    images, scans = server.folder / "my_images", server.folder / "scans"
    if name in ("dcmt", "cartilage_segmentation"):
        return [images / "knee.nii.gz", scans / "series", images / "knee_slice.png"]
    if name == "stsc_skin_classification":
        return [images / "skin.png"]
    if name in ("cxr_fracture", "stsc_chest_classification"):
        return [images / "chest.png", scans / "chest.dcm"]
    return [images / "bone.nii.gz", scans / "chest.dcm", images / "chest.png"]


def asked(server: Server, image: Path) -> str:
    """How a client names it: by its id in the datastore; what is elsewhere by its path."""
    return image.name.split(".")[0] if image.parent.name == "my_images" else str(image)


def test_every_bundle_is_there_with_its_labels(server: Server) -> None:
    models = server.info["models"]
    assert set(models) == set(NAMES)
    assert set(server.info["trainers"]) == set(NAMES)
    for name in NAMES:
        kind = "classification" if name in CLASSES else "segmentation"
        assert (models[name]["type"], models[name]["dimension"]) == (kind, 2)
    assert models["dcmt"]["labels"] == {"normal": 1, "partial": 2, "full": 3}
    assert models["pcam"]["labels"] == {"normal": 1, "abnormal": 2}
    assert models["cxr_fracture"]["labels"] == {"fracture": 1}
    assert list(models["stsc_skin_classification"]["labels"].items())[:2] == [("mel", 0), ("nv", 1)]
    assert list(models["kl_ensemble_classification"]["labels"]) == [f"kl {grade}" for grade in range(5)]


@pytest.mark.parametrize("name", GRADED)
def test_a_label_map_is_the_attention_of_a_run_by_its_grade(
    server: Server, run_on: RunOn, tmp_path: Path, name: str
) -> None:
    classes = json.loads((server.folder / "bundles" / name / "models/network.json").read_text())["classes"]
    found = 0
    for image in images_of(server, name):
        answer = server.label_map(name, asked(server, image), tmp_path)
        out = run_on(name, image)
        rows = list(csv.DictReader((out / "predictions.csv").open()))
        file = written_by(out, "basis" if name == "pcam" else "attention")
        attention = pixels(file) / (255 if file.suffix == ".png" else 1)
        grades = [1 + classes.index(row["grade"]) for row in rows]
        along = [axis for axis, size in enumerate(attention.shape) if size == len(grades)]
        shape = [-1 if axis == along[-1] else 1 for axis in range(attention.ndim)] if len(grades) > 1 else [1]
        wanted = (attention > 0.5) * np.reshape(grades, shape)
        sure = np.abs(attention - 0.5) > 1 / 255  # a PNG has no more levels
        np.testing.assert_array_equal(np.where(sure, pixels(answer), 0), np.where(sure, wanted, 0), str(image))
        assert_same_place(answer, file)
        assert server.infer(name, asked(server, image))["classes"] == [row["grade"] for row in rows]
        found += int((wanted > 0).sum())
    assert found


def test_a_label_map_is_a_run_s_map_above_the_threshold(server: Server, run_on: RunOn, tmp_path: Path) -> None:
    for image in images_of(server, "cxr_fracture"):
        answer = server.label_map("cxr_fracture", asked(server, image), tmp_path)
        out = run_on("cxr_fracture", image)
        file = written_by(out, "fractures")
        lesions = nib.load(file).get_fdata() if file.suffix == ".gz" else pixels(file) / 65535
        sure = np.abs(lesions - 0.5) > 1 / 65535
        np.testing.assert_array_equal(np.where(sure, pixels(answer), 0), np.where(sure, lesions > 0.5, 0), str(image))
        assert_same_place(answer, file)
        assert 0 < (lesions > 0.5).mean() < 1


def test_a_mask_is_the_run_s(server: Server, run_on: RunOn, tmp_path: Path) -> None:
    for image in images_of(server, "cartilage_segmentation"):
        answer = server.label_map("cartilage_segmentation", asked(server, image), tmp_path)
        file = written_by(run_on("cartilage_segmentation", image), "cartilage")
        np.testing.assert_array_equal(pixels(answer), pixels(file), str(image))
        assert_same_place(answer, file)
        assert 0 < pixels(answer).mean() < 1


@pytest.mark.parametrize("name", CLASSES)
def test_classes_have_the_run_s_probabilities(server: Server, run_on: RunOn, name: str) -> None:
    for image in images_of(server, name):
        answer = server.infer(name, asked(server, image))["prediction"]
        (row,) = csv.DictReader((run_on(name, image) / "predictions.csv").open())
        wanted = {key.removeprefix("probability/"): float(row[key]) for key in row if key.startswith("probability/")}
        assert [one["idx"] for one in answer] == list(range(len(wanted)))
        assert [one["label"] for one in answer] == [label.lower() for label in wanted]
        assert [one["score"] for one in answer] == pytest.approx(list(wanted.values()), abs=1e-5)


def test_an_answer_is_written_as_the_client_wants_it(server: Server, tmp_path: Path) -> None:
    file = server.label_map("dcmt", "knee", tmp_path, result_extension=".nrrd")
    assert file.suffix == ".nrrd"
    assert file.read_bytes()[:4] == b"NRRD"


def test_an_image_may_come_with_the_request(server: Server) -> None:
    file = server.folder / "scans/chest.dcm"
    given = {"params": json.dumps({"device": "cpu"})}
    with file.open("rb") as content:
        reply = server.call(
            "POST", "/infer/kl_ensemble_classification?output=json", data=given, files={"file": (file.name, content)}
        ).json()
    assert reply["prediction"] == server.infer("kl_ensemble_classification", str(file))["prediction"]


def test_readme_s_request_is_answered(server: Server) -> None:
    server.run(command_with("/infer/dcmt"))
    assert set(np.unique(pixels(server.folder / "knee_dcmt.nii.gz"))) <= {0, 1, 2, 3}
