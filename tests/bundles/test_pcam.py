"""The bundle `pcam` as a user runs it: real processes, radiographs and folders, its three stages.

What dcmt's tests show of the common engine (MLflow, the page that fails) is not shown again.
"""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.utils import set_determinism
from PIL import Image
from runs import assert_same_way, checked_workflow, deployed_of, into, same, state_of
from torch.nn import functional

from semimed_monai.data import Datalist, marked
from semimed_monai.data.phantoms import bone_phantom_set
from semimed_monai.networks import PositiveCAMClassifier
from semimed_monai.transforms import bone_xray

CONFIGS = Path(__file__).parents[2] / "bundles/pcam/configs"
TRAIN = CONFIGS / "train.json"
TINY = (
    "--profile=phantom",
    "--image_size=64",
    "--widths=[8, 8, 16, 16]",
    "--max_epochs=2",
    "--steps_per_epoch=4",
    "--rows=8",
    "--marked_rows=2",
    "--test#evaluation#bootstrap_repeats=20",
)
UNTOLD = tuple(setting for setting in TINY if not setting.startswith(("--image_size", "--widths", "--profile")))
"""What an evaluation is given: the card says how the weights were made."""

LOCALISATION = {"iou", "tiou", "pointing_game", "energy_inside", "pixel_ap"}
STUDIES = {"study_accuracy", "study_auc", "study_kappa"}
MAPS = {1: ["student", "positive_cam", "cam"], 2: ["student", "positive_cam", "cam"]}
MAPS[3] = [*MAPS[1], "decoder"]
"""By stage: the networks of an evaluation that give maps. mask_alone gives grades only."""

TERMS = {1: ["classification"], 2: ["masked"], 3: ["masked", "marks"]}

Run = Callable[..., str]


@pytest.fixture(scope="module")
def bones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bone_phantom_set(tmp_path_factory.mktemp("bones") / "set", patients=60, marked=12)


@pytest.fixture(scope="module")
def trained(run_bundle: Run, bones: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, str]]:
    """A small training of each stage: its folder, and what it printed."""
    runs = {}
    for stage in MAPS:
        folder = tmp_path_factory.mktemp(f"stage{stage}")
        settings = (*TINY, f"--stage={stage}", f"--dataset_dir={bones}", *into(folder))
        runs[stage] = folder, run_bundle(TRAIN, *settings, cwd=folder, new=stage == 3)
    return runs


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "datalist.json").read_text())
    edit(content)
    (folder / "datalist.json").write_text(json.dumps(content))


@pytest.mark.parametrize("stage", MAPS)
def test_each_stage_says_its_terms_and_leaves_its_maps_scores(stage: int, trained: dict[int, tuple[Path, str]]) -> None:
    folder, said = trained[stage]
    assert all(f"{term} " in said for term in TERMS[stage])
    others = {"classification", "masked", "marks"} - {*TERMS[stage]}
    assert not any(term in said.split("epoch 1/")[1].split("validation")[0] for term in others)
    content = json.loads((folder / "metrics.json").read_text())
    assert content["stage"] == stage
    assert list(content["scores"]) == [*MAPS[stage], "mask_alone"]
    assert not LOCALISATION & content["scores"].pop("mask_alone").keys()
    for scores in content["scores"].values():
        assert LOCALISATION | STUDIES | {"auc", "accuracy"} <= scores.keys()
    assert content["scores"]["cam"]["auc"] == content["scores"]["student"]["auc"]
    # Each network's maps are its own; the student's are of what it predicts, which may be the same class throughout.
    measured = [scores["pixel_ap"]["value"] for name, scores in content["scores"].items() if name != "student"]
    assert len(set(measured)) == len(measured)


