"""What the recipe of `kl_ensemble_classification` and its tables are made of: nothing is run, and no image opened.

What is asserted here would change no shape, no file and no name, so no test of a run would see it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from runs import resting_recipe

from semimed_monai.data import Datalist, write_datalist
from semimed_monai.experiments import Experiment
from semimed_monai.metrics import LogLikelihood

BUNDLE = Path(__file__).parents[2] / "bundles/kl_ensemble_classification"
TRAIN = BUNDLE / "configs/train.json"
HANDLERS = ("EMATeacher", "LrScheduleHandler", "ValidationHandler", "KeepBest")
PUBLISHED = {
    "densenet161": 456,
    "efficientnet_b5": 456,
    "efficientnet_v2_s": 384,
    "regnet_y_8gf": 448,
    "resnet101": 456,
    "resnext50_32x4d": 512,
    "wide_resnet50_2": 456,
    "shufflenet_v2_x2_0": 512,
}
PROFILES: dict[str, dict[str, Any]] = {
    "phantom": {
        "image_size": 128,
        "members": {"resnet18": 64, "shufflenet_v2_x1_0": 96},
        "folds": 2,
        "steps": 80,
        "pretrained": False,
        "trunk": [3e-3] * 3 + [3e-4] * 2,
        "head": [3e-3] * 3 + [3e-4] * 2,
    },
    "paper": {
        "image_size": 224,
        "members": PUBLISHED,
        "folds": 5,
        "steps": None,  # all knees of the other folds
        "pretrained": True,
        "trunk": [0.0] + [1e-3] * 2 + [1e-4] * 28,
        "head": [1e-2] + [1e-3] * 2 + [1e-4] * 28,
    },
}
"""What the card says of each, and the rates by epoch; `table` is as `phantom`."""
PROFILES["table"] = PROFILES["phantom"]


@pytest.fixture(scope="module")
def knees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A datalist: two knees a person, of one grade or of neighbouring ones, of files that are not there."""

    def of(people: range) -> list[dict[str, Any]]:
        return [
            {"image": f"{person}{side}.png", "group": f"p{person}", "label": (person + worse) % 5}
            for person in people
            for side, worse in (("L", 0), ("R", person // 5 % 2))
        ]

    folder = tmp_path_factory.mktemp("knees")
    sections = {"training": of(range(60)), "validation": of(range(60, 80)), "test": of(range(80, 100))}
    write_datalist(folder, name="knees", classes=[f"KL {grade}" for grade in range(5)], sections=sections)
    return folder


def recipe_of(knees: Path, folder: Path, **settings: Any) -> ConfigParser:
    """It opens no image, fetches no weights and writes nothing."""
    at_rest = {f"{name}#cache_rate": 0.0 for name in ("train#dataset", "train#unlabelled", "validate#dataset")}
    at_rest |= {"datalist#check": False, "imagenet": False, "validate#handlers": []}
    return resting_recipe(TRAIN, knees, folder, HANDLERS, **{**at_rest, **settings})


def learned_and_validating(recipe: ConfigParser) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The labelled items of both loaders."""
    loaders = recipe.get_parsed_content("train#dataloader"), recipe.get_parsed_content("validate#dataloader")
    return loaders[0].dataset.datasets[0].data, loaders[1].dataset.data


def those(key: str, items: list[dict[str, Any]]) -> set[str]:
    return {item[key] for item in items}


@pytest.mark.parametrize("grouped", [True, False])
def test_a_run_learns_from_all_folds_but_its_own(grouped: bool, knees: Path, tmp_path: Path) -> None:
    labelled = those("id", Datalist(knees, check=False).labelled())
    validated: list[str] = []
    for fold in range(5):
        recipe = recipe_of(knees, tmp_path, fold=fold, grouped_folds=grouped)
        learned, validating = learned_and_validating(recipe)
        assert those("id", learned) == labelled - those("id", validating)
        assert grouped == those("group", learned).isdisjoint(those("group", validating))
        validated += [item["id"] for item in validating]
    assert sorted(validated) == sorted(labelled)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_recipe_means_what_the_card_says(profile: str, knees: Path, tmp_path: Path) -> None:
    said = PROFILES[profile]
    recipe = recipe_of(knees, tmp_path, **({} if profile == "paper" else {"profile": profile}))
    for key in ("image_size", "members", "folds", "pretrained"):
        assert recipe.get_parsed_content(key) == said[key], key
    trainer, student = (recipe.get_parsed_content(name) for name in ("train#trainer", "student"))
    assert trainer.network is student
    assert trainer.teacher is None
    assert (student.name, student.size) == next(iter(said["members"].items()))
    assert student.flip
    (term,) = trainer.criterion.terms.items()
    assert (term[0], term[1].factor(0.0), term[1].label_smoothing) == ("classification", 1, 0.1)
    batches = trainer.data_loader.batch_sampler
    steps = said["steps"] or math.ceil(len(trainer.data_loader.dataset) / 16)
    assert (batches.labelled_rows, batches.unlabelled_rows, len(batches)) == (16, 0, steps)

    optimiser = trainer.optimizer
    assert type(optimiser) is torch.optim.Adam
    assert [group["weight_decay"] for group in optimiser.param_groups] == [1e-4, 1e-4]
    weights = [[id(weight) for weight in group["params"]] for group in optimiser.param_groups]
    assert weights == [[id(weight) for weight in part.parameters()] for part in (student.trunk, student.head)]
    _, scheduled, validation, kept = recipe.get_parsed_content("train#handlers")
    rates = []
    for _ in range(trainer.state.max_epochs):
        rates.append([group["lr"] for group in optimiser.param_groups])
        optimiser.step()
        scheduled.lr_scheduler.step()
    trunk, head = zip(*rates, strict=True)
    assert list(trunk) == pytest.approx(said["trunk"])
    assert list(head) == pytest.approx(said["head"])

    validator = recipe.get_parsed_content("validate#evaluator")
    loaders = [recipe.get_parsed_content(f"{name}#dataloader") for name in ("train", "validate")]
    assert [trainer.data_loader, validator.data_loader] == loaders
    assert (validation.validator, validation.interval, kept.validator) == (validator, 1, validator)
    assert validator.network is student
    assert (kept.metric, kept.patience, kept.first_epoch) == ("log_likelihood", 7, 1)
    assert type(recipe.get_parsed_content("validate#key_metric")["log_likelihood"]) is LogLikelihood
    assert kept.save == {tmp_path / "models/model.pt": student, tmp_path / "student.pt": student}


def test_images_are_turned_by_twenty_degrees_and_every_other_one_is_mirrored(knees: Path, tmp_path: Path) -> None:
    views = recipe_of(knees, tmp_path, profile="phantom").get_parsed_content("views")
    assert views.student is views.teacher is None
    assert not views.share_geometry
    images = torch.zeros(400, 1, 16, 16)
    torch.manual_seed(0)
    drawn = views.geometry.forward_parameters(images.shape)
    moved = views.geometry.get_transformation_matrix(images, drawn, recompute=True)[:, :2, :2]
    area, degrees = torch.linalg.det(moved), torch.rad2deg(moved[:, 1, 0].asin())
    assert torch.allclose(area.abs(), torch.ones(400), atol=1e-4)
    assert (area < 0).float().mean() == pytest.approx(0.5, abs=0.1)
    assert [degrees.min(), degrees.max()] == pytest.approx([-20, 20], abs=1)


def test_without_weights_inference_is_of_the_published_ensemble() -> None:
    card = json.loads((BUNDLE / "configs/inference.json").read_text())["card"]
    assert {member["name"]: member["size"] for member in card["arguments"]["members"]} == PUBLISHED
    assert card["size"] == PROFILES["paper"]["image_size"]


@pytest.mark.parametrize(
    ("table", "profile", "folds", "section"),
    [("members", "table", 2, "test"), ("oai", "table", 5, "validation"), ("paper", "paper", 5, "test")],
)
def test_a_table_of_members_is_each_on_each_fold(
    table: str, profile: str, folds: int, section: str, tmp_path: Path
) -> None:
    """All folds are of one cut; of OAI's public copy, which has no test part, the validation section is reported."""
    experiment = Experiment.read(BUNDLE / "experiments" / f"{table}.json")
    cells = experiment.cells(tmp_path, seeds=2, settings={"dataset_dir": "set"} if experiment.data else None)
    assert len(cells) == 2 * len(experiment.columns) * len(experiment.methods)
    for cell in cells:
        recipe = ConfigParser()
        recipe.read_config([str(config) for config in cell.configs])
        recipe.update(dict(cell.settings))
        members = recipe.get_parsed_content("members")
        assert list(members) == list(experiment.methods)
        wanted = {
            "member": cell.method,
            "fold": cell.seed,
            "folds": folds,
            "member_size": members[cell.method],
            "fold_seed": 0,
            "grouped_folds": cell.column != "by image, as published",
            "labelled_share": 1.0,
            "test#section": section,
            "profile": profile,
        }
        assert {key: recipe.get_parsed_content(key) for key in wanted} == wanted
    assert experiment.folds
    assert [one.configs[-1] for one in experiment.assemblies(tmp_path, cells)] == [
        BUNDLE / "configs/assemble.json" for _ in experiment.columns
    ]


def test_few_labels_are_compared_with_an_average_and_with_a_mean_teacher(knees: Path, tmp_path: Path) -> None:
    """On the same labelled tenth, as many steps, validated by the validation section."""
    rows = {"supervised": 0, "supervised, averaged": 0, "mean teacher": 16}
    cells = Experiment.read(BUNDLE / "experiments/few_labels.json").cells(tmp_path, seeds=1)
    assert [cell.method for cell in cells] == list(rows)
    for cell in cells:
        datalist = Datalist(knees, labelled_share=0.1, seed=cell.seed, check=False)
        recipe = recipe_of(knees, cell.folder, **cell.settings)
        assert recipe.get_parsed_content("method") == cell.method
        learned, validating = learned_and_validating(recipe)
        assert learned == datalist.labelled()
        assert validating == datalist.section("validation")
        trainer = recipe.get_parsed_content("train#trainer")
        batches = trainer.data_loader.batch_sampler
        assert (batches.labelled_rows, batches.unlabelled_rows, len(batches)) == (16, rows[cell.method], 80)
        averaged, *_, kept = recipe.get_parsed_content("train#handlers")
        deployed = kept.save[cell.folder / "models/model.pt"]
        assert kept.validator.network is deployed
        if cell.method == "supervised":
            assert trainer.teacher is None
            assert deployed is trainer.network
            continue
        assert (trainer.teacher.kind, trainer.teacher.mode, averaged.decay) == ("ema", "train", 0.99)
        assert deployed is trainer.teacher.network
        if cell.method == "mean teacher":
            assert trainer.data_loader.dataset.datasets[1].data == datalist.unlabelled()
            term = trainer.criterion.terms["consistency"]
            assert term.summed
            factors = [term.factor(progress) for progress in (0.25, 0.5, 1.0)]
            assert factors == pytest.approx([10 * math.exp(-5 / 4), 10, 10])
