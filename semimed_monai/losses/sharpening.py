"""Dynamic sharpening: the teacher's map of a positive image, sharpened and carried into the student's frame, is the
student's target there.

Looked for: MONAI and torchmetrics have softmax temperatures; none sharpens about a threshold.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any, cast

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from semimed_monai.losses.map_consistency import MapConsistency
from semimed_monai.vocabulary import Step

Sharpening = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From a map, the threshold t and the degree a to the sharpened map."""


@torch.no_grad()
def dynamic_sharpening(maps: Tensor, t: Tensor, a: Tensor) -> Tensor:
    """DS(y) = y^a / t^(a−1) up to t, (y−t)^(1/a) / (1−t)^(1/a−1) + t above it.

    Continuous and increasing; 0, t and 1 stay where they are. Its slope just above t is infinite, so that no gradient
    goes through it, and it runs in fp32.

    >>> dynamic_sharpening(torch.tensor([0.0, 0.2, 0.4, 0.55, 1.0]), torch.tensor(0.4), torch.tensor(4.0))
    tensor([0.0000, 0.0250, 0.4000, 0.8243, 1.0000])
    """
    maps = maps.float()
    below = t * (maps / t) ** a
    above = (1 - t) * ((maps - t).clamp(min=0) / (1 - t)) ** (1 / a) + t
    return torch.where(maps <= t, below, above)


@torch.no_grad()
def asymmetric_sharpening(maps: Tensor, t: Tensor, a: Tensor) -> Tensor:
    """σ(a·logit(y) + (1−a)·logit(t)), the sharpening of Wang et al. (2021), where a and t are fixed: a 4, t 0.4.

    >>> asymmetric_sharpening(torch.tensor([0.0, 0.4, 0.6, 1.0]), torch.tensor(0.4), torch.tensor(4.0))
    tensor([0.0000, 0.4000, 0.9447, 1.0000])
    """
    return torch.sigmoid(a * torch.logit(maps.float()) + (1 - a) * torch.logit(t))


class DynamicSchedule:
    """t = min(.5, max(m − .1, .2)) and a = 4 if t > .35 else 6: m, the median score of positive images, is the guide.

    >>> DynamicSchedule()(0.55), DynamicSchedule()(0.1)
    ((0.45000000000000007, 4.0), (0.2, 6.0))
    """

    def __call__(self, median: float) -> tuple[float, float]:
        """The coming epoch's t and a."""
        t = min(0.5, max(median - 0.1, 0.2))
        return t, 4.0 if t > 0.35 else 6.0


class FixedSchedule:
    """The same t and a throughout.

    >>> FixedSchedule(t=0.3, a=4)(0.9)
    (0.3, 4)

    Raises:
        ValueError: unless 0 < t < 1 and a ≥ 1.
    """

    def __init__(self, t: float, a: float) -> None:
        if not 0 < t < 1 or a < 1:
            raise ValueError(f"t is {t} and a is {a}: give 0 < t < 1 and a of 1 or more")
        self.t, self.a = t, a

    def __call__(self, _median: float) -> tuple[float, float]:
        """Whatever the median."""
        return self.t, self.a


class SharpenedConsistency(MapConsistency):
    """L_semi = mean over pixels of KL(p'‖p_s), p' = carry(sharpen(p_t)), on the rows of its roles.

    Before each epoch of which a part comes after the ramp has left 0, the schedule sets t and a by m, the median over
    the positive images of the map's maximum, from the student in eval mode on images as they are; `t`, `a` and `m` are
    logged.

    >>> SharpenedConsistency(positives=[]).roles
    ('P_pub',)

    Args:
        positives: batches of the images that m is of, each a mapping with `image`; several processes may hold a part
            each.
        schedule: from m to t and a.
        sharpen: the sharpening itself.
        roles, weight, ramp: as for `MapConsistency`.
    """

    guide: Tensor

    def __init__(
        self,
        positives: Iterable[Mapping[str, Any]],
        schedule: Callable[[float], tuple[float, float]] | None = None,
        sharpen: Sharpening = dynamic_sharpening,
        roles: Sequence[str] = ("P_pub",),
        weight: float = 1.0,
        ramp: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__(roles, weight, ramp)
        self.positives = positives
        self.schedule = schedule or DynamicSchedule()
        self.sharpen = sharpen
        self.register_buffer("guide", torch.full((3,), torch.nan))  # t, a and m

    def attach(self, engine: Engine) -> None:
        """Set t and a before each epoch, for which there must be images."""
        engine.add_event_handler(Events.STARTED, self._require_positives)
        engine.add_event_handler(Events.EPOCH_STARTED, self._set)

    def _require_positives(self) -> None:
        if isinstance(self.positives, Sized) and not len(self.positives):
            raise ValueError(
                f"there is no image of {', '.join(self.roles)} to set t and a by: add the role to `roles`, and such "
                "images to the datalist's training section, or disable this term"
            )

    def _set(self, engine: Any) -> None:
        if not self.begun(engine.state.epoch / engine.state.max_epochs):  # at the epoch's end
            return
        median = median_score(engine.student, self.positives, engine.state.device)
        self.guide.copy_(torch.tensor([*self.schedule(median), median]))

    def target(self, _step: Step, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """The sharpened maps."""
        t, a, median = self.guide.clone().unbind()
        self.observed = {"t": t, "a": a, "m": median}
        return self.sharpen(maps, t, a), None


@torch.no_grad()
def median_score(network: torch.nn.Module, batches: Iterable[Mapping[str, Any]], device: torch.device) -> float:
    """m: the median over all processes' images of the map's maximum, of the network in eval mode; of an even number
    the mean of the middle two.

    Raises:
        ValueError: there is no image.
    """
    was_training = network.training
    network.eval()
    try:
        scores = [
            torch.sigmoid(network(batch["image"].to(device)).logits.float()).flatten(1).amax(1) for batch in batches
        ]
    finally:
        network.train(was_training)
    own = torch.cat(scores).tolist() if scores else []
    everyone = [score for part in cast(list[list[float]], idist.all_gather(own)) for score in part]
    if not everyone:
        raise ValueError("there is no positive image to set t and a by: give some")
    return statistics.median(everyone)
