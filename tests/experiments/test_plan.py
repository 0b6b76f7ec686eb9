"""The file of an experiment becomes commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semimed_monai.experiments import Experiment
from semimed_monai.experiments.plan import pasted
from semimed_monai.experiments.spelling import refuse_unknown_keys

WriteExperiment = Callable[..., Experiment]


def test_cells_are_all_methods_in_their_columns_seed_by_seed(write_experiment: WriteExperiment, tmp_path: Path) -> None:
    cells = write_experiment().cells(tmp_path, seeds=2)
    assert [(cell.method, cell.column, cell.seed) for cell in cells] == [
        (method, column, seed)
        for seed in (1, 2)
        for method, column in (("MT", "10 %"), ("DC-MT", "10 %"), ("MT", "30 %"))
    ]
    assert len({cell.folder for cell in cells}) == len(cells)


def test_a_cell_is_a_command_with_all_overrides(write_experiment: WriteExperiment, tmp_path: Path) -> None:
    cell = write_experiment().cells(tmp_path, seeds=1, settings={"max_epochs": 2, "profile": "phantom"})[0]
    folder = tmp_path / "mt" / "10" / "1"
    assert shlex.split(pasted(cell))[1:] == [
        *("-m", "monai.bundle", "run", "training"),
        *("--config_file", str(tmp_path / "bundle" / "configs" / "train.json")),
        "--profile=phantom",
        "--phantoms#seed=1",
        "--labelled_share=0.1",
        "--criterion#terms#attention#_disabled_=True",
        "--max_epochs=2",
        "--seed=1",
        f"--output_dir={folder}",
        f"--ckpt_dir={folder}/models",
    ]


def test_overlays_are_given_as_one_list(write_experiment: WriteExperiment, tmp_path: Path) -> None:
    cell = write_experiment(configs=["configs/train.json", "configs/skin.json"]).cells(tmp_path, seeds=1)[0]
    given = cell.arguments[cell.arguments.index("--config_file") + 1]
    configs = tmp_path / "bundle" / "configs"
    assert given == str([str(configs / "train.json"), str(configs / "skin.json")])


def test_a_table_of_a_data_set_is_not_made_on_phantoms(write_experiment: WriteExperiment, tmp_path: Path) -> None:
    experiment = write_experiment(data="python -m data_prep.isic2018 --out FOLDER")
    for settings in ({}, {"dataset_dir": ""}):
        with pytest.raises(
            ValueError, match=r"two\.json .*--dataset_dir FOLDER, .*: python -m data_prep\.isic2018 --out F"
        ):
            experiment.cells(tmp_path, seeds=1, settings=settings)
    assert experiment.cells(tmp_path, seeds=1, settings={"dataset_dir": "isic"})[0].settings["dataset_dir"] == "isic"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baseline": "XT"}, "'XT' is none of the methods"),
        ({"method": {}}, "'method' is none of title"),
        ({"methods": {"MT": {"override": {}}}}, "MT: 'override' is none of overrides"),
        ({"methods": {"MT": {"columns": ["11 %"]}}}, "MT: there is no column '11 %'"),
        ({"methods": {"MT": {"paper": {"50 %": {"f1": 1}}}}}, "MT: there is no column '50 %'"),
        ({"methods": {"MT": {"paper": {"10 %": {"f2": 1}}}}}, "MT: 'f2' of the paper is none of the scores"),
        ({"methods": {"MT": {}, "G": {"run": "X", "network": "g"}}}, "G: 'run' is 'X', which is no method with runs"),
        ({"methods": {"MT": {}, "G": {"run": "G", "network": "g"}}}, "G: 'run' is 'G', which is no method with runs"),
        ({"methods": {"MT": {}, "G": {"run": "MT"}}}, "G: with 'run' it needs a 'network' of those runs"),
        ({"methods": {"MT": {}, "G": {"run": "MT", "network": "g", "overrides": {}}}}, "and has no 'overrides'"),
        ({"methods": ["a"]}, "methods: ['a'] is not of type 'object'"),
        ({"methods": {"MT": "x"}}, "methods/MT: 'x' is not of type 'object'"),
        ({"methods": {"MT": {"overrides": [1]}}}, "methods/MT/overrides: [1] is not of type 'object'"),
        ({"scores": "f1"}, "scores: 'f1' is not of type 'array'"),
        ({"columns": {"10 %": 0.1}}, "columns/10 %: 0.1 is not of type 'object'"),
        ({"first_seed": -1}, "first_seed: -1 is less than the minimum of 0"),
        ({"columns": {"10 %": {}, "10": {}}, "methods": {"MT": {}}}, "columns '10 %' has the folder '10'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(write_experiment: WriteExperiment, changes: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r"two\.json is no experiment") as raised:
        write_experiment(**changes)
    assert said in str(raised.value)


def test_a_file_that_is_missing_or_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json is no file: give one of"):
        Experiment.read(tmp_path / "nowhere.json")
    (tmp_path / "half.json").write_text(json.dumps({"title": "x"})[:-1])
    with pytest.raises(ValueError, match=r"half\.json is no JSON"):
        Experiment.read(tmp_path / "half.json")


@pytest.mark.parametrize("file", sorted((Path(__file__).parents[2] / "bundles").glob("*/experiments/*.json")), ids=str)
def test_every_bundles_experiments_can_be_read_and_name_what_is_there(file: Path, tmp_path: Path) -> None:
    experiment = Experiment.read(file)
    settings = {"dataset_dir": ".", "test#evaluation#bootstrap_repeats": 20, "train#trainer#_disabled_": False}
    cells = experiment.cells(tmp_path, seeds=1, settings=settings)
    assert cells
    refuse_unknown_keys(experiment, cells)
