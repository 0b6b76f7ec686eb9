"""The bundles `stsc_skin_classification` and `stsc_chest_classification` as a user runs them: real processes, images
and folders. They are one recipe, of classes that exclude each other and of findings each by itself.

What dcmt's tests show of the common engine (MLflow, the page that fails) is not shown again.
"""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image
from runs import checked_workflow, deployed_of, into, resting_recipe, same, state_of, weights_of

from semimed_monai.data import Datalist
from semimed_monai.data.phantoms import (
    FINDINGS,
    SKIN_CLASSES,
    SkinAppearance,
    finding_phantom_set,
    skin_phantom_set,
)
from semimed_monai.experiments import Experiment

BUNDLES = Path(__file__).parents[2] / "bundles"
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
OF_WEIGHTS = ("--image_size", "--layers", "--growth", "--stem", "--profile")
UNTOLD = tuple(setting for setting in TINY if not setting.startswith(OF_WEIGHTS))
"""What an evaluation is given: the card says how the weights were made."""

TERMS = ("classification", "consistency", "relations", "temporal")

Run = Callable[..., str]


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "datalist.json").read_text())
    edit(content)
    (folder / "datalist.json").write_text(json.dumps(content))


@dataclass(frozen=True)
class Sort:
    """One of the two bundles.

    Args:
        classes: that its phantoms have.
        channels: of its images.
        tables: of the paper, that it has.
        other: another label in place of one.
    """

    name: str
    classes: tuple[str, ...]
    channels: int
    tables: tuple[str, ...]
    other: Callable[[Any], Any]

    @property
    def configs(self) -> Path:
        return BUNDLES / self.name / "configs"

    @property
    def train(self) -> Path:
        return self.configs / "train.json"


SKIN = Sort(
    "stsc_skin_classification",
    SKIN_CLASSES,
    3,
    ("table1", "table3", "table4", "isic2018"),
    lambda label: (label + 3) % 7,
)
CHEST = Sort("stsc_chest_classification", FINDINGS, 1, ("table2",), lambda label: [1 - there for there in label])


@pytest.fixture(scope="module", params=[SKIN, CHEST], ids=["skin", "chest"])
def sort(request: pytest.FixtureRequest) -> Sort:
    found: Sort = request.param
    return found


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finding_phantom_set(tmp_path_factory.mktemp("films") / "set", patients=200)


