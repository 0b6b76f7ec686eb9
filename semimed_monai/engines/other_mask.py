"""A pass of a classifier over what another class's map leaves of an image: how much it is told by the mask alone.

Looked for: MONAI's inferers change which pixels of an image are seen at a time; none asks the network what to hide.
"""

from __future__ import annotations

from typing import Any

from monai.inferers import Inferer
from torch import Tensor, nn

from semimed_monai.vocabulary import Outputs, above_zero, class_map, required, share, soft_mask


class OtherMask(Inferer):
    """The classes' scores of image ⊙ σ(ω·(f_c − σ0)), f_c the map of the class after the predicted one.

    The image is still of its class, so a network that answers c was told so by the form of the mask.

    >>> import torch
    >>> from semimed_monai.networks import PositiveCAMClassifier
    >>> network = PositiveCAMClassifier(layers=(1, 1, 1, 1), widths=(4, 8, 8, 16))
    >>> outputs = OtherMask(omega=10, sigma0=0.5)(torch.rand(2, 1, 64, 64), network)
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
        other = class_map(maps, (logits.argmax(dim=1) + 1) % logits.shape[1])
        return Outputs(logits=network(inputs * soft_mask(other, self.omega, self.sigma0)).logits)
