"""ImageNet weights as a start for the attention classifier, from MONAI's own loader; without them, a warning."""

from __future__ import annotations

import logging
from urllib.error import URLError

import torch
from monai.networks.nets import SEResNext50

from semimed_monai.networks.attention_classifier import AttentionClassifier
from semimed_monai.vocabulary import flag

logger = logging.getLogger("semimed")


@torch.no_grad()
def load_imagenet(network: AttentionClassifier, pretrained: bool = True) -> bool:
    """Start from SE-ResNeXt50's ImageNet weights, unless `pretrained` is False; True if they were there.

    They come from torch's hub cache (TORCH_HOME), or are fetched into it. The head keeps its random start; a stem of
    one channel is the sum of the three colours', which gives grey images what a colour network would see.

    Raises:
        ValueError: the network is not of SE-ResNeXt50's size.
    """
    if not flag("pretrained", pretrained):
        return False
    try:
        source = SEResNext50(spatial_dims=2, in_channels=3, num_classes=1000, pretrained=True).state_dict()
    except (URLError, OSError, RuntimeError) as error:
        logger.warning(
            "pretrained: the ImageNet weights cannot be had (%s): the network starts from random ones", error
        )
        return False
    target = network.state_dict()
    stem = "layer0.conv1.weight"
    if target[stem].shape[1] == 1:
        source[stem] = source[stem].sum(dim=1, keepdim=True)
    elif target[stem].shape[1] != 3:
        raise ValueError(
            f"ImageNet weights are for 1 or 3 channels, not {target[stem].shape[1]}: use --pretrained False"
        )
    for name, value in target.items():
        if name.startswith("last_linear"):
            continue
        if name not in source or source[name].shape != value.shape:
            raise ValueError(
                f"ImageNet weights are SE-ResNeXt50's (layers [3, 4, 6, 3], width 64), and {name} here is of another "
                "shape: use --pretrained False"
            )
        value.copy_(source[name])
    return True