@pytest.fixture(scope="module")
def images(sort: Sort, films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its datalist says which half is labelled: chosen by the reader, that would follow the labels."""
    folder = tmp_path_factory.mktemp("images") / sort.name
    if sort is SKIN:
        skin_phantom_set(folder, lesions=120, appearance=SkinAppearance(size=32))
    else:
        shutil.copytree(films, folder)

    def choose(head: dict[str, Any]) -> None:
        for item in head["training"]:
            item["labelled"] = int(re.sub(r"\D", "", item["group"])) % 2 == 0

    change(folder, choose)
    return folder


@pytest.fixture(scope="module")
def trained(sort: Sort, run_bundle: Run, images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One small training: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, run_bundle(sort.train, *TINY, f"--dataset_dir={images}", *into(folder), cwd=folder, new=sort is SKIN)


def answers_of(folder: Path) -> dict[str, list[float]]:
    """The deployed network's probabilities by id."""
    with (folder / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["network"] == "teacher"]
    names = [name for name in rows[0] if name.startswith("probability/")]
    return {row["id"]: [float(row[name]) for name in names] for row in rows}


def test_it_says_its_terms_and_leaves_the_papers_scores(sort: Sort, trained: tuple[Path, str]) -> None:
    folder, said = trained
    assert all(f"{term} " in said for term in (*TERMS, "auc"))
    scores = json.loads((folder / "metrics.json").read_text())["scores"]
    assert list(scores) == ["teacher", "student"]
    if sort is SKIN:
        assert {"class_accuracy", "recall", "specificity", "auc", "f1", "tiou"} <= scores["teacher"].keys()
    else:
        assert scores["teacher"].keys() == {"auc", *(f"auc/{name}" for name in FINDINGS)}
    assert "Relation matrices of" in (folder / "report.html").read_text()
    assert state_of(folder)["criterion"]["terms.temporal.memory.marks"].max() == 12


def test_evaluate_gives_the_runs_own_numbers(
    sort: Sort, trained: tuple[Path, str], images: Path, run_bundle: Run, tmp_path: Path
) -> None:
    """It is told nothing of how the weights were made."""
    run_bundle(
        [sort.train, sort.configs / "evaluate.json"],
        *UNTOLD,
        f"--dataset_dir={images}",
        *into(trained[0]),
        f"--test#evaluation#output_dir={tmp_path}",
        cwd=tmp_path,
    )
    assert json.loads((tmp_path / "metrics.json").read_text()) == json.loads((trained[0] / "metrics.json").read_text())


def test_hidden_labels_and_masks_change_no_bit(
    sort: Sort, trained: tuple[Path, str], images: Path, run_bundle: Run, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(images, tmp_path / "mine"))

    def turn(head: dict[str, Any]) -> None:
        for item in head["training"]:
            if not item["labelled"]:
                item["label"] = sort.other(item["label"])
                item.pop("mask", None)

    change(folder, turn)
    run_bundle(sort.train, *TINY, f"--dataset_dir={folder}", *into(tmp_path), cwd=tmp_path)
    assert same(weights_of(trained[0]), weights_of(tmp_path))


def test_killed_and_resumed_is_the_uninterrupted_run(
    sort: Sort,
    images: Path,
    run_bundle: Run,
    kill_bundle: Callable[..., None],
    trained: tuple[Path, str],
    tmp_path: Path,
) -> None:
    """The bank of embeddings and the learning rate's schedule are part of the state."""
    settings = (*TINY, f"--dataset_dir={images}", *into(tmp_path))
    kill_bundle(sort.train, *settings, cwd=tmp_path, step=6)
    assert not (tmp_path / "metrics.json").exists()
    run_bundle(sort.train, *settings, "--resume=True", cwd=tmp_path)
    whole, cut = state_of(trained[0]), state_of(tmp_path)
    for part in ("student", "teacher", "criterion"):
        assert same(whole[part], cut[part]), part
    assert whole["scheduler"] == cut["scheduler"]
    assert whole["criterion"]["terms.temporal.memory.values"].abs().sum() > 0


def test_two_processes_train_as_one(sort: Sort, images: Path, run_bundle: Run, run_by_two: Run, tmp_path: Path) -> None:
    # As for dcmt: statistics frozen, for torch has none of the global batch on CPUs; no Adam, which blows up rounding.
    settings = (
        *TINY,
        f"--dataset_dir={images}",
        "--precision=fp32",
        "--frozen_norm=True",
        "--teacher#mode=eval",
        "--optimizer={'_target_': 'torch.optim.SGD', 'params': '$@network.parameters()', 'lr': 0.001}",
    )
    run_bundle(sort.train, *settings, *into(tmp_path / "one"), cwd=tmp_path)
    run_by_two(sort.train, *settings, *into(tmp_path / "two"), cwd=tmp_path)
    one, two = (state_of(tmp_path / name) for name in ("one", "two"))
    for part in ("student", "teacher", "criterion"):
        for name, value in one[part].items():
            assert torch.allclose(value.float(), two[part][name].float(), atol=1e-3), (part, name)
    answers = [answers_of(tmp_path / name) for name in ("one", "two")]
    assert answers[0].keys() == answers[1].keys()
    assert np.allclose(list(answers[0].values()), [answers[1][name] for name in answers[0]], atol=1e-3)


@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("inference", "infer")])
def test_properties_are_complete(
    sort: Sort, name: str, kind: str, tmp_path: Path, trained: tuple[Path, str], images: Path
) -> None:
    settings = {"profile": "phantom"} if name == "train" else {}
    _, missing = checked_workflow(
        sort.configs / f"{name}.json",
        kind,
        output_dir=str(tmp_path),
        ckpt_dir=str(trained[0] / "models"),
        dataset_dir=str(images if name == "train" else images / "images"),
        **settings,
    )
    assert missing == []


def test_metadata_and_network_agree(
    sort: Sort, verify_network: Callable[..., None], trained: tuple[Path, str], tmp_path: Path
) -> None:
    verify_network(sort.configs, trained[0] / "models", cwd=tmp_path, n=2)


