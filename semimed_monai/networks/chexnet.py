"""CheXNet: a DenseNet that learns whether there is a lesion, and whose class activation map says where."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import DenseNet
from torch import Tensor
from torch.nn import functional

from semimed_monai.networks.card import refuse_other_weights
from semimed_monai.networks.pooling import keep_layout
from semimed_monai.vocabulary import Outputs


class CheXNet(DenseNet):
    """z_c = mean over cells of (W_c·F + b_c), and the map softmax over classes of W·F + b in each cell: its last class.

    MONAI's DenseNet-121 is the base, whose pooling and linear head make the mean of the cells' scores the image's. The
    map is brought to a quarter of the image's size, the lesion network's, so that both are measured alike.

    >>> network = CheXNet(layers=(2, 2), growth=8, stem=16)
    >>> outputs = network(torch.rand(2, 1, 64, 64))
    >>> outputs.logits.shape, outputs.maps.shape
    (torch.Size([2, 2]), torch.Size([2, 1, 16, 16]))

    Args:
        in_channels: channels of the image.
        layers: dense layers per block; a cell of the map is 2^(blocks + 1) pixels wide.
        growth: channels that each layer adds.
        stem: channels of the first convolution.
    """

    def __init__(
        self, in_channels: int = 1, layers: Sequence[int] = (6, 12, 24, 16), growth: int = 32, stem: int = 64
    ) -> None:
        super().__init__(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=2,
            init_features=stem,
            growth_rate=growth,
            block_config=tuple(layers),
        )
        keep_layout(self)
        self.arguments = {"in_channels": in_channels, "layers": list(layers), "growth": growth, "stem": stem}
        refuse_other_weights(self)

    def scores(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The image's, B×2, and the map, B×1×H/4×W/4."""
        features = functional.relu(self.features(images).float())
        head = self.class_layers.get_submodule("out")
        weight, bias = head.get_parameter("weight").float(), head.get_parameter("bias").float()
        with torch.autocast(images.device.type, enabled=False):
            cells = functional.conv2d(features, weight[:, :, None, None], bias)
        height, width = images.shape[2] // 4, images.shape[3] // 4
        cells_fine = functional.interpolate(cells, size=(height, width), mode="bilinear", align_corners=False)
        return cells.mean((2, 3)), torch.softmax(cells_fine, dim=1)[:, 1:]

    def forward(self, images: Tensor) -> Outputs:  # type: ignore[override]
        logits, maps = self.scores(images)
        return Outputs(logits=logits, maps=maps)


class DeployedCheXNet(CheXNet):
    """The same weights behind one tensor: the map, B×1×H/4×W/4.

    >>> DeployedCheXNet(layers=(2, 2), growth=8, stem=16).eval()(torch.rand(1, 1, 64, 64)).shape
    torch.Size([1, 1, 16, 16])
    """

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        return self.scores(images)[1]
