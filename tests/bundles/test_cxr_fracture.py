"""The bundle `cxr_fracture` as a user runs it: real processes and films, a folder that is not the repository.

What dcmt's tests show of the common engine (MLflow, the page that fails, a kill in mid-epoch) is not shown again.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.utils import set_determinism
from runs import assert_same_way, checked_workflow, deployed_of, into, resting_recipe, same, state_of, weights_of

from semimed_monai.data import Datalist
from semimed_monai.data.phantoms import ChestCounts, chest_phantom_set
from semimed_monai.experiments import Experiment
from semimed_monai.messages import cause_of
from semimed_monai.metrics.froc import read_curve
from semimed_monai.networks import DeployedLesionMap, LesionMapNetwork
from semimed_monai.vocabulary import ROLES

CONFIGS = Path(__file__).parents[2] / "bundles/cxr_fracture/configs"
TRAIN = CONFIGS / "train.json"
COUNTS = ChestCounts(P_hos=4, N_hos=6, P_pub=6, N_pub=6, P_val=4, N_val=4, P_test=4, N_test=4)
TINY = (
    "--profile=phantom",
    "--image_size=64",
    "--widths=[8, 8, 16, 16]",
    "--pyramid=8",
    "--pretraining_epochs=1",
    "--max_epochs=3",
    "--steps_per_epoch=3",
    "--rows_per_role=2",
    "--test#evaluation#bootstrap_repeats=20",
)

Run = Callable[..., str]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chest_phantom_set(tmp_path_factory.mktemp("films") / "chests", counts=COUNTS)


@pytest.fixture
def own_films(films: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(films, tmp_path / "my films"))


@pytest.fixture(scope="module")
def trained(run_bundle: Run, films: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One small training: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, run_bundle(TRAIN, *TINY, f"--dataset_dir={films}", *into(folder), cwd=folder, new=True)


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "datalist.json").read_text())
    edit(content)
    (folder / "datalist.json").write_text(json.dumps(content))


def test_it_says_its_schedule_and_leaves_map_scores(trained: tuple[Path, str]) -> None:
    folder, said = trained
    for name in ("lesions", "sharpened", "sharpened/t", "sharpened/a", "sharpened/m", "auc", "froc"):
        assert f"{name} " in said
    scores = json.loads((folder / "metrics.json").read_text())["scores"]
    assert scores.keys() == {"student"}  # the teacher is the student
    assert {"auc", "froc", "recall_at_0.1"} <= scores["student"].keys()
    with (folder / "predictions.csv").open() as file:
        assert len(list(csv.DictReader(file))) == COUNTS.P_test + COUNTS.N_test
    assert read_curve(folder / "froc.csv")
    assert "FROC" in (folder / "report.html").read_text()


def test_what_is_kept_is_of_the_second_stage(trained: tuple[Path, str]) -> None:
    assert state_of(trained[0])["best"]["best_epoch"] in (2, 3)
    card = json.loads((trained[0] / "models/network.json").read_text())
    network = DeployedLesionMap(**card["arguments"])
    network.load_state_dict(weights_of(trained[0]))


def evaluated(run_bundle: Run, run: Path, films: Path, folder: Path) -> Any:
    """The metrics that evaluate.json gives the weights of a run, which is told nothing of how they were made."""
    own = ("--image_size", "--widths", "--pyramid", "--profile")
    run_bundle(
        [TRAIN, CONFIGS / "evaluate.json"],
        *[setting for setting in TINY if not setting.startswith(own)],
        f"--dataset_dir={films}",
        *into(run),
        f"--test#evaluation#output_dir={folder}",
        cwd=folder,
    )
    return json.loads((folder / "metrics.json").read_text())


def test_evaluate_gives_the_runs_own_numbers(
    trained: tuple[Path, str], films: Path, run_bundle: Run, tmp_path: Path
) -> None:
    found = evaluated(run_bundle, trained[0], films, tmp_path)
    assert found == json.loads((trained[0] / "metrics.json").read_text())


def test_evaluate_knows_a_mean_teachers_run(films: Path, run_bundle: Run, tmp_path: Path) -> None:
    experiment = json.loads((CONFIGS.parent / "experiments/table1.json").read_text())
    method = [f"--{key}={value}" for key, value in experiment["methods"]["mean teacher"]["overrides"].items()]
    run_bundle(TRAIN, *TINY, *method, f"--dataset_dir={films}", *into(tmp_path / "run"), cwd=tmp_path)
    (tmp_path / "again").mkdir()
    found = evaluated(run_bundle, tmp_path / "run", films, tmp_path / "again")
    assert found == json.loads((tmp_path / "run/metrics.json").read_text())
    assert found["scores"].keys() == {"teacher", "student"}


def test_the_recipe_means_what_the_card_says(films: Path, tmp_path: Path) -> None:
    """What no other test would see, as the run is the same length whatever is trained."""
    recipe = resting_recipe(TRAIN, films, tmp_path, profile="phantom")
    terms = recipe.get_parsed_content("criterion").terms
    assert terms["lesions"].roles == ("P_hos", "N_hos", "N_pub")
    assert terms["sharpened"].roles == ("P_pub",)
    assert [terms["sharpened"].factor(progress) for progress in (16 / 28, 16.1 / 28)] == [0.0, 1.0]
    assert {item["role"] for item in recipe.get_parsed_content("train#positives").dataset} == {ROLES.index("P_pub")}
    teacher = recipe.get_parsed_content("teacher")
    assert (teacher.kind, teacher.mode) == ("self", "eval")
    views = recipe.get_parsed_content("views")
    assert not views.share_geometry
    assert views.teacher is None
    optimiser, scheduler = (recipe.get_parsed_content(name) for name in ("optimizer", "scheduler"))
    rates = []
    for _ in range(recipe.get_parsed_content("max_epochs")):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    assert rates == pytest.approx([1e-3] * 16 + [1e-4] * 12)


def test_the_stages_follow_the_trainers_epochs(films: Path, tmp_path: Path) -> None:
    """MONAI Label sets them at the trainer, not at the recipe's `max_epochs`."""
    epochs = {"pretraining_epochs": 2, "max_epochs": 4, "train#trainer#max_epochs": 8}
    recipe = resting_recipe(TRAIN, films, tmp_path, ("KeepBest",), profile="phantom", **epochs)
    (kept,) = recipe.get_parsed_content("train#handlers")
    assert recipe.get_parsed_content("stage").start == 2 / 8
    assert list(recipe.get_parsed_content("scheduler").milestones) == [2]
    assert kept.first_epoch == 3


