"""Run a paper's table: every cell an ordinary bundle run, then table.md, table.csv and table.png.

    python -m semimed_monai.experiments bundles/dcmt/experiments/table3.json --seeds 3
    python -m semimed_monai.experiments bundles/dcmt/experiments/table3.json --dry-run
    python -m semimed_monai.experiments bundles/dcmt/experiments/table3.json --max_epochs 2 --phantoms#people 16

Any further --key value goes to every cell, as to `monai.bundle run`. Started again, it goes on: cells that are done are
left alone, the one that was stopped resumes. --cell N runs a single cell, for the array jobs of a scheduler; without
--cell, and all done, only the table is written.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from semimed_monai.experiments.launch import LAUNCHERS, is_done, run_cell
from semimed_monai.experiments.plan import Cell, Experiment, pasted
from semimed_monai.experiments.spelling import refuse_unknown_keys, refuse_unknown_results
from semimed_monai.experiments.table import Results
from semimed_monai.experiments.tracking import Tracking


def main(arguments: Sequence[str] | None = None) -> None:
    """What the command line asks for; exit code 1 if a cell failed."""
    parser = _parser()
    given, rest = parser.parse_known_args(arguments)
    try:
        experiment = Experiment.read(given.experiment)
        out = (given.out or Path("runs") / experiment.file.stem).resolve()
        settings = _settings(parser, given.dataset_dir, rest)
        cells = experiment.cells(out, given.seeds, settings)
        assemblies = experiment.assemblies(out, cells, settings)
        refuse_unknown_keys(experiment, cells)
        if given.dry_run:
            _print_all(map(pasted, [*cells, *assemblies]))
            return
        if given.cell is not None:
            _run_single(parser, experiment, cells, given.cell)
            return
        tracking = None if given.tracking == "none" else Tracking(experiment, out, given.tracking_uri)
        failures = _run(experiment, cells, given.launcher, tracking)
        if len(failures) == len(cells):
            parser.exit(1, _listed(failures, cells))
        results = Results(experiment, cells)
        files = results.write(out)
        if not failures:
            _forget_outdated(assemblies, cells)
            failures = [f"{cell}: {failure}" for cell in assemblies if (failure := run_cell(cell))]
        if tracking is not None:
            tracking.finish(files)
    except (FileNotFoundError, FileExistsError, ModuleNotFoundError, ValueError) as error:
        parser.exit(1, f"error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped; the same command goes on from here\n")
    made = [cell.folder for cell in assemblies if cell.metrics.is_file()]
    print(results.markdown(), *files, *made, sep="\n")  # noqa: T201
    if failures:
        parser.exit(1, _listed(failures, cells))


def _print_all(lines: Iterable[str]) -> None:
    """As far as anyone reads: `| head` closes the pipe."""
    try:
        for line in lines:
            print(line, flush=True)  # noqa: T201 - this is a command
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends


def _listed(failures: Sequence[str], cells: Sequence[Cell]) -> str:
    return "\n  - ".join([f"error: {len(failures)} of {len(cells)} cells failed:", *failures]) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m semimed_monai.experiments",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("experiment", type=Path, help="a bundle's experiments/*.json")
    parser.add_argument("--seeds", type=_at_least_one, default=3, help="how many (default 3)")
    parser.add_argument("--out", type=Path, help="the folder of the runs (default runs/<name of the file>)")
    parser.add_argument("--dataset_dir", help="the data set; without, the bundle's phantoms")
    parser.add_argument("--launcher", choices=LAUNCHERS, default="here")
    parser.add_argument("--cell", type=int, metavar="N", help="run only the N-th cell of --dry-run, from 0")
    parser.add_argument("--dry-run", action="store_true", help="print the cells' commands")
    parser.add_argument("--tracking", choices=("mlflow", "none"), default="mlflow")
    parser.add_argument("--tracking_uri", help="of an MLflow server (default: a sqlite file in the folder of the runs)")
    return parser


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: give 1 or more")
    return number


def _settings(parser: argparse.ArgumentParser, dataset_dir: str | None, rest: Sequence[str]) -> dict[str, Any]:
    """The overrides of every cell, out of `--key value` and `--key=value`."""
    settings: dict[str, Any] = {} if dataset_dir is None else {"dataset_dir": str(Path(dataset_dir).resolve())}
    words = [part for word in rest for part in (word.split("=", 1) if word.startswith("--") else [word])]
    if len(words) % 2 or not all(word.startswith("--") for word in words[::2]):
        parser.error(f"cannot read {' '.join(rest)!r}: give --key value, or --key=value")
    for key, value in zip(words[::2], words[1::2], strict=True):
        try:
            settings[key[2:]] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[key[2:]] = value
    return settings


def _run_single(parser: argparse.ArgumentParser, experiment: Experiment, cells: Sequence[Cell], number: int) -> None:
    if not 0 <= number < len(cells):
        parser.error(f"--cell {number}: there are cells 0 to {len(cells) - 1}")
    if failure := run_cell(cells[number]):
        parser.exit(1, f"error: {cells[number]}: {failure}\n")
    refuse_unknown_results(experiment, cells[number])


def _run(experiment: Experiment, cells: Sequence[Cell], launcher: str, tracking: Tracking | None) -> list[str]:
    """Run what is not done, log all that is; returns the failures."""
    done = [cell for cell in cells if is_done(cell)]
    waiting = [cell for cell in cells if cell not in done]
    failures = []
    for cell in done:
        _take(experiment, cell, tracking)
    with tqdm(total=len(cells), initial=len(done), unit="cell", desc="cells", file=sys.stderr) as progress:
        for cell, failure in LAUNCHERS[launcher](waiting):
            if failure:
                failures.append(f"{cell}: {failure}")
                progress.write(f"{cell} failed: {failure}", file=sys.stderr)
            else:
                _take(experiment, cell, tracking)
            progress.set_postfix_str(str(cell))
            progress.update()
    return failures


def _forget_outdated(assemblies: Sequence[Cell], cells: Sequence[Cell]) -> None:
    """An assembly that is older than a run of its column is not done: that run was made anew."""
    for assembly in assemblies:
        made_of = [cell.metrics.stat().st_mtime for cell in cells if cell.column == assembly.column]
        if assembly.metrics.is_file() and assembly.metrics.stat().st_mtime < max(made_of):
            assembly.metrics.unlink()


def _take(experiment: Experiment, cell: Cell, tracking: Tracking | None) -> None:
    """A finished cell into the table, and into MLflow."""
    refuse_unknown_results(experiment, cell)
    if tracking is not None:
        tracking.log(cell)


if __name__ == "__main__":
    main()
