"""A paper's table through real bundle runs, at a size that takes seconds."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

from tiny import TINY_DCMT

ABLATION = Path(__file__).parents[2] / "bundles/dcmt/experiments/ablation.json"

Run = Callable[..., str]


def test_the_ablation_runs_end_to_end_and_goes_on_where_it_stopped(run_process: Run, tmp_path: Path) -> None:
    small = (*TINY_DCMT, "--max_epochs=1", "--phantoms#people=16", "--phantoms#seed=0")
    command = ("-m", "semimed_monai.experiments", str(ABLATION), "--seeds=1", "--tracking=none", *small)
    run_process(*command, "--cell=0", cwd=tmp_path)
    first = tmp_path / "runs/ablation/dc-mt/10/1/metrics.json"
    written = first.stat().st_mtime_ns
    said = run_process(*command, cwd=tmp_path)
    methods = json.loads(ABLATION.read_text())["methods"]
    assert first.stat().st_mtime_ns == written
    assert all(f"| {method} | " in said for method in methods)
    with (tmp_path / "runs/ablation/table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    networks = {(row["method"], row["column"]): set() for row in rows}
    for row in rows:
        networks[row["method"], row["column"]].add(row["network"])
        assert all(0 <= float(row[score]) <= 1 for score in ("recall", "f1", "auc", "tiou"))
    assert networks == {
        (method, column): {"student"}
        if method.startswith("supervised") and "averaged" not in method
        else {"teacher", "student"}
        for method, given in methods.items()
        for column in given.get("columns", ("10 %", "100 %"))
    }
