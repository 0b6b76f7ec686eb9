"""How the members of an ensemble vote: hard, soft or mixed, for one ensemble or for many subsets of it at once.

Looked for: scikit-learn's VotingClassifier and torch's ensembles vote hard or soft, neither both, and none for many
subsets in one pass.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

RULES = ("hard", "soft", "mix")


def votes(probabilities: Tensor, subsets: Tensor) -> tuple[Tensor, Tensor]:
    """For each subset of members, how many of them vote for each class, and the sum of their probabilities.

    >>> probabilities = torch.tensor([[[0.6, 0.4]], [[0.7, 0.3]], [[0.0, 1.0]]])
    >>> votes(probabilities, torch.tensor([[1.0, 1.0, 1.0]]))
    (tensor([[[2., 1.]]]), tensor([[[1.3000, 1.7000]]]))

    Args:
        probabilities: M×N×C, of M members for N images.
        subsets: S×M, 1 where a subset has a member, else 0.

    Returns:
        both S×N×C. A member votes for its most probable class, the first of equals.
    """
    classes = probabilities.shape[2]
    ballots = one_hot(probabilities.argmax(dim=2), classes).to(probabilities.dtype)
    return torch.einsum("sm,mnc->snc", subsets, ballots), torch.einsum("sm,mnc->snc", subsets, probabilities)


def decided(counts: Tensor, sums: Tensor, rule: str) -> Tensor:
    """The class that wins: `hard`, that of most votes, the smallest of equals; `soft`, that of the largest mean
    probability; `mix`, hard where one class has most votes alone, else soft.

    >>> counts, sums = torch.tensor([[[1.0, 1.0, 0.0]]]), torch.tensor([[[0.6, 0.5, 0.9]]])
    >>> [int(decided(counts, sums, rule)) for rule in RULES]
    [0, 2, 2]

    Args:
        counts: votes, as `votes` gives them.
        sums: of probabilities, as it gives them.
        rule: one of `RULES`.

    Returns:
        S×N class indices.
    """
    soft = sums.argmax(dim=2)
    if rule == "soft":
        return soft
    hard = counts.argmax(dim=2)
    if rule == "hard":
        return hard
    alone = (counts == counts.amax(dim=2, keepdim=True)).sum(dim=2) == 1
    return torch.where(alone, hard, soft)


def carried(probabilities: Tensor, rule: str) -> Tensor:
    """The mean probabilities of the members that carried the vote: their most probable class is the one that won.

    Those are the members that voted for it; where the mean probability decided, all.

    >>> probabilities = torch.tensor([[[0.6, 0.4]], [[0.7, 0.3]], [[0.0, 1.0]]])
    >>> carried(probabilities, "hard"), carried(probabilities, "soft")
    (tensor([[0.6500, 0.3500]]), tensor([[0.4333, 0.5667]]))

    Args:
        probabilities: M×N×C.
        rule: one of `RULES`.

    Returns:
        N×C.
    """
    counts, sums = votes(probabilities, torch.ones_like(probabilities[:, 0, 0])[None])
    winner = decided(counts, sums, rule)
    by_ballot = probabilities.argmax(dim=2) == winner
    most = counts.amax(dim=2, keepdim=True)
    tied = (counts == most).sum(dim=2) > 1
    if rule == "soft":
        by_ballot = torch.ones_like(by_ballot)
    elif rule == "mix":
        by_ballot = by_ballot | tied
    weight = by_ballot.to(probabilities.dtype)[:, :, None]
    return (probabilities * weight).sum(dim=0) / weight.sum(dim=0)
