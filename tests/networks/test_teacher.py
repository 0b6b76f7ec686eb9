"""The teacher: whose weights, in which mode, and what a pass leaves behind."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from semimed_monai.networks import AttentionClassifier, Teacher
from semimed_monai.vocabulary import Outputs

Make = Callable[..., Any]
KINDS = pytest.mark.parametrize("kind", ["ema", "self"])
MODES = pytest.mark.parametrize("mode", ["train", "eval"])


def _moved(network: Any) -> Any:
    """With running averages that differ from any batch's."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.fill_(0.3)
            module.running_var.fill_(2.0)
    return network


@KINDS
@MODES
@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_pass_leaves_everything_as_it_was(make_net: Make, kind: str, mode: str, momentum: float | None) -> None:
    """No running average, no counter, no momentum, no module's mode: a student may hold parts of itself frozen."""
    student = _moved(make_net()).train()
    student.norm.momentum = momentum
    student.last.eval()
    teacher = Teacher(student, kind, mode)
    before = copy.deepcopy((student.state_dict(), teacher.state_dict()))
    modes = [module.training for module in [*student.modules(), *teacher.modules()]]
    outputs = teacher(torch.rand(4, 1, 8, 8))
    for state, now in zip(before, (student.state_dict(), teacher.state_dict()), strict=True):
        assert all(torch.equal(state[name], now[name]) for name in state)
    assert modes == [module.training for module in [*student.modules(), *teacher.modules()]]
    assert (student.norm.momentum, student.norm.track_running_stats) == (momentum, True)
    assert not outputs.logits.requires_grad
    assert not outputs.maps.requires_grad


@KINDS
@MODES
def test_the_mode_decides_the_statistics(make_net: Make, kind: str, mode: str) -> None:
    student = _moved(make_net())
    images = torch.rand(4, 1, 8, 8)
    expected = copy.deepcopy(student).train(mode == "train")(images)
    other = copy.deepcopy(student).train(mode != "train")(images)
    found = Teacher(student, kind, mode)(images)
    assert torch.equal(found.logits, expected.logits)
    assert not torch.allclose(found.logits, other.logits, atol=1e-3)


@MODES
def test_dropout_is_off_in_eval_only(make_net: Make, mode: str) -> None:
    teacher = Teacher(make_net(dropout=0.5), "ema", mode)
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(teacher(images).logits, teacher(images).logits) == (mode == "eval")


def test_a_copy_stays_where_it_is_and_the_student_itself_moves(make_net: Make) -> None:
    student = make_net()
    average, itself = Teacher(student, "ema"), Teacher(student, "self")
    images = torch.rand(2, 1, 8, 8)
    before = average(images).logits
    nn.init.zeros_(student.last.weight)
    assert torch.equal(average(images).logits, before)
    assert torch.equal(itself(images).logits, student(images).logits.detach())
    assert itself.network is student


def test_the_student_is_no_part_of_the_teachers_state(make_net: Make) -> None:
    student = make_net()
    average, itself = Teacher(student, "ema"), Teacher(student, "self")
    assert set(average.state_dict()) == {f"average.{name}" for name in student.state_dict()}
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert not itself.state_dict()
    assert not list(itself.parameters())
    assert all(parameter.requires_grad for parameter in student.parameters())


@pytest.mark.parametrize("kind", ["ema", "self"])
def test_a_pass_that_fails_leaves_the_modes_too(kind: str) -> None:
    student = AttentionClassifier(layers=(1, 1, 1, 1), width=16).train()
    teacher = Teacher(student, kind, "eval")
    with pytest.raises(RuntimeError, match="channels"):
        teacher(torch.rand(2, 5, 32, 32))
    assert all(module.training for module in teacher.network.modules())


def test_the_students_gradient_survives_a_pass_of_itself_under_autocast(make_net: Make) -> None:
    """Autocast caches half-precision weights: those that the teacher's pass made have no gradient."""
    student = make_net()
    with torch.autocast("cpu", torch.bfloat16):
        Teacher(student, "self")(torch.rand(2, 1, 8, 8))
        outputs: Outputs = student(torch.rand(2, 1, 8, 8))
    assert outputs.logits is not None
    torch.autograd.backward(outputs.logits.float().square().sum())
    assert all(parameter.grad is not None for parameter in (student.first.weight, student.last.weight))


@pytest.mark.parametrize(("kind", "mode"), [("mean", "train"), ("ema", "frozen")])
def test_unknown_settings_are_refused(make_net: Make, kind: str, mode: str) -> None:
    with pytest.raises(ValueError, match="teacher kind is 'ema' or 'self' and mode 'train' or 'eval'"):
        Teacher(make_net(), kind, mode)
