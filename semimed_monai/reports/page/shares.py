"""Runs with different shares of labels, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semimed_monai.reports.comparable import refuse_unequal
from semimed_monai.reports.page.figures import Picture, by_labelled_share
from semimed_monai.reports.page.names import PLACE

SHOWN = {"f1": "F1", "auc": "AUC", "tiou": "TIoU"}


@dataclass(frozen=True)
class Shares:
    """What the section on labelled shares shows.

    Args:
        methods: letter → terms and settings.
        runs: a row each: folder, letter, metrics.
        pictures: one per score; [] if all runs have the same share.
    """

    methods: dict[str, str]
    runs: list[tuple[str, str, Mapping[str, Any]]]
    pictures: list[Picture]


def compared(runs: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Mapping[str, Any]]) -> Shares:
    """Runs by folder name, ordered by method and share; methods are told apart by their terms and settings.

    Args:
        runs: folder → metrics.json.
        settings: folder → those of configuration.json, of the runs that have one.

    Raises:
        ValueError: runs that were not measured on the same, or one that does not say its labelled share.
    """
    silent = [folder for folder, run in runs.items() if run.get("labelled_share") is None]
    if silent:
        raise ValueError(f"metrics.json of {', '.join(silent)} does not say its labelled_share: give this run alone")
    refuse_unequal(runs.values())
    methods = _methods(runs, settings)
    letters = {method: chr(ord("A") + place) for place, method in enumerate(dict.fromkeys(methods.values()))}
    rows = [(folder, letters[methods[folder]], run) for folder, run in runs.items()]
    rows.sort(key=lambda row: (row[1], row[2]["labelled_share"], str(row[2].get("seed"))))
    several = len({run["labelled_share"] for run in runs.values()}) > 1
    pictures = [_picture(score, rows, len(letters) > 1) for score in SHOWN if several and _values(score, rows, False)]
    return Shares({letter: method for method, letter in letters.items()}, rows, pictures)


def _methods(runs: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Folder → its terms, and the value of each setting in which the runs differ, but for those of `PLACE`."""
    given = {folder: settings.get(folder, {}) for folder in runs}
    names = dict.fromkeys(name for values in given.values() for name in values if name not in PLACE)
    differing = [name for name in names if len({str(values.get(name)) for values in given.values()}) > 1]
    return {
        folder: "; ".join(
            [" + ".join(run.get("terms", [])), *(f"{name} {given[folder].get(name)}" for name in differing)]
        )
        for folder, run in runs.items()
    }


def _picture(score: str, rows: Sequence[tuple[str, str, Mapping[str, Any]]], lettered: bool) -> Picture:
    return by_labelled_share(SHOWN[score], _values(score, rows, lettered))


def _values(
    score: str, rows: Sequence[tuple[str, str, Mapping[str, Any]]], lettered: bool
) -> dict[str, dict[float, list[float]]]:
    """Line → labelled share → the score of each run in which it is defined."""
    lines: dict[str, dict[float, list[float]]] = {}
    for _, letter, run in rows:
        for network, scores in run["scores"].items():
            value = scores.get(score, {}).get("value")
            if value is not None:
                line = lines.setdefault(f"{letter}, {network}" if lettered else network, {})
                line.setdefault(run["labelled_share"], []).append(value)
    return lines
