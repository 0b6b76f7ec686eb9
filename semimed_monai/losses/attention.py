"""Terms on the attention map: against the mask on labelled rows, against the teacher's map on all."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from semimed_monai.losses.criterion import Term, mean_over
from semimed_monai.vocabulary import Step, class_map, required

EMPTY = 0.5
"""A map whose largest value is below this shows nothing."""

_SMALLEST = 1e-5
"""Denominators are clamped here: an empty map beside an empty mask costs nothing, and nothing divides by zero."""


def relative_square_difference(one: Tensor, other: Tensor) -> Tensor:
    """Σ(one − other)² / (Σ one + Σ other), per row of B×1×H×W."""
    pixels = (1, 2, 3)
    return (one - other).square().sum(pixels) / (one.sum(pixels) + other.sum(pixels)).clamp(min=_SMALLEST)


class AttentionLoss(Term):
    """L_a (Eq. 2): λa·Σ(f−S)²/(Σf+ΣS) + λr·(1 − Σ(f·S)/Σf), f the map of the true class, S the mask.

    Each image first, then the mean over the labelled rows that have a mask; zero, with a graph, when none has. A map
    whose class activation is negative everywhere is empty; which share of the counted rows has one is logged as
    `empty_maps`.

    >>> AttentionLoss(lambda_a=0.5, lambda_r=0.001).lambda_a
    0.5

    Args:
        lambda_a: λa, how much the map must equal the mask.
        lambda_r: λr, how much the map must lie inside it.
        weight, ramp: as for every `Term`.
    """

    def __init__(
        self,
        lambda_a: float = 0.5,
        lambda_r: float = 0.001,
        weight: float = 1.0,
        ramp: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__(weight, ramp)
        self.lambda_a = lambda_a
        self.lambda_r = lambda_r

    def forward(self, step: Step) -> Tensor:
        maps = required(step.student.maps, self, "maps")
        counted = step.labelled & step.batch["has_mask"]
        attention = class_map(maps, step.batch["label"].clamp(min=0))
        mask: Tensor = step.batch["mask"]
        empty = attention.detach().amax((1, 2, 3)) < EMPTY
        self.observed = {"empty_maps": mean_over(empty.float(), counted)}
        inside = (attention * mask).sum((1, 2, 3)) / attention.sum((1, 2, 3)).clamp(min=_SMALLEST)
        each = self.lambda_a * relative_square_difference(attention, mask) + self.lambda_r * (1 - inside)
        return mean_over(each, counted)


class AttentionConsistency(Term):
    """L_ac (Eq. 4): Σ(f_s−f_t)²/(Σf_s+Σf_t), the mean over all rows.

    Both maps are of one class: the true one on labelled rows, the teacher's argmax on unlabelled ones. The teacher's
    map is carried into the student's frame, and pixels that were out of its view count on neither side.

    >>> AttentionConsistency().uses_teacher
    True
    """

    uses_teacher = True

    def forward(self, step: Step) -> Tensor:
        if step.teacher is None:
            raise ValueError("AttentionConsistency compares with the teacher, but the run has none: set `teacher`")
        teacher_class = required(step.teacher.logits, self, "logits").argmax(dim=1)
        chosen = step.batch["label"].where(step.labelled, teacher_class)
        student = class_map(required(step.student.maps, self, "maps"), chosen)
        teacher, in_view = step.geometry.carry(class_map(required(step.teacher.maps, self, "maps"), chosen))
        if in_view is not None:
            student, teacher = student * in_view, teacher * in_view
        return relative_square_difference(student, teacher).mean()
