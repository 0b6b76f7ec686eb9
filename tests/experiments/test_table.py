"""Mean, deviation and paired test over seeds, beside the paper's numbers."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from semimed_monai.experiments import Experiment, Results
from semimed_monai.experiments.spelling import refuse_unknown_results
from semimed_monai.experiments.table import mean_and_deviation

WriteExperiment = Callable[..., Experiment]
WriteMetrics = Callable[..., None]


@pytest.fixture
def filled(write_experiment: WriteExperiment, write_metrics: WriteMetrics, tmp_path: Path) -> Results:
    """MT .5 .6 .7 and DC-MT .6 .8 .7 at 10 %; MT at 30 % for one seed."""
    experiment = write_experiment()
    cells = experiment.cells(tmp_path / "runs", seeds=3)
    values = {("MT", "10 %"): (0.5, 0.6, 0.7), ("DC-MT", "10 %"): (0.6, 0.8, 0.7), ("MT", "30 %"): (0.9,)}
    for cell in cells:
        known = values[cell.method, cell.column]
        if cell.seed <= len(known):
            write_metrics(cell, known[cell.seed - 1])
    return Results(experiment, cells)


def test_mean_and_sample_deviation_by_hand() -> None:
    assert mean_and_deviation([0.2, 0.4, 0.6]) == "40.0 ± 20.0"
    assert mean_and_deviation([0.2]) == "20.0"
    assert mean_and_deviation([]) == ""


def test_a_score_that_one_run_lacks_is_not_averaged() -> None:
    assert mean_and_deviation([0.2, None]) == "not defined"


def test_the_table_sets_the_compared_network_beside_the_paper(filled: Results) -> None:
    text = filled.markdown()
    assert "| method | network | f1, 10 % | tiou, 10 % | f1, 30 % | tiou, 30 % |" in text
    assert "| MT | teacher | 60.0 ± 10.0 (72.7) | 50.0 ± 0.0 | 90.0, 1 of 3 seeds | 50.0, 1 of 3 seeds |" in text
    assert "| MT | student | 10.0 ± 0.0 | 50.0 ± 0.0 | 10.0, 1 of 3 seeds | 50.0, 1 of 3 seeds |" in text
    assert "| DC-MT | teacher | 70.0 ± 10.0 | 50.0 ± 0.0 |  |  |" in text
    assert "knees, version 4, section test; profile table, seeds 1, 2, 3" in text
    assert "centred disc 10.0, of a map of ones 0.0" in text


def test_the_paired_test_by_hand(filled: Results) -> None:
    """Differences 10, 20, 0: mean 10, t = 10 / (10 / √3) = √3 with 2 degrees of freedom: p = 1 − t / √(t² + 2)."""
    p = 1 - 3**0.5 / 5**0.5
    assert f"| DC-MT | +10.0, p {p:.2f} | +0.0 |  |  |" in filled.markdown()


def test_the_network_that_a_method_names_is_compared(
    write_experiment: WriteExperiment, write_metrics: WriteMetrics, tmp_path: Path
) -> None:
    experiment = write_experiment(methods={"MT": {}, "student of MT": {"network": "student"}})
    cells = experiment.cells(tmp_path, seeds=1)
    for cell in cells:
        write_metrics(cell, 0.5, student=0.4)
    assert "| student of MT | -10.0 | +0.0 | -10.0 | +0.0 |" in Results(experiment, cells).markdown()


def test_a_row_may_be_a_network_of_another_methods_runs(
    write_experiment: WriteExperiment, write_metrics: WriteMetrics, tmp_path: Path
) -> None:
    """Nothing is trained for it, its method's own row leaves it out, and it is compared as any other."""
    experiment = write_experiment(methods={"MT": {}, "graph": {"run": "MT", "network": "student"}})
    cells = experiment.cells(tmp_path, seeds=1)
    assert {cell.method for cell in cells} == {"MT"}
    for cell in cells:
        write_metrics(cell, 0.5, student=0.4)
        refuse_unknown_results(experiment, cell)
    text = Results(experiment, cells).markdown()
    assert "| graph | student | 40.0 | 50.0 | 40.0 | 50.0 |" in text
    assert "| graph | -10.0 | +0.0 | -10.0 | +0.0 |" in text
    assert "| MT | student |" not in text