def test_the_maps_of_abnormal_are_measured_whatever_was_predicted(
    trained: dict[int, tuple[Path, str]], bones: Path
) -> None:
    """By hand from the weights, of one image with a mark."""
    folder = trained[1][0]
    item = next(item for item in Datalist(bones).section("test") if item["mask"])
    row = bone_xray(64)(item)
    card = json.loads((folder / "models/network.json").read_text())
    network = PositiveCAMClassifier(**card["arguments"]).eval()
    network.load_state_dict(torch.load(folder / "models/model.pt", weights_only=True))
    with torch.no_grad():
        features = network.features(row["image"][None])
        weights = {"positive_cam": network.head.weight.clamp(min=0), "cam": network.head.weight}
        maps = {name: torch.einsum("k,khw->hw", weight[1], features[0]) for name, weight in weights.items()}
    inside = row["mask"][0] > 0
    with (folder / "predictions.csv").open() as file:
        measured = {line["network"]: line["iou"] for line in csv.DictReader(file) if line["id"] == item["id"]}
    for name, small in maps.items():
        full = functional.interpolate(small[None, None], size=(64, 64), mode="bilinear", align_corners=False)[0, 0]
        above = (full - full.min()) / (full.max() - full.min()) > 0.5
        expected = (above & inside).sum() / (above | inside).sum()
        assert float(measured[name]) == pytest.approx(expected.item(), abs=0.02)  # a pixel at the threshold


def test_every_training_image_is_in_one_of_the_two_streams(bones: Path) -> None:
    items = Datalist(bones).labelled()
    streams = [item["id"] for wanted in (True, False) for item in marked(items, wanted)]
    assert sorted(streams) == sorted(item["id"] for item in items)
    recipe = json.loads(TRAIN.read_text())["train"]
    assert recipe["dataset"]["data"] == {**recipe["marked"]["data"], "wanted": False}


def _logged(said: str, name: str) -> list[float]:
    """A term's observation, epoch by epoch."""
    return [float(number) for number in re.findall(rf"masked/{name} ([0-9.e-]+)", said)]


def test_the_mask_neither_vanishes_nor_covers_all_over_a_run(bones: Path, run_bundle: Run, tmp_path: Path) -> None:
    """As many steps as the network needs to trust itself; λ, which is at least 1/e, grows with what it gets right."""
    longer = ("--max_epochs=8", "--steps_per_epoch=15", "--rows=14", "--confidence_decay=0.9", "--stage=2")
    kept = [setting for setting in TINY if not setting.startswith(("--max_epochs", "--steps_per", "--rows"))]
    said = run_bundle(TRAIN, *kept, *longer, f"--dataset_dir={bones}", *into(tmp_path), cwd=tmp_path)
    inside, confidence = _logged(said, "inside"), _logged(said, "confidence")
    assert len(inside) == len(confidence) == 8
    assert all(0.05 < share < 0.95 for share in inside)
    assert 1 / math.e < confidence[0] < confidence[-1] < 1


def test_evaluate_gives_the_runs_own_numbers(
    trained: dict[int, tuple[Path, str]], bones: Path, run_bundle: Run, tmp_path: Path
) -> None:
    """It is told nothing of how the weights were made, not the stage either."""
    for stage in (1, 3):
        folder = trained[stage][0]
        run_bundle(
            [TRAIN, CONFIGS / "evaluate.json"],
            *UNTOLD,
            f"--dataset_dir={bones}",
            *into(folder),
            f"--test#evaluation#output_dir={tmp_path}",
            cwd=tmp_path,
        )
        assert json.loads((tmp_path / "metrics.json").read_text()) == json.loads((folder / "metrics.json").read_text())


def test_killed_and_resumed_is_the_uninterrupted_run(
    bones: Path,
    run_bundle: Run,
    kill_bundle: Callable[..., str],
    trained: dict[int, tuple[Path, str]],
    tmp_path: Path,
) -> None:
    """The running accuracy, which sets λ, is part of the state."""
    settings = (*TINY, f"--dataset_dir={bones}", *into(tmp_path))
    kill_bundle(TRAIN, *settings, cwd=tmp_path, step=6)
    assert not (tmp_path / "metrics.json").exists()
    run_bundle(TRAIN, *settings, "--resume=True", cwd=tmp_path)
    whole, cut = state_of(trained[3][0]), state_of(tmp_path)
    for part in ("student", "criterion"):
        assert same(whole[part], cut[part]), part
    assert whole["criterion"]["terms.masked.accuracy"] > 0


