"""The supervised term on a lesion map: weighted binary cross-entropy against the boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from semimed_monai.losses.criterion import Term, mean_over
from semimed_monai.vocabulary import ROLES, Step, in_roles, required


class LesionCrossEntropy(Term):
    """L_sup = −α_l · mean over pixels of (α_r·y·log p + (1−y)·log(1−p)), the mean over the rows of its roles.

    y is the mask, brought to the map's size by its maximum: a cell of the map is a lesion if any of its pixels is. α_l
    = N/(2·N_c) makes up for classes of unequal size, α_r for small lesions. The paper sums over pixels; a mean keeps
    the learning rate usable at any size.

    >>> LesionCrossEntropy(counts={"P_hos": 580, "N_hos": 9858}).row_weights
    tensor([8.9983, 0.5294, 0.0000, 0.0000])

    Args:
        counts: how many training items each role has whose rows the term is of; N is their sum, N_c that of the
            positive or the negative ones among them. Rows of the negative roles want a map of zeros.
        lesion_weight: α_r.
        weight, ramp: as for every `Term`.

    Raises:
        ValueError: an unknown role, or one without an item.
    """

    row_weights: Tensor

    def __init__(
        self,
        counts: Mapping[str, int],
        lesion_weight: float = 10.0,
        weight: float = 1.0,
        ramp: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__(weight, ramp)
        if wrong := [role for role, count in counts.items() if role not in ROLES or count < 1]:
            raise ValueError(f"counts of {', '.join(wrong)}: roles are {', '.join(ROLES)}, with an item or more each")
        self.lesion_weight = lesion_weight
        self.roles = tuple(counts)
        self.register_buffer("row_weights", torch.tensor(_class_weights(counts)), persistent=False)

    def forward(self, step: Step) -> Tensor:
        logits = required(step.student.logits, self, "logits")
        counted = in_roles(step.batch, self.roles)
        mask = functional.adaptive_max_pool2d(step.batch["mask"], logits.shape[2:])
        positive = self.lesion_weight * mask * functional.logsigmoid(logits)
        negative = (1 - mask) * functional.logsigmoid(-logits)
        each = -(positive + negative).flatten(1).mean(1)
        return mean_over(self.row_weights[step.batch["role"]] * each, counted)


def _class_weights(counts: Mapping[str, int]) -> Sequence[float]:
    """α_l of each role in the order of ROLES; 0 for those that are not counted."""
    total = sum(counts.values())
    of_class = {sign: sum(count for role, count in counts.items() if role[0] == sign) for sign in "PN"}
    return [total / (2 * of_class[role[0]]) if role in counts else 0.0 for role in ROLES]
