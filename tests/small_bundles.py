"""Bundles with small networks that learned nothing, in a folder as a user has it: `bundles`, and `my_images`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from semimed_monai.networks import deployed_network, write_card

BUNDLES = Path(__file__).parents[1] / "bundles"

CARDS: dict[str, dict[str, Any]] = {
    "dcmt": {"size": 32, "arguments": {"layers": [1, 1, 1, 1], "width": 16, "map_stride": 8}},
    "cartilage_segmentation": {"size": 32, "arguments": {"channels": [4, 8], "residual_units": 1}},
    "cxr_fracture": {"size": 64, "arguments": {"layers": [1, 1, 1, 1], "block": "basic"}},
    "pcam": {"size": 64, "arguments": {"layers": [1, 1, 1, 1], "widths": [4, 8, 8, 16]}},
    "stsc_skin_classification": {"size": 32, "arguments": {"layers": [2, 2], "growth": 8, "stem": 16}},
    "stsc_chest_classification": {
        "size": 32,
        "arguments": {
            "in_channels": 1,
            "classes": 14,
            "multi_label": True,
            "layers": [2, 2],
            "growth": 8,
            "stem": 16,
        },
    },
    "kl_ensemble_classification": {
        "size": 64,
        "arguments": {"members": [{"name": "shufflenet_v2_x0_5", "size": 64}]},
    },
}


def give_weights(bundle: Path, small: Mapping[str, Any]) -> None:
    """models/model.pt and models/network.json, as training leaves them; of the paper's size but for what is given."""
    default = json.loads((bundle / "configs/inference.json").read_text())["card"]
    card = {key: value for key, value in default.items() if key not in ("_target_", "path")} | small
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = deployed_network(card)
        with torch.no_grad():  # answers that differ between images, and maps on both sides of their threshold
            for weight in network.parameters():
                weight.masked_fill_(weight < -2, 0)  # a detector's bias, by which it begins with no finds
                weight.add_(0.3 * weight.std(unbiased=False) * torch.randn_like(weight))
            for head in [module for module in network.modules() if isinstance(module, nn.Linear)][-1:]:
                head.weight.mul_(4)
    (bundle / "models").mkdir()
    torch.save(network.state_dict(), bundle / "models/model.pt")
    write_card(bundle / "models/network.json", {**card, "arguments": network.arguments})


def place(folder: Path, *names: str, small: bool = True) -> Path:
    """The folder, with these bundles in `bundles`, small or of the papers' size, and an empty `my_images`."""
    for name in names:
        bundle = folder / "bundles" / name
        shutil.copytree(BUNDLES / name, bundle, ignore=shutil.ignore_patterns("models", "eval"))
        give_weights(bundle, CARDS[name] if small else {})
    (folder / "my_images").mkdir()
    return folder
