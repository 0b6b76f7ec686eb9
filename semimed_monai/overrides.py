"""Settings that a recipe is given by name: each must be the name of something, and a number where there was one.

Looked for: MONAI takes an override of any name, and ignores what no component asks for.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pydoc import locate
from typing import Any

from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser, create_workflow
from monai.bundle import run as run_bundle
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

_TRACKING: Any = DEFAULT_MLFLOW_SETTINGS["configs"]
_COMMAND = {*inspect.signature(run_bundle).parameters, *_TRACKING, "workflow_type"}
"""What `monai.bundle run` itself takes, with or without `--tracking mlflow`."""

_TRAINING_DATA = "train#dataset#data"

_OF_PROFILE = re.compile(r"\$@settings\['(\w+)'\]")
"""A setting that the profile has."""


def refuse_unknown_overrides(datalist_only: bool = False) -> None:
    """Raise if the command that is running overrides what its recipe does not have: a misspelt name does nothing; or
    gives words where the recipe has a number.

    Called in every recipe's `initialize`. MONAI hands no recipe its overrides, so this looks up the call stack for
    them, as `bundle_root` does; a recipe that was started otherwise than by `monai.bundle run` is not looked at.

    Args:
        datalist_only: whether the recipe learns from a datalist and nothing else, so that MONAI Label's labelled images
            in its place are refused before anything is read or made.

    Raises:
        ValueError: which keys, with the nearest that there are, or with what they were given.
    """
    frame = sys._getframe(1)  # noqa: SLF001 - Python's way up the stack
    while frame is not None and frame.f_code is not create_workflow.__code__:
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return
    files = frame.f_locals["config_file"]
    files = [files] if isinstance(files, str | Path) else list(files)
    recipe, settings = " + ".join(map(str, files)), frame.f_locals["_args"]
    if unknown := unknown_keys(files, settings):
        raise ValueError("\n  - ".join([f"{recipe} has no such settings; correct the command:", *unknown]))
    if words := words_for_numbers(files, settings):
        raise ValueError("\n  - ".join([f"{recipe} has numbers there; correct the command:", *words]))
    if datalist_only and any(key.replace("::", "#") == _TRAINING_DATA for key in settings):
        raise ValueError(
            f"{recipe} learns from a folder with a datalist.json, and does not train in MONAI Label, which gives it a "
            "list of images: train it with `monai.bundle run training --dataset_dir FOLDER`, and a server answers with "
            "its weights"
        )


def unknown_keys(configs: Sequence[str | Path], settings: Mapping[str, Any]) -> list[str]:
    """Which of the settings a recipe does not have, quoted, each with the nearest name that it has.

    Args:
        configs: the recipe and its overlays.
        settings: by name, as they are overridden.
    """
    parser = ConfigParser()
    parser.read_config([str(config) for config in configs])
    unknown = []
    for key, value in settings.items():
        if _is_known(key, parser):
            parser[key] = value  # which later keys may be part of
        else:
            unknown.append(f"{key!r}{_hint(key, parser)}")
    return unknown


def words_for_numbers(configs: Sequence[str | Path], settings: Mapping[str, Any]) -> list[str]:
    """Which of the settings are words, and no reference or expression, where the recipe or its profile has a number."""
    parser = ConfigParser()
    parser.read_config([str(config) for config in configs])
    return [
        f"{key} {value!r}"
        for key, value in settings.items()
        if isinstance(value, str) and not value.startswith(("$", "@", "%")) and _is_number(parser.get(key), parser)
    ]


def _is_number(value: Any, parser: ConfigParser) -> bool:
    if isinstance(value, str) and (named := _OF_PROFILE.fullmatch(value)):
        profiles: Any = parser.get("profiles") or {}
        return any(isinstance(one, dict) and _is_number(one.get(named[1]), parser) for one in profiles.values())
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_known(key: str, parser: ConfigParser) -> bool:
    """Whether the recipe has it, or a component of the recipe, or the command, takes it."""
    if key in parser or key in _COMMAND or key.startswith("_meta_"):
        return True
    owner, _, last = key.replace("::", "#").rpartition("#")
    component: Any = parser.get(owner)
    if not ConfigComponent.is_instantiable(component):
        return False
    return last in ConfigComponent.non_arg_keys or _takes(component, last)


def _takes(component: dict[str, Any], argument: str) -> bool:
    found: Any = ConfigComponent(component, locator=ComponentLocator())  # MONAI has no type hints here
    target = found.resolve_module_name()
    called: Any = locate(target) if isinstance(target, str) else target
    try:
        parameters = inspect.signature(called).parameters
    except (TypeError, ValueError):  # one that does not say: the run will
        return True
    return argument in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())


def _hint(key: str, parser: ConfigParser) -> str:
    near = difflib.get_close_matches(key.replace("::", "#"), list(_ids(parser.get())), 1)
    return f": did you mean {near[0]!r}?" if near else ""


def _ids(config: Any, above: str = "") -> Iterator[str]:
    """All keys of a recipe, at any depth, as they are overridden."""
    entries = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for name, inner in entries:
        yield f"{above}{name}"
        yield from _ids(inner, f"{above}{name}#")
