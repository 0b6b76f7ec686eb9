"""The handler that moves the teacher after the student."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Events
from torch import Tensor, nn

from semimed_monai.engines.trainer import OptimiserEvents
from semimed_monai.networks.teacher import Teacher


class EMATeacher:
    r"""θ' ← α_n θ' + (1 − α_n) θ after the n-th optimiser step, α_n = min(1 − 1/(n+1), α).

    While α_n < α the teacher is the plain average of all the student's weights so far. The teacher starts as the
    student is at STARTED, after pretrained weights were loaded, unless the run resumes. Every parameter and every
    floating buffer is averaged, in one fused update; counters are copied. The trainer keeps the student the same on
    all processes, and so the teacher is.

    >>> student = nn.Linear(1, 1)
    >>> handler = EMATeacher(Teacher(student), student, decay=0.99)
    >>> handler.decay_at(1), handler.decay_at(1000)
    (0.5, 0.99)

    Args:
        teacher: to be moved; of kind `ema`. (For kind `self` and for None there is nothing to do, and nothing is done.)
        student: whose weights are averaged, not wrapped.
        decay: α.
        average_buffers: False: buffers are copied from the student instead of averaged.

    Raises:
        ValueError: α is not in [0, 1).
    """

    def __init__(
        self, teacher: Teacher | None, student: nn.Module, decay: float = 0.99, average_buffers: bool = True
    ) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the teacher's decay is {decay}; it must be at least 0 and below 1")
        self.decay = decay
        self.average_buffers = average_buffers
        self._student = student
        self._teacher = teacher if teacher is not None and teacher.kind == "ema" else None

    def attach(self, engine: Any) -> None:
        """To a `SemiSupervisedTrainer`: copy at STARTED, move at every optimiser step."""
        if self._teacher is not None:
            self._bind(self._teacher.average)
            engine.add_event_handler(Events.STARTED, self._copy)
            engine.add_event_handler(OptimiserEvents.STEPPED, self._move)

    def decay_at(self, optimiser_step: int) -> float:
        """α_n, n counted from 1."""
        return min(1.0 - 1.0 / (optimiser_step + 1), self.decay)

    def _bind(self, average: nn.Module) -> None:
        """Pair teacher's and student's tensors: here, as the trainer may have changed their memory format before."""
        followers = dict(average.named_parameters())
        pairs = [(followers[name], parameter) for name, parameter in self._student.named_parameters()]
        buffers = list(zip(average.buffers(), self._student.buffers(), strict=True))
        floating = [pair for pair in buffers if pair[1].is_floating_point()]
        self._averaged = pairs + (floating if self.average_buffers else [])
        self._copied = [pair for pair in buffers if not (self.average_buffers and pair[1].is_floating_point())]

    def _copy(self, engine: Any) -> None:
        if engine.state.optimiser_step == 0:
            _assign(self._averaged + self._copied)

    @torch.no_grad()
    def _move(self, engine: Any) -> None:
        followers = [follower for follower, _ in self._averaged]
        leaders = [leader for _, leader in self._averaged]
        torch._foreach_lerp_(followers, leaders, 1.0 - self.decay_at(engine.state.optimiser_step))
        _assign(self._copied)


@torch.no_grad()
def _assign(pairs: list[tuple[Tensor, Tensor]]) -> None:
    for follower, leader in pairs:
        follower.copy_(leader)
