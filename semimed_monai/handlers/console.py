"""What a person sees while a run goes on: a bar with an ETA, and a line per epoch."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from tqdm import tqdm

logger = logging.getLogger("semimed")


class Console:
    """One progress bar over all batches of the run; after each epoch a line with the mean of every term and
    validation's metrics.

    tqdm's bar stands on ignite's ProgressBar too, but that one starts anew each epoch and so knows no ETA of the run.

    >>> Console().validator is None
    True

    Args:
        validator: the engine whose metrics join the line, or None.
    """

    def __init__(self, validator: Engine | None = None) -> None:
        self.validator = validator
        self._bar: Any = None

    def attach(self, engine: Any) -> None:
        """To the trainer, after MONAI's ValidationHandler. Ranks other than 0 are silent."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.EPOCH_STARTED, self._start)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._report)
            engine.add_event_handler(Events.COMPLETED | Events.EXCEPTION_RAISED, self._close)

    def _start(self, engine: Any) -> None:
        """At the first epoch, when a resumed run knows what is already done."""
        if self._bar is not None:
            return
        interactive = sys.stderr.isatty()
        self._bar = tqdm(
            total=engine.state.max_epochs * engine.state.epoch_length,
            initial=engine.state.iteration,
            unit="batch",
            dynamic_ncols=True,
            mininterval=0.5 if interactive else 10.0,
        )

    def _advance(self, engine: Any) -> None:
        self._bar.set_description(f"epoch {engine.state.epoch}/{engine.state.max_epochs}", refresh=False)
        self._bar.update(engine.state.iteration - self._bar.n)

    def _report(self, engine: Any) -> None:
        parts = _written(engine.state.metrics)
        if self.validator is not None and self.validator.state.epoch == engine.state.epoch:
            parts += " | validation: " + _written(self.validator.state.metrics)
        with tqdm.external_write_mode(file=sys.stdout):
            logger.info("epoch %d/%d: %s", engine.state.epoch, engine.state.max_epochs, parts)

    def _close(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()


def _written(metrics: dict[str, Any]) -> str:
    return ", ".join(f"{name.removeprefix('train_')} {value:.4g}" for name, value in metrics.items())


def announce(profile: str, dataset_dir: str, data: str) -> None:
    """The run's first lines: on what it trains and at which size. Called from a recipe's `initialize`."""
    if idist.get_rank():
        return
    if not dataset_dir:
        logger.info("No dataset_dir was given: this run trains on built-in phantoms (synthetic images).")
        logger.info("With --dataset_dir FOLDER the same recipe trains on your images with the paper's settings.")
    logger.info("Profile %r: see `profiles` at the top of the recipe for what it sets.\n%s", profile, data)


def announce_phantoms() -> None:
    """The first line of an inference that was given nothing to read."""
    logger.warning("No images were given: this reads built-in phantoms (synthetic images).")


def say_where(**places: str) -> None:
    """The run's last lines: where everything is that there is."""
    if idist.get_rank() == 0:
        there = {name: place for name, place in places.items() if Path(place).exists()}
        logger.info("Done.\n%s", "\n".join(f"  {name:<12}{place}" for name, place in there.items()))