def test_two_processes_train_as_one(bones: Path, run_bundle: Run, run_by_two: Run, tmp_path: Path) -> None:
    # As for dcmt: statistics frozen, for torch has none of the global batch on CPUs; no Adam, which blows up rounding.
    settings = (
        *TINY,
        f"--dataset_dir={bones}",
        "--precision=fp32",
        "--frozen_norm=True",
        "--optimizer={'_target_': 'torch.optim.SGD', 'params': '$@network.parameters()', 'lr': 0.3}",
    )
    run_bundle(TRAIN, *settings, *into(tmp_path / "one"), cwd=tmp_path)
    run_by_two(TRAIN, *settings, *into(tmp_path / "two"), cwd=tmp_path)
    one, two = (state_of(tmp_path / name) for name in ("one", "two"))
    for part in ("student", "criterion"):
        for name, value in one[part].items():
            assert torch.allclose(value.float(), two[part][name].float(), atol=1e-4), (part, name)
    set_determinism(0)
    card = json.loads((tmp_path / "one/models/network.json").read_text())
    assert_same_way(PositiveCAMClassifier(**card["arguments"]), (one, two), least=1e-4)


@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("inference", "infer")])
def test_properties_are_complete(
    name: str, kind: str, tmp_path: Path, trained: dict[int, tuple[Path, str]], bones: Path
) -> None:
    settings = {"profile": "phantom"} if name == "train" else {}
    _, missing = checked_workflow(
        CONFIGS / f"{name}.json",
        kind,
        output_dir=str(tmp_path),
        ckpt_dir=str(trained[3][0] / "models"),
        dataset_dir=str(bones if name == "train" else bones / "images"),
        **settings,
    )
    assert missing == []


@pytest.mark.parametrize("stage", [1, 3])
def test_metadata_and_network_agree(
    stage: int, verify_network: Callable[..., None], trained: dict[int, tuple[Path, str]], tmp_path: Path
) -> None:
    verify_network(CONFIGS, trained[stage][0] / "models", cwd=tmp_path, n=2)


@pytest.mark.parametrize("stage", [1, 3])
def test_export_equals_eager(
    stage: int, export_network: Callable[..., Path], trained: dict[int, tuple[Path, str]], tmp_path: Path
) -> None:
    folder = trained[stage][0]
    script, eager = export_network(CONFIGS, folder / "models", cwd=tmp_path), deployed_of(folder)
    batch = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(torch.jit.load(script)(batch), eager(batch), atol=1e-5)


def test_training_and_inference_preprocess_alike(
    bones: Path, preprocessings: Callable[[str, Path], tuple[Any, Any]]
) -> None:
    training, inference = preprocessings("pcam", bones)
    for item in Datalist(bones).section("test")[:8]:
        bare = {key: item[key] for key in ("id", "image", "slice")}
        assert torch.equal(training(item)["image"], inference(bare)["image"])


def test_inference_answers_as_evaluation_does_and_names_what_it_cannot_read(
    trained: dict[int, tuple[Path, str]], bones: Path, run_bundle: Run, tmp_path: Path
) -> None:
    folder = trained[3][0]
    with (folder / "predictions.csv").open() as file:
        expected = {row["id"]: row for row in csv.DictReader(file) if row["network"] == "student"}
    pictures = tmp_path / "in"
    pictures.mkdir()
    names = {}
    for item in Datalist(bones).section("test"):
        names[Path(item["image"]).name] = expected[item["id"]]
        shutil.copy(item["image"], pictures)
    (pictures / "cut.png").write_bytes((pictures / min(names)).read_bytes()[:200])
    said = run_bundle(
        CONFIGS / "inference.json",
        f"--input={pictures}",
        f"--ckpt_dir={folder}/models",
        f"--output_dir={tmp_path / 'out'}",
        cwd=tmp_path,
        run_id="run",
        expect=1,
    )
    assert f"1 of {len(names) + 1} images could not be read" in said
    assert "cut.png" in said
    with (tmp_path / "out/predictions.csv").open() as file:
        for row in csv.DictReader(file):
            for name in ("normal", "abnormal"):
                value = float(names[Path(row["image"]).name][f"probability/{name}"])
                assert float(row[f"probability/{name}"]) == pytest.approx(value, abs=1e-5)
    overlays = [file for file in (tmp_path / "out").rglob("*.png") if "_basis_overlay" in str(file)]
    captures = [*(tmp_path / "out").glob("*_basis_captures/*.dcm")]
    assert len(overlays) == len(names)
    assert len(captures) == sum(name.endswith(".dcm") for name in names) > 0
    assert np.ptp(np.asarray(Image.open(overlays[0]))) > 50


