"""A member of an ensemble: one of torchvision's classifiers, at its own image size, for grey images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import DenseNet, EfficientNet, RegNet, ResNet, ShuffleNetV2, get_model, list_models

from semimed_monai.networks.activation import rectified
from semimed_monai.networks.card import refuse_other_weights
from semimed_monai.networks.planes import answer_planes
from semimed_monai.networks.pooling import GlobalMean, keep_layout
from semimed_monai.vocabulary import Outputs, above_zero, flag

FAMILIES = (DenseNet, EfficientNet, RegNet, ResNet, ShuffleNetV2)
"""Those of torchvision whose scores are a linear layer of their last features' mean."""

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's


class Member(nn.Module):
    r"""z = W·dropout(mean_hw(F)) + b; F are the last features of a network of torchvision's, of the image at the
    member's size (bicubic), in three equal channels that are normalised as ImageNet's.

    A class's map is Grad-CAM's of F, in closed form (`rectified`). In evaluation, where maps come too, an answer is the
    mean over the image and its mirror image.

    >>> outputs = Member("shufflenet_v2_x0_5", size=64, classes=5).eval()(torch.rand(2, 1, 96, 96))
    >>> outputs.logits.shape, outputs.maps.shape
    (torch.Size([2, 5]), torch.Size([2, 5, 96, 96]))

    Args:
        name: torchvision's, of one of `FAMILIES`.
        size: the side of the square that the network sees; the image should not be much larger, for what is made
            smaller is not smoothed before.
        classes: how many.
        flip: whether evaluation also looks at the mirror image.

    Raises:
        ValueError: there is no such network, or it is of another family.
    """

    def __init__(self, name: str, size: int, classes: int = 5, flip: bool = True) -> None:
        super().__init__()
        self.trunk, self.dropout, width = dissected(name)
        self.pool, self.head = GlobalMean(), nn.Linear(width, classes)
        nn.init.zeros_(self.head.bias)
        above_zero("size", size)
        self.size = size
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(1, 3, 1, 1), persistent=False)
        self.name, self.flip = name, flag("flip", flip)
        self.arguments = {"name": name, "size": size, "classes": classes, "flip": flip}
        refuse_other_weights(self)

    def scores(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """F (B×K×h×w) and the logits, of B×1×H×W in [0, 1]."""
        seen = functional.interpolate(images, size=[self.size, self.size], mode="bicubic").clamp(0, 1)
        features = self.trunk((seen - self.mean) / self.deviation)  # type: ignore[operator]
        return features.float(), self.head(self.dropout(self.pool(features).flatten(1))).float()

    def attention(self, features: Tensor, size: list[int]) -> Tensor:
        """Grad-CAM of every class, B×C×H×W in [0, 1]."""
        if torch.jit.is_scripting():  # a script knows no autocast region whose device is a variable
            return rectified(features, self.head.weight, size)
        with torch.autocast(features.device.type, enabled=False):
            return rectified(features, self.head.weight, size)

    def answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (B×C) and maps (B×C×H×W); with `flip` the mean over an image and its mirror image."""
        size = [images.shape[2], images.shape[3]]
        features, logits = self.scores(images)
        probabilities, maps = torch.softmax(logits, dim=1), self.attention(features, size)
        if self.flip:
            features, logits = self.scores(images.flip(3))
            probabilities = (probabilities + torch.softmax(logits, dim=1)) / 2
            maps = (maps + self.attention(features, size).flip(3)) / 2
        return probabilities, maps

    def forward(self, images: Tensor) -> Outputs:
        if self.training:
            return Outputs(logits=self.scores(images)[1])
        probabilities, maps = self.answers(images)
        return Outputs(logits=logarithm(probabilities), maps=maps)


class DeployedMember(Member):
    """The same weights behind one tensor, B×(1+C)×H×W: the map of the most probable class, then each class's
    probability as a constant plane.

    >>> DeployedMember("shufflenet_v2_x0_5", size=64).eval()(torch.rand(1, 1, 96, 96)).shape
    torch.Size([1, 6, 96, 96])
    """

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        probabilities, maps = self.answers(images)
        return answer_planes(maps, probabilities)


def logarithm(probabilities: Tensor) -> Tensor:
    """Logits whose softmax the probabilities are."""
    return probabilities.clamp(min=1e-12).log()


def dissected(name: str, pretrained: bool = False) -> tuple[nn.Sequential, nn.Dropout, int]:
    """The part of a network of torchvision's that gives its last features, its dropout, and how many features they are.

    Args:
        name: torchvision's.
        pretrained: with torchvision's best ImageNet weights, from torch's cache or fetched into it.

    Raises:
        ValueError: as `Member`.
    """
    if name not in list_models():
        raise ValueError(f"torchvision has no network {name!r}: look at torchvision.models.list_models()")
    network = get_model(name, weights="DEFAULT" if pretrained else None)
    if not isinstance(network, FAMILIES):
        families = ", ".join(family.__name__ for family in FAMILIES)
        raise ValueError(  # noqa: TRY004 - to a user it is a wrong value
            f"{name} cannot be a member: its scores are no linear layer of a mean, as those of {families} are"
        )
    *parts, head = network.children()
    trunk = [part for part in parts if not isinstance(part, nn.AdaptiveAvgPool2d)]
    if isinstance(network, DenseNet):
        trunk.append(nn.ReLU(inplace=True))  # which its forward applies by itself
    layers = list(head.modules())
    width = next(layer.in_features for layer in layers if isinstance(layer, nn.Linear))
    share = next((layer.p for layer in layers if isinstance(layer, nn.Dropout)), 0.0)
    body = nn.Sequential(*trunk)
    keep_layout(body)
    return body, nn.Dropout(share), width
