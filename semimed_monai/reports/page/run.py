"""What a run has left in its folder, read for the page."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from semimed_monai.metrics.froc import Curve as FrocCurve
from semimed_monai.metrics.froc import read_curve
from semimed_monai.reports.cases import Case, load_cases
from semimed_monai.reports.mapped import Mapped, SideBySide, load_mapped
from semimed_monai.reports.page.answers import Answers, read_answers
from semimed_monai.reports.relations import RelationMatrices, Relations, load_relations

MAKES = "training and evaluation write it at their end, into their output_dir"
MEAN = "train_"
"""What MONAI's TensorBoard handler puts before a term's mean over an epoch."""

Scores = Mapping[str, Mapping[str, Mapping[str, float | None]]]
"""network → score → value, low, high; None where it is not defined."""


A = TypeVar("A", bound=Answers)


@dataclass(frozen=True)
class Curve:
    """A number by epoch."""

    epochs: list[int]
    values: list[float]


@dataclass(frozen=True)
class Run(Generic[A]):
    """All that the page shows.

    Args:
        facts: metrics.json without its scores.
        classes: their names; a segmenter's without the background.
        answers: by network, as in `scores`.
        terms, validation: curves by name; {} where there are no TensorBoard files.
        configuration: what `semimed_monai.reports.save_configuration` wrote, or None.
        froc: a detector's curve; None of other networks.
        pictured: the network of `cases`; "" where there are none.
        relations: of networks with embeddings; None of others.
        mapped: images with each network's map; [] where none were kept.
        members, subsets: what an assembly wrote of an ensemble's runs and of their votes; [] of other networks.
    """

    folder: Path
    facts: dict[str, Any]
    scores: Scores
    classes: list[str]
    answers: dict[str, A]
    terms: dict[str, Curve]
    validation: dict[str, Curve]
    configuration: dict[str, Any] | None
    froc: FrocCurve | None
    pictured: str
    cases: list[Case]
    relations: RelationMatrices | None
    mapped: list[Mapped]
    members: list[dict[str, str]]
    subsets: list[dict[str, str]]

    @property
    def first(self) -> str:
        """The network that is deployed."""
        return next(iter(self.answers))


def read_run(folder: Path) -> Run[Any]:
    """Everything that is there: a Run[Grades], a Run[Findings] or a Run[Overlaps].

    Raises:
        FileNotFoundError: metrics.json or predictions.csv is not.
        ValueError: a file that is not what it should be, or files of different evaluations.
    """
    metrics = read_metrics(folder)
    scores: Scores = metrics.pop("scores")
    classes, answers = read_answers(_there(folder / "predictions.csv"))
    if answers.keys() != scores.keys():
        raise ValueError(f"{folder}: metrics.json is of {_listed(scores)}, predictions.csv of {_listed(answers)}")
    terms, validation = read_curves(folder / "tensorboard", metrics.get("terms"))
    configuration = folder / "configuration.json"
    pictured, cases = read_cases(folder / "cases.npz", answers)
    return Run(
        folder=folder,
        facts=metrics,
        scores=scores,
        classes=classes,
        answers=answers,
        terms=terms,
        validation=validation,
        configuration=read_json(configuration) if configuration.is_file() else None,
        froc=read_curve(froc) if (froc := folder / "froc.csv").is_file() else None,
        pictured=pictured,
        cases=cases,
        relations=load_relations(relations) if (relations := folder / Relations.file).is_file() else None,
        mapped=load_mapped(mapped) if (mapped := folder / SideBySide.file).is_file() else [],
        members=read_rows(folder / "members.csv"),
        subsets=read_rows(folder / "subsets.csv"),
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


def read_rows(path: Path) -> list[dict[str, str]]:
    """A CSV's rows; none without the file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


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


def read_cases(path: Path, answers: Mapping[str, Answers]) -> tuple[str, list[Case]]:
    """The network and its pictured cases; "" and none without the file.

    Raises:
        ValueError: they are of another evaluation than the answers.
    """
    if not path.is_file():
        return "", []
    network, cases = load_cases(path)
    answer = answers.get(network)
    rows = {} if answer is None else {name: row for row, name in enumerate(answer.ids)}
    if any(
        answer is None or case.id not in rows or abs(answer.score(rows[case.id], case.label) - case.score) > 1e-4
        for case in cases
    ):
        raise ValueError(f"{path} is of another evaluation than predictions.csv: evaluate again, or remove it")
    return network, cases


def _there(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: {MAKES}")
    return path


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "nothing"
