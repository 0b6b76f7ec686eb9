"""The bundle `dcmt` as a user runs it: real processes, real files, a folder that is not the repository."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.utils import set_determinism
from runs import assert_same_way, checked_workflow, deployed_of, into, resting_recipe, same, weights_of
from tiny import TINY_DCMT

from semimed_monai.data import Datalist
from semimed_monai.experiments import Experiment
from semimed_monai.networks import AttentionClassifier

CONFIGS = Path(__file__).parents[2] / "bundles/dcmt/configs"
TRAIN = CONFIGS / "train.json"
TINY = (*TINY_DCMT, "--phantoms#people=16", "--labelled_share=0.5")

Run = Callable[..., str]


@pytest.fixture(scope="module")
def trained(run_bundle: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One small training run: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, run_bundle(TRAIN, *TINY, *into(folder), cwd=folder, new=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms as a user's dataset folder, the labelled groups pinned, so that hidden labels can be moved about."""
    from semimed_monai.data.phantoms import knee_phantom_set

    folder = knee_phantom_set(tmp_path_factory.mktemp("data") / "knees", people=16, seed=5)
    content = json.loads((folder / "datalist.json").read_text())
    groups = sorted({item["group"] for item in content["training"]})
    for item in content["training"]:
        item["labelled"] = item["group"] in groups[: len(groups) // 2]
    (folder / "datalist.json").write_text(json.dumps(content))
    return folder


def own(dataset: Path) -> tuple[str, ...]:
    return *TINY_DCMT, f"--dataset_dir={dataset}", "--profile=phantom", "--labelled_share=1.0"


def test_training_says_what_it_does_and_where_things_are(trained: tuple[Path, str]) -> None:
    folder, said = trained
    assert "this run trains on built-in phantoms" in said.partition("epoch 1/2")[0]
    assert "batch/s" in said or "s/batch" in said  # the bar, with its rate and time to go
    assert "epoch 2/2: loss" in said
    for term in ("classification", "attention", "class_consistency", "attention_consistency"):
        assert f"{term} " in said
    for place in ("report.html", "models/model.pt", "metrics.json", "predictions.csv", "tensorboard"):
        assert f"{folder}/{place}" in said
        assert (folder / place).exists()


def test_metrics_are_of_both_networks_with_intervals(trained: tuple[Path, str]) -> None:
    content = json.loads((trained[0] / "metrics.json").read_text())
    assert content["section"] == "test"
    assert content["labelled_share"] == 0.5
    for network in ("teacher", "student"):
        scores = content["scores"][network]
        assert {"recall", "f1", "auc", "tiou", "tiou_macro", "tiou_disc", "tiou_ones"} <= scores.keys()
        assert scores["f1"]["low"] <= scores["f1"]["value"] <= scores["f1"]["high"]
    with (trained[0] / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["network"] for row in rows} == {"teacher", "student"}
    right = [int(row["label"] == row["predicted"]) for row in rows if row["network"] == "teacher"]
    assert np.mean(right) == pytest.approx(content["scores"]["teacher"]["accuracy"]["value"])


def test_model_is_the_teacher_and_the_other_file_the_student(run_bundle: Run, tmp_path: Path) -> None:
    run_bundle(TRAIN, *TINY, "--max_epochs=1", "--val_interval=5", *into(tmp_path), cwd=tmp_path)
    state = torch.load(tmp_path / "run_state.pt", weights_only=True)["objects"]
    assert state["best"]["best_epoch"] == 1  # the last epoch is validated whatever the interval
    teacher = {name.removeprefix("average."): value for name, value in state["teacher"].items()}
    assert same(weights_of(tmp_path), teacher)
    assert same(torch.load(tmp_path / "student.pt", weights_only=True), state["student"])


def test_weights_are_plain(trained: tuple[Path, str]) -> None:
    card = json.loads((trained[0] / "models/network.json").read_text())
    assert card["size"] == 32
    assert card["classes"] == ["normal", "partial", "full"]
    network = AttentionClassifier(**card["arguments"])
    network.load_state_dict(weights_of(trained[0]))
    student = torch.load(trained[0] / "student.pt", weights_only=True)
    assert not same(weights_of(trained[0]), student)
    assert [path.name for path in (trained[0] / "models").glob("*.pt")] == ["model.pt"]


def scalars_of(folder: Path) -> dict[str, list[float]]:
    """All that a run sent to TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, list[float]] = {}
    for place in {file.parent for file in (folder / "tensorboard").rglob("events*")}:
        events = EventAccumulator(str(place))
        events.Reload()
        found |= {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return found


def test_every_term_and_score_is_in_tensorboard(trained: tuple[Path, str]) -> None:
    tags = scalars_of(trained[0]).keys()
    assert {"loss", "classification", "attention", "class_consistency", "attention_consistency"} <= tags
    assert {"f1", "auc", "tiou"} <= tags


def test_evaluate_gives_the_runs_own_numbers(trained: tuple[Path, str], run_bundle: Run, tmp_path: Path) -> None:
    """And its own facts: how it was trained stands in its card, not in the settings of this command."""
    own = ("--image_size", "--width", "--labelled_share")
    run_bundle(
        [TRAIN, CONFIGS / "evaluate.json"],
        *[setting for setting in TINY if not setting.startswith(own)],
        "--labelled_share=1.0",
        "--seed=9",
        f"--output_dir={trained[0]}",
        f"--ckpt_dir={trained[0]}/models",
        f"--test#evaluation#output_dir={tmp_path}",
        cwd=tmp_path,
    )
    assert (tmp_path / "metrics.json").read_text() == (trained[0] / "metrics.json").read_text()
    files = [(place / "predictions.csv").read_text().splitlines() for place in (tmp_path, trained[0])]
    again, before = map(list, map(csv.DictReader, files))
    for row, expected in zip(again, before, strict=True):
        for name, value in expected.items():  # the last bit may differ from one process to the next
            is_number = name.startswith("probability/")
            assert float(row[name]) == pytest.approx(float(value), abs=1e-6) if is_number else row[name] == value
    with np.load(tmp_path / "cases.npz") as cases, np.load(trained[0] / "cases.npz") as expected:
        assert cases.files == expected.files
        for name in ("id", "kind"):
            assert cases[name].tolist() == expected[name].tolist()
        assert cases["score"] == pytest.approx(expected["score"], abs=1e-6)
        # A map's last bit may differ from one process to the next, and with it a pixel's rounding.
        pictures = [name for name in cases.files if name.startswith(("image_", "map_", "mask_"))]
        assert all(np.abs(cases[name].astype(int) - expected[name]).max() <= 1 for name in pictures)
    assert (tmp_path / "report.html").is_file()


def test_evaluate_needs_no_training_items(
    trained: tuple[Path, str], dataset: Path, run_bundle: Run, tmp_path: Path
) -> None:
    content = json.loads((dataset / "datalist.json").read_text())
    external = dataset / "external.json"
    external.write_text(json.dumps({key: content[key] for key in content if key not in ("training", "validation")}))
    where = (*into(trained[0]), f"--test#evaluation#output_dir={tmp_path}")
    run_bundle([TRAIN, CONFIGS / "evaluate.json"], f"--dataset_dir={external}", *where, cwd=tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["dataset_digest"] == Datalist(external, sections=["test"], check=False).digest
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 1 + 2 * len(content["test"])


def test_the_page_shows_the_runs_terms_cases_and_settings(trained: tuple[Path, str]) -> None:
    page = (trained[0] / "report.html").read_text()
    for said in ("Training: attention_consistency by epoch", "worst case of full", "Knee cartilage grading with DC-MT"):
        assert said in page
    configuration = json.loads((trained[0] / "configuration.json").read_text())
    assert configuration["settings"]["image_size"] == 32
    assert configuration["settings"]["learning_rate"] == 0.001
    assert configuration["recipe"]["criterion"]["terms"].keys() >= {"classification", "attention"}


def test_a_page_that_cannot_be_made_costs_nothing_else(run_bundle: Run, tmp_path: Path) -> None:
    said = run_bundle(TRAIN, *TINY, *into(tmp_path), f"--page#run_dir={tmp_path}/none", cwd=tmp_path, expect=1)
    assert f"error: there is no {tmp_path}/none/metrics.json: training and evaluation write it" in said
    for place in (
        "models/model.pt",
        "student.pt",
        "metrics.json",
        "predictions.csv",
        "cases.npz",
        "configuration.json",
    ):
        assert (tmp_path / place).exists()


def test_inference_grades_as_evaluation_does(
    trained: tuple[Path, str], run_bundle: Run, bundle_cache: Path, tmp_path: Path
) -> None:
    with (trained[0] / "predictions.csv").open() as file:
        expected = {row["id"]: row for row in csv.DictReader(file) if row["network"] == "teacher"}
    volume = Path(next(iter(expected)).rsplit("#", 1)[0])
    data = next(folder for folder in bundle_cache.glob("knee-*") if len(list(folder.glob("images/*"))) == 16) / volume
    run_bundle(
        CONFIGS / "inference.json",
        f"--dataset_dir={data}",
        f"--ckpt_dir={trained[0]}/models",
        f"--output_dir={tmp_path}",
        cwd=tmp_path,
        run_id="run",
    )
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    for row in rows:
        stored = expected[f"{volume}#{row['slice']}"]
        for name in ("normal", "partial", "full"):
            assert float(row[f"probability/{name}"]) == pytest.approx(float(stored[f"probability/{name}"]), abs=1e-5)
    attention = nib.load(next(tmp_path.glob("*_attention.nii.gz")))
    image = nib.load(data)
    assert attention.shape == image.shape
    assert np.allclose(attention.affine, image.affine)
    assert 0 <= attention.get_fdata().min() < attention.get_fdata().max() <= 1


def test_hidden_labels_and_masks_change_no_bit(dataset: Path, run_bundle: Run, tmp_path: Path) -> None:
    file = dataset / "datalist.json"
    before = file.read_text()
    run_bundle(TRAIN, *own(dataset), *into(tmp_path / "one"), cwd=tmp_path)
    content = json.loads(before)
    hidden = [item for item in content["training"] if not item["labelled"]]
    assert len(hidden) >= 18
    for mask in {item["mask"] for item in hidden}:
        image = nib.load(dataset / mask)
        other = nib.Nifti1Image(np.flip(np.asanyarray(image.dataobj), axis=(0, 1)).copy(), image.affine)
        nib.save(other, dataset / mask.replace("masks/", "masks/other_"))
    for item, label in zip(hidden, [item["label"] for item in hidden][::-1], strict=True):
        item["label"], item["mask"] = (label + 1) % 3, item["mask"].replace("masks/", "masks/other_")
    file.write_text(json.dumps(content))
    try:
        run_bundle(TRAIN, *own(dataset), *into(tmp_path / "two"), cwd=tmp_path)
    finally:
        file.write_text(before)
    assert same(weights_of(tmp_path / "one"), weights_of(tmp_path / "two"))


def test_killed_in_mid_epoch_and_resumed_is_the_uninterrupted_run(
    run_bundle: Run, kill_bundle: Callable[..., None], tmp_path: Path
) -> None:
    settings = (*TINY, "--max_epochs=4", "--steps_per_epoch=12")
    run_bundle(TRAIN, *settings, *into(tmp_path / "whole"), cwd=tmp_path)
    kill_bundle(TRAIN, *settings, *into(tmp_path / "killed"), cwd=tmp_path, step=30)
    assert not (tmp_path / "killed/metrics.json").exists()
    said = run_bundle(TRAIN, *settings, *into(tmp_path / "killed"), "--resume=True", cwd=tmp_path)
    assert "resumed from" in said
    assert "epoch 1/4: loss" not in said
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "killed"))
    for name in ("metrics.json", "predictions.csv"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "killed" / name).read_text()
    states = [
        torch.load(tmp_path / name / "run_state.pt", weights_only=True)["objects"] for name in ("whole", "killed")
    ]
    assert same(states[0]["student"], states[1]["student"])
    moments = [state["optimiser"]["state"] for state in states]
    assert all(torch.equal(moments[0][key]["exp_avg_sq"], moments[1][key]["exp_avg_sq"]) for key in moments[0])


def test_two_processes_train_as_one(run_bundle: Run, run_process: Run, tmp_path: Path, free_port: int) -> None:
    # torch has no synchronised batch normalisation on CPUs: with its statistics frozen the mathematics is the same.
    # Adam would blow up rounding where a gradient is nearly zero: it divides by it.
    settings = (
        *TINY,
        "--precision=fp32",
        "--frozen_norm=True",
        "--teacher#mode=eval",
        "--optimizer#_target_=torch.optim.SGD",
    )
    one = run_bundle(TRAIN, *settings, *into(tmp_path / "one"), cwd=tmp_path)
    torchrun = ("-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port}")
    configs = json.dumps([str(TRAIN), str(CONFIGS / "multi_gpu_train.json")])
    run = ("-m", "monai.bundle", "run", "training", "--config_file", configs)
    two = run_process(*torchrun, *run, *settings, *into(tmp_path / "two"), cwd=tmp_path)
    assert ": loss" in one
    assert two.count("epoch 2/2: loss") == 1  # said once, not by each process
    logged = [scalars_of(tmp_path / name) for name in ("one", "two")]
    for name in ("train_loss", "train_classification", "train_attention", "train_attention_consistency", "f1", "auc"):
        assert len(logged[0][name]) == 2
        assert logged[0][name] == pytest.approx(logged[1][name], abs=1e-5), name
    states = [torch.load(tmp_path / name / "run_state.pt", weights_only=True)["objects"] for name in ("one", "two")]
    for part in ("student", "teacher"):
        assert states[0][part].keys() == states[1][part].keys()
        for name, value in states[0][part].items():
            assert torch.allclose(value.float(), states[1][part][name].float(), atol=1e-5), (part, name)
    set_determinism(0)
    assert_same_way(AttentionClassifier(layers=(1, 1, 1, 1), width=16, map_stride=8), states, least=1e-6)
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text())["scores"] for name in ("one", "two")]
    assert metrics[0]["teacher"]["auc"]["value"] == pytest.approx(metrics[1]["teacher"]["auc"]["value"], abs=1e-3)
    assert len((tmp_path / "one/predictions.csv").read_text().splitlines()) == len(
        (tmp_path / "two/predictions.csv").read_text().splitlines()
    )


@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("inference", "infer")])
def test_properties_are_complete(
    name: str, kind: str, tmp_path: Path, trained: tuple[Path, str], own_cache: Path
) -> None:
    workflow, missing = checked_workflow(
        CONFIGS / f"{name}.json",
        kind,
        output_dir=str(tmp_path),
        ckpt_dir=str(trained[0] / "models"),
        **({"phantoms#people": 16} if name == "train" else {}),
    )
    assert missing == []
    assert Path(workflow.bundle_root) == CONFIGS.parent


def test_metadata_and_network_agree(
    verify_network: Callable[..., None], trained: tuple[Path, str], tmp_path: Path
) -> None:
    verify_network(CONFIGS, trained[0] / "models", tmp_path / "none", cwd=tmp_path, n=4)  # this size, and the paper's


def test_export_equals_eager(export_network: Callable[..., Path], trained: tuple[Path, str], tmp_path: Path) -> None:
    script = export_network(CONFIGS, trained[0] / "models", cwd=tmp_path)
    eager = deployed_of(trained[0])
    images = torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(torch.jit.load(script)(images), eager(images), atol=1e-5)


def test_training_and_inference_preprocess_alike(
    dataset: Path, preprocessings: Callable[[str, Path], tuple[Any, Any]]
) -> None:
    training, inference = preprocessings("dcmt", dataset)
    item = Datalist(dataset).section("test")[4]
    bare = {key: item[key] for key in ("id", "image", "slice")}
    assert torch.equal(training(item)["image"], inference(bare)["image"])


PROFILES: dict[str, dict[str, Any]] = {
    "phantom": {
        "image_size": 96,
        "stride": 8,
        "millions": 0.3,
        "length": (24, 50),
        "lambda_c": 10,
        "alpha": 0.95,
        "movement": (False, 10, [0.03, 0.03]),
    },
    "paper": {
        "image_size": 256,
        "stride": 16,
        "millions": 25.5,
        "length": (100, None),
        "lambda_c": 1,
        "alpha": 0.99,
        "movement": (True, 3, [0.01, 0.01]),
    },
}
"""What the card says of each; `table` is as `phantom`."""
PROFILES["table"] = PROFILES["phantom"]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_recipe_means_what_the_card_says(profile: str, dataset: Path, tmp_path: Path) -> None:
    """Nothing is trained: what follows would change no shape, no file and no name, so no other test would see it."""
    said = PROFILES[profile]
    recipe = resting_recipe(TRAIN, dataset, tmp_path, ("EMATeacher", "KeepBest"), labelled_share=1.0)
    if profile == "paper":
        assert recipe.get_parsed_content("profile") == "paper"  # with a dataset_dir
    else:
        recipe["profile"] = profile

    terms = recipe.get_parsed_content("criterion").terms
    for progress, ramp in ((0.5, math.exp(-5 / 4)), (1.0, 1.0)):
        factors = {"class_consistency": said["lambda_c"] * ramp, "attention_consistency": ramp}
        factors |= {"classification": 1, "attention": 1}
        assert {name: term.factor(progress) for name, term in terms.items()} == pytest.approx(factors)
    assert (terms["attention"].lambda_a, terms["attention"].lambda_r) == (0.5, 0.001)

    student, teacher = (recipe.get_parsed_content(name) for name in ("student", "teacher"))
    assert (teacher.kind, teacher.mode) == ("ema", "train")
    assert sum(weight.numel() for weight in student.parameters()) / 1e6 == pytest.approx(said["millions"], abs=0.05)
    size = recipe.get_parsed_content("image_size")
    assert size == said["image_size"]
    with torch.no_grad():
        features = student.eval().features(torch.rand(1, 1, size, size))
    assert features.shape[2:] == (size // said["stride"],) * 2

    optimiser = recipe.get_parsed_content("optimizer")
    assert type(optimiser) is torch.optim.Adam
    (group,) = optimiser.param_groups
    assert (group["lr"], group["weight_decay"]) == (1e-3, 1e-4)
    assert [id(weight) for weight in group["params"]] == [id(weight) for weight in student.parameters()]

    batches, epochs = recipe.get_parsed_content("train#batches"), recipe.get_parsed_content("max_epochs")
    training = len(json.loads((dataset / "datalist.json").read_text())["training"])
    assert (batches.labelled_rows, batches.unlabelled_rows) == (20, 10)
    assert (epochs, len(batches)) == (said["length"][0], said["length"][1] or math.ceil(training / 30))
    views = recipe.get_parsed_content("views")
    assert (views.share_geometry, *map(recipe.get_parsed_content, ("rotation", "shift"))) == said["movement"]
    assert len(views.student) == len(views.teacher) == 4

    moved, kept = recipe.get_parsed_content("train#handlers")
    assert (moved.decay, moved.average_buffers) == (said["alpha"], True)
    model, other = tmp_path / "models/model.pt", tmp_path / "student.pt"
    assert kept.save == {model: teacher.network, other: student}  # by identity: modules know no other equality
    assert (kept.metric, kept.first_epoch, kept.validator.network) == ("f1", 1, teacher.network)
    evaluation = recipe.get_parsed_content("test#evaluation")
    assert evaluation.weights == {"teacher": model, "student": other}
    networks = {name: evaluator.network for name, evaluator in evaluation.evaluators.items()}
    assert networks == {"teacher": teacher.network, "student": student}
    assert evaluation.facts["tiou_threshold"] == 0.5


ABLATIONS = {
    "supervised": ("class_consistency", "attention_consistency"),
    "supervised_without_attention": ("attention", "class_consistency", "attention_consistency"),
    "mean_teacher": ("attention", "attention_consistency"),
    "no_attention_consistency": ("attention_consistency",),
}


@pytest.mark.parametrize("left_out", ABLATIONS.values(), ids=ABLATIONS.keys())
def test_an_ablation_is_a_key_each(left_out: Sequence[str], dataset: Path) -> None:
    parser = ConfigParser()
    parser.read_config(str(TRAIN))
    parser["bundle_root"] = str(CONFIGS.parent)  # a parser does not tell it
    for term in left_out:
        parser[f"criterion#terms#{term}#_disabled_"] = "true"
    criterion = parser.get_parsed_content("criterion")
    every = {"classification", "attention", "class_consistency", "attention_consistency"}
    assert set(criterion.terms) == every - set(left_out)
    assert criterion.uses_teacher == (not {"class_consistency", "attention_consistency"} <= set(left_out))


@pytest.mark.parametrize("table", ["table2", "table3", "ablation", "skin"])
def test_a_method_calls_itself_what_the_papers_tables_call_it(table: str, tmp_path: Path) -> None:
    experiment = Experiment.read(TRAIN.parents[1] / "experiments" / f"{table}.json")
    for cell in experiment.cells(tmp_path, seeds=1, settings={"dataset_dir": "."}):
        parser = ConfigParser()
        parser.read_config([str(config) for config in cell.configs])
        parser.update({**cell.settings, "network_def#classes": 3})  # no data set is needed for a name
        assert parser.get_parsed_content("method") == cell.method


def test_mlflow_in_sqlite_has_every_term_and_score(run_bundle: Run, tmp_path: Path) -> None:
    import mlflow

    run_bundle(TRAIN, *TINY, *into(tmp_path), "--tracking=mlflow", cwd=tmp_path)
    check_tracking(mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlruns.db"), tmp_path, "dcmt")


def test_mlflow_on_a_real_server(run_bundle: Run, tmp_path: Path, free_port: int) -> None:
    import mlflow

    address = f"http://127.0.0.1:{free_port}"
    store = [f"--backend-store-uri=sqlite:///{tmp_path}/server.db", f"--default-artifact-root={tmp_path}/artifacts"]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *store, "--host=127.0.0.1", f"--port={free_port}", "--workers=1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(f"{address}/health", server)
        where = (f"--tracking_uri={address}", "--tracking=mlflow", "--experiment_name=knees")
        run_bundle(TRAIN, *TINY, *into(tmp_path / "run"), *where, cwd=tmp_path)
        check_tracking(mlflow.MlflowClient(address), tmp_path / "run", "knees")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def wait_for(address: str, server: subprocess.Popen[Any]) -> None:
    import urllib.error
    import urllib.request

    for _ in range(240):
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    pytest.fail(f"no answer from {address}")


def check_tracking(client: Any, folder: Path, name: str) -> None:
    import mlflow

    experiment = client.get_experiment_by_name(name)
    method = "tags.bundle = 'dcmt' and tags.method = 'DC-MT'"
    wanted = f"{method} and tags.labelled_share = '0.5' and tags.seed = '0' and tags.terms LIKE '%tention%'"
    (run,) = client.search_runs([experiment.experiment_id], wanted)
    assert run.info.status == "FINISHED"
    terms = {"train_loss", "train_classification", "train_attention", "train_class_consistency"}
    assert terms | {"train_attention_consistency", "f1", "auc", "tiou"} <= run.data.metrics.keys()
    settings = json.loads((folder / "configuration.json").read_text())["settings"]
    assert {"learning_rate", "profile", "labelled_share", "image_size", "lambda_a", "method"} <= settings.keys()
    assert {key: run.data.params.get(key) for key in settings} == {key: str(settings[key]) for key in settings}
    assert len(client.get_metric_history(run.info.run_id, "train_classification")) == 2
    assert len(run.data.tags["dataset_digest"]) == 64
    assert {"test/teacher/f1", "test/student/tiou"} <= run.data.metrics.keys()
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"metrics.json", "report.html", "predictions.csv", "configuration.json"} <= files
    pictures = {file.path for file in client.list_artifacts(run.info.run_id, "figures")}
    assert {f"figures/{kind}.svg" for kind in ("roc_teacher", "confusion_student", "reliability")} <= pictures
    assert any(re.fullmatch(r"figures/case_\d\d_best\.png", picture) for picture in pictures)
    (model,) = client.search_logged_models([experiment.experiment_id])
    folder = mlflow.artifacts.download_artifacts(artifact_uri=model.artifact_location, tracking_uri=client.tracking_uri)
    signature = mlflow.models.Model.load(folder).signature
    assert [spec.shape for spec in signature.inputs] == [(-1, 1, 32, 32)]
    assert [spec.shape for spec in signature.outputs] == [(-1, 4, 32, 32)]