def test_the_papers_network_is_what_the_profile_paper_makes(films: Path, tmp_path: Path) -> None:
    """ResNet-50 without its classifier has 23 501 760 parameters for one channel; pyramid and head are the rest."""
    recipe = resting_recipe(TRAIN, films, tmp_path)
    network = recipe.get_parsed_content("network_def")
    assert recipe.get_parsed_content("image_size") == 1024
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    added = count.pop("lateral") + count.pop("smooth") + count.pop("head")
    assert sum(count.values()) == 23_508_032 - 2 * 64 * 49
    assert added == (256 + 512 + 1024 + 2048 + 4) * 256 + (9 * 256 + 1) * 256 + 257
    with torch.no_grad():
        assert network.eval()(torch.rand(1, 1, 64, 96)).maps.shape == (1, 1, 16, 24)


def test_hidden_boxes_change_no_bit(own_films: Path, run_bundle: Run, tmp_path: Path) -> None:
    """A public positive's boxes, should a datalist have them, reach nothing."""
    run_bundle(TRAIN, *TINY, f"--dataset_dir={own_films}", *into(tmp_path / "one"), cwd=tmp_path)

    def draw(content: dict[str, Any]) -> None:
        for item in content["training"]:
            if item["role"] == "P_pub":
                item["boxes"] = [[5, 5, 60, 60]]

    change(own_films, draw)
    run_bundle(TRAIN, *TINY, f"--dataset_dir={own_films}", *into(tmp_path / "two"), cwd=tmp_path)
    assert same(weights_of(tmp_path / "one"), weights_of(tmp_path / "two"))