def test_a_network_that_no_run_has_is_refused(
    write_experiment: WriteExperiment, write_metrics: WriteMetrics, tmp_path: Path
) -> None:
    experiment = write_experiment(methods={"MT": {}, "graph": {"run": "MT", "network": "grpah"}})
    cell = experiment.cells(tmp_path, seeds=1)[0]
    write_metrics(cell, 0.5)
    with pytest.raises(ValueError, match=r"no network 'grpah'.*there are teacher, student"):
        refuse_unknown_results(experiment, cell)


def test_distances_stay_in_pixels_and_one_method_alone_has_no_test(
    write_experiment: WriteExperiment, write_metrics: WriteMetrics, tmp_path: Path
) -> None:
    experiment = write_experiment(methods={"U-Net": {}}, baseline="U-Net", scores=["dice/femur", "hd95_px/femur"])
    cells = experiment.cells(tmp_path, seeds=2)
    for cell, distance in zip(cells, (2.0, 2.0, 3.0, 3.0), strict=True):
        values = {"dice/femur": 0.9, "hd95_px/femur": distance}
        scores = {name: {"value": value, "low": 0.0, "high": 9.0} for name, value in values.items()}
        write_metrics(cell, None, scores={"segmenter": scores})
    text = Results(experiment, cells).markdown()
    assert "| U-Net | segmenter | 90.0 ± 0.0 | 2.5 ± 0.7 | 90.0 ± 0.0 | 2.5 ± 0.7 |" in text
    assert "Difference" not in text
    assert "paper" not in text


def test_without_masks_nothing_is_said_of_shapes(
    write_experiment: WriteExperiment, write_metrics: WriteMetrics, tmp_path: Path
) -> None:
    """A classifier's metrics.json has them all the same, as not defined."""
    experiment = write_experiment(scores=["f1"])
    cells = experiment.cells(tmp_path, seeds=1)
    for cell in cells:
        values = {"f1": 0.5, "tiou": None, "tiou_disc": None, "tiou_ones": None}
        scores = {name: {"value": value, "low": value, "high": value} for name, value in values.items()}
        write_metrics(cell, None, scores={"teacher": scores})
    text = Results(experiment, cells).markdown()
    assert "version 4, section test" in text
    assert "TIoU" not in text


@pytest.mark.parametrize("other", [{"dataset_digest": "e"}, {"dataset_version": "3"}, {"section": "validation"}])
def test_runs_that_cannot_be_compared_are_refused(
    write_experiment: WriteExperiment, write_metrics: WriteMetrics, tmp_path: Path, other: dict[str, Any]
) -> None:
    experiment = write_experiment()
    first, second, *_ = cells = experiment.cells(tmp_path, seeds=1)
    write_metrics(first, 0.5)
    write_metrics(second, 0.5, **other)
    with pytest.raises(ValueError, match=next(iter(other))):
        Results(experiment, cells)


def test_folds_are_compared_each_by_itself(
    write_experiment: WriteExperiment, write_metrics: WriteMetrics, tmp_path: Path
) -> None:
    """Runs of different folds are of different datalists; those of one fold are not."""
    experiment = write_experiment(folds=True)
    cells = experiment.cells(tmp_path / "runs", seeds=2)
    for cell in cells:
        write_metrics(cell, 0.5 + 0.1 * cell.seed, dataset_digest=f"fold {cell.seed}")
    assert "folds 1, 2" in Results(experiment, cells).markdown()
    with pytest.raises(ValueError, match="they differ in dataset_digest: fold 1, fold 2"):
        Results(write_experiment(), cells)
    shutil.rmtree(cells[0].folder)
    write_metrics(cells[0], 0.5, dataset_digest="another")
    with pytest.raises(ValueError, match="they differ in dataset_digest: another, fold 1"):
        Results(experiment, cells)


def test_files_hold_the_table_each_run_and_a_picture(filled: Results, tmp_path: Path) -> None:
    table, rows, picture = filled.write(tmp_path)
    assert table.read_text().startswith("# Two methods\n")
    with rows.open(newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == 14  # seven runs of two networks
    assert {"method": "DC-MT", "network": "teacher", "column": "10 %", "seed": "2", "f1": "0.8", "tiou": "0.5"} in read
    with Image.open(picture) as image:
        low, high = image.convert("L").getextrema()
    assert low < high
