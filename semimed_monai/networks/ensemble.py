"""An ensemble of members as one network: each sees the image at its own size, then they vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from semimed_monai.networks.card import refuse_other_weights
from semimed_monai.networks.member import DeployedMember, Member, logarithm
from semimed_monai.networks.planes import answer_planes
from semimed_monai.networks.voting import RULES, carried
from semimed_monai.vocabulary import Outputs


class Ensemble(nn.Module):
    """p = the mean probability of the members that carried the vote (`carried`), so that its largest is the class that
    won; a class's map is the mean of the members' maps.

    It runs one member after the other: beside all weights there are never more activations than one member's. Its
    members are trained one by one (`Member`); it is what their vote is evaluated and deployed as.

    >>> small = {"name": "shufflenet_v2_x0_5", "size": 64, "classes": 5}
    >>> network = Ensemble([small, {**small, "size": 96}]).eval()
    >>> network(torch.rand(2, 1, 96, 96)).logits.exp().sum(dim=1).round(decimals=4).tolist()
    [1.0, 1.0]

    Args:
        members: the arguments of each `Member`.
        rule: of the vote: hard, soft or mix.

    Raises:
        ValueError: no members, members of different classes, or another rule.
    """

    of: type[Member] = Member

    def __init__(self, members: Sequence[Mapping[str, Any]], rule: str = "mix") -> None:
        super().__init__()
        if rule not in RULES:
            raise ValueError(f"there is no rule {rule!r}: give one of {', '.join(RULES)}")
        if len({member.get("classes", 5) for member in members}) != 1:
            raise ValueError("an ensemble is of one member or more, all of the same classes")
        self.members = nn.ModuleList(self.of(**member) for member in members)
        self.rule = rule
        self.arguments = {"members": [dict(member) for member in members], "rule": rule}
        refuse_other_weights(self)

    def answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The probabilities p (B×C) and the maps (B×C×H×W)."""
        probabilities: list[Tensor] = []
        maps = images.new_zeros(1)
        for member in self.members:
            found, shown = member.answers(images)  # type: ignore[operator]
            probabilities.append(found)
            maps = maps + shown
        return carried(torch.stack(probabilities), self.rule), maps / len(self.members)

    def forward(self, images: Tensor) -> Outputs:
        probabilities, maps = self.answers(images)
        return Outputs(logits=logarithm(probabilities), maps=maps)


class DeployedEnsemble(Ensemble):
    """The same weights behind one tensor, B×(1+C)×H×W: the map of the class that won, then each class's probability as
    a constant plane.

    >>> DeployedEnsemble([{"name": "shufflenet_v2_x0_5", "size": 64}]).eval()(torch.rand(1, 1, 96, 96)).shape
    torch.Size([1, 6, 96, 96])
    """

    of = DeployedMember  # whose forward a script can be made of

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        probabilities, maps = self.answers(images)
        return answer_planes(maps, probabilities)
