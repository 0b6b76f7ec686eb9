"""A DenseNet that gives its features with its scores, and in evaluation a Grad-CAM map for each class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import DenseNet
from torch import Tensor, nn
from torch.nn import functional

from semimed_monai.networks.activation import rectified
from semimed_monai.networks.card import refuse_other_weights
from semimed_monai.networks.planes import answer_planes
from semimed_monai.networks.pooling import GlobalMean
from semimed_monai.vocabulary import Outputs, flag

EMBEDDINGS = ("pooled", "flat")


class EmbeddingClassifier(DenseNet):
    r"""z = W·mean_hw(F) + b, the embedding mean_hw(F) or F itself as one vector; F are MONAI's DenseNet-121's features.

    A class's map is Grad-CAM's of F, in closed form (`rectified`). Maps come in evaluation only.

    >>> network = EmbeddingClassifier(layers=(2, 2), growth=8, stem=16)
    >>> outputs = network.eval()(torch.rand(2, 3, 64, 64))
    >>> outputs.logits.shape, outputs.embedding.shape, outputs.maps.shape
    (torch.Size([2, 7]), torch.Size([2, 32]), torch.Size([2, 7, 64, 64]))

    Args:
        in_channels: channels of the image.
        classes: how many.
        multi_label: whether an image may have several classes; the deployed network's probabilities depend on it.
        layers: dense layers per block; a cell of F is 2^(blocks + 1) pixels wide.
        growth: channels that each layer adds.
        stem: channels of the first convolution.
        dropout: share of each dense layer's features that training leaves out.
        embedding: `pooled` or `flat`.

    Raises:
        ValueError: another embedding.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 7,
        multi_label: bool = False,
        layers: Sequence[int] = (6, 12, 24, 16),
        growth: int = 32,
        stem: int = 64,
        dropout: float = 0.0,
        embedding: str = "pooled",
    ) -> None:
        if embedding not in EMBEDDINGS:
            raise ValueError(f"embedding is {embedding!r}: give one of {', '.join(EMBEDDINGS)}")
        super().__init__(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=classes,
            init_features=stem,
            growth_rate=growth,
            block_config=tuple(layers),
            dropout_prob=dropout,
        )
        channels = self.class_layers.get_submodule("out").get_parameter("weight").shape[1]
        self.pool, self.head = GlobalMean(), nn.Linear(channels, classes)
        nn.init.zeros_(self.head.bias)
        del self.class_layers  # MONAI's head, whose parts cannot be told from each other's types
        self.multi_label = flag("multi_label", multi_label)
        self.flat = embedding == "flat"
        self.stride = 2 ** (len(layers) + 1)
        self.arguments = {
            "in_channels": in_channels,
            "classes": classes,
            "multi_label": multi_label,
            "layers": list(layers),
            "growth": growth,
            "stem": stem,
            "dropout": dropout,
            "embedding": embedding,
        }
        refuse_other_weights(self)

    def embedding_size(self, image_size: int) -> int:
        """How long the embedding of a square image is.

        >>> EmbeddingClassifier(layers=(2, 2), growth=8, stem=16, embedding="flat").embedding_size(64)
        2048
        """
        return self.head.in_features * ((image_size // self.stride) ** 2 if self.flat else 1)

    def scores(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """F (B×K×h×w), its mean (B×K) and the logits."""
        features = functional.relu(self.features(images))
        pooled = self.pool(features).flatten(1)
        return features.float(), pooled.float(), self.head(pooled).float()

    def attention(self, features: Tensor, size: list[int]) -> Tensor:
        """Grad-CAM of every class, B×C×H×W in [0, 1]."""
        if torch.jit.is_scripting():  # a script knows no autocast region whose device is a variable
            return rectified(features, self.head.weight, size)
        with torch.autocast(features.device.type, enabled=False):
            return rectified(features, self.head.weight, size)

    def forward(self, images: Tensor) -> Outputs:  # type: ignore[override]
        features, pooled, logits = self.scores(images)
        maps = None if self.training else self.attention(features, [images.shape[2], images.shape[3]])
        return Outputs(logits=logits, maps=maps, embedding=features.flatten(1) if self.flat else pooled)


class DeployedEmbeddingClassifier(EmbeddingClassifier):
    """The same weights behind one tensor, B×(1+C)×H×W: the map of the most probable class, then each class's
    probability as a constant plane.

    >>> DeployedEmbeddingClassifier(layers=(2, 2), growth=8, stem=16).eval()(torch.rand(1, 3, 64, 64)).shape
    torch.Size([1, 8, 64, 64])
    """

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        features, _, logits = self.scores(images)
        probabilities = torch.sigmoid(logits) if self.multi_label else torch.softmax(logits, dim=1)
        maps = self.attention(features, [images.shape[2], images.shape[3]])
        return answer_planes(maps, probabilities)
