"""A copied bundle's training with other values in its recipe: MONAI Label's app has no way to give them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

SMALL = {
    "labelled_rows": 4,
    "unlabelled_rows": 4,
    "steps_per_epoch": 3,
    "test#evaluation#bootstrap_repeats": 20,
}
"""What makes a run take seconds."""

ROWS_ALONE = {"frozen_norm": True, "teacher#mode": "eval"}
"""No row's outputs depend on another row's: what an unlabelled row does to the student it does by its own gradient."""

ONLY_TRAINING = {
    "run": [
        {"_target_": "semimed_monai.files.ensure_writable", "folders": ["@output_dir", "@ckpt_dir"]},
        "$@train#trainer.run()",
    ]
}


def change_recipe(bundle: Path, changes: Mapping[str, Any]) -> None:
    """Other values in train.json, by the names that a command would give."""
    file = bundle / "configs/train.json"
    recipe = json.loads(file.read_text())
    for name, value in changes.items():
        *above, last = name.split("#")
        place = recipe
        for key in above:
            place = place[key]
        place[last] = value
    file.write_text(json.dumps(recipe))


def student_of(bundle: Path) -> dict[str, torch.Tensor]:
    """The student as the last run left it."""
    state: dict[str, torch.Tensor] = torch.load(bundle / "eval/run_state.pt", weights_only=True)["objects"]["student"]
    return state


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