def test_export_equals_eager(
    sort: Sort, export_network: Callable[..., Path], trained: tuple[Path, str], tmp_path: Path
) -> None:
    script = export_network(sort.configs, trained[0] / "models", cwd=tmp_path)
    eager = deployed_of(trained[0])
    batch = torch.rand(2, sort.channels, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(torch.jit.load(script)(batch), eager(batch), atol=1e-5)


def test_training_and_inference_preprocess_alike(
    sort: Sort, images: Path, preprocessings: Callable[[str, Path], tuple[Any, Any]]
) -> None:
    training, inference = preprocessings(sort.name, images)
    for item in Datalist(images).section("test")[:8]:
        bare = {key: item[key] for key in ("id", "image", "slice")}
        assert torch.equal(training(item)["image"], inference(bare)["image"])


def test_inference_answers_as_evaluation_does_and_names_what_it_cannot_read(
    sort: Sort, trained: tuple[Path, str], images: Path, run_bundle: Run, tmp_path: Path
) -> None:
    expected = {Path(name).name: values for name, values in answers_of(trained[0]).items()}
    pictures = tmp_path / "in"
    pictures.mkdir()
    for name in expected:
        shutil.copy(images / "images" / name, pictures)
    (pictures / "cut.png").write_bytes((pictures / next(iter(expected))).read_bytes()[:200])
    said = run_bundle(
        sort.configs / "inference.json",
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
            values = [float(row[f"probability/{name}"]) for name in sort.classes]
            assert values == pytest.approx(expected[Path(row["image"]).name], abs=1e-5)
    endings = Counter(file.name.rpartition("_attention")[2] for file in (tmp_path / "out").iterdir())
    films = sum(name.endswith(".dcm") for name in expected)
    assert endings["_overlay.png"] == len(expected)
    assert endings["_capture.dcm"] == films
    picture = np.asarray(Image.open(min((tmp_path / "out").rglob("*_overlay.png")))).astype(int)
    colourful = (picture.max(axis=2) - picture.min(axis=2)).mean() > 10
    assert colourful == (sort is SKIN)  # skin is no grey, a film is


def test_a_method_calls_itself_what_the_papers_tables_call_it(sort: Sort, tmp_path: Path) -> None:
    for table in sort.tables:
        experiment = Experiment.read(sort.configs.parent / "experiments" / f"{table}.json")
        for cell in experiment.cells(tmp_path, seeds=1, settings={"dataset_dir": "."}):
            parser = ConfigParser()
            parser.read_config([str(config) for config in cell.configs])
            parser.update(dict(cell.settings))
            parser["items"], parser["class_count"] = [], len(sort.classes)  # no data set is needed for a name
            parser["criterion#terms#self_training#items"] = []
            assert parser.get_parsed_content("method") == cell.method.removesuffix(", with all labels")


def parsed(sort: Sort, images: Path, tmp_path: Path, **settings: Any) -> ConfigParser:
    """The recipe with the paper's settings on these images, of which nothing is run."""
    return resting_recipe(sort.train, images, tmp_path, image_size=32, **settings)


def test_the_recipe_means_what_the_card_says(sort: Sort, images: Path, tmp_path: Path) -> None:
    """What follows would change no shape, no file and no name, so no other test would see it."""
    more = {f"criterion#terms#{term}#_disabled_": False for term in ("ensembling", "self_training")}
    recipe = parsed(sort, images, tmp_path, **more)
    terms = recipe.get_parsed_content("criterion").terms
    of_ramp = ("consistency", "relations", "temporal", "ensembling")
    weight = 3 if sort is SKIN else 0.3
    for progress, ramp in ((0.19, 0.0), (0.35, math.exp(-5 / 4)), (0.5, 1.0), (1.0, 1.0)):
        assert {name: terms[name].factor(progress) for name in of_ramp} == pytest.approx(
            dict.fromkeys(of_ramp, weight * ramp)
        )
    assert terms["classification"].factor(0.0) == 1
    assert [terms["self_training"].factor(progress) for progress in (0.2, 0.21)] == [0, 1]
    assert all(terms[name].multi_label == (sort is CHEST) for name in ("consistency", "ensembling", "self_training"))
    assert terms["consistency"].summed
    assert (terms["temporal"].start_epoch, terms["temporal"].max_age, terms["temporal"].threshold) == (50, 4.0, 0.8)
    training = len(json.loads((images / "datalist.json").read_text())["training"])
    assert len(terms["temporal"].memory.marks) == training  # labelled or not
    assert recipe.get_parsed_content("teacher").kind == "ema"
    (group,) = recipe.get_parsed_content("optimizer").param_groups
    assert (group["lr"], group["weight_decay"]) == (1e-4, 5e-4)
    recipe.get_parsed_content("optimizer").step()  # torch warns of a schedule that begins before it
    scheduler = recipe.get_parsed_content("scheduler")
    for _ in range(25):
        scheduler.step()
    assert group["lr"] == pytest.approx(1e-4 * 0.75**0.9)


def test_a_baseline_learns_as_many_steps_and_its_graph_has_all_training_images(
    sort: Sort, images: Path, tmp_path: Path
) -> None:
    """Though none of its batches has an unlabelled row, in the paper's profile, whose epoch is all training images."""
    name = "table2" if sort is CHEST else "table1"
    methods = Experiment.read(sort.configs.parent / f"experiments/{name}.json").methods
    baselines = dict(methods["supervised, averaged"].overrides)  # whose runs a graph is asked in, too
    full, baseline = (parsed(sort, images, tmp_path, **settings) for settings in ({}, baselines))
    assert len(full.get_parsed_content("train#batches")) == len(baseline.get_parsed_content("train#batches"))
    batches, labelled = (
        list(baseline.get_parsed_content("train#batches")),
        len(baseline.get_parsed_content("train#dataset")),
    )
    assert max(place for batch in batches for place in batch) < labelled
    training = len(json.loads((images / "datalist.json").read_text())["training"])
    assert len(baseline.get_parsed_content("train#references").dataset) == training > labelled


def test_a_graph_of_embeddings_knows_the_labels_that_the_run_knew(films: Path, run_bundle: Run, tmp_path: Path) -> None:
    """Evaluated again it is told neither share nor seed."""
    graph = (f"--dataset_dir={films}", *into(tmp_path), "--test#evaluators#graph#_disabled_=False")
    run_bundle(CHEST.train, *TINY, *graph, "--labelled_share=0.5", "--seed=3", cwd=tmp_path)
    first = json.loads((tmp_path / "metrics.json").read_text())
    assert list(first["scores"]) == ["teacher", "student", "graph"]
    assert first["scores"]["graph"]["auc"] != first["scores"]["teacher"]["auc"]
    run_bundle(
        [CHEST.train, CHEST.configs / "evaluate.json"],
        *UNTOLD,
        *graph,
        "--datalist#sections=['training', 'test']",
        f"--test#evaluation#output_dir={tmp_path / 'again'}",
        cwd=tmp_path,
    )
    assert json.loads((tmp_path / "again/metrics.json").read_text()) == first


def leaves(value: Any, place: str = "") -> dict[str, Any]:
    """What stands at every place of a configuration."""
    if not isinstance(value, dict):
        return {place: value}
    return {name: leaf for key, inner in value.items() for name, leaf in leaves(inner, f"{place}#{key}").items()} or {
        place: {}
    }


def test_the_two_bundles_are_one_recipe() -> None:
    skin, chest = (leaves(json.loads(sort.train.read_text())) for sort in (SKIN, CHEST))
    assert {name for name in skin.keys() | chest.keys() if skin.get(name) != chest.get(name)} == {
        "#profiles#phantom#image_size",
        *("#multi_label", "#labelled_rows", "#unlabelled_rows", "#counted_rows", "#consistency_weight", "#flips"),
        *("#phantoms#_target_", "#phantoms#lesions", "#phantoms#patients", "#in_channels"),
        *("#weights_card#classes", "#datalist#read#_target_"),
        "#criterion#terms#classification#_target_",
        *("#collate#_target_", "#train#preprocessing#_target_", "#read#_target_"),
        "#validate#additional_metrics",
        *(
            f"#validate#additional_metrics#{score}#{key}"
            for score in ("recall", "specificity", "f1", "class_accuracy")
            for key in ("_target_", "score")
        ),
        "#tracked#tags#bundle",
    }
    for name in ("evaluate", "multi_gpu_train"):
        assert len({(sort.configs / f"{name}.json").read_text() for sort in (SKIN, CHEST)}) == 1


def lacking(sort: Sort) -> Callable[[dict[str, Any]], object]:
    """No training item of the sixth class."""

    def edit(head: dict[str, Any]) -> None:
        for item in head["training"]:
            if sort is CHEST:
                item["label"][5] = 0
            elif item["label"] == 5:
                item["label"] = 1

    return edit


def test_a_class_without_a_labelled_image_is_one_message(
    sort: Sort, images: Path, run_bundle: Run, tmp_path: Path
) -> None:
    """What else may be wrong with a datalist is shown by the reader's own tests, and by dcmt's."""
    folder = Path(shutil.copytree(images, tmp_path / "mine"))
    change(folder, lacking(sort))
    said = run_bundle(sort.train, *TINY, f"--dataset_dir={folder}", *into(tmp_path / "run"), cwd=tmp_path, expect=1)
    assert sort.classes[5] in said
    assert "Traceback" not in said
    assert not (tmp_path / "run/models").exists()


def test_findings_that_nobody_has_are_named_together(films: Path, run_bundle: Run, tmp_path: Path) -> None:
    """All labels are negative."""
    folder = Path(shutil.copytree(films, tmp_path / "mine"))
    change(folder, lambda head: [item.update(label=[0] * 14) for item in head["training"]])
    said = run_bundle(CHEST.train, *TINY, f"--dataset_dir={folder}", *into(tmp_path / "run"), cwd=tmp_path, expect=1)
    assert all(name in said for name in FINDINGS)
    assert "Traceback" not in said


def test_findings_cannot_take_turns(films: Path, run_bundle: Run, tmp_path: Path) -> None:
    settings = (*TINY, f"--dataset_dir={films}", "--balanced=True", *into(tmp_path / "run"))
    said = run_bundle(CHEST.train, *settings, cwd=tmp_path, expect=1)
    assert "several classes, which cannot take turns: set balanced to False" in said
    assert "Traceback" not in said
