"""What MLflow keeps of a run, in a real store. (tests/bundles runs whole bundles with `--tracking mlflow`.)"""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from semimed_monai.reports.tracked_run import log_settings


def test_settings_are_cut_to_what_mlflow_takes_and_never_changed(tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    run = client.create_run(client.create_experiment("example", tmp_path.as_uri())).info.run_id
    client.log_param(run, "max_epochs", 3)
    many = {f"setting {number}": number for number in range(250)}
    odd = {"long": "x" * 9000, "k" * 300: 1, "phantoms#seed": 4, "none": None, "max_epochs": 24}
    for _ in range(2):  # a run that is resumed
        log_settings(client, run, {**many, **odd})
    found = client.get_run(run).data.params
    assert len(found) == 255
    assert (found["setting 249"], found["phantoms/seed"], found["none"]) == ("249", "4", "None")
    assert (len(found["long"]), found["k" * 250], found["max_epochs"]) == (6000, "1", "3")
