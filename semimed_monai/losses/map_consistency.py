"""Terms on maps: the student's map of an image is to be what is known of it from elsewhere, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from semimed_monai.losses.criterion import Term, mean_over
from semimed_monai.vocabulary import Step, in_roles, required


class MapConsistency(Term):
    """Mean over pixels of KL(carry(p_t)‖p_s), p = σ(logits), the mean over the rows of its roles.

    KL is that of two Bernoulli distributions, with 0·log 0 = 0. Pixels that the student's frame has from outside the
    teacher's do not count. With an EMA teacher it is the mean teacher's term for maps; subclasses put something else
    into the teacher's place (`target`).

    >>> MapConsistency(weight=2.0).uses_teacher
    True

    Args:
        roles: whose rows it is of.
        weight, ramp: as for every `Term`.
    """

    uses_teacher = True

    def __init__(
        self,
        roles: Sequence[str] = ("P_pub",),
        weight: float = 1.0,
        ramp: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__(weight, ramp)
        self.roles = tuple(roles)

    def target(self, _step: Step, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the student's maps are to be, in the teacher's frame, from the teacher's maps; and for which rows there
        is such a thing, None for all.
        """
        return maps, None

    def forward(self, step: Step) -> Tensor:
        if step.teacher is None:
            raise ValueError(f"{type(self).__name__} needs a teacher, but the run has none: set `teacher`")
        logits = required(step.student.logits, self, "logits")
        maps = torch.sigmoid(required(step.teacher.logits, self, "logits"))
        target, known = self.target(step, maps)
        target, in_view = step.geometry.carry(target)
        target = functional.interpolate(target, size=logits.shape[2:], mode="area").clamp(0, 1)
        each = bernoulli_divergence(target, logits)
        if in_view is None:
            each = each.flatten(1).mean(1)
        else:
            seen = (functional.interpolate(in_view, size=logits.shape[2:], mode="area") == 1).float()
            each = (each * seen).flatten(1).sum(1) / seen.flatten(1).sum(1).clamp(min=1)
        counted = in_roles(step.batch, self.roles)
        return mean_over(each, counted if known is None else counted & known)


def bernoulli_divergence(target: Tensor, logits: Tensor) -> Tensor:
    """KL(p‖σ(z)) = p·log p + (1−p)·log(1−p) − p·log σ(z) − (1−p)·log σ(−z), by element; its gradient in z is σ(z) − p.

    >>> bernoulli_divergence(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 0.0, 0.0]))
    tensor([0.6931, 0.0000, 0.6931])
    """
    own = torch.xlogy(target, target) + torch.xlogy(1 - target, 1 - target)
    return own - target * functional.logsigmoid(logits) - (1 - target) * functional.logsigmoid(-logits)
