"""A semi-supervised GAN: the classifier learns from unlabelled images by telling them from made ones."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.nn import functional

from semimed_monai.losses.criterion import Term
from semimed_monai.vocabulary import Step, required

_STEEPEST = 20.0  # the maker's gradient over the critic's, where the critic is certain that an image is made
_NARROWEST = 8  # channels
_MOST_CELLS = 7


class ImageMaker(nn.Sequential):
    """DCGAN's generator: noise to an image in [0, 1], from 4 to 7 cells a side on, each layer twice as large.

    >>> ImageMaker(noise=16, channels=3, size=32, width=32)(torch.randn(2, 16)).shape
    torch.Size([2, 3, 32, 32])

    Args:
        noise: how long its input is.
        channels, size: of the image.
        width: channels of the first cells.

    Raises:
        ValueError: a size that is not 4, 5, 6 or 7 times a power of 2.
    """

    def __init__(self, noise: int, channels: int, size: int, width: int) -> None:
        cells, layers = size, 0
        while cells > _MOST_CELLS and cells % 2 == 0:
            cells, layers = cells // 2, layers + 1
        if not layers or cells > _MOST_CELLS:
            raise ValueError(f"images of {size} pixels cannot be made: give 4, 5, 6 or 7 times 2, 4, 8, …")
        widths = [max(_NARROWEST, width >> layer) for layer in range(layers)]
        super().__init__(nn.Unflatten(1, (noise, 1, 1)), *_enlarge(noise, widths[0], kernel=cells, stride=1, padding=0))
        for inner, outer in pairwise(widths):
            self.extend(nn.Sequential(*_enlarge(inner, outer, kernel=4, stride=2, padding=1)))
        self.append(nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1))
        self.append(nn.Sigmoid())
        for module in self:
            if isinstance(module, nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)


def _enlarge(inner: int, outer: int, *, kernel: int, stride: int, padding: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(inner, outer, kernel, stride, padding, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]


class Adversarial(Term):
    """softplus(−s(x)) + softplus(s(G(z))), the means over rows; s = log Σ_c exp z_c, D = σ(s).

    The student's own class scores are the critic's (Salimans et al. 2016): an image is real with probability D. G
    learns −log D(G(z)), in the same backward pass: the two losses differ by a factor in what comes to a made image,
    −(1 − D)/D, which is put in there. (Batch normalisation couples the rows of a batch; that part of the critic's
    gradient is scaled by each row's own factor, too.)

    >>> Adversarial(channels=3, size=32).maker[0]
    Unflatten(dim=1, unflattened_size=(64, 1, 1))

    Args:
        channels, size: of the images.
        noise: how long z is.
        width: of the maker's first layer.
        seed: of z, which follows from it, the batch's number and the process.
        weight, ramp: as for every `Term`.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        noise: int = 64,
        width: int = 128,
        seed: int = 0,
        weight: float = 1.0,
        ramp: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__(weight, ramp)
        self.maker = ImageMaker(noise, channels, size, width)
        self.noise, self.seed, self.batch = noise, seed, 0

    def attach(self, engine: Engine) -> None:
        """Follow the number of the batch."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._follow)

    def _follow(self, engine: Engine) -> None:
        self.batch = engine.state.iteration

    def forward(self, step: Step) -> Tensor:
        real = required(step.student.logits, self, "logits").logsumexp(dim=1)
        made = self.maker(self._drawn(len(real)).to(real.device))
        fake = required(step.run(made).logits, self, "logits").logsumexp(dim=1)
        if made.requires_grad:
            factor = -(-fake.detach()).exp().clamp(max=_STEEPEST).view(-1, 1, 1, 1)  # −(1 − D)/D = −exp(−s)
            made.register_hook(lambda gradient: gradient * factor)
        self.observed = {"real": torch.sigmoid(real.detach()).mean(), "made": torch.sigmoid(fake.detach()).mean()}
        return functional.softplus(-real).mean() + functional.softplus(fake).mean()

    def _drawn(self, rows: int) -> Tensor:
        """Z of this process's rows: the same after a resume."""
        random = np.random.default_rng([self.seed, self.batch, idist.get_rank()])
        return torch.from_numpy(random.standard_normal((rows, self.noise), dtype=np.float32))
