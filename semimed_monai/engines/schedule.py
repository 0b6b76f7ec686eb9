"""The learning rate of a network whose head learns first, and all of it afterwards.

Looked for: torch's SequentialLR has no factor by parameter group; LambdaLR, with one of these for each, has.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StageRate:
    """A group's learning rate as a factor: `first` in the first stage, 1 in the second, `late` from its third epoch on.

    >>> [StageRate(first=10.0)(epoch) for epoch in range(5)]
    [10.0, 1.0, 1.0, 0.1, 0.1]

    In a recipe, one for what is learned from the start and one for what is not:
    `"lr_lambda": [{"_target_": "semimed_monai.engines.StageRate", "first": 0.0}, …]`. With a factor of 0 nothing moves:
    the decay of weights is a part of the gradient.

    Args:
        first: of the first stage.
        first_epochs: how long that is.
        full_epochs: of the second stage, with the full rate.
        late: of the rest.
    """

    first: float
    first_epochs: int = 1
    full_epochs: int = 2
    late: float = 0.1

    def __call__(self, epoch: int) -> float:
        if epoch < self.first_epochs:
            return self.first
        return 1.0 if epoch < self.first_epochs + self.full_epochs else self.late
