"""The table of runs that differ in their seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from semimed_monai.reports.seeds import cell, main, table


def write_run(folder: Path, seed: int, f1: float | None, **facts: Any) -> None:
    """A run's metrics.json, as training leaves it."""
    scores = {name: {"value": value, "low": 0.0, "high": 1.0} for name, value in (("f1", f1), ("tiou", 0.5))}
    scores |= {"tiou_disc": {"value": 0.1, "low": 0, "high": 1}, "tiou_ones": {"value": 0.0, "low": 0, "high": 1}}
    content = {"section": "test", "dataset": "knees", "dataset_version": "4", "profile": "table", "labelled_share": 0.1}
    content |= {"seed": seed, "scores": {"teacher": scores, "student": scores}, **facts}
    place = folder / f"{seed}"
    place.mkdir(parents=True)
    (place / "metrics.json").write_text(json.dumps(content))


def test_mean_and_sample_deviation_by_hand() -> None:
    assert cell([0.2, 0.4, 0.6]) == "40.0 ± 20.0"


def test_a_score_that_one_run_lacks_is_not_averaged() -> None:
    assert cell([0.2, None]) == "not defined"


def test_table_has_both_networks_and_the_shapes(tmp_path: Path) -> None:
    for seed, f1 in ((0, 0.5), (1, 0.7)):
        write_run(tmp_path / "dcmt", seed, f1)
    text = table([tmp_path / "dcmt"], ["f1", "tiou"])
    assert "| dcmt | 10% | teacher | 60.0 ± 14.1 | 50.0 ± 0.0 |" in text
    assert "| dcmt | 10% | student | 60.0 ± 14.1 | 50.0 ± 0.0 |" in text
    assert "knees 4, test section; seeds: dcmt 0, 1." in text
    assert "centred disc 10.0, of a map of ones 0.0" in text


@pytest.mark.parametrize("other", [{"labelled_share": 0.3}, {"dataset_version": "3"}, {"section": "validation"}])
def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    write_run(tmp_path / "dcmt", 0, 0.5)
    write_run(tmp_path / "dcmt", 1, 0.5, **other)
    with pytest.raises(ValueError, match=next(iter(other))):
        table([tmp_path / "dcmt"])


def test_methods_measured_on_different_data_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "dcmt", 0, 0.5)
    write_run(tmp_path / "supervised", 0, 0.5, dataset_version="3")
    with pytest.raises(ValueError, match="dataset_version"):
        table([tmp_path / "dcmt", tmp_path / "supervised"])


def test_a_method_with_more_labels_may_stand_beside(tmp_path: Path) -> None:
    write_run(tmp_path / "dcmt", 0, 0.5)
    write_run(tmp_path / "all_labels", 0, 0.7, labelled_share=1.0)
    assert "| all_labels | 100% | teacher | 70.0" in table([tmp_path / "dcmt", tmp_path / "all_labels"], ["f1"])


def test_an_empty_folder_ends_in_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path)])
    assert ended.value.code == 1
    assert "holds no run" in capsys.readouterr().err


def test_written_and_printed_are_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "dcmt", 0, 0.5)
    main([str(tmp_path / "dcmt")])
    main([str(tmp_path / "dcmt"), "--out", str(tmp_path / "table.md")])
    assert (tmp_path / "table.md").read_text() == capsys.readouterr().out
