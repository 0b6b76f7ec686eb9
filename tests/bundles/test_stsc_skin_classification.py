"""The bundle `stsc_skin_classification` as a user runs it: real processes and photographs, another folder.

What dcmt's tests show of the common engine (MLflow, the page that fails) is not shown again.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image
from runs import checked_workflow, deployed_of, into, same, state_of, weights_of

from semimed_monai.data import Datalist
from semimed_monai.data.phantoms import SKIN_CLASSES, SkinAppearance, skin_phantom_set
from semimed_monai.experiments import Experiment

CONFIGS = Path(__file__).parents[2] / "bundles/stsc_skin_classification/configs"
TRAIN = CONFIGS / "train.json"
TINY = (
    "--profile=phantom",
    "--image_size=32",
    "--layers=[1, 2]",
    "--growth=8",
    "--stem=16",
    "--max_epochs=3",
    "--steps_per_epoch=4",
    "--labelled_rows=8",
    "--unlabelled_rows=8",
    "--ramp_start=0",
    "--relation_threshold=0.1",
    "--test#evaluation#bootstrap_repeats=20",
)
TERMS = ("classification", "consistency", "relations", "temporal")

Run = Callable[..., str]


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "datalist.json").read_text())
    edit(content)
    (folder / "datalist.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def skins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its datalist says which half is labelled: chosen by the reader, that would follow the labels."""
    folder = tmp_path_factory.mktemp("skins") / "lesions"
    skin_phantom_set(folder, lesions=120, appearance=SkinAppearance(size=32))
    change(
        folder,
        lambda head: [item.update(labelled=int(item["group"][1:]) % 2 == 0) for item in head["training"]],
    )
    return folder


@pytest.fixture(scope="module")
def trained(run_bundle: Run, skins: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One small training: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, run_bundle(TRAIN, *TINY, f"--dataset_dir={skins}", *into(folder), cwd=folder)


def answers_of(folder: Path) -> dict[str, list[float]]:
    """The deployed network's probabilities by id."""
    with (folder / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["network"] == "teacher"]
    return {row["id"]: [float(row[f"probability/{name}"]) for name in SKIN_CLASSES] for row in rows}


def test_it_says_its_terms_and_leaves_the_papers_scores(trained: tuple[Path, str]) -> None:
    folder, said = trained
    assert all(f"{term} " in said for term in (*TERMS, "auc"))
    scores = json.loads((folder / "metrics.json").read_text())["scores"]
    assert list(scores) == ["teacher", "student"]
    assert {"class_accuracy", "recall", "specificity", "auc", "f1", "tiou"} <= scores["teacher"].keys()
    assert "relations" in (folder / "report.html").read_text()
    assert state_of(folder)["criterion"]["terms.temporal.memory.marks"].max() == 12


def test_evaluate_gives_the_runs_own_numbers(
    trained: tuple[Path, str], skins: Path, run_bundle: Run, tmp_path: Path
) -> None:
    """It is told nothing of how the weights were made."""
    own = ("--image_size", "--layers", "--growth", "--stem", "--profile")
    run_bundle(
        [TRAIN, CONFIGS / "evaluate.json"],
        *[setting for setting in TINY if not setting.startswith(own)],
        f"--dataset_dir={skins}",
        *into(trained[0]),
        f"--test#evaluation#output_dir={tmp_path}",
        cwd=tmp_path,
    )
    assert json.loads((tmp_path / "metrics.json").read_text()) == json.loads((trained[0] / "metrics.json").read_text())


def test_hidden_labels_and_masks_change_no_bit(
    trained: tuple[Path, str], skins: Path, run_bundle: Run, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(skins, tmp_path / "mine"))

    def turn(head: dict[str, Any]) -> None:
        for item in head["training"]:
            if not item["labelled"]:
                item["label"] = (item["label"] + 3) % 7
                del item["mask"]

    change(folder, turn)
    run_bundle(TRAIN, *TINY, f"--dataset_dir={folder}", *into(tmp_path), cwd=tmp_path)
    assert same(weights_of(trained[0]), weights_of(tmp_path))


def test_killed_and_resumed_is_the_uninterrupted_run(
    skins: Path, run_bundle: Run, kill_bundle: Callable[..., None], trained: tuple[Path, str], tmp_path: Path
) -> None:
    """The bank of embeddings and the learning rate's schedule are part of the state."""
    settings = (*TINY, f"--dataset_dir={skins}", *into(tmp_path))
    kill_bundle(TRAIN, *settings, cwd=tmp_path, step=6)
    assert not (tmp_path / "metrics.json").exists()
    run_bundle(TRAIN, *settings, "--resume=True", cwd=tmp_path)
    whole, cut = state_of(trained[0]), state_of(tmp_path)
    for part in ("student", "teacher", "criterion"):
        assert same(whole[part], cut[part]), part
    assert whole["scheduler"] == cut["scheduler"]
    assert whole["criterion"]["terms.temporal.memory.values"].abs().sum() > 0


def test_two_processes_train_as_one(
    skins: Path, run_bundle: Run, run_process: Run, tmp_path: Path, free_port: int
) -> None:
    # As for dcmt: statistics frozen, for torch has none of the global batch on CPUs; no Adam, which blows up rounding.
    settings = (
        *TINY,
        f"--dataset_dir={skins}",
        "--precision=fp32",
        "--frozen_norm=True",
        "--teacher#mode=eval",
        "--optimizer={'_target_': 'torch.optim.SGD', 'params': '$@network.parameters()', 'lr': 0.001}",
    )
    run_bundle(TRAIN, *settings, *into(tmp_path / "one"), cwd=tmp_path)
    torchrun = ("-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port}")
    configs = json.dumps([str(TRAIN), str(CONFIGS / "multi_gpu_train.json")])
    run = ("-m", "monai.bundle", "run", "training", "--config_file", configs)
    run_process(*torchrun, *run, *settings, *into(tmp_path / "two"), cwd=tmp_path)
    one, two = (state_of(tmp_path / name) for name in ("one", "two"))
    for part in ("student", "teacher", "criterion"):
        for name, value in one[part].items():
            assert torch.allclose(value.float(), two[part][name].float(), atol=1e-3), (part, name)
    answers = [answers_of(tmp_path / name) for name in ("one", "two")]
    assert answers[0].keys() == answers[1].keys()
    assert np.allclose(list(answers[0].values()), [answers[1][name] for name in answers[0]], atol=1e-3)


@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("inference", "infer")])
def test_properties_are_complete(name: str, kind: str, tmp_path: Path, trained: tuple[Path, str], skins: Path) -> None:
    settings = {"profile": "phantom"} if name == "train" else {}
    _, missing = checked_workflow(
        CONFIGS / f"{name}.json",
        kind,
        output_dir=str(tmp_path),
        ckpt_dir=str(trained[0] / "models"),
        dataset_dir=str(skins if name == "train" else skins / "images"),
        **settings,
    )
    assert missing == []


