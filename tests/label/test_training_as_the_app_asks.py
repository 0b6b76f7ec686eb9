"""A recipe with what MONAI Label's app puts in place of its data, but without the app."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from changed_recipes import SMALL, change_recipe, student_of
from datastores import Pairs, picture_store
from processes import run_forked

from semimed_monai.data.phantoms import finding_phantom, write_png

BUNDLES = Path(__file__).parents[2] / "bundles"
CHEST, FILES = "stsc_chest_classification", ("train", "inference")


@pytest.fixture
def chest(tmp_path: Path, place_bundles: Callable[..., Path]) -> Path:
    """The bundle, small."""
    folder = place_bundles(tmp_path, CHEST)
    change_recipe(folder / "bundles" / CHEST, SMALL)
    return folder


def ask(folder: Path, training: Pairs, validation: Pairs, expect: int = 0, name: str = CHEST) -> str:
    """What the app overrides, and how it runs the recipe."""
    bundle = folder / "bundles" / name
    data = [f"--train#dataset#data={training}", f"--validate#dataset#data={validation}"]
    size = ["--train#trainer#max_epochs=2", f"--bundle_root={bundle}", "--device=cpu"]
    command = ("-m", "monai.bundle", "run", "run", "--config_file", str(bundle / "configs/train.json"), *data, *size)
    code, said = run_forked(command, folder, {"SEMIMED_CACHE": str(folder / "cache")}, seconds=300)
    assert code == expect, said
    return said


def store(folder: Path, labels: list[str], unlabelled: int) -> Pairs:
    """Radiographs of chests in the datastore of which that says the labels."""
    pairs = picture_store(folder / "my_images", labels, unlabelled)
    for index, image in enumerate(sorted((folder / "my_images").glob("*.png"))):
        write_png(image, finding_phantom(seed=0, patient=index, findings=[]).image)
    return pairs


def test_several_classes_are_learned_from_labels_and_from_images_without(chest: Path) -> None:
    labels = ['["Mass", "Nodule"]', "[]", "Hernia\n", '{"label": [4]}', '["Mass"]', "[]"]
    pairs = store(chest, labels, unlabelled=5)
    said = ask(chest, pairs[:4], pairs[4:])
    assert "4 labelled (Mass 2, Nodule 1, Hernia 1), 5 unlabelled and 2 validation images" in said
    assert "built-in phantoms" not in said
    assert not (chest / "cache").exists() or not list((chest / "cache").glob("*phantom*"))
    metrics = json.loads((chest / "bundles" / CHEST / "eval/metrics.json").read_text())
    assert (metrics["section"], metrics["profile"], metrics["image_size"]) == ("validation", "paper", 32)
    assert all(np.isfinite(weight.float()).all() for weight in student_of(chest / "bundles" / CHEST).values())


def test_what_cannot_be_learned_from_is_one_message(chest: Path) -> None:
    pairs = store(chest, ['["Mass"]', "[]", '["Mass"]', "[]"], unlabelled=0)
    said = ask(chest, pairs[:2], pairs[2:], expect=1)
    assert "has no unlabelled image, from which this bundle learns, too" in said
    assert "Traceback" not in said


def test_a_bundle_that_learns_from_a_datalist_only_says_so_at_once(
    tmp_path: Path, place_bundles: Callable[..., Path]
) -> None:
    folder = place_bundles(tmp_path, "pcam")
    pairs = picture_store(folder / "my_images", ["0", "1"], 1)
    said = ask(folder, pairs[:1], pairs[1:], expect=1, name="pcam")
    assert "train.json learns from a folder with a datalist.json, and does not train in MONAI Label" in said
    assert "Traceback" not in said
    assert not (folder / "cache").exists()  # and has made no phantoms


def test_each_bundle_learns_from_a_datastore_or_says_that_it_does_not() -> None:
    for recipe in BUNDLES.glob("*/configs/train.json"):
        content = json.loads(recipe.read_text())
        learns = content["datalist"]["_target_"] == "semimed_monai.label.training_images"
        refuses = any(isinstance(step, dict) and step.get("datalist_only") for step in content["start"])
        assert learns != refuses, recipe


@pytest.mark.parametrize("name", ["dcmt", "stsc_skin_classification", CHEST])
def test_without_weights_a_training_knows_the_classes_that_inference_knows(name: str) -> None:
    train, inference = (json.loads((BUNDLES / name / f"configs/{file}.json").read_text()) for file in FILES)
    assert train["weights_card"]["classes"] == inference["card"]["classes"]
