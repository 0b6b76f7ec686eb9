"""The segmenter that makes DC-MT's masks: MONAI's U-Net in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets.unet import UNet
from torch import Tensor

from semimed_monai.networks.card import refuse_other_weights
from semimed_monai.vocabulary import Outputs


class Segmenter(UNet):
    """MONAI's residual U-Net with batch normalisation: image → one score per class and pixel, in fp32.

    The image is halved `len(channels) - 1` times, so its sides are multiples of 2^(len(channels) - 1).

    >>> network = Segmenter(in_channels=1, classes=4, channels=(4, 8, 16), residual_units=1)
    >>> network(torch.rand(2, 1, 32, 32)).logits.shape
    torch.Size([2, 4, 32, 32])

    Args:
        in_channels: channels of the image.
        classes: number of classes, background among them.
        channels: of each level, the top one first.
        residual_units: convolutions in each residual block; 0 is the plain U-Net.
        dropout: probability after every normalisation.

    Raises:
        ValueError: fewer than two levels; from `forward`: an image whose sides cannot be halved so often.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 4,
        channels: Sequence[int] = (32, 64, 128, 256, 512),
        residual_units: int = 2,
        dropout: float = 0.0,
    ) -> None:
        if len(channels) < 2:
            raise ValueError(f"channels is {list(channels)}; a U-Net has two levels or more")
        super().__init__(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=classes,
            channels=tuple(channels),
            strides=(2,) * (len(channels) - 1),
            num_res_units=residual_units,
            norm="batch",
            dropout=dropout,
        )
        self.multiple = 2 ** (len(channels) - 1)
        self.arguments = {
            "in_channels": in_channels,
            "classes": classes,
            "channels": list(channels),
            "residual_units": residual_units,
            "dropout": dropout,
        }
        refuse_other_weights(self)

    def scores(self, images: Tensor) -> Tensor:
        """B×C×H×W class scores in fp32."""
        height, width = images.shape[2], images.shape[3]
        if height % self.multiple != 0 or width % self.multiple != 0:
            raise ValueError(f"an image of {height} x {width} pixels: set image_size to a multiple of {self.multiple}")
        scores: Tensor = self.model(images)
        return scores.float()

    def forward(self, images: Tensor) -> Outputs:  # type: ignore[override]
        return Outputs(logits=self.scores(images))


class DeployedSegmenter(Segmenter):
    """The same weights behind one tensor: the probability of every class, B×C×H×W.

    >>> DeployedSegmenter(channels=(4, 8)).eval()(torch.rand(1, 1, 32, 32)).sum(dim=1).allclose(torch.ones(1))
    True
    """

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        return torch.softmax(self.scores(images), dim=1)
