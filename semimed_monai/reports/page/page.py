"""The page put together and written: the frame, and in it the part of the run's kind."""

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
from semimed_monai.reports.evaluation import scale_of
from semimed_monai.reports.mapped import Mapped
from semimed_monai.reports.page import figures
from semimed_monai.reports.page.answers import Answers, Findings, Grades, Overlaps
from semimed_monai.reports.page.findings import FINDINGS
from semimed_monai.reports.page.grading import GRADING
from semimed_monai.reports.page.kind import Kind
from semimed_monai.reports.page.maps import in_rows, shown_maps
from semimed_monai.reports.page.run import Curve, Run, read_json, read_metrics, read_run
from semimed_monai.reports.page.segmentation import SEGMENTATION
from semimed_monai.reports.page.shares import SHOWN, Shares, compared

KINDS: Mapping[type[Answers], Kind] = {Grades: GRADING, Findings: FINDINGS, Overlaps: SEGMENTATION}


def write_page(run_dir: str | Path, others: Sequence[str | Path] = (), out: str | Path | None = None) -> Path:
    """One HTML file that needs no other, of what a run has left; by the first of several processes only.

    Args:
        run_dir: an output_dir with metrics.json and predictions.csv; shown as far as there: cases.npz, froc.csv,
            TensorBoard's files, configuration.json.
        others: folders of runs of classifiers on the same data, for the curve by labelled share, and for their maps
            beside this one's, if it kept some.
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
        run, beside = read_run(run_dir), [Path(other) for other in others]
        mapped = shown_maps([run_dir, *beside]) if run.mapped else []
        known = run.facts.get("labelled_share") is not None
        shares = _shares(run, beside) if beside and (known or not mapped) else None
        text = render(run, shares, mapped)
        with whole(place) as file:
            file.write_text(text, encoding="utf-8")
    return place


def write_pictures(run_dir: str | Path, folder: str | Path) -> list[Path]:
    """The page's charts and cases as files of their own.

    Args:
        run_dir: as in `write_page`.
        folder: where they go.
    """
    run = read_run(Path(run_dir))
    kind = _kind_of(run)
    with rc_context(figures.STYLE):
        content = kind.content(run)
        frame = {"froc": _froc(run), "relations": _relations(run), "side_by_side": _side_by_side(run, run.mapped)}
        of_all = {name: picture for name, picture in frame.items() if picture}
    cases = [case for shown in content["gallery"].values() for case in shown]
    pictured = {f"case_{number:02d}_{case.kind}": case.picture for number, case in enumerate(cases)}
    named = {**kind.charts(content), **of_all, **pictured}
    return [picture.save(Path(folder) / name) for name, picture in named.items()]


def render(run: Run[Any], shares: Shares | None = None, mapped: Sequence[Mapped] = ()) -> str:
    """The page's text.

    Args:
        run: what it is of.
        shares: runs of other labelled shares.
        mapped: images with maps, of this run and others.
    """
    environment = Environment(
        loader=PackageLoader("semimed_monai.reports.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "percent": percent, "probability": probability, "pretty": pretty}
    kind = _kind_of(run)
    with rc_context(figures.STYLE):
        content = _frame(run, kind) | {"side_by_side": _side_by_side(run, mapped)} | kind.content(run)
    return environment.get_template(kind.template).render(**content, shares=shares, compared_scores=SHOWN)


def shown(value: float, score: str) -> str:
    """A score as the console writes it: in percent, or as it is if its name has a unit (hd95_px).

    >>> shown(0.6312, "f1"), shown(2.25, "hd95_px")
    ('63.1', '2.2')
    """
    return f"{scale_of(score) * value:.1f}"


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


def _kind_of(run: Run[Any]) -> Kind:
    return KINDS[type(run.answers[run.first])]


def _frame(run: Run[Any], kind: Kind) -> dict[str, Any]:
    """What every page shows."""
    answers, deployed = run.answers[run.first], run.scores[run.first]
    configuration = run.configuration or {}
    return {
        "run": run,
        "items": len(answers),
        "groups": len(set(answers.groups)),
        "bundle": configuration.get("bundle", {}).get("name", ""),
        "headlines": [(kind.title_of(score), score, deployed[score]) for score in kind.headlines if score in deployed],
        "titles": {score: kind.title_of(score) for score in deployed},
        "terms": _charts_of_terms(run.terms),
        "validation": figures.together("validation", run.validation) if run.validation else None,
        "froc": _froc(run),
        "relations": _relations(run),
        "versions": configuration.get("versions") or versions(),
        "recipe": json.dumps(configuration.get("recipe", {}), indent=2, ensure_ascii=False),
    }


def _charts_of_terms(curves: Mapping[str, Curve]) -> list[figures.Picture]:
    """A chart each; but what a term observed between 0 and 1 shares one, as t and m of dynamic sharpening do."""
    observed: dict[str, dict[str, Curve]] = {}
    for name, curve in curves.items():
        term, _, what = name.partition("/")
        if what and min(curve.values) >= 0 and max(curve.values) <= 1:
            observed.setdefault(term, {})[what] = curve
    shared = {term: group for term, group in observed.items() if len(group) > 1}
    taken = {f"{term}/{what}" for term, group in shared.items() for what in group}
    alone = [figures.term(name, curve) for name, curve in curves.items() if name not in taken]
    return [*alone, *(figures.together(f"{term}: {', '.join(group)}", group) for term, group in shared.items())]


def _froc(run: Run[Any]) -> figures.Picture | None:
    return None if run.froc is None else figures.picture(*figures.froc({run.first: [run.froc]}))


def _relations(run: Run[Any]) -> figures.Picture | None:
    return None if run.relations is None else figures.relations(run.relations)


def _side_by_side(run: Run[Any], mapped: Sequence[Mapped]) -> figures.Picture | None:
    if not mapped:
        return None
    return figures.picture(*in_rows(mapped, run.facts.get("tiou_threshold", 0.5)), kind="png")


def _shares(run: Run[Any], others: Sequence[Path]) -> Shares:
    if not _kind_of(run).has_shares:
        raise ValueError(f"{run.folder} is a segmenter's run; only runs of classifiers share a page: give it alone")
    own: Mapping[str, Any] = {**run.facts, "scores": run.scores}
    runs = {str(run.folder): own} | {str(folder): read_metrics(folder) for folder in others}
    configurations = {folder: Path(folder) / "configuration.json" for folder in runs}
    settings = {
        folder: read_json(file).get("settings", {}) for folder, file in configurations.items() if file.is_file()
    }
    with rc_context(figures.STYLE):
        return compared(runs, settings)