def test_inference_without_an_input_is_of_phantoms(
    trained: dict[int, tuple[Path, str]], run_bundle: Run, tmp_path: Path
) -> None:
    settings = (f"--ckpt_dir={trained[1][0]}/models", f"--output_dir={tmp_path}")
    run_bundle(CONFIGS / "inference.json", *settings, cwd=tmp_path, run_id="run")
    with (tmp_path / "predictions.csv").open() as file:
        assert len(list(csv.DictReader(file))) > 20


@pytest.mark.parametrize(
    ("edit", "said_of"),
    [
        (lambda head: [item.pop("mask", None) for item in head["training"]], "has a mark to learn from"),
        (
            lambda head: head["training"][0].update(
                label=0, mask=next(item["mask"] for item in head["training"] if "mask" in item), study="alone"
            ),
            "without a lesion have a mark",
        ),
    ],
    ids=["no marks", "a marked normal image"],
)
def test_marks_that_cannot_be_learned_from_end_in_one_message(
    edit: Callable[[dict[str, Any]], object], said_of: str, bones: Path, run_bundle: Run, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bones, tmp_path / "mine"))
    change(folder, edit)
    said = run_bundle(TRAIN, *TINY, f"--dataset_dir={folder}", *into(tmp_path / "run"), cwd=tmp_path, expect=1)
    assert said_of in said
    assert "Traceback" not in said
    assert not (tmp_path / "run/models").exists()


@pytest.mark.parametrize(
    ("shown", "said_of"),
    [("['images/nobody.png']", "there is no image images/nobody.png in the evaluated"), ("one.png", "give a list")],
)
def test_images_to_show_that_are_not_there_are_named(
    shown: str, said_of: str, bones: Path, run_bundle: Run, tmp_path: Path
) -> None:
    settings = (*TINY, f"--shown_images={shown}", f"--dataset_dir={bones}", *into(tmp_path / "run"))
    assert said_of in run_bundle(TRAIN, *settings, cwd=tmp_path, expect=1)
    assert not (tmp_path / "run").exists()


def test_a_third_stage_without_marked_rows_is_refused(bones: Path, run_bundle: Run, tmp_path: Path) -> None:
    settings = (*TINY, "--marked_rows=0", f"--dataset_dir={bones}", *into(tmp_path / "run"))
    assert "marked_rows is 0, and nothing would be learned" in run_bundle(TRAIN, *settings, cwd=tmp_path, expect=1)


def test_the_first_stages_need_no_marks(bones: Path, run_bundle: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bones, tmp_path / "mine"))
    change(folder, lambda head: [item.pop("mask", None) for item in head["training"]])
    settings = (*TINY, "--stage=2", "--max_epochs=1", f"--dataset_dir={folder}", *into(tmp_path / "run"))
    assert "Done." in run_bundle(TRAIN, *settings, cwd=tmp_path)


def test_a_stage_that_there_is_not_is_named(bones: Path, run_bundle: Run, tmp_path: Path) -> None:
    settings = (*TINY, "--stage=4", f"--dataset_dir={bones}", *into(tmp_path / "run"))
    assert "there is no stage '4'; choose one of 1, 2, 3" in run_bundle(TRAIN, *settings, cwd=tmp_path, expect=1)
