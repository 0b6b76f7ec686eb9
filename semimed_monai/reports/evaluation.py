"""The evaluation that a run ends with: student and teacher on one section, as metrics.json and predictions.csv."""

from __future__ import annotations

import csv
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from torch import nn

from semimed_monai.engines.evaluator import SectionEvaluator
from semimed_monai.metrics import Predictions

logger = logging.getLogger("semimed")


class Evaluation:
    """Loads each network's best weights, runs it over a section, and writes every score with its interval.

    Args:
        evaluators: name (`teacher`, `student`) → its evaluator over the section.
        weights: name → file with the network's plain state dict.
        classes: class names.
        output_dir: where metrics.json and predictions.csv go.
        facts: what the numbers are of: section, labelled share, seed, profile …; stands in metrics.json.
        bootstrap_repeats: for the 95 % intervals, by group.

    Raises:
        FileNotFoundError: a weights file is missing.
    """

    def __init__(
        self,
        evaluators: Mapping[str, SectionEvaluator],
        weights: Mapping[str, str | Path],
        classes: Sequence[str],
        output_dir: str | Path,
        facts: Mapping[str, Any],
        bootstrap_repeats: int = 1000,
    ) -> None:
        self.evaluators = dict(evaluators)
        self.weights = {name: Path(path) for name, path in weights.items()}
        self.classes = list(classes)
        self.output_dir = Path(output_dir)
        self.facts = dict(facts)
        self.bootstrap_repeats = bootstrap_repeats
        self._predictions = {name: Predictions() for name in self.evaluators}
        for name, predictions in self._predictions.items():
            predictions.attach(self.evaluators[name])

    def run(self) -> dict[str, Any]:
        """Evaluate all, write the files on rank 0, and return the content of metrics.json."""
        scores: dict[str, Any] = {}
        rows: list[dict[str, Any]] = []
        for name, evaluator in self.evaluators.items():
            load_weights(evaluator.network, self.weights[name])
            evaluator.run()
            predictions = self._predictions[name]
            scores[name] = predictions.scores(self.classes, self.bootstrap_repeats)
            rows += [{"network": name, **row} for row in predictions.table(self.classes)]
        result = {**self.facts, "scores": scores}
        if idist.get_rank() == 0:
            self.output_dir.mkdir(parents=True, exist_ok=True)
            write_text(self.output_dir / "metrics.json", json.dumps(result, indent=2) + "\n")
            write_table(self.output_dir / "predictions.csv", rows)
            logger.info("%s\n%s", ", ".join(f"{key} {value}" for key, value in self.facts.items()), _table(scores))
        return result


def load_weights(network: nn.Module, path: Path) -> None:
    """A plain state dict into a network, with an error that names the file."""
    if not path.is_file():
        raise FileNotFoundError(f"there are no weights at {path}: train first, or say where they are")
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except RuntimeError as error:
        raise RuntimeError(f"{path} cannot be loaded: {error}") from error


def write_text(path: Path, text: str) -> None:
    """The file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows as CSV, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)


def _table(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Scores by network in percent, with their 95 % intervals."""
    lines = []
    for score in next(iter(scores.values())):
        cells = [
            f"{name} {100 * of[score]['value']:5.1f} [{100 * of[score]['low']:.1f}, {100 * of[score]['high']:.1f}]"
            for name, of in scores.items()
        ]
        lines.append(f"  {score:<18}" + "   ".join(cells))
    return "\n".join(lines)
