"""The teacher: who gives the student its targets, and in which mode."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from semimed_monai.networks.averages import averages_kept


class Teacher(nn.Module):
    """A network without gradient: a copy that `EMATeacher` moves after the student, or the student itself (Π-model).

    >>> student = nn.Linear(2, 1)
    >>> teacher = Teacher(student)
    >>> teacher(torch.ones(1, 2)).requires_grad
    False

    Args:
        student: the network that learns (not wrapped by DistributedDataParallel).
        kind: `ema`, a copy; `self`, the student's own weights.
        mode: how batch normalisation runs in `forward`: `train`, with the batch's statistics; `eval`, with the averaged
            ones. In neither does the forward pass move the running averages or their counter, and dropout is off in
            `eval` only.

    Raises:
        ValueError: an unknown kind or mode.
    """

    def __init__(self, student: nn.Module, kind: str = "ema", mode: str = "train") -> None:
        super().__init__()
        if kind not in ("ema", "self") or mode not in ("train", "eval"):
            raise ValueError(f"teacher kind is 'ema' or 'self' and mode 'train' or 'eval', not {kind!r}, {mode!r}")
        self.kind = kind
        self.mode = mode
        self._student = [student]  # in a list: the student is not part of the teacher's state
        if kind == "ema":
            self.average = copy.deepcopy(student).requires_grad_(False)

    @property
    def network(self) -> nn.Module:
        """The network whose weights the teacher uses."""
        return self.average if self.kind == "ema" else self._student[0]

    @torch.no_grad()
    def forward(self, images: Tensor) -> Any:
        network = self.network
        modes = [(module, module.training) for module in network.modules()]
        network.train(self.mode == "train")
        try:
            with averages_kept(network):
                return network(images)
        finally:
            for module, was_training in modes:  # each its own: a student may keep parts of itself frozen
                module.training = was_training
