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
    norms = [norm for norm in network.modules() if isinstance(norm, _BatchNorm) and norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
