"""Self-training: what the network was sure of about an unlabelled image is taken for its label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from semimed_monai.losses.classification import probabilities
from semimed_monai.losses.criterion import Term, mean_over
from semimed_monai.losses.gathering import gathered
from semimed_monai.losses.memory import Memory
from semimed_monai.vocabulary import Step, flag, required, share


class SelfTraining(Term):
    """Cross-entropy with ŷ = [p_before ≥ θ], p_before what the network said at the unlabelled row's last visit.

    Where classes exclude each other ŷ is the most probable one, and rows below θ count for nothing; where they do not,
    each class by itself is there above θ, is not there below 1 − θ, and counts for nothing in between. A `StageRamp`
    makes it the second stage, before which the bank is filled only.

    >>> SelfTraining([{"id": "a"}], classes=7).memory.values.shape
    torch.Size([1, 7])

    Args:
        items: the unlabelled items.
        classes: how many.
        threshold: θ, above one half.
        multi_label: whether a row may have several classes.
        weight, ramp: as for every `Term`.

    Raises:
        ValueError: a threshold that is none.
    """

    remembers = True

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        classes: int,
        threshold: float = 0.95,
        multi_label: bool = False,
        weight: float = 1.0,
        ramp: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__(weight, ramp)
        if not share("threshold", threshold) > 0.5:
            raise ValueError(f"threshold is {threshold}: give more than 0.5, or an answer and its opposite are taken")
        self.threshold = threshold
        self.multi_label = flag("multi_label", multi_label)
        self.memory = Memory([str(item["id"]) for item in items], (classes,))

    def forward(self, step: Step) -> Tensor:
        logits = required(step.student.logits, self, "logits")
        rows = torch.where(step.labelled, -1, self.memory.rows(step.batch["id"]))
        before, visits = self.memory.read(rows)
        now = probabilities(logits.detach(), self.multi_label)
        self.memory.write(*(gathered(part) for part in (rows, now, visits + 1)))
        if self.multi_label:
            each = functional.binary_cross_entropy_with_logits(logits, before.round(), reduction="none")
            sure = (before >= self.threshold) | (before <= 1 - self.threshold)
            return mean_over(each, sure & (visits > 0)[:, None])
        each = functional.cross_entropy(logits, before.argmax(dim=1), reduction="none")
        return mean_over(each, (before.amax(dim=1) >= self.threshold) & (visits > 0))
