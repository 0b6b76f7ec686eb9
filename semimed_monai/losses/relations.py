"""STSC's terms: how the rows of a batch lie to each other is to be the same for student and teacher, now and before.

In several processes they are of the global batch.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor
from torch.nn import functional

from semimed_monai.losses.criterion import Term
from semimed_monai.losses.gathering import gathered
from semimed_monai.losses.memory import Memory
from semimed_monai.vocabulary import Step, above_zero, required, share

logger = logging.getLogger("semimed")


def relation_matrix(embedding: Tensor) -> Tensor:
    """R (Eq. 3): the rows of M = D·Dᵀ, each divided by its L2 norm; D is the embedding, B×K.

    >>> relation_matrix(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    tensor([[0.7071, 0.7071],
            [0.4472, 0.8944]])
    """
    return functional.normalize(embedding @ embedding.T, dim=1)


class RelationConsistency(Term):
    """L_sc (Eq. 4): ‖R_student − R_teacher‖² / B, the squared Frobenius norm, over all rows.

    With a mean teacher and cross-entropy it is SRC-MT.

    >>> RelationConsistency(weight=0.0).uses_teacher  # with no weight it is logged only
    True
    """

    uses_teacher = True

    def forward(self, step: Step) -> Tensor:
        if step.teacher is None:
            raise ValueError("RelationConsistency compares with the teacher, but the run has none: set `teacher`")
        student, teacher = (
            relation_matrix(gathered(required(outputs.embedding, self, "an embedding")))
            for outputs in (step.student, step.teacher)
        )
        return (student - teacher).square().sum() / len(student)


class TemporalRelations(Term):
    """L_tc (Eq. 6): Σ_i ‖R_now[s_i] − R_before[s_i]‖² / |I|, over the stable sub-structures s_i.

    The bank keeps of each item its last embedding, of length 1. I are the rows of which it has one that is not too old.
    Two of them are joined if their cosine is at least τ, now and then; the s_i are the parts that hang together so, of
    two rows or more, and R[s_i] is the part of R (Eq. 3) that lies between them. Both R are of I alone and of vectors
    of length 1, and the sum is over |I|: what else a batch holds changes nothing. (The paper thresholds R, whose
    entries depend on the size of the batch.) Zero, with a graph, where nothing is joined. Of an item that a batch has
    twice the last row counts. Which share of the rows is in I is logged as `compared`, and which share of I's pairs is
    in a sub-structure as `joined`: where that is near 1 the sub-structure is all of I.

    >>> items = [{"id": "a"}, {"id": "b"}, {"id": "c"}]
    >>> TemporalRelations(items, features=1024).memory.values.shape
    torch.Size([3, 1024])

    Args:
        items: the training items, labelled or not.
        features: of an embedding.
        threshold: τ.
        start_epoch: before it the bank is filled and the term is 0. From 2: there is nothing before the first.
        max_age: of an embedding that is compared, in passes: the batches that hold as many rows as there are items. Two
            visits of an item lie up to two turns of its stream apart; 4 leaves none out where a turn takes two passes.
        weight, ramp: as for every `Term`; the bank is filled from the start.

    Raises:
        ValueError: a setting that is none; from `forward`: an embedding of another size.
    """

    remembers = True

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        features: int,
        threshold: float = 0.8,
        start_epoch: int = 2,
        max_age: float = 4.0,
        weight: float = 1.0,
        ramp: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__(weight, ramp)
        above_zero("max_age", max_age)
        if type(start_epoch) is not int or start_epoch < 2:
            need = "give a whole number from 2; before the first there is nothing"
            raise ValueError(f"start_epoch is {start_epoch!r}: {need}")
        self.threshold = share("threshold", threshold)
        self.start_epoch = start_epoch
        self.max_age = max_age
        self.memory = Memory([str(item["id"]) for item in items], shape=(features,))
        self.epoch, self.batch = 1, 1

    def attach(self, engine: Engine) -> None:
        """Follow the run's epochs and batches; say so where the run ends before the term begins."""
        engine.add_event_handler(Events.STARTED, self._warn_of_short_run)
        engine.add_event_handler(Events.ITERATION_STARTED, self._follow)

    def _warn_of_short_run(self, engine: Engine) -> None:
        if engine.state.max_epochs is not None and engine.state.max_epochs < self.start_epoch:
            logger.warning(
                "TemporalRelations begins in epoch %d, and the run has %d: it stays 0; give start_epoch (in the recipe "
                "temporal_start) a smaller number, or train longer",
                self.start_epoch,
                engine.state.max_epochs,
            )

    def _follow(self, engine: Engine) -> None:
        self.epoch, self.batch = engine.state.epoch, engine.state.iteration

    def forward(self, step: Step) -> Tensor:
        embedding = functional.normalize(gathered(required(step.student.embedding, self, "an embedding")), dim=1)
        if embedding.shape[1:] != self.memory.values.shape[1:]:
            wanted, got = self.memory.values.shape[1], embedding.shape[1]
            raise ValueError(f"the bank is of {wanted} features, the network gives {got}: set the term's features")
        rows = gathered(self.memory.rows(step.batch["id"]))
        before, written = self.memory.read(rows)
        self.memory.write(rows, embedding, torch.full_like(rows, self.batch))
        if self.epoch < self.start_epoch:
            return embedding.sum() * 0
        oldest = self.batch - self.max_age * len(self.memory.marks) / len(rows)
        compared = (written > 0) & (written >= oldest) & ~_comes_again(rows)
        distance, joined = temporal_distance(embedding, before, compared, self.threshold)
        self.observed = {"compared": compared.float().mean(), "joined": joined}
        return distance


def temporal_distance(now: Tensor, before: Tensor, compared: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """L_tc of the compared rows of B×K embeddings of length 1, and which share of their pairs is in a sub-structure, as
    `TemporalRelations` has them.

    >>> now, before = torch.tensor([[1.0, 0.0], [0.96, 0.28]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> temporal_distance(now, before, torch.tensor([True, True]), threshold=0.8)
    (tensor(0.0004), tensor(1.))
    """
    now, before = (vectors * compared[:, None] for vectors in (now, before))  # a row of zeros is in no relation
    edges = (now @ now.T >= threshold) & (before @ before.T >= threshold)
    together = _joined(edges.fill_diagonal_(False))
    change = relation_matrix(now) - relation_matrix(before)
    count = compared.sum()
    joined = (together.sum() - together.trace()) / (count * (count - 1)).clamp(min=1)
    return (change.square() * together).sum() / count.clamp(min=1), joined


def _comes_again(rows: Tensor) -> Tensor:
    """Which of them has a like one behind it."""
    return (rows[:, None] == rows[None, :]).triu(1).any(dim=1)


def _joined(edges: Tensor) -> Tensor:
    """Which pairs of B vertices a path joins, B×B; a vertex without an edge is not joined to itself either."""
    reached = edges.float() + torch.diag(edges.any(dim=1).float())
    for _ in range(math.ceil(math.log2(max(len(edges), 2)))):  # each round doubles the length of the paths
        reached = (reached @ reached).clamp(max=1)
    return reached
