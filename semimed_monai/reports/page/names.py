"""What runs of several methods and settings are called when they stand side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semimed_monai.reports.page.run import read_json

PLACE = {
    *("labelled_share", "seed", "resume", "bundle_root", "dataset_dir", "data_dir", "output_dir", "ckpt_dir"),
    *("device", "num_workers", "tracking_uri", "is_not_rank0"),
}
"""Settings in which runs of one method may differ: a curve's own axes, and where a run is computed and kept."""


def run_names(runs: Mapping[Path, Mapping[str, Any]]) -> dict[Path, str]:
    """Folder → the run's method, and the settings in which other runs of this method differ from it.

    Args:
        runs: folder → metrics.json.
    """
    settings = {folder: _settings(folder, metrics) for folder, metrics in runs.items()}
    methods = {folder: _method(runs[folder], settings[folder]) for folder in runs}
    names = {}
    for folder, method in methods.items():
        alike = [settings[other] for other in runs if methods[other] == method]
        keys = dict.fromkeys(key for one in alike for key in one if key not in PLACE - {"labelled_share"})
        differing = [key for key in keys if len({str(one.get(key)) for one in alike}) > 1]
        names[folder] = ", ".join([method, *(f"{key} {settings[folder].get(key)}" for key in differing)])
    return names


def _settings(folder: Path, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Those of configuration.json, if it is there, and the share of labels."""
    file = folder / "configuration.json"
    settings = read_json(file).get("settings", {}) if file.is_file() else {}
    return {**settings, "labelled_share": metrics.get("labelled_share")}


def _method(metrics: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """By name; a run without its configuration is known by its terms."""
    return str(metrics.get("method") or settings.get("method") or " + ".join(metrics.get("terms") or ["no name"]))
