"""What every recipe asks before it starts: where its bundle lies, and what its profile sets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol


def bundle_root() -> str:
    """The folder of the bundle whose config is being evaluated: the default of every bundle's `bundle_root`.

    MONAI's ConfigParser forgets which file it read, so this looks up the call stack for who gave it one: a workflow
    (`run` and everything built on ConfigWorkflow) or the `config_file` of `verify_net_in_out` and its like.

    Raises:
        FileNotFoundError: nobody up the stack has a config file of a bundle.
    """
    for given in _config_files(sys._getframe(1)):  # noqa: SLF001 - Python's way up the stack
        folder = Path(given).resolve().parent
        if folder.name != "configs":  # an overlay in experiments/
            folder = folder.parent / "configs"
        if (folder / "metadata.json").is_file():
            return str(folder.parent)
    raise FileNotFoundError(
        "cannot tell where the bundle lies: give it as --bundle_root FOLDER, the one that holds configs/"
    )


def _config_files(frame: FrameType | None) -> Iterator[str]:
    """The first config file that each caller up the stack was given, nearest first."""
    while frame is not None:
        workflow: Any = frame.f_locals.get("self")
        if "config_root_path" in getattr(workflow, "__dict__", ()):
            yield str(workflow.config_root_path / "metadata.json")
        given = frame.f_locals.get("config_file_") or frame.f_locals.get("config_file")
        if isinstance(given, (str, os.PathLike)):
            yield str(given)
        elif isinstance(given, (list, tuple)) and given:
            yield str(given[0])
        frame = frame.f_back


class HasKind(Protocol):
    """A teacher, as far as a method's name goes."""

    kind: str


def method_of(terms: Sequence[str], teacher: HasKind | None, names: Mapping[str, Sequence[str]]) -> str:
    """What a recipe of these terms and this teacher is called: the name that stands for just them, else all of them.

    >>> method_of(["classification"], None, {"supervised": ["classification"]})
    'supervised'
    >>> method_of(["classification", "attention"], None, {"supervised": ["classification"]})
    'classification + attention'
    """
    parts = [*terms, *([] if teacher is None else [f"{teacher.kind} teacher"])]
    return next((name for name, known in names.items() if sorted(known) == sorted(parts)), " + ".join(parts))


def chosen_profile(
    profiles: Mapping[str, Any], name: str, what: str = "profile", card: Mapping[str, Any] | None = None
) -> Any:
    """The settings of one profile, or what stands by the name of what else a recipe has some of.

    >>> profiles = {"phantom": {"image_size": 96, "width": 16, "max_epochs": 24}}
    >>> chosen_profile(profiles, "phantom")
    {'image_size': 96, 'width': 16, 'max_epochs': 24}
    >>> chosen_profile(profiles, "phantom", card={"size": 64, "arguments": {"width": 32}})
    {'image_size': 64, 'width': 32, 'max_epochs': 24}

    Args:
        profiles: the settings by profile.
        name: of the wanted one.
        what: what it is called, for the message.
        card: of weights that a run goes on from: the network's size is theirs, whatever the profile.

    Raises:
        ValueError: there is no profile of that name.
    """
    if name not in profiles:
        raise ValueError(f"there is no {what} {name!r}; choose one of {', '.join(profiles)}")
    settings = profiles[name]
    if not card or "arguments" not in card:
        return settings
    given = {"image_size": card["size"], **card["arguments"]}
    return {key: given.get(key, value) for key, value in settings.items()}
