"""A forward pass that leaves batch normalisation's running averages as they are: those of the images to come.

Looked for: torch has a momentum of 0 for it, which a network's owner would have to set and set back; so would this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def averages_kept(network: nn.Module) -> Iterator[None]:
    """Within it no forward pass moves them or their counter; in eval mode they are used all the same.

    >>> import torch
    >>> network = nn.BatchNorm1d(2)
    >>> with averages_kept(network):
    ...     _ = network(torch.ones(3, 2))
    >>> network.running_mean
    tensor([0., 0.])
    """
    norms = [norm for norm in _norms(network) if norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@contextmanager
def batch_normalised(network: nn.Module) -> Iterator[None]:
    """Within it batch normalisation, and nothing else, runs as in training: by the batch; no running average moves.

    >>> import torch
    >>> network = nn.BatchNorm1d(1).eval()
    >>> with batch_normalised(network):
    ...     network(torch.tensor([[1.0], [3.0]])).round().flatten().tolist()
    [-1.0, 1.0]
    """
    modes = [(norm, norm.training) for norm in _norms(network)]
    for norm, _ in modes:
        norm.train()
    try:
        with averages_kept(network):
            yield
    finally:
        for norm, was_training in modes:
            norm.training = was_training


def _norms(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]