def test_a_resumed_run_is_the_uninterrupted_one(
    films: Path, run_bundle: Run, kill_bundle: Callable[..., None], tmp_path: Path
) -> None:
    """t, a and m, and the bank of maps, are part of the state."""
    method = "--criterion#terms#ensembling#_disabled_=False"
    settings = (*TINY, method, f"--dataset_dir={films}", "--max_epochs=4", "--steps_per_epoch=8")
    run_bundle(TRAIN, *settings, *into(tmp_path / "whole"), cwd=tmp_path)
    kill_bundle(TRAIN, *settings, *into(tmp_path / "cut"), cwd=tmp_path, step=20)
    assert not (tmp_path / "cut/metrics.json").exists()
    run_bundle(TRAIN, *settings, "--resume=True", *into(tmp_path / "cut"), cwd=tmp_path)
    whole, cut = (state_of(tmp_path / name) for name in ("whole", "cut"))
    assert same(whole["student"], cut["student"])
    assert same(whole["criterion"], cut["criterion"])
    assert any(value.abs().sum() > 0 for value in whole["criterion"].values())


def test_two_processes_train_as_one(films: Path, run_bundle: Run, run_by_two: Run, tmp_path: Path) -> None:
    # As for dcmt: no batch statistics, and no Adam. A step of plain gradients must be large to move anything: with a
    # rate of 0.001 the weights would stay where they are, and agree.
    settings = (
        *TINY,
        "--criterion#terms#ensembling#_disabled_=False",
        f"--dataset_dir={films}",
        "--precision=fp32",
        "--frozen_norm=True",
        "--optimizer#_target_=torch.optim.SGD",
        "--learning_rate=1.0",
    )
    run_bundle(TRAIN, *settings, *into(tmp_path / "one"), cwd=tmp_path)
    run_by_two(TRAIN, *settings, *into(tmp_path / "two"), cwd=tmp_path)
    one, two = (state_of(tmp_path / name) for name in ("one", "two"))
    for part in ("student", "criterion"):
        for name, value in one[part].items():
            assert torch.allclose(value.float(), two[part][name].float(), atol=1e-6), (part, name)
    set_determinism(0)
    card = json.loads((tmp_path / "one/models/network.json").read_text())
    assert_same_way(LesionMapNetwork(**card["arguments"]), (one, two), least=1e-4)
    answers = []
    for name in ("one", "two"):
        with (tmp_path / name / "predictions.csv").open() as file:
            answers.append({row["id"]: float(row["probability/fracture"]) for row in csv.DictReader(file)})
    assert len(set(answers[0].values())) > 1
    assert answers[0] == pytest.approx(answers[1], abs=1e-6)
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two")]
    scores = [found.pop("scores")["student"] for found in metrics]
    assert metrics[0] == metrics[1]
    assert scores[0].keys() == scores[1].keys() >= {"auc", "froc", "recall_at_0.1"}
    for name, score in scores[0].items():
        assert score == pytest.approx(scores[1][name], abs=1e-6), name
    for name in ("one", "two"):
        rates, _ = read_curve(tmp_path / name / "froc.csv")
        assert (rates * 4 % 1).any(), "false finds in 8 images are eighths; of a process's own 4 they would be quarters"


