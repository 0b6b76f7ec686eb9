"""Terms on the class scores: cross-entropy on labelled rows, consistency with the teacher on all."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from semimed_monai.losses.criterion import Term, mean_over
from semimed_monai.vocabulary import UNLABELLED, Step, flag, required


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


class BinaryCrossEntropy(Term):
    """−Σ_c [y_c log σ(z_c) + (1 − y_c) log σ(−z_c)] / C, the mean over labelled rows: several classes may be there.

    >>> BinaryCrossEntropy(weight=0.5).weight
    0.5
    """

    def forward(self, step: Step) -> Tensor:
        logits = required(step.student.logits, self, "logits")
        label = step.batch["label"].clamp(min=0).to(logits)  # what is unknown does not count, but must be a number
        each = functional.binary_cross_entropy_with_logits(logits, label, reduction="none").mean(dim=1)
        return mean_over(each, step.labelled)


class ClassConsistency(Term):
    """L_cc (Eq. 3): (p(student) − p(teacher))², the mean over classes and rows; p is softmax, or the sigmoid of each.

    Of a segmenter, also over pixels: the teacher's are carried into the student's frame, and those out of view are 0.

    >>> ClassConsistency(weight=2.0).factor(progress=0.5)
    2.0

    Args:
        summed: the sum over classes in place of the mean, as mean teachers of classifiers have it.
        multi_label: whether a row may have several classes.
        weight, ramp: as for every `Term`.
    """

    uses_teacher = True

    def __init__(
        self,
        summed: bool = False,
        multi_label: bool = False,
        weight: float = 1.0,
        ramp: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__(weight, ramp)
        self.summed = flag("summed", summed)
        self.multi_label = flag("multi_label", multi_label)

    def forward(self, step: Step) -> Tensor:
        if step.teacher is None:
            raise ValueError("ClassConsistency compares with the teacher, but the run has none: set `teacher`")
        student, teacher = (
            probabilities(required(outputs.logits, self, "logits"), self.multi_label)
            for outputs in (step.student, step.teacher)
        )
        if student.dim() == 2:
            each = (student - teacher).square()
            return (each.sum(dim=1) if self.summed else each).mean()
        teacher, in_view = step.geometry.carry(teacher)
        difference = student - teacher
        each = (difference if in_view is None else difference * in_view).square()
        return (each.sum(dim=1) if self.summed else each).mean()


def probabilities(logits: Tensor, multi_label: bool) -> Tensor:
    """Of classes that exclude each other, or of classes each by itself."""
    return torch.sigmoid(logits) if multi_label else torch.softmax(logits, dim=1)
