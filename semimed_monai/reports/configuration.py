"""What a run was made with: its recipe as it was run, every setting's value, the versions of the libraries.

Looked for: MONAI saves the recipe only together with tracking, and without the values that its expressions came to.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from semimed_monai.files import whole

LIBRARIES = (
    *("semimed-monai", "monai", "torch", "torchvision", "pytorch-ignite", "kornia", "numpy", "scipy"),
    *("scikit-learn", "scikit-image", "nibabel", "pydicom", "itk", "pillow"),
)

_FREE = (
    # where things are and what is said of them
    *("bundle_root#", "dataset_dir#", "output_dir#", "ckpt_dir#", "tracked#", "tracking_uri#", "experiment_name#"),
    *("run_name#", "save_execute_config#", "is_not_rank0#", "method#"),
    # with what it is computed
    *("resume#", "device#", "num_workers#", "imports#"),
    # what follows the training, or only looks on
    *("start#", "initialize#", "training#", "run#", "finalize#", "test#", "page#", "shown_images#"),
    *("train#handlers#", "validate#handlers#", "train#trainer#train_handlers#"),
)
"""Beginnings of the names that may differ when a run is resumed."""


def save_configuration(path: str | Path) -> None:
    """Write the configuration of the bundle that is running as JSON: `bundle`, `settings`, `recipe`, `versions`.

    An entry in a recipe's `training`, after the training: by then its expressions have their values, and none is
    evaluated for this. A password in an address (`https://me:secret@host`) is left out.

    Raises:
        RuntimeError: no bundle is running.
    """
    parser = _running().parser
    meta = parser.get("_meta_") or {}
    content = {
        "bundle": {key: meta[key] for key in ("name", "version") if key in meta},
        "settings": running_settings(),
        "recipe": _recipe(parser),
        "versions": versions(),
    }
    if idist.get_rank() == 0:
        with whole(path) as file:
            file.write_text(_without_passwords(content) + "\n")


def run_identity(**more: Any) -> dict[str, Any]:
    """What makes the bundle that is running this run and no other: all values of its recipe by name, as they are
    written, but those that do not shape its weights (`_FREE`), and what else is given.

    The `identity` of a recipe's `RunState`.

    Raises:
        RuntimeError: no bundle is running.
    """
    leaves = dict(_leaves(_recipe(_running().parser)))
    shaping = {key: value for key, value in leaves.items() if not f"{key}#".startswith(_FREE)}
    return {**shaping, **more}


def _leaves(config: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value by its name; one that is neither text nor number nor None as text."""
    if not isinstance(config, (dict, list)):
        yield name, config if isinstance(config, (str, int, float, type(None))) else str(config)
        return
    for key, inner in config.items() if isinstance(config, dict) else enumerate(config):
        yield from _leaves(inner, f"{name}#{key}" if name else str(key))


def running_settings() -> dict[str, Any]:
    """What a person can set of the bundle that is running: plain values, and what expressions have come to so far.

    Raises:
        RuntimeError: no bundle is running.
    """
    parser = _running().parser
    values = {key: parser.ref_resolver.resolved_content.get(key, value) for key, value in _recipe(parser).items()}
    values = {key: str(value) if isinstance(value, (torch.device, Path)) else value for key, value in values.items()}
    settings: dict[str, Any] = json.loads(
        _without_passwords({key: value for key, value in values.items() if _is_plain(value)})
    )
    return settings


def _recipe(parser: ConfigParser) -> dict[str, Any]:
    return {key: value for key, value in parser.get().items() if key != "_meta_"}


def _without_passwords(content: Any) -> str:
    """As JSON, without who opens an address."""
    return re.sub(r'://[^/@\s"]+@', "://", json.dumps(content, indent=2, default=str, ensure_ascii=False))


def versions() -> dict[str, str]:
    """Of Python, of the libraries that results depend on, and of CUDA if this torch is built with it."""
    found = {"Python": platform.python_version(), "system": platform.platform()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a source tree on PYTHONPATH, or not needed here
            continue
    return found | ({"CUDA": torch.version.cuda} if torch.version.cuda else {})


def _running() -> ConfigWorkflow:
    """MONAI hands no recipe its parser, so this looks up the call stack for the workflow, as `bundle_root` does."""
    frame = sys._getframe(1)  # noqa: SLF001 - Python's way up the stack
    while frame is not None:
        workflow = frame.f_locals.get("self")
        if isinstance(workflow, ConfigWorkflow):
            return workflow
        frame = frame.f_back  # type: ignore[assignment]
    raise RuntimeError("no bundle is running: put save_configuration into its recipe's `training`")


def _is_plain(value: Any) -> bool:
    """A value that a person can read and set; no component, and no expression that this run did not ask for."""
    if isinstance(value, (list, tuple)):
        return all(_is_plain(inner) for inner in value)
    if isinstance(value, str):
        return not value.startswith(("$", "@", "%"))
    return value is None or isinstance(value, (bool, int, float))
