"""Terms on a segmenter's class scores."""

from __future__ import annotations

from collections.abc import Callable

from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

from semimed_monai.losses.criterion import Term, mean_over
from semimed_monai.vocabulary import Step, required


class DiceCrossEntropy(Term):
    """Soft Dice (monai.losses.DiceLoss) + cross-entropy of B×C×H×W scores against the mask's class numbers.

    Each image first, then the mean over the rows that have a mask. MONAI's DiceCELoss pools or averages over whatever
    rows a process happens to have; an image's own value is the same on any number of processes.

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
        self.dice = DiceLoss(include_background=include_background, to_onehot_y=True, softmax=True, reduction="none")

    def forward(self, step: Step) -> Tensor:
        logits = required(step.student.logits, self, "logits")
        mask: Tensor = step.batch["mask"]
        dice = self.dice(logits, mask).flatten(1).mean(1)
        entropy = functional.cross_entropy(logits, mask[:, 0].long(), reduction="none").flatten(1).mean(1)
        return mean_over(dice + entropy, step.batch["has_mask"])
