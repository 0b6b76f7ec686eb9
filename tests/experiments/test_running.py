"""Cells are run by real processes: done ones are skipped, stopped ones resume, failures do not stop the others."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from semimed_monai.experiments import Cell, Experiment, run_cell
from semimed_monai.experiments.__main__ import main
from semimed_monai.experiments.tracking import Tracking

WriteExperiment = Callable[..., Experiment]
WriteMetrics = Callable[..., None]


ASSEMBLY = """
import json, pathlib
pathlib.Path(output_dir, "metrics.json").write_text(json.dumps(runs))
"""


def starts(cell: Cell) -> list[str]:
    return (cell.folder / "starts").read_text().splitlines()


def test_a_cell_runs_once(write_experiment: WriteExperiment, tmp_path: Path) -> None:
    cell = write_experiment().cells(tmp_path / "runs", seeds=1)[0]
    assert run_cell(cell) is None
    assert run_cell(cell) is None
    assert starts(cell) == ["resume=False, method=MT"]


def test_a_stopped_cell_resumes(write_experiment: WriteExperiment, tmp_path: Path) -> None:
    cell = write_experiment().cells(tmp_path / "runs", seeds=1)[0]
    run_cell(cell)
    cell.metrics.unlink()
    (cell.folder / "run_state.pt").touch()
    assert run_cell(cell) is None
    assert starts(cell) == ["resume=False, method=MT", "resume=True, method=MT"]


def test_another_runs_folder_is_refused(write_experiment: WriteExperiment, tmp_path: Path) -> None:
    experiment = write_experiment()
    run_cell(experiment.cells(tmp_path / "runs", seeds=1)[0])
    other = experiment.cells(tmp_path / "runs", seeds=1, settings={"max_epochs": 3})[0]
    with pytest.raises(FileExistsError, match="run with other settings"):
        run_cell(other)


def test_a_run_of_the_recipe_as_it_was_is_refused(write_experiment: WriteExperiment, tmp_path: Path) -> None:
    """Else one table would hold runs of two recipes."""
    cell = write_experiment().cells(tmp_path / "runs", seeds=1)[0]
    assert run_cell(cell) is None
    with cell.configs[0].open("a") as config:
        config.write("\n")
    with pytest.raises(FileExistsError, match="of a recipe that has changed since"):
        run_cell(cell)


def test_a_failure_is_listed_and_the_others_go_on(
    write_experiment: WriteExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_experiment().file
    with pytest.raises(SystemExit) as ended:
        main([str(file), "--seeds=3", f"--out={tmp_path}/runs", "--tracking=none", "--max_epochs", "2"])
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert "3 of 9 cells failed" in said.err
    assert "MT, 10 %, seed 2: exit code 1: the disk is full:\n  - make room (all of it: " in said.err
    assert "| DC-MT | teacher | 50.0 ± 0.0" in said.out
    assert (tmp_path / "runs" / "table.md").is_file()


def test_the_finished_runs_of_each_column_are_assembled(
    write_experiment: WriteExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, after the last cell, each column's by themselves; a cell that failed stands in its way."""
    experiment = write_experiment(assembly="configs/assemble.json")
    root = experiment.file.parents[1]
    (root / "assemble.py").write_text(ASSEMBLY)
    training = "$runpy.run_path(@bundle_root + '/assemble.py', dict(runs=@runs, output_dir=@output_dir))"
    (root / "configs/assemble.json").write_text(json.dumps({"runs": [], "training": training}))
    command = [str(experiment.file), "--seeds=1", f"--out={tmp_path}/runs", "--tracking=none"]
    main(command)
    runs = tmp_path / "runs"
    assembled = experiment.assemblies(runs, cells := experiment.cells(runs, seeds=1))
    given = {one.column: json.loads(one.metrics.read_text()) for one in assembled}
    assert given == {
        "10 %": [str(runs / method / "10" / "1") for method in ("mt", "dc-mt")],
        "30 %": [str(runs / "mt" / "30" / "1")],
    }
    assert [one.settings["labelled_share"] for one in assembled] == [0.1, 0.3]
    said = capsys.readouterr().out
    assert all(str(one.folder) in said for one in assembled)
    written = [one.metrics.stat().st_mtime_ns for one in assembled]
    main(command)
    assert [one.metrics.stat().st_mtime_ns for one in assembled] == written
    os.utime(cells[0].metrics)  # a member of the first column that was trained anew
    main(command)
    anew = [one.metrics.stat().st_mtime_ns for one in assembled]
    assert anew[0] > written[0]
    assert anew[1] == written[1]
    with pytest.raises(SystemExit):
        main([*command[:1], "--seeds=2", *command[2:]])
    assert not (tmp_path / "runs/assembly/10/of_4").exists()


