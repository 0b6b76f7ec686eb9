"""Twenty labelled slices and two hundred unlabelled ones, as MONAI Label's app gives them, against the twenty alone."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from changed_recipes import change_recipe
from datastores import Pairs, paint, write_index
from processes import run_forked

from semimed_monai.data.phantoms import knee_phantom, write_nifti
from semimed_monai.metrics.grading import grading_scores

LABELLED, OTHERS, VALIDATION, TEST = 20, 17, 10, 60
SECONDS = 3600


def datastore(root: Path) -> tuple[Pairs, Pairs]:
    """Knees of six slices: 20 with one slice painted, each grade as often, 17 without paint, 10 all painted to validate
    on. That is 20 labelled slices, and 202 unlabelled ones.
    """
    (root / "labels/final").mkdir(parents=True)
    pairs = []
    for index in range(LABELLED + VALIDATION + OTHERS):
        knee = knee_phantom(seed=3, index=index)
        image = root / f"knee_{index:02d}.nii.gz"
        write_nifti(image, knee.volume, knee.affine)
        if index < LABELLED + VALIDATION:
            wanted = index % 3 if index % 3 in knee.grades else knee.grades[2]
            slices = [knee.grades.index(wanted)] if index < LABELLED else list(range(6))
            label = paint(knee, slices, root / f"labels/final/{image.name}")
            pairs.append({"image": str(image), "label": str(label)})
    names = [f"knee_{index:02d}" for index in range(LABELLED + VALIDATION + OTHERS)]
    write_index(root, dict.fromkeys(names, ".nii.gz"), dict.fromkeys(names[: len(pairs)], ".nii.gz"))
    return pairs[:LABELLED], pairs[LABELLED:]


def auc(folder: Path, scans: Path, seed: int, unlabelled_rows: int, pairs: tuple[Pairs, Pairs]) -> float:
    """Of the model that a training leaves, on other people's knees."""
    bundle = folder / "bundles/dcmt"
    for left in ("models", "eval"):
        shutil.rmtree(bundle / left, ignore_errors=True)
    change_recipe(bundle, {"profile": "phantom", "seed": seed, "unlabelled_rows": unlabelled_rows})
    training, validation = pairs
    data = (f"--train#dataset#data={training}", f"--validate#dataset#data={validation}", f"--bundle_root={bundle}")
    for config, more in (("train", data), ("inference", (f"--input={scans}", f"--bundle_root={bundle}"))):
        command = ("-m", "monai.bundle", "run", "run", "--config_file", f"{bundle}/configs/{config}.json", *more)
        code, said = run_forked(command, folder, {"SEMIMED_CACHE": str(folder / "cache")}, SECONDS)
        assert code == 0, said
        assert config != "train" or re.search(r"20 labelled .*, 202 unlabelled and 60 validation images", said)
    rows = list(csv.DictReader((bundle / "eval/inference/predictions.csv").open()))
    truth = json.loads((scans / "grades.json").read_text())
    chances = [[float(row[f"probability/{grade}"]) for grade in ("normal", "partial", "full")] for row in rows]
    labels = [truth[Path(row["image"]).name][int(row["slice"])] for row in rows]
    return grading_scores(np.array(chances), np.array(labels))["auc"]


@pytest.mark.slow
@pytest.mark.timeout(6 * SECONDS)
def test_the_same_run_without_them_is_worse(tmp_path: Path, place_bundles: Callable[..., Path]) -> None:
    """Three seeds each. Not more is claimed than their means."""
    folder = place_bundles(tmp_path, "dcmt")
    pairs = datastore(folder / "my_images")
    scans = tmp_path / "scans"
    scans.mkdir()
    truth = {}
    for index in range(TEST):
        knee = knee_phantom(seed=4, index=index)
        write_nifti(scans / f"knee_{index:02d}.nii.gz", knee.volume, knee.affine)
        truth[f"knee_{index:02d}.nii.gz"] = knee.grades
    (scans / "grades.json").write_text(json.dumps(truth))
    scores = {rows: [auc(folder, scans, seed, rows, pairs) for seed in range(3)] for rows in (10, 0)}
    assert np.mean(scores[10]) > np.mean(scores[0]), scores