def test_metadata_and_network_agree(
    verify_network: Callable[..., None], trained: tuple[Path, str], tmp_path: Path
) -> None:
    verify_network(CONFIGS, trained[0] / "models", cwd=tmp_path, n=2)


def test_export_equals_eager(export_network: Callable[..., Path], trained: tuple[Path, str], tmp_path: Path) -> None:
    script = export_network(CONFIGS, trained[0] / "models", cwd=tmp_path)
    eager = deployed_of(trained[0])
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(torch.jit.load(script)(images), eager(images), atol=1e-5)


def test_training_and_inference_preprocess_alike(
    skins: Path, preprocessings: Callable[[str, Path], tuple[Any, Any]]
) -> None:
    training, inference = preprocessings("stsc_skin_classification", skins)
    for item in Datalist(skins).section("test")[:8]:
        bare = {key: item[key] for key in ("id", "image", "slice")}
        assert torch.equal(training(item)["image"], inference(bare)["image"])


def test_inference_answers_as_evaluation_does_in_colour_and_names_what_it_cannot_read(
    trained: tuple[Path, str], skins: Path, run_bundle: Run, tmp_path: Path
) -> None:
    expected = {Path(name).name: values for name, values in answers_of(trained[0]).items()}
    pictures = tmp_path / "in"
    pictures.mkdir()
    for name in expected:
        shutil.copy(skins / "images" / name, pictures)
    (pictures / "cut.png").write_bytes((pictures / next(iter(expected))).read_bytes()[:200])
    said = run_bundle(
        CONFIGS / "inference.json",
        f"--input={pictures}",
        f"--ckpt_dir={trained[0]}/models",
        f"--output_dir={tmp_path / 'out'}",
        cwd=tmp_path,
        run_id="run",
        expect=1,
    )
    assert f"1 of {len(expected) + 1} images could not be read" in said
    assert "cut.png" in said
    with (tmp_path / "out/predictions.csv").open() as file:
        for row in csv.DictReader(file):
            values = [float(row[f"probability/{name}"]) for name in SKIN_CLASSES]
            assert values == pytest.approx(expected.pop(Path(row["image"]).name), abs=1e-5)
    assert not expected
    drawn = sorted((tmp_path / "out").rglob("*_overlay.png"))
    picture = np.asarray(Image.open(drawn[0])).astype(int)
    assert (picture.max(axis=2) - picture.min(axis=2)).mean() > 10  # skin is no grey


@pytest.mark.parametrize("table", ["table1", "table3", "table4"])
def test_a_method_calls_itself_what_the_papers_tables_call_it(table: str, tmp_path: Path) -> None:
    experiment = Experiment.read(CONFIGS.parent / "experiments" / f"{table}.json")
    for cell in experiment.cells(tmp_path, seeds=1):
        parser = ConfigParser()
        parser.read_config([str(config) for config in cell.configs])
        parser.update(dict(cell.settings))
        parser["items"], parser["class_count"] = [], 7  # no data set is needed for a name
        parser["criterion#terms#self_training#items"] = []
        assert parser.get_parsed_content("method") == cell.method


def test_a_class_without_a_labelled_image_is_one_message(skins: Path, run_bundle: Run, tmp_path: Path) -> None:
    """What else may be wrong with a datalist is shown by the reader's own tests, and by dcmt's."""
    folder = Path(shutil.copytree(skins, tmp_path / "mine"))
    change(folder, lambda head: [item.update(label=1) for item in head["training"] if item["label"] == 5])
    said = run_bundle(TRAIN, *TINY, f"--dataset_dir={folder}", *into(tmp_path / "run"), cwd=tmp_path, expect=1)
    assert "DF" in said
    assert "Traceback" not in said
    assert not (tmp_path / "run/models").exists()
