"""The paper's tables through real bundle runs, at a size that takes seconds."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import TINY_DCMT

from semimed_monai.experiments import Experiment

EXPERIMENTS = Path(__file__).parents[2] / "bundles/dcmt/experiments"
SMALL = (*TINY_DCMT, "--max_epochs=1", "--phantoms#people=16", "--tracking=none")

Run = Callable[..., str]


@pytest.mark.parametrize(("name", "launcher"), [("table1", "ray"), ("table2", "here"), ("table3", "here")])
def test_a_table_runs_end_to_end(name: str, launcher: str, run_process: Run, tmp_path: Path) -> None:
    """On a Ray cluster of this machine, or one by one; a cell that a scheduler has started before is not run again."""
    file = EXPERIMENTS / f"{name}.json"
    experiment = Experiment.read(file)
    command = ("-m", "semimed_monai.experiments", str(file), "--seeds=1", *SMALL)
    run_process(*command, "--cell=0", cwd=tmp_path, forked=True)
    (first,) = tmp_path.rglob("metrics.json")
    written = first.stat().st_mtime_ns
    said = run_process(*command, f"--launcher={launcher}", cwd=tmp_path, forked=True)
    assert first.stat().st_mtime_ns == written
    with (tmp_path / f"runs/{name}/table.csv").open(newline="") as rows:
        found = list(csv.DictReader(rows))
    networks = defaultdict(set)
    for row in found:
        networks[row["method"], row["column"]].add(row["network"])
        assert all(0 <= float(row[score]) <= 1 for score in experiment.scores)
    assert networks == {
        (cell.method, cell.column): {"student"} if "teacher#_disabled_" in cell.settings else {"teacher", "student"}
        for cell in experiment.cells(tmp_path, seeds=1)
    }
    assert all(f"| {method} | " in said for method in experiment.methods)
    assert (tmp_path / f"runs/{name}/table.png").stat().st_size > 1000
