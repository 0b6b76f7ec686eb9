"""What a run has left in its folder, read for the page."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from semimed_monai.metrics.grading import FloatArray, IntArray
from semimed_monai.reports.cases import Case, load_cases
from semimed_monai.vocabulary import UNLABELLED

MAKES = "training and evaluation write it at their end, into their output_dir"
PROBABILITY = "probability/"
MEAN = "train_"
"""What MONAI's TensorBoard handler puts before a term's mean over an epoch."""

Scores = Mapping[str, Mapping[str, Mapping[str, float | None]]]
"""network → score → value, low, high; None where it is not defined."""


@dataclass(frozen=True)
class Grades:
    """What one network said about the section: labelled rows only.

    Args:
        label, probabilities: N class indices and N×C.
        iou: of map and mask, nan where there was no mask; None for a network without maps.
    """

    ids: list[str]
    groups: list[str]
    label: IntArray
    probabilities: FloatArray
    iou: FloatArray | None

    @property
    def predicted(self) -> IntArray:
        return np.asarray(self.probabilities.argmax(axis=1))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Curve:
    """A number by epoch."""

    epochs: list[int]
    values: list[float]


@dataclass(frozen=True)
class Run:
    """All that the page shows.

    Args:
        facts: metrics.json without its scores.
        grades: by network, as in `scores`.
        terms, validation: curves by name; {} where there are no TensorBoard files.
        configuration: what `semimed_monai.reports.save_configuration` wrote, or None.
        pictured: the network of `cases`; "" where there are none.
    """

    folder: Path
    facts: dict[str, Any]
    scores: Scores
    classes: list[str]
    grades: dict[str, Grades]
    terms: dict[str, Curve]
    validation: dict[str, Curve]
    configuration: dict[str, Any] | None
    pictured: str
    cases: list[Case]


def read_run(folder: Path) -> Run:
    """Everything that is there.

    Raises:
        FileNotFoundError: metrics.json or predictions.csv is not.
        ValueError: a file that is not what it should be, or files of different evaluations.
    """
    metrics = read_metrics(folder)
    scores: Scores = metrics.pop("scores")
    classes, grades = read_grades(folder / "predictions.csv")
    if grades.keys() != scores.keys():
        raise ValueError(f"{folder}: metrics.json is of {_listed(scores)}, predictions.csv of {_listed(grades)}")
    terms, validation = read_curves(folder / "tensorboard", metrics.get("terms"))
    configuration = folder / "configuration.json"
    pictured, cases = read_cases(folder / "cases.npz", grades)
    return Run(
        folder=folder,
        facts=metrics,
        scores=scores,
        classes=classes,
        grades=grades,
        terms=terms,
        validation=validation,
        configuration=read_json(configuration) if configuration.is_file() else None,
        pictured=pictured,
        cases=cases,
    )


def read_metrics(folder: Path) -> dict[str, Any]:
    """metrics.json.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no such file.
    """
    content = read_json(_there(folder / "metrics.json"))
    if not content.get("scores"):
        raise ValueError(f"{folder / 'metrics.json'} holds no scores: {MAKES}")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: it is none.
    """
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file ({error}): {MAKES}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} should hold a JSON object: {MAKES}")  # noqa: TRY004 - the file's content is wrong
    return content


def read_grades(path: Path) -> tuple[list[str], dict[str, Grades]]:
    """Class names, and each network's labelled rows.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is of no classifier, or has no labelled row.
    """
    with _there(path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in (rows[0] if rows else {}) if name.startswith(PROBABILITY)]
    if not columns:
        raise ValueError(f"{path} has no columns {PROBABILITY}…: this page is for bundles that grade images")
    if all(int(row["label"]) == UNLABELLED for row in rows):
        raise ValueError(f"{path} has no labelled row: evaluate a section with labels")
    networks = dict.fromkeys(row["network"] for row in rows)
    grades = {name: _grades([row for row in rows if row["network"] == name], columns) for name in networks}
    return [name.removeprefix(PROBABILITY) for name in columns], grades


def _grades(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> Grades:
    rows = [row for row in rows if int(row["label"]) != UNLABELLED]
    return Grades(
        ids=[row["id"] for row in rows],
        groups=[row["group"] for row in rows],
        label=np.asarray([int(row["label"]) for row in rows]),
        probabilities=np.asarray([[float(row[name]) for name in columns] for row in rows]),
        iou=np.asarray([float(row["iou"]) for row in rows]) if rows and "iou" in rows[0] else None,
    )


def read_curves(folder: Path, terms: Sequence[str] | None = None) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """The means of terms by epoch, the loss first, and validation's scores, from TensorBoard's files.

    A run that was stopped and resumed, or started anew in the same folder, has left several: from the first epoch of a
    later one on, the later one counts.

    Args:
        folder: where they lie, at any depth.
        terms: the run's; others, of an earlier run in this folder, are left out.
    """
    found: dict[str, Curve] = {}
    files = [EventAccumulator(str(file), size_guidance={"scalars": 0}) for file in sorted(folder.rglob("events.*"))]
    files = [file.Reload() for file in files]
    files = [file for file in files if file.Tags()["scalars"]]
    for file in sorted(files, key=EventAccumulator.FirstEventTimestamp):
        for tag in file.Tags()["scalars"]:
            events, before = file.Scalars(tag), found.get(tag, Curve([], []))
            keep = [place for place, epoch in enumerate(before.epochs) if epoch < events[0].step]
            epochs = [before.epochs[place] for place in keep] + [event.step for event in events]
            found[tag] = Curve(epochs, [before.values[place] for place in keep] + [event.value for event in events])
    means = {tag.removeprefix(MEAN): curve for tag, curve in found.items() if tag.startswith(MEAN)}
    validation = {tag: curve for tag, curve in found.items() if tag not in means and not tag.startswith(MEAN)}
    order = ["loss", *(terms if terms is not None else sorted({name.split("/")[0] for name in means} - {"loss"}))]
    wanted = [name for name in sorted(means) if name.split("/")[0] in order]
    return {name: means[name] for name in sorted(wanted, key=lambda name: order.index(name.split("/")[0]))}, validation


def read_cases(path: Path, grades: Mapping[str, Grades]) -> tuple[str, list[Case]]:
    """The network and its pictured cases; "" and none without the file.

    Raises:
        ValueError: they are of another evaluation than the grades.
    """
    if not path.is_file():
        return "", []
    network, cases = load_cases(path)
    graded = grades.get(network)
    places = {} if graded is None else {name: row for row, name in enumerate(graded.ids)}
    for case in cases:
        row = places.get(case.id)
        if graded is None or row is None or abs(graded.probabilities[row, graded.label[row]] - case.certainty) > 1e-4:
            raise ValueError(f"{path} is of another evaluation than predictions.csv: evaluate again, or remove it")
    return network, cases


def _there(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: {MAKES}")
    return path


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "nothing"
