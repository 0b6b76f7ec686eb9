"""What a run has come to, put into the MLflow run in which MONAI's handler logged its curves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import torch
from ignite.engine import Engine, Events
from mlflow.entities import Param
from mlflow.models import infer_signature
from mlflow.tracking import MlflowClient
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH
from monai.handlers import MLFlowHandler

from semimed_monai.networks import deployed_network, load_weights, read_card
from semimed_monai.reports.configuration import running_settings
from semimed_monai.reports.page import write_pictures

_NO_KEY = re.compile(r"[^\w./ -]+")  # what MLflow takes in no name


class TrackedRun:
    """With `--tracking mlflow`: tags and settings by which the run is found, at its end scores, files and the model.

    MONAI's handler logs every term and the validation; it closes the run with the training, so what comes after is
    added here. Without `--tracking mlflow`, and on all processes but the first, nothing is done.

    >>> tracked = TrackedRun(Engine(lambda *_: None), handlers=[], tags={"seed": 0})
    >>> tracked.start(), tracked.finish("eval", files=[], ckpt_dir="models")
    (None, None)

    Args:
        trainer: which MONAI's handler is attached to.
        handlers: the trainer's, MONAI's among them if the run is tracked.
        tags: what the run is of: bundle, method, labelled share, seed, the datalist's digest …
    """

    def __init__(self, trainer: Engine, handlers: Iterable[Any], tags: Mapping[str, Any]) -> None:
        self._handler = next((handler for handler in handlers if isinstance(handler, MLFlowHandler)), None)
        self._trainer = trainer
        self._tags = dict(tags)
        self._run = ""
        self._address = "" if self._handler is None else self._handler.client.tracking_uri

    def start(self) -> None:
        """Before the training: tags and settings are there from its first step on, also of a run that is killed."""
        if self._handler is not None:
            self._trainer.add_event_handler(Events.STARTED, self._introduce)

    def _introduce(self) -> None:
        handler: Any = self._handler
        self._run = handler.cur_run.info.run_id
        for name, value in self._tags.items():
            handler.client.set_tag(self._run, name, str(value))
        log_settings(handler.client, self._run, running_settings())

    def finish(self, output_dir: str | Path, files: Iterable[str], ckpt_dir: str | Path) -> None:
        """After the evaluation: every score, the files, the page's pictures, the deployed network with its signature.

        Args:
            output_dir: where metrics.json is.
            files: further files there, if they are.
            ckpt_dir: where model.pt and network.json are.
        """
        if not self._run:
            return
        client, folder = MlflowClient(self._address), Path(output_dir)
        for name, scores in json.loads((folder / "metrics.json").read_text())["scores"].items():
            for score, found in scores.items():
                if found["value"] is not None:
                    client.log_metric(self._run, f"test/{name}/{score}", found["value"])
        for file in ("metrics.json", *files):
            if (folder / file).is_file():
                client.log_artifact(self._run, str(folder / file))
        with TemporaryDirectory() as pictures:
            for picture in write_pictures(folder, pictures):
                client.log_artifact(self._run, str(picture), "figures")
        mlflow.set_tracking_uri(self._address)
        with mlflow.start_run(run_id=self._run):
            _log_model(Path(ckpt_dir))


def log_settings(client: MlflowClient, run: str, settings: Mapping[str, Any]) -> None:
    """A run's parameters, in as many parts, and as short, as MLflow takes them; one that is there stays as it is."""
    known = client.get_run(run).data.params
    params = {_NO_KEY.sub("/", key)[:MAX_ENTITY_KEY_LENGTH]: str(value) for key, value in settings.items()}
    new = [Param(key, value[:MAX_PARAM_VAL_LENGTH]) for key, value in params.items() if key not in known]
    for start in range(0, len(new), MAX_PARAMS_TAGS_PER_BATCH):
        client.log_batch(run, params=new[start : start + MAX_PARAMS_TAGS_PER_BATCH])


def _log_model(folder: Path) -> None:
    card = read_card(folder / "network.json")
    network = deployed_network(card).eval()
    load_weights(network, folder / "model.pt")
    example = torch.zeros(2, card["arguments"]["in_channels"], card["size"], card["size"])
    with torch.no_grad():
        signature = infer_signature(example.numpy(), network(example).numpy())
    mlflow.pytorch.log_model(
        network,
        name="model",
        signature=signature,
        input_example=example.numpy(),  # MLflow traces the network with it: who loads the model needs torch alone
        pip_requirements=[f"torch=={version('torch')}"],
    )
