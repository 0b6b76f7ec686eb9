"""Training in a real server of MONAI Label's stock app: images that nobody labelled are found, and are learned from."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from changed_recipes import ONLY_TRAINING, ROWS_ALONE, SMALL, change_recipe, same, student_of
from datastores import paint
from label_server import Server, command_with
from PIL import Image

pytest.importorskip("monailabel", reason="MONAI Label has an environment of its own: .ci/run makes it")

from semimed_monai.data.phantoms import finding_phantom, knee_phantom, skin_phantom, write_nifti, write_png

Place = Callable[..., Path]
DCMT_TERMS = ("class_consistency", "attention_consistency")
SKIN = "stsc_skin_classification"
STSC_TERMS = ("consistency", "relations", "temporal")


@pytest.fixture(scope="module")
def knees(tmp_path_factory: pytest.TempPathFactory, place_bundles: Place) -> Iterator[Server]:
    """Six knees of six slices; of three of them some slices are labelled, as a client does it."""
    folder = place_bundles(tmp_path_factory.mktemp("user"), "dcmt")
    for index in range(6):
        knee = knee_phantom(seed=0, index=index)
        write_nifti(folder / f"my_images/knee_{index}.nii.gz", knee.volume, knee.affine)
    with Server(folder).running() as started:
        for index, slices in ((0, [1, 2]), (1, [1, 2]), (2, [3, 4])):  # two grades of each, whichever is validated on
            started.submit(f"knee_{index}", paint(knee_phantom(0, index), slices, folder / "label.nii.gz"))
        yield started


@pytest.fixture(scope="module")
def lesions(tmp_path_factory: pytest.TempPathFactory, place_bundles: Place) -> Iterator[Server]:
    """Twenty photographs, of eight of them with their class."""
    folder = place_bundles(tmp_path_factory.mktemp("user"), SKIN)
    write_lesions(folder / "my_images")
    with Server(folder).running() as started:
        label_lesions(started)
        yield started


def write_lesions(images: Path) -> None:
    """Twenty photographs."""
    for index in range(20):
        Image.fromarray(skin_phantom(0, index, label=index % 7).image).save(images / f"skin_{index:02d}.png")


def label_lesions(server: Server) -> None:
    """Of eight of them the class is told, as text or JSON, by name or index."""
    names = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
    for index in range(8):
        label = server.folder / ("label.json" if index % 2 else "label.txt")
        label.write_text(json.dumps({"label": names[index % 7]}) if index % 2 else f"{index % 7}\n")
        server.submit(f"skin_{index:02d}", label)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, place_bundles: Place) -> Iterator[Server]:
    """Fourteen chest films; of eight of them the findings are told, none, one or two."""
    folder = place_bundles(tmp_path_factory.mktemp("user"), "stsc_chest_classification")
    for index in range(14):
        image = finding_phantom(seed=0, patient=index, findings=[("Mass", "Hernia")[index % 2]]).image
        write_png(folder / f"my_images/chest_{index:02d}.png", image)
    label = folder / "label.json"
    with Server(folder).running() as started:
        for index in range(8):
            label.write_text(json.dumps((["Mass", "Nodule"], [], ["Hernia"], [1])[index % 4]))
            started.submit(f"chest_{index:02d}", label)
        yield started


def trained(
    server: Server, name: str, changes: Mapping[str, Any], **params: Any
) -> tuple[dict[str, torch.Tensor], str]:
    """Train a bundle from the weights and recipe that it had at first; the student, and what was said."""
    bundle = server.folder / "bundles" / name
    kept = server.folder / "kept" / name
    if not kept.exists():
        shutil.copytree(bundle, kept)
    shutil.rmtree(bundle)
    shutil.copytree(kept, bundle)
    change_recipe(bundle, {**SMALL, **changes})
    said = server.train(name, max_epochs=2, val_split=0.4, **params)
    return student_of(bundle), said


def test_dcmt_finds_the_other_knees_and_slices_and_learns_from_them(knees: Server) -> None:
    before = knees.label_map("dcmt", "knee_5", knees.folder).read_bytes()
    _, said = trained(knees, "dcmt", {})
    counts = r"(\d+) labelled \(.*\d\), (\d+) unlabelled and (\d+) validation images"
    found = re.search(f"datastore {knees.folder}/my_images: {counts}", said)
    assert found
    labelled, unlabelled, validation = map(int, found.groups())
    # Which of the three knees with two labelled slices is validated on is the app's choice; five knees are trained on.
    assert (labelled, unlabelled, validation) == (4, 5 * 6 - 4, 2)
    metrics = json.loads((knees.folder / "bundles/dcmt/eval/metrics.json").read_text())
    assert (metrics["section"], metrics["labelled_share"], metrics["image_size"]) == ("validation", 1.0, 32)
    assert set(metrics["terms"]) == {"classification", "attention", *DCMT_TERMS}
    # What was learned is what the server answers with, at once.
    assert knees.label_map("dcmt", "knee_5", knees.folder).read_bytes() != before


@pytest.mark.parametrize(
    ("which", "name", "terms"),
    [
        ("knees", "dcmt", DCMT_TERMS),
        ("lesions", SKIN, STSC_TERMS),
        ("films", "stsc_chest_classification", STSC_TERMS),
    ],
)
def test_unlabelled_images_give_gradient(
    request: pytest.FixtureRequest, which: str, name: str, terms: tuple[str, ...]
) -> None:
    """Where rows cannot see each other, other unlabelled images are another student, unless their terms are gone."""
    server: Server = request.getfixturevalue(which)
    few = {"train#unlabelled#data": "$@datalist.unlabelled()[:1]"}
    alone = {**ROWS_ALONE, **ONLY_TRAINING}
    if name != "dcmt":  # relations are of rows to each other, and the bank of them knows its items
        alone |= {f"criterion#terms#{term}#_disabled_": True for term in terms[1:]}
    gone = {**alone, **{f"criterion#terms#{term}#_disabled_": True for term in terms}}
    with_all, said = trained(server, name, alone)
    assert re.search(r"[1-9]\d* labelled.*, [1-9]\d* unlabelled and [1-9]\d* validation images", said)
    with_few, _ = trained(server, name, {**alone, **few})
    assert not same(with_all, with_few)
    without_terms, _ = trained(server, name, gone)
    assert same(without_terms, trained(server, name, {**gone, **few})[0])


def test_stsc_finds_the_other_photographs(lesions: Server) -> None:
    _, said = trained(lesions, SKIN, {})
    assert "my_images: 5 labelled (" in said
    assert "12 unlabelled and 3 validation images" in said
    metrics = json.loads((lesions.folder / f"bundles/{SKIN}/eval/metrics.json").read_text())
    assert set(metrics["terms"]) == {"classification", *STSC_TERMS}


def test_readme_s_commands_label_and_train(lesions: Server) -> None:
    bundle = lesions.folder / "bundles" / SKIN
    change_recipe(bundle, SMALL)
    lesions.run(command_with("echo"))
    lesions.run(command_with("/datastore/label"))
    assert (lesions.folder / "my_images/labels/final/skin_08.json").read_text() == '{"label": "NV"}\n'
    before = (bundle / "models/model.pt").stat().st_mtime_ns
    lesions.run(command_with("/train/"))
    assert (bundle / "models/model.pt").stat().st_mtime_ns > before


def test_a_bundle_without_weights_learns_and_answers_from_the_next_start_on(
    tmp_path: Path, place_bundles: Place
) -> None:
    bundle = place_bundles(tmp_path, SKIN) / "bundles" / SKIN
    network = json.loads((bundle / "models/network.json").read_text())
    shutil.rmtree(bundle / "models")
    small = {name: network["arguments"][name] for name in ("layers", "growth", "stem")}
    change_recipe(bundle, {**SMALL, **small, "image_size": network["size"]})
    write_lesions(tmp_path / "my_images")
    server = Server(tmp_path)
    with server.running():
        label_lesions(server)
        assert (SKIN in server.info["models"], SKIN in server.info["trainers"]) == (False, True)
        server.train(SKIN, max_epochs=2, val_split=0.4)
        assert SKIN not in server.get("/info/")["models"]
    with server.running():
        assert len(server.infer(SKIN, "skin_09")["prediction"]) == 7
