"""The moving teacher, against the formula written out and the plain average of all weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Engine, Events
from torch import Tensor, nn

from semimed_monai.engines import OptimiserEvents
from semimed_monai.handlers import EMATeacher
from semimed_monai.networks import Teacher

Make = Callable[..., Any]


def _engine(handler: EMATeacher) -> Any:
    engine: Any = Engine(lambda _engine, _batch: None)
    engine.register_events(*OptimiserEvents)
    engine.state.optimiser_step = 0
    handler.attach(engine)
    return engine


def _step(engine: Any) -> None:
    engine.state.optimiser_step += 1
    engine.fire_event(OptimiserEvents.STEPPED)


def _fill(network: nn.Module, value: float) -> None:
    """Every tensor of the network, parameter, buffer and counter."""
    for tensor in network.state_dict().values():
        tensor.fill_(value)


def _values(network: nn.Module) -> dict[str, float]:
    for name, tensor in network.state_dict().items():
        assert (tensor == tensor.flatten()[0]).all(), name
    return {name: float(tensor.flatten()[0]) for name, tensor in network.state_dict().items()}


@settings(max_examples=25)
@given(st.lists(st.integers(-8, 8), min_size=1, max_size=12), st.floats(0, 0.95), st.booleans())
def test_every_tensor_follows_the_formula(
    make_net: Make, student_values: list[int], decay: float, average_buffers: bool
) -> None:
    student = make_net()
    teacher = Teacher(student)
    engine = _engine(EMATeacher(teacher, student, decay, average_buffers))
    _fill(student, 3)
    engine.fire_event(Events.STARTED)
    expected = 3.0
    for n, value in enumerate(student_values, start=1):
        _fill(student, value)
        _step(engine)
        alpha = min(1 - 1 / (n + 1), decay)
        expected = alpha * expected + (1 - alpha) * value
    for name, found in _values(teacher.average).items():
        copied = "num_batches" in name or ("running" in name and not average_buffers)
        assert found == pytest.approx(student_values[-1] if copied else expected, abs=1e-4), name
    assert set(_values(student).values()) == {student_values[-1]}, "the student stays as it is"


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_a_warm_teacher_is_the_average_of_all_weights_so_far(
    make_trainer: Make, make_net: Make, channels_last: bool, accumulation_steps: int
) -> None:
    """In a real run, start included; steps are the optimiser's, also while gradient accumulates."""
    network = make_net()
    weights: list[dict[str, Tensor]] = []

    def keep() -> None:
        weights.append({name: value.clone() for name, value in network.state_dict().items()})

    trainer = make_trainer(network=network, channels_last=channels_last, accumulation_steps=accumulation_steps)
    trainer.add_event_handler(Events.STARTED, keep)
    trainer.add_event_handler(OptimiserEvents.STEPPED, keep)
    trainer.run()
    assert len(weights) == 1 + 6 // accumulation_steps + (accumulation_steps - 1)
    for name, found in trainer.teacher.average.state_dict().items():
        history = torch.stack([each[name].double() for each in weights])
        expected = history[-1] if "num_batches" in name else history.mean(0)
        assert torch.allclose(found.double(), expected, atol=1e-6), name
        assert not torch.equal(history[0], history[-1]), name


def test_the_warm_up_by_hand(make_net: Make) -> None:
    handler = EMATeacher(None, make_net(), decay=0.75)
    assert [handler.decay_at(n) for n in (1, 2, 3, 4, 1000)] == pytest.approx([1 / 2, 2 / 3, 3 / 4, 3 / 4, 3 / 4])


def test_the_teacher_starts_as_the_student_is_at_started(make_net: Make) -> None:
    """Weights may have been loaded into the student after the copy was made; a resumed run brings the teacher's own."""
    student = make_net()
    teacher = Teacher(student)
    engine = _engine(EMATeacher(teacher, student))
    _fill(student, 5)
    engine.fire_event(Events.STARTED)
    assert set(_values(teacher.average).values()) == {5}
    engine.state.optimiser_step = 1
    _fill(student, 6)
    engine.fire_event(Events.STARTED)
    assert set(_values(teacher.average).values()) == {5}


def test_no_gradient_and_no_graph(make_net: Make) -> None:
    student = make_net()
    teacher = Teacher(student)
    engine = _engine(EMATeacher(teacher, student))
    _step(engine)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in student.parameters())


@pytest.mark.parametrize("kind", ["self", None])
def test_without_a_copy_there_is_nothing_to_move(make_net: Make, kind: str | None) -> None:
    student = make_net()
    engine = _engine(EMATeacher(Teacher(student, kind) if kind else None, student))
    _fill(student, 2)
    engine.fire_event(Events.STARTED)
    _step(engine)
    assert set(_values(student).values()) == {2}


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_cannot_be(make_net: Make, decay: float) -> None:
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        EMATeacher(None, make_net(), decay)
