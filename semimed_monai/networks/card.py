"""The weights of a network, and the card beside them: `network.json`, which network models/model.pt is of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from pydoc import locate
from typing import Any

import torch
from torch import Tensor, nn

from semimed_monai.files import whole

_OTHER = "these are the weights of another network"


def write_card(path: str | Path, card: Mapping[str, Any]) -> None:
    """The card as JSON, whole or not at all."""
    with whole(path) as file:
        file.write_text(card_text(card))


def card_text(card: Mapping[str, Any]) -> str:
    """What stands in a card's file."""
    return json.dumps(card, indent=2) + "\n"


def read_card(path: str | Path, **otherwise: Any) -> dict[str, Any]:
    """The card that training wrote; where there is none yet, the values given: a bundle's are the paper's.

    >>> read_card("nowhere/network.json", size=256)
    {'size': 256}

    Raises:
        ValueError: the file is no JSON, or no object.
    """
    path = Path(path)
    if not path.is_file():
        return dict(otherwise)
    try:
        return {**otherwise, **dict(json.loads(path.read_text()))}
    except (ValueError, TypeError) as error:  # no JSON, no object
        raise ValueError(
            f"{path} is no card ({error}); train again, or delete it if the weights are the paper's size"
        ) from error


def deployed_network(card: Mapping[str, Any]) -> nn.Module:
    """The network that a card is of as it is deployed, without its weights: `deployed` names it, `arguments` are its.

    >>> card = {"deployed": "semimed_monai.networks.DeployedCheXNet", "arguments": {"layers": [2, 2], "growth": 4}}
    >>> type(deployed_network(card)).__name__
    'DeployedCheXNet'

    Raises:
        ValueError: there is no such network.
    """
    make = locate(card["deployed"])
    if not (isinstance(make, type) and issubclass(make, nn.Module)):
        raise ValueError(  # noqa: TRY004 - to a user it is a wrong value
            f"network.json says that the network is {card['deployed']}, and there is none of that name: install "
            "what it is part of, or train again"
        )
    return make(**card["arguments"])


def weights_file(weights: str, ckpt_dir: str | Path) -> str:
    """The file that "teacher" or "student" means beside a training's `ckpt_dir`; anything else is a file's path itself.

    >>> weights_file("teacher", "run/models")
    'run/models/model.pt'

    Args:
        weights: "teacher" (what training leaves as the model), "student", or a file.
        ckpt_dir: where training put model.pt. Its student.pt is in the training's output_dir: the folder around
            ckpt_dir, or `eval` in that folder.

    Raises:
        FileNotFoundError: there is no student, nor such a file.
        ValueError: there are two students.
    """
    ckpt_dir = Path(ckpt_dir)
    if weights == "teacher":
        return str(ckpt_dir / "model.pt")
    if weights != "student":
        if not Path(weights).is_file():
            raise FileNotFoundError(f"there are no weights at {weights}: give teacher, student or the path of a file")
        return weights
    around = ckpt_dir.absolute().parent
    found = [file for file in (around / "student.pt", around / "eval" / "student.pt") if file.is_file()]
    if len(found) > 1:
        raise ValueError(f"{found[0]} and {found[1]} are both a student: give the one to use, --weights {found[0]}")
    if not found:
        raise FileNotFoundError(
            f"there is no student.pt in {around} or {around / 'eval'}: give the one that training wrote into its "
            "output_dir, --weights FILE"
        )
    return str(found[0])


def load_weights(network: nn.Module, path: str | Path) -> None:
    """A plain state dict into a network.

    Raises:
        FileNotFoundError: there is no such file; the message says which command makes it.
        RuntimeError: it is no state dict, or another network's.
    """
    path = Path(path)
    if not path.is_file():
        recipe = path.resolve().parent.parent / "configs" / "train.json"
        config = str(recipe) if recipe.is_file() else "the bundle's configs/train.json"
        how = f"python -m monai.bundle run training --config_file {config}"
        raise FileNotFoundError(f"there are no weights at {path}; this makes them: {how}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what torch raises over a file that is not its own is of any kind
        raise RuntimeError(
            f"{path} cannot be loaded: it is cut off, or no plain state dict ({type(error).__name__}); copy it again, "
            "or train again"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RuntimeError(f"{path} is no plain state dict: give the file that training wrote as models/model.pt")
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        # torch names every tensor; our own line among them says what to do
        ours = [line.strip() for line in str(error).splitlines() if _OTHER in line]
        raise RuntimeError(f"{path} cannot be loaded: {ours[0] if ours else error}") from error


def refuse_other_weights(network: nn.Module) -> None:
    """Make loading another network's weights into this one an error, also where the loader is lax (`strict=False`)."""

    def compare(
        module: nn.Module,
        state: Mapping[str, Any],
        prefix: str,
        _meta: Any,
        _strict: bool,
        _m: Any,
        _u: Any,
        errors: list[str],
    ) -> None:
        expected = {prefix + name: value.shape for name, value in module.state_dict().items()}
        given = {name: value.shape for name, value in state.items() if name.startswith(prefix)}
        if expected != given:
            differing = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
            errors.append(
                f"{_OTHER}: {len(differing)} of {len(expected)} tensors differ, "
                f"{differing[0]} first; use the weights together with the network.json that was written beside them"
            )

    network.register_load_state_dict_pre_hook(compare)