def test_single_cells_for_a_scheduler(write_experiment: WriteExperiment, tmp_path: Path) -> None:
    experiment = write_experiment()
    main([str(experiment.file), "--seeds=1", f"--out={tmp_path}/runs", "--cell=1"])
    assert [cell.metrics.is_file() for cell in experiment.cells(tmp_path / "runs", seeds=1)] == [False, True, False]
    with pytest.raises(SystemExit):
        main([str(experiment.file), "--seeds=1", f"--out={tmp_path}/runs", "--cell=3"])


def test_a_dry_run_prints_commands_and_writes_nothing(
    write_experiment: WriteExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(write_experiment().file), "--seeds=1", f"--out={tmp_path}/runs", "--dry-run", "--dataset_dir", "."])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(Path(sys.executable).name) for line in lines)
    assert all(f"--dataset_dir={Path.cwd()}" in line for line in lines)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("rest", [["--max_epochs"], ["max_epochs", "2"]])
def test_settings_that_cannot_be_read_are_refused(
    write_experiment: WriteExperiment, rest: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(write_experiment().file), *rest])
    assert ended.value.code == 2
    assert "give --key value" in capsys.readouterr().err


def test_children_in_mlflow_can_be_found_and_are_logged_once(
    write_experiment: WriteExperiment, write_metrics: WriteMetrics, tmp_path: Path
) -> None:
    experiment = write_experiment()
    cell = experiment.cells(tmp_path / "runs", seeds=1)[0]
    write_metrics(cell, 0.5)
    for _ in range(2):
        tracking = Tracking(experiment, tmp_path / "runs")
        tracking.log(cell)
        tracking.finish([cell.metrics])
    client = MlflowClient(tracking.uri)
    place = client.get_experiment_by_name("bundle")
    assert place is not None
    wanted = "tags.bundle = 'bundle' and tags.method = 'MT' and tags.labelled_share = '0.1' and tags.seed = '1'"
    (child,) = client.search_runs([place.experiment_id], wanted)
    (parent,) = client.search_runs([place.experiment_id], "tags.mlflow.runName = 'Two methods'")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.metrics["teacher/f1"] == 0.5
    assert child.data.params["phantoms/seed"] == "1"
    assert {run.info.status for run in (child, parent)} == {"FINISHED"}
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["metrics.json"]
    assert json.loads((tmp_path / "runs/mt/10/1/metrics.json").read_text())["seed"] == 1


def test_a_bundle_without_a_labelled_share_is_logged_too(
    write_experiment: WriteExperiment, write_metrics: WriteMetrics, tmp_path: Path
) -> None:
    experiment = write_experiment()
    cell = experiment.cells(tmp_path / "runs", seeds=1)[0]
    write_metrics(cell, 0.5)
    content = json.loads(cell.metrics.read_text())
    del content["labelled_share"]
    cell.metrics.write_text(json.dumps(content))
    tracking = Tracking(experiment, tmp_path / "runs")
    tracking.log(cell)
    client = MlflowClient(tracking.uri)
    place = client.get_experiment_by_name("bundle")
    assert place is not None
    (child,) = client.search_runs([place.experiment_id], "tags.method = 'MT' and tags.dataset_digest = 'd'")
    assert "labelled_share" not in child.data.tags


