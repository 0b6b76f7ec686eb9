"""The criterion: named, weighted, ramped terms and their sum; and what a term is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import cast

import ignite.distributed as idist
import torch
from ignite.engine import Engine
from torch import Tensor, nn

from semimed_monai.vocabulary import Step


class SigmoidRamp:
    r"""w(τ) = exp(−5 (1 − τ/τmax)²): from 0.0067 at the first step to 1 at the last.

    >>> SigmoidRamp()(1.0)
    1.0

    Args:
        steepness: the 5.
        start: the progress before which the weight is 0.
        end: the progress from which the weight is 1.

    Raises:
        ValueError: unless 0 ≤ start < end.
    """

    def __init__(self, steepness: float = 5.0, start: float = 0.0, end: float = 1.0) -> None:
        if not 0 <= start < end:
            raise ValueError(f"a ramp runs from start to end with 0 <= start < end, not from {start} to {end}")
        self.steepness = steepness
        self.start = start
        self.end = end

    def __call__(self, progress: float) -> float:
        if progress < self.start:
            return 0.0
        position = min((progress - self.start) / (self.end - self.start), 1.0)
        return math.exp(-self.steepness * (1.0 - position) ** 2)


class StageRamp:
    """w(τ) = 1 once the share `start` of the run is over, else 0: a term of the second of two stages.

    >>> StageRamp(0.4)(0.4), StageRamp(0.4)(0.41)
    (0.0, 1.0)

    Args:
        start: share of the optimiser steps that the first stage takes.

    Raises:
        ValueError: unless 0 ≤ start < 1.
    """

    def __init__(self, start: float) -> None:
        if not 0 <= start < 1:
            raise ValueError(
                f"the second stage starts at {start} of the run: give a share from 0 to below 1 (in a recipe: raise "
                "max_epochs, or lower pretraining_epochs)"
            )
        self.start = start

    def __call__(self, progress: float) -> float:
        return float(progress > self.start)


def mean_over(each: Tensor, counted: Tensor) -> Tensor:
    """Σ each over the counted rows / their number: over the rows of all processes, whose gradients are averaged.

    Zero, with a graph, when no row counts.

    >>> mean_over(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([True, True, False]))
    tensor(1.5000)
    """
    count = counted.sum().to(each.dtype)
    if idist.get_world_size() > 1:
        torch.distributed.all_reduce(count)
        count = count / idist.get_world_size()
    return (each * counted).sum() / count.clamp(min=1 / idist.get_world_size())


class Term(nn.Module):
    """One summand of the criterion: `forward(step)` gives its unweighted scalar.

    What a term must remember is a buffer; what it learns is a parameter (it joins the optimiser); a term that follows
    the run's events overrides `attach`. A term that compares with the teacher sets `uses_teacher`; one whose memory
    must know the rows when its ramp leaves 0 sets `remembers`, and is asked from the start. What it wants
    logged besides its value it puts into `observed`.

    Args:
        weight: its factor in the sum.
        ramp: progress in (0, 1] → factor, multiplied with the weight; None is 1 throughout.
    """

    uses_teacher = False
    remembers = False

    def __init__(self, weight: float = 1.0, ramp: Callable[[float], float] | None = None) -> None:
        super().__init__()
        self.weight = weight
        self.ramp = ramp
        self.observed: dict[str, Tensor] = {}

    def factor(self, progress: float) -> float:
        """What the term is multiplied with at this point of the run."""
        return self.weight if self.ramp is None else self.weight * self.ramp(progress)

    def begun(self, progress: float) -> bool:
        """Whether the ramp has left 0; a weight of 0 is no reason not to look at a term."""
        return self.remembers or self.ramp is None or self.ramp(progress) > 0

    def attach(self, engine: Engine) -> None:
        """Follow the run's events; most terms have nothing to follow."""

    def forward(self, step: Step) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define forward(step)")


class Criterion(nn.Module):
    """L = Σ_name weight_name · ramp_name(τ) · term_name(step), over the terms whose ramp has left 0.

    A `_disabled_` term arrives as None and is left out, so that an ablation is one key in a config:

    >>> from semimed_monai.losses import CrossEntropy
    >>> sorted(Criterion({"classification": CrossEntropy(), "attention": None}).terms)
    ['classification']

    Args:
        terms: name → term. The names are those of the logs, so `loss` is taken.

    Raises:
        ValueError: no term is left, or one is called `loss`.
    """

    def __init__(self, terms: Mapping[str, Term | None]) -> None:
        super().__init__()
        kept = {name: term for name, term in terms.items() if term is not None}
        if not kept:
            raise ValueError("the criterion has no term left: enable at least one under criterion#terms")
        if "loss" in kept:
            raise ValueError("no term may be called 'loss': that is the name of the sum")
        self.terms = nn.ModuleDict(kept)

    @property
    def uses_teacher(self) -> bool:
        """Whether any term compares with the teacher."""
        return any(term.uses_teacher for _, term in self._named())

    @property
    def counted(self) -> list[str]:
        """The names of the terms that are in the sum: not of those with a weight of 0, which are only logged.

        >>> from semimed_monai.losses import ClassConsistency, CrossEntropy
        >>> Criterion({"classification": CrossEntropy(), "consistency": ClassConsistency(weight=0.0)}).counted
        ['classification']
        """
        return [name for name, term in self._named() if term.weight]

    def compares(self, progress: float) -> bool:
        """Whether a term does at this point of the run (if not, the trainer does not run the teacher)."""
        return any(term.uses_teacher for _, term in self._begun(progress))

    def attach(self, engine: Engine) -> None:
        """Let every term follow the run's events."""
        for _, term in self._named():
            term.attach(engine)

    def _named(self) -> list[tuple[str, Term]]:
        return cast(list[tuple[str, Term]], list(self.terms.items()))

    def _begun(self, progress: float) -> list[tuple[str, Term]]:
        return [(name, term) for name, term in self._named() if term.begun(progress)]

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The sum under `loss`, each term, unweighted, under its name, and what terms observed under `name/what`.

        Raises:
            ValueError: no term has begun, so there is nothing to learn from.
        """
        if not (begun := self._begun(step.progress)):
            names = ", ".join(self.terms)
            raise ValueError(f"nothing to learn from at the start of the run: each of {names} begins later")
        values = {name: term(step) for name, term in begun}
        total = torch.stack([values[name] * term.factor(step.progress) for name, term in begun]).sum()
        observed = {f"{name}/{what}": value for name, term in begun for what, value in term.observed.items()}
        return {"loss": total, **values, **observed}
