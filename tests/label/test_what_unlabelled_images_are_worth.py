"""Twenty labelled images and two hundred unlabelled ones, as MONAI Label's app gives them, against the twenty alone.

A bundle that learned from its phantoms is given a datastore from another device, and goes on from its weights, as it
does there. `pytest -m slow --log-cli-level=INFO` with this file shows each run's score.
"""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from changed_recipes import change_recipe
from datastores import Pairs, paint, picture_store, write_index
from processes import run_forked

from semimed_monai.data.phantoms import (
    SKIN_CLASSES,
    KneeAnatomy,
    SkinAppearance,
    knee_phantom,
    skin_phantom,
    write_nifti,
    write_png,
)
from semimed_monai.metrics.grading import grading_scores

LOGGER = logging.getLogger("scores")
SECONDS = 3600
EPOCHS, STEPS = 10, 50
OTHER_SCANNER = KneeAnatomy(blur=(1.0, 1.4), bias=0.4)
OTHER_CAMERA = SkinAppearance(hairs=30, mottles=15, noise=(0.05, 0.08))


@dataclass
class Study:
    """What the app gives of a datastore, what the bundle finds there, and images of other people with the class of each
    slice.
    """

    training: Pairs
    validation: Pairs
    counts: str
    tests: Path
    truth: dict[str, list[int]]


def knees(root: Path, tests: Path) -> Study:
    """Knees of six slices: 20 with one slice painted, each grade as often, 17 without paint, 10 all painted to validate
    on. That is 20 labelled slices, and 202 unlabelled ones.
    """
    (root / "labels/final").mkdir(parents=True)
    pairs: Pairs = []
    names = [f"knee_{index:02d}" for index in range(47)]
    for index, name in enumerate(names):
        knee = knee_phantom(3, index, OTHER_SCANNER)
        write_nifti(root / f"{name}.nii.gz", knee.volume, knee.affine)
        if index < 30:
            wanted = index % 3 if index % 3 in knee.grades else knee.grades[2]
            slices = [knee.grades.index(wanted)] if index < 20 else list(range(6))
            label = paint(knee, slices, root / f"labels/final/{name}.nii.gz")
            pairs.append({"image": str(root / f"{name}.nii.gz"), "label": str(label)})
    write_index(root, dict.fromkeys(names, ".nii.gz"), dict.fromkeys(names[:30], ".nii.gz"))
    truth = {}
    for index in range(60):
        knee = knee_phantom(4, index, OTHER_SCANNER)
        write_nifti(tests / f"knee_{index:02d}.nii.gz", knee.volume, knee.affine)
        truth[f"knee_{index:02d}.nii.gz"] = list(knee.grades)
    return Study(pairs[:20], pairs[20:], "202 unlabelled and 60 validation images", tests, truth)


def lesions(root: Path, tests: Path) -> Study:
    """Photographs of one lesion each, of every class as often: 20 and 35 with labels, 200 without."""
    classes = [SKIN_CLASSES[index % len(SKIN_CLASSES)] for index in range(55)]
    pairs = picture_store(root, [json.dumps({"label": name}) for name in classes], unlabelled=200)
    for index, image in enumerate(sorted(root.glob("*.png"))):
        write_png(image, skin_phantom(3, index, index % len(SKIN_CLASSES), appearance=OTHER_CAMERA).image)
    truth = {f"skin_{index:03d}.png": [index % len(SKIN_CLASSES)] for index in range(350)}
    for index, (name, (label,)) in enumerate(truth.items()):
        write_png(tests / name, skin_phantom(4, index, label, appearance=OTHER_CAMERA).image)
    return Study(pairs[:20], pairs[20:], "200 unlabelled and 35 validation images", tests, truth)


def run(bundle: Path, run_id: str, config: str, *more: str) -> str:
    """What a command of `monai.bundle` says."""
    recipe = ("--config_file", f"{bundle}/configs/{config}.json", f"--bundle_root={bundle}")
    cache = {"SEMIMED_CACHE": f"{bundle.parent}/cache"}
    code, said = run_forked(("-m", "monai.bundle", "run", run_id, *recipe, *more), bundle.parent, cache, SECONDS)
    assert code == 0, said
    return said


def go_on_from_weights(bundle: Path) -> None:
    """In train.json what the app puts in front of its handlers."""
    recipe = json.loads((bundle / "configs/train.json").read_text())
    load = {"model": "$@network"}
    loader = {"_target_": "CheckpointLoader", "load_path": "$@ckpt_dir + '/model.pt'", "load_dict": load}
    change_recipe(bundle, {"train#handlers": [loader, *recipe["train"]["handlers"]], "steps_per_epoch": STEPS})


def auc(bundle: Path, study: Study) -> float:
    """Of the bundle's weights, in percent."""
    run(bundle, "run", "inference", f"--input={study.tests}")
    rows = list(csv.DictReader((bundle / "eval/inference/predictions.csv").open()))
    chances = [[float(chance) for key, chance in row.items() if key.startswith("probability/")] for row in rows]
    labels = [study.truth[Path(row["image"]).name][int(row["slice"] or 0)] for row in rows]
    assert len(rows) == sum(map(len, study.truth.values()))
    return 100 * grading_scores(np.array(chances), np.array(labels))["auc"]


def learned(bundle: Path, trained: Path, study: Study, seed: int, unlabelled_rows: int) -> float:
    """AUC after more training, in batches of so many unlabelled rows."""
    for left in ("models", "eval"):
        shutil.rmtree(bundle / left)
    shutil.copytree(trained, bundle / "models")
    change_recipe(bundle, {"seed": seed, "unlabelled_rows": unlabelled_rows})
    data = (f"--train#dataset#data={study.training}", f"--validate#dataset#data={study.validation}")
    assert study.counts in run(bundle, "run", "train", *data, f"--train#trainer#max_epochs={EPOCHS}")
    score = auc(bundle, study)
    LOGGER.info("%s, seed %d, %d unlabelled rows a batch: AUC %.1f", bundle.name, seed, unlabelled_rows, score)
    return score


@pytest.mark.slow
@pytest.mark.timeout(8 * SECONDS)
@pytest.mark.parametrize(
    ("name", "made", "helps"), [("dcmt", knees, True), ("stsc_skin_classification", lesions, False)]
)
def test_the_same_run_without_them_is_worse_where_readme_says_so(
    tmp_path: Path, place_bundles: Callable[..., Path], name: str, made: Callable[[Path, Path], Study], helps: bool
) -> None:
    """Three seeds each. Not more is claimed than their means."""
    bundle, tests = place_bundles(tmp_path, name) / "bundles" / name, tmp_path / "tests"
    tests.mkdir()
    study = made(tmp_path / "my_images", tests)
    shutil.rmtree(bundle / "models")  # of a small network that learned nothing
    run(bundle, "training", "train")
    trained = shutil.copytree(bundle / "models", tmp_path / "trained")
    LOGGER.info("%s, before: AUC %.1f", name, auc(bundle, study))
    go_on_from_weights(bundle)
    rows = json.loads((bundle / "configs/train.json").read_text())["unlabelled_rows"]
    scores = np.array([[learned(bundle, trained, study, seed, count) for count in (rows, 0)] for seed in range(3)])
    with_them, without = scores.mean(axis=0)
    assert (with_them > without) == helps
