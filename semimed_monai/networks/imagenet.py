"""ImageNet weights as a start, from MONAI's or torchvision's own loader; without them, a warning."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
from monai.networks.nets import DenseNet121, SEResNext50
from torch import Tensor, nn
from torch.hub import get_dir
from torchvision.models import ResNet50_Weights, resnet50

from semimed_monai.networks.attention_classifier import AttentionClassifier
from semimed_monai.networks.embedding_classifier import EmbeddingClassifier
from semimed_monai.networks.lesion_map import LesionMapNetwork
from semimed_monai.networks.member import Member, dissected
from semimed_monai.vocabulary import flag

logger = logging.getLogger("semimed")


@dataclass(frozen=True)
class _Published:
    """Weights with the names of one of our networks.

    Args:
        name, size: of the network that they are of, in words.
        read: from torch's hub cache, or fetched into it.
        stem: the name of the first convolution's weight; "" where it is always of three channels.
        own: how the names begin of what is ours alone and keeps its random start.
    """

    name: str
    size: str
    read: Callable[[], Mapping[str, Tensor]]
    stem: str
    own: tuple[str, ...]


_PUBLISHED: Mapping[type[nn.Module], _Published] = {
    AttentionClassifier: _Published(
        "SE-ResNeXt50",
        "layers [3, 4, 6, 3], width 64",
        lambda: SEResNext50(spatial_dims=2, in_channels=3, num_classes=1000, pretrained=True).state_dict(),
        "layer0.conv1.weight",
        ("last_linear",),
    ),
    EmbeddingClassifier: _Published(
        "DenseNet-121",
        "layers [6, 12, 24, 16], growth 32, stem 64",
        lambda: DenseNet121(spatial_dims=2, in_channels=3, out_channels=1000, pretrained=True).state_dict(),
        "features.conv0.weight",
        ("head",),
    ),
    LesionMapNetwork: _Published(
        "ResNet-50",
        "layers [3, 4, 6, 3], widths [64, 128, 256, 512], bottleneck blocks",
        lambda: resnet50(weights=ResNet50_Weights.IMAGENET1K_V1).state_dict(),
        "conv1.weight",
        ("lateral", "smooth", "head"),
    ),
}


def _published(network: nn.Module) -> _Published | None:
    """Those of a member are of whichever of torchvision's networks it is."""
    if not isinstance(network, Member):
        return _PUBLISHED.get(type(network))
    name = network.name
    body = f"{name} of torchvision"
    return _Published(body, "as it is", lambda: _prefixed("trunk.", dissected(name, pretrained=True)[0]), "", ("head",))


def _prefixed(prefix: str, network: nn.Module) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in network.state_dict().items()}


@torch.no_grad()
def load_imagenet(network: nn.Module, pretrained: bool = True) -> bool:
    """Start from ImageNet weights, unless `pretrained` is False; True if they were there.

    They come from torch's hub cache (TORCH_HOME), or are fetched into it. What the published network lacks keeps its
    random start; a stem of one channel is the sum of the three colours', which gives grey images what a colour network
    would see.

    Raises:
        ValueError: the network is none for which weights are published, or not of their size.
    """
    if not flag("pretrained", pretrained):
        return False
    if (published := _published(network)) is None:
        raise ValueError(f"there are no ImageNet weights for {type(network).__name__}: use --pretrained False")
    target = network.state_dict()
    channels = target[published.stem].shape[1] if published.stem else 3
    if channels not in (1, 3):
        raise ValueError(f"ImageNet weights are for 1 or 3 channels, not {channels}: use --pretrained False")
    try:
        source = dict(published.read())
    except (URLError, OSError, RuntimeError, EOFError, UnpicklingError) as error:
        logger.warning(
            "pretrained: the ImageNet weights cannot be had (%s): the network starts from random ones; if the file is "
            "damaged, delete it from %s",
            str(error) or type(error).__name__,
            Path(get_dir()) / "checkpoints",
        )
        return False
    if channels == 1:
        source[published.stem] = source[published.stem].sum(dim=1, keepdim=True)
    for name, value in target.items():
        if name.startswith(published.own):
            continue
        if name not in source or source[name].shape != value.shape:
            raise ValueError(
                f"ImageNet weights are {published.name}'s ({published.size}), and {name} here is of another shape: use "
                "--pretrained False"
            )
        value.copy_(source[name])
    return True
