"""The rates of two stages, on a real optimiser: the trunk rests while the head learns, then both slow down together."""

from __future__ import annotations

import torch
from torch import nn

from semimed_monai.engines import StageRate


def test_trunk_and_head_have_their_rates() -> None:
    trunk, head = nn.Linear(2, 2), nn.Linear(2, 2)
    groups = [{"params": list(part.parameters())} for part in (trunk, head)]
    optimiser = torch.optim.Adam(groups, lr=0.001, weight_decay=0.1)
    rates = [StageRate(first=0.0, late=0.1), StageRate(first=10.0, late=0.1)]
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, rates)
    before, seen = trunk.weight.clone(), []
    for epoch in range(5):
        seen.append([round(group["lr"], 6) for group in optimiser.param_groups])
        optimiser.zero_grad()
        head(trunk(torch.ones(1, 2))).sum().backward()
        optimiser.step()
        scheduler.step()
        assert torch.equal(trunk.weight, before) == (epoch == 0)  # weight decay moves nothing at a rate of 0
    assert seen == [[0, 0.01], [0.001, 0.001], [0.001, 0.001], [0.0001, 0.0001], [0.0001, 0.0001]]
