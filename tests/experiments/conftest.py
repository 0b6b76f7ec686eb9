"""An experiment of two methods and two columns, in a bundle's folder whose recipe takes no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semimed_monai.experiments import Cell, Experiment

CONTENT: dict[str, Any] = {
    "title": "Two methods",
    "configs": ["configs/train.json"],
    "overrides": {"profile": "table", "phantoms#seed": 1},
    "scores": ["f1", "tiou"],
    "columns": {"10 %": {"labelled_share": 0.1}, "30 %": {"labelled_share": 0.3}},
    "methods": {
        "MT": {"overrides": {"criterion#terms#attention#_disabled_": True}, "paper": {"10 %": {"f1": 72.7}}},
        "DC-MT": {"columns": ["10 %"]},
    },
    "baseline": "MT",
    "first_seed": 1,
}

# Counts its starts, fails for seed 2, and leaves the files that a run leaves. (tests/bundles/test_experiments.py runs
# the real ones.)
TRAINING = """
import json, pathlib, sys
folder = pathlib.Path(output_dir)
with (folder / "starts").open("a") as starts:
    starts.write(f"resume={resume}, method={method}\\n")
if seed == 2:
    print("error: of an engine", file=sys.stderr)
    sys.exit("\\nerror: the disk is full:\\n  - make room\\n(SEMIMED_TRACEBACK=1 shows where it arose)")
scores = {"teacher": {name: {"value": 0.5} for name in ("f1", "tiou", "tiou_disc", "tiou_ones")}}
facts = {"section": "test", "dataset": "knees", "dataset_version": "4", "dataset_digest": "d", "profile": "table"}
facts |= {"labelled_share": labelled_share, "seed": seed, "scores": scores}
(folder / "metrics.json").write_text(json.dumps(facts))
"""
_TAKEN = ("output_dir", "resume", "method", "seed", "labelled_share")

RECIPE: dict[str, Any] = {
    "imports": ["$import runpy"],
    "bundle_root": "",
    "training": f"$runpy.run_path(@bundle_root + '/training.py', dict({', '.join(f'{key}=@{key}' for key in _TAKEN)}))",
    "resume": False,
    "method": "",
    "dataset_dir": "",
    "profile": "phantom",
    "labelled_share": 0.1,
    "seed": 0,
    "max_epochs": 1,
    "output_dir": "",
    "ckpt_dir": "",
    "phantoms": {"seed": 0},
    "criterion": {"terms": {"attention": {"_target_": "semimed_monai.losses.AttentionLoss"}}},
}

WriteExperiment = Callable[..., Experiment]
WriteMetrics = Callable[..., None]


@pytest.fixture
def write_experiment(tmp_path: Path) -> WriteExperiment:
    """write_experiment(**changes) -> the experiment, read from a file with these changes; its recipe is RECIPE."""

    def write(**changes: Any) -> Experiment:
        file = tmp_path / "bundle" / "experiments" / "two.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**CONTENT, **changes}))
        config = tmp_path / "bundle" / "configs" / "train.json"
        config.parent.mkdir(exist_ok=True)
        root = config.parents[1]
        config.write_text(json.dumps({**RECIPE, "bundle_root": str(root)}))
        (root / "training.py").write_text(TRAINING)
        return Experiment.read(file)

    return write


@pytest.fixture
def write_metrics() -> WriteMetrics:
    """write_metrics(cell, f1, student=…, **facts): what a finished run leaves in the cell's folder."""

    def write(cell: Cell, f1: float | None, student: float = 0.1, **facts: Any) -> None:
        shapes = {"tiou": 0.5, "tiou_disc": 0.1, "tiou_ones": 0.0}
        scores = {
            network: {
                name: {"value": value, "low": 0.0, "high": 1.0} for name, value in {"f1": score, **shapes}.items()
            }
            for network, score in (("teacher", f1), ("student", student))
        }
        content = {"section": "test", "dataset": "knees", "dataset_version": "4", "dataset_digest": "d"}
        content |= {"profile": "table", "labelled_share": cell.settings["labelled_share"], "seed": cell.seed}
        cell.folder.mkdir(parents=True)
        cell.metrics.write_text(json.dumps({**content, "scores": scores, **facts}))
        (cell.folder / "cell.json").write_text(json.dumps(cell.arguments))

    return write
