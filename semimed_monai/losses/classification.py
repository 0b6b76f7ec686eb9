"""Terms on the class scores: cross-entropy on labelled rows, consistency with the teacher on all."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from semimed_monai.losses.criterion import Term, mean_over
from semimed_monai.vocabulary import UNLABELLED, Step, required


class CrossEntropy(Term):
    """−log softmax(logits)_label, the mean over labelled rows; zero, with a graph, when a batch has none.

    >>> CrossEntropy(label_smoothing=0.1).weight
    1.0

    Args:
        label_smoothing: share of the target that is spread over all classes.
        weight, ramp: as for every `Term`.
    """

    def __init__(
        self, label_smoothing: float = 0.0, weight: float = 1.0, ramp: Callable[[float], float] | None = None
    ) -> None:
        super().__init__(weight, ramp)
        self.label_smoothing = label_smoothing

    def forward(self, step: Step) -> Tensor:
        logits = required(step.student.logits, self, "logits")
        each = functional.cross_entropy(
            logits,
            step.batch["label"],
            ignore_index=UNLABELLED,
            label_smoothing=self.label_smoothing,
            reduction="none",
        )
        return mean_over(each, step.labelled)


class ClassConsistency(Term):
    """L_cc (Eq. 3): (softmax(student) − softmax(teacher))², the mean over classes and rows.

    Of a segmenter, also over pixels: the teacher's are carried into the student's frame, and those out of view are 0.

    >>> ClassConsistency(weight=2.0).factor(progress=0.5)
    2.0
    """

    uses_teacher = True

    def forward(self, step: Step) -> Tensor:
        if step.teacher is None:
            raise ValueError("ClassConsistency compares with the teacher, but the run has none: set `teacher`")
        student = torch.softmax(required(step.student.logits, self, "logits"), dim=1)
        teacher = torch.softmax(required(step.teacher.logits, self, "logits"), dim=1)
        if student.dim() == 2:
            return (student - teacher).square().mean()
        teacher, in_view = step.geometry.carry(teacher)
        difference = student - teacher
        return (difference if in_view is None else difference * in_view).square().mean()
