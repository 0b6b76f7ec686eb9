"""Where a run of a bundle leaves what, for the tests that compare two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


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
