"""A pass of a classifier over nothing but the mask that its own map makes: how much the mask alone tells it.

Looked for: MONAI's inferers change which pixels of an image are seen at a time; none asks the network what to hide.
"""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from semimed_monai.networks.averages import batch_normalised
from semimed_monai.vocabulary import Outputs, above_zero, class_map, required, share, soft_mask


class MaskAlone(Inferer):
    """The classes' scores of ½ ⊙ σ(ω·(f_c − σ0)), a flat grey in place of the image, c the predicted class.

    Normalised by the batch, as masked images are in training. A network that still answers rightly was told by the
    form of the mask, not by what it shows.

    >>> from semimed_monai.networks import PositiveCAMClassifier
    >>> network = PositiveCAMClassifier(layers=(1, 1, 1, 1), widths=(4, 8, 8, 16))
    >>> outputs = MaskAlone(omega=10, sigma0=0.5)(torch.rand(2, 1, 64, 64), network)
    >>> outputs.logits.shape, outputs.maps
    (torch.Size([2, 2]), None)

    Args:
        omega, sigma0: of the mask, as in training.
    """

    def __init__(self, omega: float, sigma0: float) -> None:
        super().__init__()
        above_zero("omega", omega)
        self.omega, self.sigma0 = omega, share("sigma0", sigma0)

    def __call__(self, inputs: Tensor, network: nn.Module, *_args: Any, **_settings: Any) -> Outputs:  # type: ignore[override]
        whole = network(inputs)
        logits, maps = required(whole.logits, self, "logits"), required(whole.maps, self, "maps")
        mask = soft_mask(class_map(maps, logits.argmax(dim=1)), self.omega, self.sigma0)
        with batch_normalised(network):
            return Outputs(logits=network(torch.full_like(inputs, 0.5) * mask).logits)
