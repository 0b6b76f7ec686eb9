"""The detector of fractures: a residual network whose finest pyramid level gives one map of where lesions are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn
from torch.nn import functional

from semimed_monai.networks.card import refuse_other_weights
from semimed_monai.vocabulary import Outputs


class LesionMapNetwork(ResNet):
    """ResNet-50 + FPN: p = σ(W·P2 + b) at a quarter of the image's size, b = log(prior / (1 − prior)) at the start.

    MONAI's ResNet is the base. Its FPN block is not used: of the four levels that it gives only the finest is wanted,
    and the outputs of the others would be weights without gradient, which several processes refuse.

    >>> network = LesionMapNetwork(layers=(1, 1, 1, 1), widths=(8, 16, 32, 64), pyramid=16, block="basic")
    >>> network(torch.rand(2, 1, 64, 96)).maps.shape
    torch.Size([2, 1, 16, 24])

    Args:
        in_channels: channels of the image.
        layers: residual blocks per stage.
        widths: channels of each stage's blocks; a bottleneck gives four times as many.
        block: `bottleneck` or `basic`.
        pyramid: channels of the pyramid.
        prior: the share of the map that is a lesion, about: where training starts.

    Raises:
        ValueError: a prior outside (0, 1); from `forward`: an image whose sides are no multiples of 32.
    """

    def __init__(
        self,
        in_channels: int = 1,
        layers: Sequence[int] = (3, 4, 6, 3),
        widths: Sequence[int] = (64, 128, 256, 512),
        block: str = "bottleneck",
        pyramid: int = 256,
        prior: float = 0.01,
    ) -> None:
        if not 0 < prior < 1:
            raise ValueError(f"prior is {prior}; it is a share between 0 and 1")
        super().__init__(
            block=block,
            layers=list(layers),
            block_inplanes=list(widths),
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_size=7,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        expansion = 4 if block == "bottleneck" else 1
        self.lateral = nn.ModuleList(nn.Conv2d(expansion * width, pyramid, 1) for width in widths)
        self.smooth = nn.Conv2d(pyramid, pyramid, 3, padding=1)
        self.head = nn.Conv2d(pyramid, 1, 1)
        for convolution in (*self.lateral, self.smooth, self.head):
            nn.init.kaiming_uniform_(convolution.weight, a=1)
            nn.init.zeros_(convolution.bias)
        nn.init.constant_(self.head.get_parameter("bias"), math.log(prior / (1 - prior)))
        self.arguments = {
            "in_channels": in_channels,
            "layers": list(layers),
            "widths": list(widths),
            "block": block,
            "pyramid": pyramid,
            "prior": prior,
        }
        refuse_other_weights(self)

    def scores(self, images: Tensor) -> Tensor:
        """The map before the sigmoid, B×1×H/4×W/4, in fp32."""
        height, width = images.shape[2], images.shape[3]
        if height % 32 != 0 or width % 32 != 0:
            raise ValueError(f"an image of {height} x {width} pixels: set image_size to a multiple of 32")
        stem = self.maxpool(self.act(self.bn1(self.conv1(images))))
        fine = self.layer1(stem)
        middle = self.layer2(fine)
        coarse = self.layer3(middle)
        level = self.lateral[3](self.layer4(coarse))
        level = self.lateral[2](coarse) + functional.interpolate(level, scale_factor=2.0, mode="nearest")
        level = self.lateral[1](middle) + functional.interpolate(level, scale_factor=2.0, mode="nearest")
        level = self.lateral[0](fine) + functional.interpolate(level, scale_factor=2.0, mode="nearest")
        scores: Tensor = self.head(self.smooth(level))
        return scores.float()

    def forward(self, images: Tensor) -> Outputs:  # type: ignore[override]
        scores = self.scores(images)
        return Outputs(logits=scores, maps=torch.sigmoid(scores))


class DeployedLesionMap(LesionMapNetwork):
    """The same weights behind one tensor: the map, B×1×H/4×W/4. Its maximum is the image's score.

    >>> DeployedLesionMap(layers=(1, 1, 1, 1), block="basic").eval()(torch.rand(1, 1, 64, 64)).shape
    torch.Size([1, 1, 16, 16])
    """

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        return torch.sigmoid(self.scores(images))