@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("inference", "infer")])
def test_properties_are_complete(
    name: str, kind: str, tmp_path: Path, trained: tuple[Path, str], films: Path, own_cache: Path
) -> None:
    settings = {"profile": "phantom", "rows_per_role": 2} if name == "train" else {}
    _, missing = checked_workflow(
        CONFIGS / f"{name}.json",
        kind,
        output_dir=str(tmp_path),
        ckpt_dir=str(trained[0] / "models"),
        dataset_dir=str(films),
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
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(torch.jit.load(script)(images), eager(images), atol=1e-5)


def test_training_and_inference_preprocess_alike(
    films: Path, preprocessings: Callable[[str, Path], tuple[Any, Any]]
) -> None:
    training, inference = preprocessings("cxr_fracture", films)
    for item in Datalist(films).section("test"):
        bare = {key: item[key] for key in ("id", "image", "slice")}
        assert torch.equal(training(item)["image"], inference(bare)["image"])


def test_inference_scores_as_evaluation_does_and_names_what_it_cannot_read(
    trained: tuple[Path, str], own_films: Path, run_bundle: Run, tmp_path: Path
) -> None:
    with (trained[0] / "predictions.csv").open() as file:
        expected = {row["id"]: float(row["probability/fracture"]) for row in csv.DictReader(file)}
    films = tmp_path / "in"
    films.mkdir()
    for name in expected:
        shutil.copy(own_films / name, films)
    (films / "cut.png").write_bytes((own_films / next(iter(expected))).read_bytes()[:200])
    said = run_bundle(
        CONFIGS / "inference.json",
        f"--input={films}",
        f"--ckpt_dir={trained[0]}/models",
        f"--output_dir={tmp_path / 'out'}",
        "--threshold=0.2",
        cwd=tmp_path,
        run_id="run",
        expect=1,
    )
    assert "1 of 9 images could not be read" in said
    assert "cut.png" in said
    found = json.loads((tmp_path / "out/candidates.json").read_text())
    scores = {Path(image["image"]).name: image["score"] for image in found["images"]}
    assert {name: scores[Path(name).name] for name in expected} == pytest.approx(expected, abs=1e-5)
    for file in ("candidates.csv", "coco_results.json", "coco_images.json"):
        assert (tmp_path / "out" / file).is_file()


@pytest.mark.parametrize("table", ["table1", "table2"])
def test_a_method_calls_itself_what_the_papers_tables_call_it(table: str, tmp_path: Path) -> None:
    experiment = Experiment.read(TRAIN.parents[1] / "experiments" / f"{table}.json")
    for cell in experiment.cells(tmp_path, seeds=1):
        parser = ConfigParser()
        parser.read_config([str(config) for config in cell.configs])
        parser.update(dict(cell.settings))
        for term in ("sharpened#positives", "ensembling#items"):
            parser[f"criterion#terms#{term}"] = []  # no data set is needed for a name
        method = parser.get_parsed_content("method")
        assert method == cell.method


BAD: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a box outside the image": (
        lambda head: head["training"][0].update(boxes=[[100, 100, 140, 120]]),
        "reaches outside the image of 128 x 128 pixels",
    ),
    "a box without size": (
        lambda head: head["training"][0].update(boxes=[[10, 10, 10, 20]]),
        "must be a list of [x0, y0, x1, y1] with x0 < x1",
    ),
    "a boxed positive without box": (lambda head: head["training"][0].pop("boxes"), "and it has none: add them"),
    "an unknown role": (lambda head: head["training"][0].update(role="P_priv"), "role 'P_priv' is unknown"),
    "no boxed positive": (
        lambda head: head.update(training=[item for item in head["training"] if item["role"] != "P_hos"]),
        "has no training item of role P_hos",
    ),
}


@pytest.mark.parametrize(("edit", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named(
    edit: Callable[[dict[str, Any]], object], message: str, own_films: Path, own_cache: Path, tmp_path: Path
) -> None:
    change(own_films, edit)
    settings = {"profile": "phantom", "dataset_dir": str(own_films), "output_dir": str(tmp_path / "run")}
    workflow = ConfigWorkflow(str(TRAIN), workflow_type="train", logging_file=False, **settings)

    def begin() -> None:
        workflow.initialize()
        workflow.parser.get_parsed_content("train#dataset")

    with pytest.raises(RuntimeError) as raised:
        begin()
    assert message in str(cause_of(raised.value))


def test_a_positive_without_box_is_named_where_froc_needs_one(own_films: Path, run_bundle: Run, tmp_path: Path) -> None:
    """All of them, before the first step: the test section is read after the last."""
    change(own_films, lambda head: [item.pop("boxes", None) for item in head["test"]])
    said = run_bundle(TRAIN, *TINY, f"--dataset_dir={own_films}", *into(tmp_path / "run"), cwd=tmp_path, expect=1)
    positives = [item for item in Datalist(own_films).section("test") if item["label"] == 1]
    assert f"{len(positives)} positives of the section test have no box, which FROC needs: {positives[0]['id']}" in said
    assert "epoch 1" not in said
    assert "Traceback" not in said


def test_datalists_sections_are_the_hospitals(films: Path) -> None:
    test = Datalist(films).section("test")
    assert all("role" not in item for item in test)
    assert [bool(item.get("boxes")) for item in test] == [item["label"] == 1 for item in test]
