"""How a run ends badly: a loss that is no number, an exception."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from ignite.engine import Events
from torch import Tensor

from semimed_monai.engines import NonFiniteLossError, SemiSupervisedTrainer
from semimed_monai.losses import Criterion, CrossEntropy, Term
from semimed_monai.vocabulary import Step

Make = Callable[..., Any]


class _Breaks(Term):
    """Not a number at the second step."""

    def forward(self, step: Step) -> Tensor:
        assert step.student.logits is not None
        return step.student.logits.sum() * (float("nan") if step.progress > 0.2 else 1.0)


def test_a_non_finite_loss_stops_the_run_and_says_where(make_trainer: Make, make_net: Make) -> None:
    network = make_net()
    seen: list[list[str]] = []
    before: list[dict[str, Tensor]] = []
    trainer = make_trainer(network=network, criterion=Criterion({"good": CrossEntropy(), "bad": _Breaks()}))
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda engine: seen.append(engine.state.batch["id"]))
    trainer.add_event_handler(
        Events.ITERATION_STARTED,
        lambda: before.append({name: value.clone() for name, value in network.named_parameters()}),
    )
    with pytest.raises(NonFiniteLossError) as raised:
        trainer.run()
    message = str(raised.value)
    assert len(seen) == 2
    assert "epoch 1, batch 2 of the run" in message
    assert "loss nan" in message
    assert "bad nan" in message
    assert "good " in message
    assert all(f"\n  {name}" in message for name in seen[-1])
    assert all(torch.equal(value, before[-1][name]) for name, value in network.named_parameters()), "no step was taken"


class _Interrupts(Term):
    def forward(self, step: Step) -> Tensor:
        raise KeyboardInterrupt


def test_every_handler_hears_of_an_exception_and_none_can_swallow_it(make_trainer: Make) -> None:
    class Listener:
        def __init__(self) -> None:
            self.heard: list[BaseException] = []

        def attach(self, engine: SemiSupervisedTrainer) -> None:
            engine.add_event_handler(Events.EXCEPTION_RAISED, self.heard.append)

    one, other = Listener(), Listener()
    trainer = make_trainer([one, other], criterion=Criterion({"breaks": _Interrupts()}), teacher=None)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert [type(error) for error in one.heard + other.heard] == [KeyboardInterrupt] * 2
