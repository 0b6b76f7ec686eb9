"""The page put together and written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib import rc_context

from semimed_monai.files import whole
from semimed_monai.reports.configuration import versions
from semimed_monai.reports.page import figures
from semimed_monai.reports.page.calibration import calibration
from semimed_monai.reports.page.gallery import gallery
from semimed_monai.reports.page.run import Run, read_metrics, read_run
from semimed_monai.reports.page.shares import SHOWN, Shares, compared

TITLES = {
    "f1": "F1, mean of classes",
    "recall": "Recall, mean of classes",
    "auc": "AUC, mean of classes",
    "accuracy": "Accuracy",
    "tiou": "TIoU of attention and mask",
    "tiou_macro": "TIoU, mean of classes",
    "tiou_disc": "TIoU of a centred disc, for comparison",
    "tiou_ones": "TIoU of a map of ones, for comparison",
}
HEADLINES = ("f1", "recall", "auc", "accuracy", "tiou")


def write_page(run_dir: str | Path, others: Sequence[str | Path] = (), out: str | Path | None = None) -> Path:
    """One HTML file that needs no other, of what a classifier's run has left; by the first of several processes only.

    Args:
        run_dir: an output_dir with metrics.json and predictions.csv; shown as far as there: cases.npz, TensorBoard's
            files, configuration.json.
        others: folders of runs on the same data, for the curve by labelled share.
        out: the file; else report.html in `run_dir`.

    Returns:
        where the page is.

    Raises:
        FileNotFoundError: metrics.json or predictions.csv is missing.
        ValueError: files that are broken, of different evaluations, or of runs that cannot be compared.
    """
    run_dir = Path(run_dir)
    place = run_dir / "report.html" if out is None else Path(out)
    if idist.get_rank() == 0:
        run = read_run(run_dir)
        shares = _shares(run, [Path(other) for other in others]) if others else None
        text = render(run, shares)
        with whole(place) as file:
            file.write_text(text, encoding="utf-8")
    return place


def render(run: Run, shares: Shares | None = None) -> str:
    """The page's text."""
    environment = Environment(
        loader=PackageLoader("semimed_monai.reports.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "percent": percent, "probability": probability, "pretty": pretty}
    with rc_context(figures.STYLE):
        content = _content(run)
    return environment.get_template("page.html.j2").render(**content, shares=shares, compared_scores=SHOWN)


def shown(value: float, score: str) -> str:
    """A score as the console writes it: in percent, or as it is if its name has a unit (hd95_px).

    >>> shown(0.6312, "f1"), shown(2.25, "hd95_px")
    ('63.1', '2.2')
    """
    kind = score.partition("/")[0]
    return f"{value if kind.endswith('_px') else 100 * value:.1f}"


def percent(value: float) -> str:
    """A share that was set, as short as it can be.

    >>> percent(0.1), percent(0.125)
    ('10 %', '12.5 %')
    """
    return f"{100 * value:.3g} %"


def probability(value: float) -> str:
    """A probability that was found.

    >>> probability(0.00261)
    '0.3 %'
    """
    return f"{100 * value:.1f} %"


def pretty(value: Any) -> str:
    """A value as JSON, text without its quotes.

    >>> pretty([0.03, 0.03]), pretty("bf16"), pretty(None)
    ('[0.03, 0.03]', 'bf16', 'null')
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def title_of(score: str) -> str:
    """A score's name in words.

    >>> title_of("recall/full"), title_of("kappa")
    ('Recall of full', 'kappa')
    """
    kind, _, name = score.partition("/")
    return TITLES.get(score, f"Recall of {name}" if kind == "recall" else score)


def _content(run: Run) -> dict[str, Any]:
    """What the template shows."""
    first = next(iter(run.grades))
    deployed = run.scores[first]
    calibrations = {name: calibration(grades.probabilities, grades.label) for name, grades in run.grades.items()}
    configuration = run.configuration or {}
    return {
        "run": run,
        "first": first,
        "items": len(run.grades[first]),
        "groups": len(set(run.grades[first].groups)),
        "bundle": configuration.get("bundle", {}).get("name", ""),
        "headlines": [(TITLES[score], score, deployed[score]) for score in HEADLINES if score in deployed],
        "titles": {score: title_of(score) for score in deployed},
        "calibrations": calibrations,
        "reliability": figures.reliability(calibrations),
        "networks": {
            name: (
                figures.roc(grades, run.classes),
                figures.precision_recall(grades, run.classes),
                figures.confusion(grades, run.classes),
            )
            for name, grades in run.grades.items()
        },
        "missing": [name for place, name in enumerate(run.classes) if place not in run.grades[first].label],
        "gallery": gallery(run),
        "terms": [figures.term(name, curve) for name, curve in run.terms.items()],
        "validation": figures.validation(run.validation) if run.validation else None,
        "versions": configuration.get("versions") or versions(),
        "recipe": json.dumps(configuration.get("recipe", {}), indent=2, ensure_ascii=False),
    }


def _shares(run: Run, others: Sequence[Path]) -> Shares:
    own: Mapping[str, Any] = {**run.facts, "scores": run.scores}
    with rc_context(figures.STYLE):
        return compared({str(run.folder): own} | {str(folder): read_metrics(folder) for folder in others})
