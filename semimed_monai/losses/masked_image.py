"""PCAM's second and third stage: classification of what the network's own map leaves of the image, and marks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from semimed_monai.losses.criterion import Term, mean_over
from semimed_monai.losses.gathering import gathered
from semimed_monai.vocabulary import Step, above_zero, class_map, required, share, soft_mask

MASK_CLASSES = ("label", "predicted")
"""Whose map makes an image's mask; else a class's index, of which every image's is."""


def confidence(accuracy: Tensor) -> Tensor:
    """λ = e^P/e: from 1/e of a network that is always wrong to 1 of one that never is.

    >>> confidence(torch.tensor([0.0, 0.5, 1.0]))
    tensor([0.3679, 0.6065, 1.0000])
    """
    return torch.exp(accuracy - 1)


class MaskedClassification(Term):
    r"""(1 − λ)·L1 + λ·L2: L1 the cross-entropy of the image, L2 that of image ⊙ mask, each the mean over labelled rows.

    mask = σ(ω·(f_y − σ0)), f_y the map of the label: gradient goes through the mask, so the map moves to what the class
    can be told from. Its form can tell the class, too, whatever it shows (`engines.MaskAlone` measures that). λ =
    e^P/e, through which no gradient goes, with P the running accuracy on the images as they are, before this batch.
    L1, L2, λ and the mean of the mask (near 0: it shows nothing; near 1: everything) are logged as `plain`, `masked`,
    `confidence` and `inside`.

    >>> MaskedClassification(omega=10, sigma0=0.5).accuracy
    tensor(0.)

    Args:
        omega: ω, the steepness of the mask's edge.
        sigma0: σ0, the value of the map where the mask is one half.
        decay: how much of P a batch leaves as it was.
        mask_class: y: the `label` (as published), what is `predicted`, or the index of one class for all images.
        weight, ramp: as for every `Term`.
    """

    accuracy: Tensor

    def __init__(
        self,
        omega: float = 10.0,
        sigma0: float = 0.5,
        decay: float = 0.98,
        mask_class: str | int = "label",
        weight: float = 1.0,
        ramp: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__(weight, ramp)
        above_zero("omega", omega)
        self.omega = omega
        self.sigma0 = share("sigma0", sigma0)
        self.decay = share("decay", decay)
        if mask_class not in MASK_CLASSES and (isinstance(mask_class, str | bool) or mask_class < 0):
            raise ValueError(f"mask_class is {mask_class!r}: give {', '.join(MASK_CLASSES)}, or a class's index")
        self.mask_class = mask_class
        self.register_buffer("accuracy", torch.tensor(0.0))  # P

    def forward(self, step: Step) -> Tensor:
        logits = required(step.student.logits, self, "logits")
        label: Tensor = step.batch["label"].clamp(min=0)
        attention = class_map(required(step.student.maps, self, "maps"), self._shown(logits, label))
        mask = soft_mask(attention, self.omega, self.sigma0)
        again = required(step.run(step.batch["image"] * mask).logits, self, "logits")
        plain, masked = (
            mean_over(functional.cross_entropy(scores, label, reduction="none"), step.labelled)
            for scores in (logits, again)
        )
        trust = confidence(self.accuracy)
        inside = mean_over(mask.detach().mean((1, 2, 3)), step.labelled)
        self.observed = {"plain": plain.detach(), "masked": masked.detach(), "confidence": trust, "inside": inside}
        self._follow(logits.detach().argmax(dim=1) == label, step.labelled)
        return (1 - trust) * plain + trust * masked

    def _shown(self, logits: Tensor, label: Tensor) -> Tensor:
        """The class whose map makes each row's mask."""
        if isinstance(self.mask_class, int):
            if self.mask_class >= logits.shape[1]:
                raise ValueError(f"mask_class is {self.mask_class}, and there are classes 0 to {logits.shape[1] - 1}")
            return torch.full_like(label, self.mask_class)
        return label if self.mask_class == "label" else logits.argmax(dim=1)

    def _follow(self, right: Tensor, counted: Tensor) -> None:
        """P ← decay·P + (1 − decay)·the accuracy of all processes' labelled rows."""
        right, counted = gathered(right.float()), gathered(counted.float())
        if counted.any():
            self.accuracy = self.accuracy.lerp((right * counted).sum() / counted.sum(), 1 - self.decay)


class MarkLoss(Term):
    """L3: the mean over pixels of (drawn − mark)², then over marked rows; zero, with a graph, if there are none.

    A marked row is of a class above 0, the normal one, and has a mask with something inside.

    >>> MarkLoss(weight=2.0).weight
    2.0
    """

    def forward(self, step: Step) -> Tensor:
        drawn = required(step.student.marks, self, "marks (decoder)")
        each = (drawn - step.batch["mask"]).square().mean((1, 2, 3))
        marked = step.batch["has_mask"] & (step.batch["mask"] > 0).flatten(1).any(1)
        return mean_over(each, marked & (step.batch["label"] > 0))
