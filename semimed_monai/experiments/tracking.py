"""An experiment in MLflow: one parent run, and a child for each cell with its settings and final scores.

The curves of a single run are logged by the bundle itself (`--tracking mlflow`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from semimed_monai.experiments.plan import Cell, Experiment
from semimed_monai.reports.page.run import read_metrics
from semimed_monai.reports.tracked_run import log_settings

_FOLDER = "semimed.folder"  # by which a run that was logged before is found again


class Tracking:
    """Keeps the parent run and its children; a cell that was logged before is not logged again.

    Args:
        experiment: its bundle's name is that of the experiment in MLflow, its title that of the parent run.
        out: the folder of all runs.
        uri: of the tracking server; by default a sqlite file in `out`.
    """

    def __init__(self, experiment: Experiment, out: Path, uri: str | None = None) -> None:
        self.bundle = experiment.file.parent.parent.name
        self.uri = uri or f"sqlite:///{out.resolve()}/mlflow.db"
        self._client = MlflowClient(self.uri)
        known = self._client.get_experiment_by_name(self.bundle)
        artifacts = (out / "mlartifacts").resolve().as_uri() if uri is None else None
        self._place = known.experiment_id if known else self._client.create_experiment(self.bundle, artifacts)
        self._parent = self._run_of(out.resolve()) or self._client.create_run(
            self._place, tags={MLFLOW_RUN_NAME: experiment.title, _FOLDER: str(out.resolve()), "bundle": self.bundle}
        )

    def log(self, cell: Cell) -> None:
        """A finished cell: tags by which it can be found, its settings, and every score of every network."""
        if self._run_of(cell.folder):
            return
        metrics = read_metrics(cell.folder)
        tags: dict[str, str] = {
            MLFLOW_RUN_NAME: str(cell),
            MLFLOW_PARENT_RUN_ID: self._parent.info.run_id,
            _FOLDER: str(cell.folder),
            "bundle": self.bundle,
            "method": cell.method,
            "seed": str(cell.seed),
            **{name: str(metrics[name]) for name in ("labelled_share", "dataset_digest") if name in metrics},
        }
        run = self._client.create_run(self._place, tags=tags).info.run_id
        log_settings(self._client, run, cell.settings)
        for network, scores in metrics["scores"].items():
            for score, found in scores.items():
                if found["value"] is not None:
                    self._client.log_metric(run, f"{network}/{score}", found["value"])
        self._client.log_artifact(run, str(cell.metrics))
        self._client.set_terminated(run)

    def finish(self, files: Sequence[Path]) -> None:
        """The tables and figures go to the parent run."""
        for file in files:
            self._client.log_artifact(self._parent.info.run_id, str(file))
        self._client.set_terminated(self._parent.info.run_id)

    def _run_of(self, folder: Path) -> Run | None:
        found = self._client.search_runs([self._place], f"tags.`{_FOLDER}` = '{folder}'", max_results=1)
        return found[0] if found else None
