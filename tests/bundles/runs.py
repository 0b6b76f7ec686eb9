"""A recipe that is looked at and not run; where a run of a bundle leaves what, for the tests that compare two runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from torch import nn

from semimed_monai.networks import deployed_network


def resting_recipe(
    config: Path, dataset: Path | str, folder: Path, handlers: Sequence[str] = (), **settings: Any
) -> ConfigParser:
    """A recipe on this data set, of which nothing is run.

    Of the trainer's handlers it keeps those of these names: some of the others ask for a bundle that is running.
    """
    recipe = ConfigParser()
    recipe.read_config(str(config))
    recipe.update({"bundle_root": str(config.parents[1]), "dataset_dir": str(dataset)})
    recipe.update({"output_dir": str(folder), "ckpt_dir": f"{folder}/models", **settings})
    recipe["train#handlers"] = [one for one in recipe["train#handlers"] if one["_target_"].endswith(tuple(handlers))]
    return recipe


def into(folder: Path) -> tuple[str, str]:
    """The overrides that send all of a run's files there."""
    return f"--output_dir={folder}", f"--ckpt_dir={folder}/models"


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """The model's."""
    weights: dict[str, torch.Tensor] = torch.load(folder / "models/model.pt", weights_only=True)
    return weights


def state_of(folder: Path) -> dict[str, Any]:
    """What a run would be resumed from."""
    state: dict[str, Any] = torch.load(folder / "run_state.pt", weights_only=True)["objects"]
    return state


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def assert_same_way(start: nn.Module, states: Sequence[dict[str, Any]], least: float) -> None:
    """Both states' students went the same way from these weights, and went at all: what stays where it is agrees, too.

    Of each weight by itself: a gradient that is another's, or in another order, is a small part of the whole.
    """
    for name, weight in start.named_parameters():
        way, other = (state["student"][name] - weight for state in states)
        assert way.norm() > least, name
        assert (way - other).norm() < 0.01 * way.norm(), name


def deployed_of(folder: Path) -> nn.Module:
    """The network that the card names, with the model's weights."""
    network = deployed_network(json.loads((folder / "models/network.json").read_text()))
    network.load_state_dict(weights_of(folder))
    return network.eval()


def checked_workflow(config: Path, kind: str, **settings: Any) -> tuple[ConfigWorkflow, list[str]]:
    """A recipe that was initialised, and the properties that MONAI misses in it."""
    workflow = ConfigWorkflow(str(config), workflow_type=kind, logging_file=False, **settings)
    workflow.initialize()
    missing: list[str] = workflow.check_properties()
    return workflow, missing
