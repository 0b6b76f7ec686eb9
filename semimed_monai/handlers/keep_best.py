"""The handler that keeps the best weights by validation, and stops when they no longer get better."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from semimed_monai.files import whole, write_tensors
from semimed_monai.networks.card import card_text

logger = logging.getLogger("semimed")


class KeepBest:
    """Whenever validation reaches a new best, writes each network's plain state dict.

    A NaN is never the best; a tie keeps the earlier epoch. With
    `card`, a `network.json` beside the first file says what network the weights are of: its arguments, and the card.

    >>> from torch import nn
    >>> validator = Engine(lambda engine, batch: None)
    >>> KeepBest(validator, "f1", [{"path": "model.pt", "network": nn.Linear(1, 1)}]).best
    -inf

    Args:
        validator: the engine whose `state.metrics` hold the metric.
        metric: its name; larger is better.
        save: files, each with its `path` and the `network` whose weights it gets. The first is the deployable one.
        card: what else to write into network.json (image size, classes), or None for no such file.
        patience: validations without a new best after which the run ends, or None.
        first_epoch: the validations before it do not count: those of a first of two stages.

    Raises:
        ValueError: at the start, if the first epoch comes after the last; at a validation that has no such metric; at
            the end, if no validation gave a number.
    """

    def __init__(
        self,
        validator: Engine,
        metric: str,
        save: Sequence[Mapping[str, Any]],
        card: Mapping[str, Any] | None = None,
        patience: int | None = None,
        first_epoch: int = 1,
    ) -> None:
        self.validator = validator
        self.metric = metric
        self.save = {Path(file["path"]): file["network"] for file in save}
        self.card = card
        self.patience = patience
        self.first_epoch = first_epoch
        self.best = -math.inf
        self.best_epoch = 0
        self._validations_since = 0

    def attach(self, engine: Any) -> None:
        """To the trainer, after MONAI's ValidationHandler; its state joins the run's."""
        self._trainer = engine
        engine.remembered["best"] = self
        self.validator.add_event_handler(Events.COMPLETED, self._compare)
        engine.add_event_handler(Events.STARTED, self._refuse_no_epoch)
        engine.add_event_handler(Events.EPOCH_STARTED, self._stop_if_done)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._validate_last)
        engine.add_event_handler(Events.COMPLETED, self._refuse_nothing_kept)

    def _refuse_no_epoch(self) -> None:
        if self.first_epoch > self._trainer.state.max_epochs:
            raise ValueError(
                f"epoch {self.first_epoch} is the first whose weights may be kept, and the run ends with epoch "
                f"{self._trainer.state.max_epochs}: raise max_epochs"
            )

    def _validate_last(self) -> None:
        """Whatever the interval: what is kept at the end is of this run, and its last epochs had their chance."""
        state = self._trainer.state
        if state.epoch == state.max_epochs and self.validator.state.epoch != state.epoch:
            self.validator.run(state.epoch)

    def _refuse_nothing_kept(self) -> None:
        """What lies there may be an earlier run's."""
        if self.best == -math.inf:
            raise ValueError(
                f"no validation gave a {self.metric} that is a number, so no weights were kept: look at the datalist's "
                "validation section (an AUC needs items of two classes)"
            )

    def state_dict(self) -> dict[str, float]:
        """The best so far and how long ago."""
        return {"best": self.best, "best_epoch": self.best_epoch, "validations_since": self._validations_since}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take it back."""
        self.best = state_dict["best"]
        self.best_epoch = state_dict["best_epoch"]
        self._validations_since = state_dict["validations_since"]

    def _compare(self, validator: Engine) -> None:
        if self.metric not in validator.state.metrics:
            known = ", ".join(validator.state.metrics)
            raise ValueError(f"validation has no metric {self.metric!r}; it has {known}")
        if validator.state.epoch < self.first_epoch:
            return
        value = validator.state.metrics[self.metric]
        if value > self.best:
            self.best, self.best_epoch, self._validations_since = float(value), validator.state.epoch, 0
            if idist.get_rank() == 0:
                self._write()
            return
        self._validations_since += 1
        self._stop_if_done()

    def _stop_if_done(self) -> None:
        """Also at an epoch's start: a run that had ended so does not train on when it is resumed."""
        if self.patience is not None and self._validations_since >= self.patience:
            logger.info("no better %s in %d validations: the run ends", self.metric, self._validations_since)
            self._trainer.terminate()

    def _write(self) -> None:
        """All of them are written before the first takes its name: weights and card are of one network."""
        with ExitStack() as files:
            if self.card is not None:
                path, network = next(iter(self.save.items()))
                card = files.enter_context(whole(path.with_name("network.json")))
                card.write_text(card_text({"arguments": network.arguments, **self.card}))
            for path, network in self.save.items():
                write_tensors(files.enter_context(whole(path)), network.state_dict())
