"""The classifier of PCAM: a small residual network whose class activation counts positive weights only."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn
from torch.nn import functional

from semimed_monai.networks.activation import stretched, upsampled
from semimed_monai.networks.card import refuse_other_weights
from semimed_monai.networks.planes import answer_planes
from semimed_monai.networks.pooling import GlobalMean
from semimed_monai.vocabulary import Outputs, flag

STRIDES = (8, 16)
"""Pixels of the image to a cell of the last features."""

SHOWN = ("positive", "cam", "marks", "answer")
"""What a network's maps may be."""


class PositiveCAMClassifier(ResNet):
    r"""z_c = W_c·mean_hw(h) + b_c; class c's map is its PositiveCAM, Σ_k max(0, W_ck)·h_k, upsampled and stretched to
    [0, 1], in closed form, so that gradient reaches both h and W.

    23 weighted layers as published: the stem, ten basic blocks (2, 3, 3, 2) of two convolutions, one of 128 filters
    whose features h (20² of 320²) are rectified, and the linear head; convolutions in shortcuts are not counted.
    With a decoder, of the same h, it also draws where a clinician would mark a lesion.

    >>> network = PositiveCAMClassifier(layers=(1, 1, 1, 1), widths=(4, 8, 8, 16), decoder=True)
    >>> outputs = network(torch.rand(2, 1, 64, 64))
    >>> outputs.logits.shape, outputs.maps.shape, outputs.marks.shape
    (torch.Size([2, 2]), torch.Size([2, 2, 64, 64]), torch.Size([2, 1, 64, 64]))

    Args:
        in_channels: channels of the image.
        classes: how many.
        layers: basic blocks per stage.
        widths: channels of each stage; the last convolution has as many as the last stage.
        map_stride: pixels of the image to a cell of h: 16 (as published), or 8, for a small image, of whose 16ths there
            are too few to show where something is.
        decoder: whether it has one.

    Raises:
        ValueError: another `map_stride`; from `forward`: an image whose sides are no multiples of it.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 2,
        layers: Sequence[int] = (2, 3, 3, 2),
        widths: Sequence[int] = (16, 32, 64, 128),
        map_stride: int = 16,
        decoder: bool = False,
    ) -> None:
        if map_stride not in STRIDES:
            raise ValueError(f"map_stride is {map_stride}; it must be one of {', '.join(map(str, STRIDES))}")
        self._strided = int(math.log2(map_stride))  # of stem and stages, which halve the image
        super().__init__(
            block="basic",
            layers=list(layers),
            block_inplanes=list(widths),
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            no_max_pool=True,
            feed_forward=False,
            bias_downsample=False,
        )
        width = widths[-1]
        self.last = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.pool, self.head = GlobalMean(), nn.Linear(width, classes)
        nn.init.zeros_(self.head.bias)
        self.decoder = _decoder(width, self._strided) if flag("decoder", decoder) else None
        self.multiple = map_stride
        self.shown = "positive"
        self.arguments = {
            "in_channels": in_channels,
            "classes": classes,
            "layers": list(layers),
            "widths": list(widths),
            "map_stride": map_stride,
            "decoder": decoder,
        }
        refuse_other_weights(self)

    def _make_layer(self, block: Any, planes: int, blocks: int, *rest: Any, **named: Any) -> nn.Sequential:
        stage = 1 + sum(hasattr(self, f"layer{before}") for before in range(1, 4))
        if stage > self._strided:  # as many as wanted have halved the image: the stem, and stages from the second on
            named["stride"] = 1
        return super()._make_layer(block, planes, blocks, *rest, **named)

    def features(self, images: Tensor) -> Tensor:
        """h, B×K×h×w, not negative."""
        height, width = images.shape[2], images.shape[3]
        if height % self.multiple != 0 or width % self.multiple != 0:
            raise ValueError(f"an image of {height} x {width} pixels: set image_size to a multiple of {self.multiple}")
        stem = self.act(self.bn1(self.conv1(images)))
        found: Tensor = self.last(self.layer4(self.layer3(self.layer2(self.layer1(stem)))))
        return found

    def logits(self, features: Tensor) -> Tensor:
        """z, B×C, in fp32."""
        scores: Tensor = self.head(self.pool(features).flatten(1))
        return scores.float()

    def activation(self, features: Tensor, size: list[int], positive: bool = True) -> Tensor:
        """PositiveCAM of every class, or CAM (Σ_k W_ck·h_k), B×C×H×W in [0, 1], in fp32 whatever the network ran in."""
        if torch.jit.is_scripting():  # a script knows no autocast region whose device is a variable
            return self._activation(features, size, positive)
        with torch.autocast(features.device.type, enabled=False):
            return self._activation(features, size, positive)

    def _activation(self, features: Tensor, size: list[int], positive: bool) -> Tensor:
        weight = self.head.weight.float()
        if positive:
            weight = weight.clamp(min=0)
        return stretched(upsampled(functional.conv2d(features.float(), weight[:, :, None, None]), size))

    def drawing(self, features: Tensor) -> Tensor | None:
        """What the decoder draws, B×1×H×W in [0, 1]; None without one."""
        if self.decoder is None:
            return None
        return torch.sigmoid(self.decoder(features).float())

    def forward(self, images: Tensor) -> Outputs:  # type: ignore[override]
        features = self.features(images)
        logits, marks = self.logits(features), self.drawing(features)
        if self.shown == "marks" and marks is not None:
            maps = marks.expand(-1, logits.shape[1], -1, -1)
        else:
            maps = self.activation(features, list(images.shape[2:]), positive=self.shown != "cam")
            if self.shown == "answer":
                maps = with_marks(maps, marks)
        return Outputs(logits=logits, maps=maps, marks=marks)


def _decoder(width: int, doublings: int) -> nn.Sequential:
    """From features to the image's size: twice as wide and high, half the channels (at least 8), at each step."""
    steps: list[nn.Module] = []
    for _ in range(doublings):
        narrow = max(width // 2, 8)
        convolution = nn.Conv2d(width, narrow, 3, padding=1, bias=False)
        steps += [nn.Upsample(scale_factor=2), convolution, nn.BatchNorm2d(narrow), nn.ReLU()]
        width = narrow
    return nn.Sequential(*steps, nn.Conv2d(width, 1, 1))


def with_marks(maps: Tensor, marks: Tensor | None) -> Tensor:
    """The maps of all classes, of each but the first, normal, what the decoder draws in place of its PositiveCAM.

    >>> with_marks(torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1, 1)).flatten(), with_marks(torch.zeros(1), None)
    (tensor([0., 1.]), tensor([0.]))
    """
    if marks is None:
        return maps
    return torch.cat([maps[:, :1], marks.expand(-1, maps.shape[1] - 1, -1, -1)], dim=1)


def showing(network: PositiveCAMClassifier, maps: str) -> PositiveCAMClassifier:
    """The same network, of the same weights, whose maps are others.

    >>> network = PositiveCAMClassifier(layers=(1, 1, 1, 1), widths=(4, 8, 8, 16))
    >>> twin = showing(network, "cam")
    >>> twin.head.weight is network.head.weight, network.shown
    (True, 'positive')

    Args:
        network: the network.
        maps: `positive`; `cam`, the plain CAM; `marks`, for every class what the decoder draws; or `answer`, what the
            deployed network's is taken from.

    Raises:
        ValueError: other maps, or those of a decoder that the network does not have.
    """
    if maps not in SHOWN:
        raise ValueError(f"maps is {maps!r}: give one of {', '.join(SHOWN)}")
    if maps == "marks" and network.decoder is None:
        raise ValueError("this network has no decoder whose marks could be shown: it is of stage 1 or 2")
    twin = copy.copy(network)
    twin.shown = maps
    return twin


class DeployedPositiveCAM(PositiveCAMClassifier):
    """The same weights behind one tensor, B×(1+C)×H×W: the map of the predicted class, then each class's probability as
    a constant plane. The map is the class's PositiveCAM, and with a decoder, of an abnormal class, what that draws.

    >>> DeployedPositiveCAM(layers=(1, 1, 1, 1), widths=(4, 8, 8, 16)).eval()(torch.rand(1, 1, 64, 64)).shape
    torch.Size([1, 3, 64, 64])
    """

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        features = self.features(images)
        maps = with_marks(self.activation(features, [images.shape[2], images.shape[3]]), self.drawing(features))
        return answer_planes(maps, torch.softmax(self.logits(features), dim=1))
