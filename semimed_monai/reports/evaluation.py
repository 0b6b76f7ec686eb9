"""The evaluation that a run ends with: student and teacher on one section, as numbers, rows and telling cases."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from semimed_monai.engines.evaluator import SectionEvaluator
from semimed_monai.files import whole, write_table
from semimed_monai.metrics import Collected, Predictions
from semimed_monai.networks import load_weights
from semimed_monai.reports.cases import Cases
from semimed_monai.reports.drawn import Drawn

logger = logging.getLogger("semimed")


class Evaluation:
    """Loads each network's best weights, runs it over a section, and writes every score with its interval.

    Args:
        evaluators: name (`teacher`, `student`) → its evaluator over the section.
        weights: name → file with the network's plain state dict.
        classes: class names.
        output_dir: where the files go.
        facts: what the numbers are of: section, data set …; stands in metrics.json.
        trained: how the network was trained: terms, labelled share, seed …; stands there, too.
        trained_classes: the classes that the network knows, in their order, or None: those of the data set.
        bootstrap_repeats: for the 95 % intervals, by group.
        collector: makes what keeps each evaluator's rows and scores them: `Predictions` (grades) or
            `SegmentationPredictions` (masks).
        cases: keeps pictures of the first network's telling cases, for the page: they go to cases.npz; None for none.
        drawn: what keeps something of some images for each network, for the page: `Relations`, `SideBySide`.

    Raises:
        FileNotFoundError: a weights file is missing.
        ValueError: the network knows other classes, or in another order.
    """

    def __init__(
        self,
        evaluators: Mapping[str, SectionEvaluator],
        weights: Mapping[str, str | Path],
        classes: Sequence[str],
        output_dir: str | Path,
        facts: Mapping[str, Any],
        bootstrap_repeats: int = 1000,
        *,
        collector: Callable[[], Collected] = Predictions,
        cases: Cases | None = None,
        drawn: Sequence[Drawn[Any]] = (),
        trained: Mapping[str, Any] | None = None,
        trained_classes: Sequence[str] | None = None,
    ) -> None:
        if trained_classes is not None and list(trained_classes) != list(classes):
            raise ValueError(
                f"the network was trained on the classes {', '.join(trained_classes)}, the data set has "
                f"{', '.join(classes)}: write them into the data set in the network's order, and its labels with them"
            )
        self.evaluators = dict(evaluators)
        self.weights = {name: Path(path) for name, path in weights.items()}
        self.classes = list(classes)
        self.output_dir = Path(output_dir)
        self.facts = {**facts, **(trained or {})}
        self.bootstrap_repeats = bootstrap_repeats
        self.cases = cases
        self.drawn = list(drawn)
        self._predictions = {name: collector() for name in self.evaluators}
        for name, predictions in self._predictions.items():
            predictions.attach(self.evaluators[name])
            for each in self.drawn:
                each.attach(self.evaluators[name], name)
        if cases is not None:
            cases.attach(self.evaluators[self._first])

    @property
    def _first(self) -> str:
        """The network that is deployed: the teacher where there is one."""
        return next(iter(self.evaluators))

    def run(self) -> dict[str, Any]:
        """Evaluate all, write the files on rank 0, and return the content of metrics.json."""
        idist.barrier()  # the first process may still be writing the weights
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
            write_table(self.output_dir / "predictions.csv", rows)
            self._predictions[self._first].save(self.output_dir)
            if self.cases is not None:
                self.cases.save(self.output_dir / "cases.npz", self._first)
            for each in self.drawn:
                each.save(self.output_dir / each.file)
            # Last: who finds it takes the evaluation for done.
            with whole(self.output_dir / "metrics.json") as file:
                file.write_text(json.dumps(_without_nan(result), indent=2) + "\n")
            logger.info("%s\n%s", ", ".join(f"{key} {value}" for key, value in self.facts.items()), _table(scores))
        return result


def _without_nan(value: Any) -> Any:
    """What JSON can hold: a score that is not defined is null."""
    if isinstance(value, Mapping):
        return {name: _without_nan(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def scale_of(score: str) -> int:
    """What a score is multiplied with to be shown: percent, but distances are pixels.

    >>> scale_of("dice/femur"), scale_of("hd95_px/femur")
    (100, 1)
    """
    return 1 if score.split("/", maxsplit=1)[0].endswith("_px") else 100


def _table(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Scores by network with their 95 % intervals."""
    lines = []
    width = max(map(len, next(iter(scores.values())))) + 2
    for score in next(iter(scores.values())):
        scale = scale_of(score)
        has = {name: of[score] for name, of in scores.items() if score in of}  # one without maps lacks theirs
        shown = {name: {key: scale * number for key, number in of.items()} for name, of in has.items()}
        cells = [f"{name} {_shown(**of)}" for name, of in shown.items()]
        lines.append(f"  {score:<{width}}" + "   ".join(cells))
    return "\n".join(lines)


def _shown(value: float, low: float, high: float) -> str:
    """In the page's words.

    >>> _shown(81.26, 70.0, 90.0), _shown(81.26, math.nan, math.nan), _shown(math.nan, math.nan, math.nan)
    (' 81.3 [70.0, 90.0]', ' 81.3', 'not defined')
    """
    if math.isnan(value):
        return "not defined"
    return f"{value:5.1f}" + ("" if math.isnan(low) else f" [{low:.1f}, {high:.1f}]")