def test_if_all_cells_fail_that_is_said(
    write_experiment: WriteExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_experiment(first_seed=2).file
    with pytest.raises(SystemExit):
        main([str(file), "--seeds=1", f"--out={tmp_path}/runs", "--tracking=none"])
    assert "3 of 3 cells failed:\n  - MT, 10 %, seed 2: exit code 1: the disk is full:" in capsys.readouterr().err


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    """The exit code of the command, and what it said on stderr."""
    with pytest.raises(SystemExit) as raised:
        main([*arguments, "--tracking=none"])
    return raised.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "rest", "said"),
    [
        ({"configs": ["configs/trian.json"]}, [], "configs/trian.json: correct 'configs'"),
        ({"overrides": {"profil": "table"}}, [], "'profil': did you mean 'profile'?"),
        ({"overrides": {"criterion#terms#atention#_disabled_": True}}, [], "did you mean 'criterion#terms#attention"),
        ({"overrides": {"criterion#terms#attention#lambda_b": 1}}, [], "'criterion#terms#attention#lambda_b'"),
        ({}, ["--max_epoch=2"], "'max_epoch': did you mean 'max_epochs'?"),
    ],
)
def test_names_of_nothing_are_refused_before_the_first_cell(
    write_experiment: WriteExperiment,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    rest: list[str],
    said: str,
) -> None:
    code, error = ended(capsys, str(write_experiment(**changes).file), f"--out={tmp_path}/runs", *rest)
    assert code == 1
    assert said in error
    assert not (tmp_path / "runs").exists()


def test_what_a_component_takes_may_be_set_though_the_recipe_does_not(
    write_experiment: WriteExperiment, tmp_path: Path
) -> None:
    file = write_experiment(overrides={"criterion#terms#attention#lambda_a": 0.1, "phantoms": {"age": 1}}).file
    main([str(file), f"--out={tmp_path}/runs", "--phantoms#age=2", "--dry-run"])


@pytest.mark.parametrize("rest", [[], ["--cell=0"]])
def test_a_misspelt_score_stops_after_the_first_cell(
    write_experiment: WriteExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str], rest: list[str]
) -> None:
    experiment = write_experiment(scores=["f1", "tio"])
    for _ in range(2):  # also if that cell is there from before
        code, error = ended(capsys, str(experiment.file), "--seeds=1", f"--out={tmp_path}/runs", *rest)
        assert code == 1
        assert "has no score 'tio': correct each 'score' in" in error
        assert "there are f1, tiou, tiou_disc, tiou_ones" in error
        assert len(list(tmp_path.rglob("metrics.json"))) == 1


@pytest.mark.parametrize("seeds", ["0", "-1", "x"])
def test_a_number_of_seeds_without_sense_is_refused(
    write_experiment: WriteExperiment, capsys: pytest.CaptureFixture[str], seeds: str
) -> None:
    code, error = ended(capsys, str(write_experiment().file), f"--seeds={seeds}")
    assert code == 2
    assert "argument --seeds" in error


@pytest.mark.parametrize("name", ["metrics.json", "cell.json"])
def test_a_damaged_file_of_a_cell_is_named(
    write_experiment: WriteExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    experiment = write_experiment()
    cell = experiment.cells(tmp_path / "runs", seeds=1)[0]
    run_cell(cell)
    (cell.folder / name).write_text("{")
    code, error = ended(capsys, str(experiment.file), "--seeds=1", f"--out={tmp_path}/runs")
    assert code == 1
    assert f"{cell.folder / name} is no JSON" in error


def test_the_reason_is_that_of_the_last_start(write_experiment: WriteExperiment, tmp_path: Path) -> None:
    cell = write_experiment(first_seed=2).cells(tmp_path / "runs", seeds=1)[0]
    cell.folder.mkdir(parents=True)
    (cell.folder / "log").write_text("\nerror: of an earlier start\n(SEMIMED_TRACEBACK=1 shows where it arose)\n")
    said = run_cell(cell)
    assert said is not None
    assert said.startswith("exit code 1: the disk is full:\n  - make room (all of it: ")
