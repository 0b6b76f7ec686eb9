"""Terms on a segmenter's class scores."""

from __future__ import annotations

from collections.abc import Callable

from monai.losses import DiceCELoss
from torch import Tensor

from semimed_monai.losses.criterion import Term
from semimed_monai.vocabulary import Step, required


class DiceCrossEntropy(Term):
    """Soft Dice + cross-entropy of B×C×H×W scores against the mask's class numbers (monai.losses.DiceCELoss),
    over the rows that have a mask.

    >>> DiceCrossEntropy(include_background=False).weight
    1.0

    Args:
        include_background: whether class 0 counts in the Dice part.
        weight, ramp: as for every `Term`.
    """

    def __init__(
        self,
        include_background: bool = False,
        weight: float = 1.0,
        ramp: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__(weight, ramp)
        self.loss = DiceCELoss(include_background=include_background, to_onehot_y=True, softmax=True, batch=True)

    def forward(self, step: Step) -> Tensor:
        logits = required(step.student.logits, self, "logits")
        counted = step.batch["has_mask"]
        if not counted.any():
            return logits.sum() * 0
        value: Tensor = self.loss(logits[counted], step.batch["mask"][counted])
        return value
