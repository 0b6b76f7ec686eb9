"""configs/metadata.json by itself: its form, its versions, a name for each channel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import metadata as installed
from pathlib import Path

from jsonschema import Draft7Validator
from packaging.version import Version

from semimed_monai.zoo.bundles import METADATA, Bundle
from semimed_monai.zoo.checks.finding import Finding

SCHEMA = Path(__file__).with_name("metadata_schema.json")
"""Ours, which is stricter than the public zoo's: also what MONAI's verify_metadata may be given as --filepath."""

_LONGEST = 160


def against_schema(bundle: Bundle) -> Iterator[Finding]:
    """Keys that are missing, of another kind, or known to nobody."""
    validator = Draft7Validator(json.loads(SCHEMA.read_text()))
    for error in sorted(validator.iter_errors(bundle.metadata), key=lambda error: list(map(str, error.absolute_path))):
        where = "/".join(map(str, error.absolute_path)) or "the file"
        message = error.message if len(error.message) <= _LONGEST else f"{error.message[:_LONGEST]} …"
        yield Finding(bundle.name, METADATA, f"{where}: {message}", "correct it")


def versions(bundle: Bundle) -> Iterator[Finding]:
    """The version and its line in the changelog; packages that are not there, or older than said."""
    metadata = bundle.metadata
    version, changelog = metadata["version"], metadata["changelog"]
    newest = max(changelog, key=Version)
    if version not in changelog:
        yield Finding(bundle.name, METADATA, f"the changelog has no version {version}", "say there what changed")
    elif newest != version:
        what = f"the changelog has {newest}, and the version is {version}"
        yield Finding(bundle.name, METADATA, what, "raise the version")
    required = {
        "monai": metadata["monai_version"],
        "torch": metadata["pytorch_version"],
        "numpy": metadata["numpy_version"],
        **metadata["required_packages_version"],
    }
    for name, least in required.items():
        yield from _installed(bundle, name, least)


def _installed(bundle: Bundle, name: str, least: str) -> Iterator[Finding]:
    try:
        there = Version(installed.version(name))
    except installed.PackageNotFoundError:
        yield Finding(bundle.name, METADATA, f"there is no package {name} here", "correct its name, or install it")
        return
    if there < Version(least):
        what = f"it asks for {name} {least}, and {there} is installed"
        yield Finding(bundle.name, METADATA, what, "lower it, or upgrade")


def channels(bundle: Bundle) -> Iterator[Finding]:
    """A name for each channel; of a label map, which has one, for each of its values."""
    for side, tensors in bundle.metadata["network_data_format"].items():
        for name, tensor in tensors.items():
            count, names, kind = tensor["num_channels"], tensor["channel_def"], "channels"
            if tensor["format"] == "labels":
                if count != 1:
                    yield Finding(bundle.name, METADATA, f"{side}/{name}: a label map of {count} channels", "write 1")
                count, kind = 1 + int(tensor["value_range"][-1]), "values"
            if len(names) != count or max(map(int, names)) != count - 1:
                where = f"{side}/{name}: {count} {kind}, and channel_def names {', '.join(names)}"
                yield Finding(bundle.name, METADATA, where, f"name 0 to {count - 1}")
