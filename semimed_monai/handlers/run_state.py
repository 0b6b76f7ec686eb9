"""Checkpoint and exact resume: everything a run needs to go on as if it had never stopped."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Events

from semimed_monai.engines.trainer import Stateful
from semimed_monai.files import save_tensors
from semimed_monai.vocabulary import flag

logger = logging.getLogger("semimed")

_SHOWN = 5  # differences between two runs: one that has more is another recipe altogether


class RunStateError(RuntimeError):
    """A run cannot go on from this file; the message says why and what to do."""


class RunState:
    """After every whole epoch, writes the run's state to one file; with `resume`, takes it from there.

    In the file: the counters, whatever stands in `trainer.remembered` (student, teacher, optimiser, criterion with its
    terms' buffers, fp16 scaler, and the handlers that put themselves there), `also`, and the random states. Batches and
    views need nothing more: they depend on the counters alone. Put it last in the list of handlers, so that it sees
    what the others did. A run that was killed goes on from its last whole epoch.

    >>> RunState("run_state.pt", resume=False).every
    1

    Args:
        path: the file; not in the bundle's models/ folder, where MONAI Label would offer it as a model.
        resume: whether to go on from the file. If there is none, the run starts from the beginning and says so.
        also: further objects by name, such as a learning-rate scheduler.
        identity: plain values that make it this run and no other (`reports.run_identity`); with them the terms and
            their weights are compared.
        every: epochs between two files; the last epoch is always written.

    Raises:
        ValueError: `resume` is not a bool.
        RunStateError: the file is of another network or run, or unreadable.
    """

    def __init__(
        self,
        path: str | Path,
        resume: bool = False,
        also: Mapping[str, Stateful] | None = None,
        every: int = 1,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.resume = flag("resume", resume)
        self._identity = dict(identity or {})
        self.every = every
        self._also = dict(also or {})

    def attach(self, engine: Any) -> None:
        """To a `SemiSupervisedTrainer`."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._say_how_to_go_on)

    def _identity_of(self, engine: Any) -> dict[str, Any]:
        terms = {f"weight of {name}": float(term.weight) for name, term in engine.criterion.terms.items()}
        return {**self._identity, **terms, "batches per epoch": engine.state.epoch_length}

    def _objects(self, engine: Any) -> dict[str, Stateful]:
        return {**engine.remembered, **self._also}

    def _save(self, engine: Any) -> None:
        last = engine.state.epoch == engine.state.max_epochs or engine.should_terminate
        if idist.get_rank() == 0 and (last or engine.state.epoch % self.every == 0):
            counters = {name: getattr(engine.state, name) for name in ("epoch", "iteration", "optimiser_step")}
            objects = {name: kept.state_dict() for name, kept in self._objects(engine).items()}
            content = {
                "counters": counters,
                "identity": self._identity_of(engine),
                "objects": objects,
                "random": _random_states(),
            }
            save_tensors(self.path, content)

    def _start(self, engine: Any) -> None:
        if not self.resume:
            return
        if not self.path.is_file():
            logger.warning("resume: there is no %s yet, so the run starts from the beginning", self.path)
            return
        try:
            content = torch.load(self.path, map_location=engine.state.device, weights_only=True)
        except Exception as error:
            raise RunStateError(
                f"{self.path} cannot be read ({type(error).__name__}): it is cut off, or no run state; "
                "delete it, or start without --resume True"
            ) from error
        self._refuse_other_run(content, engine)
        objects = self._objects(engine)
        for name, state in content["objects"].items():
            try:
                objects[name].load_state_dict(state)
            except (RuntimeError, ValueError, KeyError) as error:
                # The last line names the tensor: torch puts a heading before it.
                reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
                raise RunStateError(
                    f"{self.path} was written by a run with another {name} ({reason}); "
                    "resume with the settings of that run, or start without --resume True"
                ) from error
        for name, value in content["counters"].items():
            setattr(engine.state, name, value)
        _set_random_states(content["random"])
        logger.info("resumed from %s after epoch %d", self.path, engine.state.epoch)

    def _refuse_other_run(self, content: Any, engine: Any) -> None:
        if not isinstance(content, dict) or set(content) != {"counters", "identity", "objects", "random"}:
            raise RunStateError(f"{self.path} is no run state of this library; give the file that training wrote")
        missing = set(self._objects(engine)) ^ set(content["objects"])
        if missing:
            raise RunStateError(
                f"{self.path} was written by a run with other parts: {', '.join(sorted(missing))} stands on one side "
                "only; resume with the settings of that run"
            )
        then, now = content["identity"], self._identity_of(engine)
        differing = [key for key in {**then, **now} if then.get(key) != now.get(key)]
        if differing:
            each = [f"{key} {then.get(key, 'none')} there, {now.get(key, 'none')} here" for key in differing[:_SHOWN]]
            more = [f"and {len(differing) - _SHOWN} more"] if len(differing) > _SHOWN else []
            changes = "; ".join(each + more)
            raise RunStateError(
                f"{self.path} was written by another run ({changes}): resume with the settings of that run, or start "
                "without --resume True"
            )

    def _say_how_to_go_on(self, engine: Any, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt) and self.path.is_file():
            logger.warning(
                "stopped in epoch %d; the last whole epoch is in %s: go on with --resume True",
                engine.state.epoch,
                self.path,
            )


def _random_states() -> dict[str, Any]:
    """Python's, numpy's and torch's generators as tensors and plain values, which a weights-only load admits."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 - whatever draws from numpy's own generator
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), *(float(value) for value in rest)),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _set_random_states(states: Mapping[str, Any]) -> None:
    random.setstate(states["python"])
    name, keys, position, has_gauss, cached = states["numpy"]
    keys = keys.cpu().numpy().astype(np.uint32)
    np.random.set_state((name, keys, int(position), int(has_gauss), cached))  # noqa: NPY002 - as above
    torch.set_rng_state(states["torch"].cpu())
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())
