"""The classifier of DC-MT: SE-ResNeXt whose class activation is a differentiable attention map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets import SENet
from torch import Tensor, nn
from torch.nn import functional

from semimed_monai.networks.activation import extremes, upsampled
from semimed_monai.networks.card import refuse_other_weights
from semimed_monai.networks.planes import answer_planes
from semimed_monai.networks.pooling import keep_layout
from semimed_monai.vocabulary import Outputs

UNSTRIDED = {16: (512,), 8: (256, 512)}
"""Which stages keep their input's size, by the planes with which MONAI's SENet asks for them, for each `map_stride`."""


class AttentionClassifier(SENet):
    r"""SE-ResNeXt50 with one attention map per class, in closed form.

    With the last features F (K×h×w) and the linear head's weights W, class c has

        A_c = relu(Σ_k W_ck · F_k),    upsampled to the image and min-max scaled per image to [0, 1],
        f_c = σ(ω · (A_c − σ0)).

    Under a global-average-pooling head A_c is Grad-CAM up to a positive factor (which min-max removes), without a
    second backward pass, and gradient reaches both F and W. An activation that is negative everywhere gives a map of
    (almost) zeros. MONAI's SENet is the base; it fixes its widths and strides, so `_make_layer` sets both: h and w are
    1/16 of the image (16² for 256²), or 1/8. `width` 64 and `layers` (3, 4, 6, 3) are SE-ResNeXt50 itself.

    >>> network = AttentionClassifier(in_channels=1, classes=3, layers=(1, 1, 1, 1), width=16)
    >>> outputs = network(torch.rand(2, 1, 64, 64))
    >>> outputs.logits.shape, outputs.maps.shape
    (torch.Size([2, 3]), torch.Size([2, 3, 64, 64]))

    Args:
        in_channels: channels of the image.
        classes: number of classes.
        layers: residual blocks per stage.
        width: channels of the stem; the stages are 4, 8, 16 and 32 times as wide. A multiple of 16.
        map_stride: pixels of the image to a cell of the map, 16 (as published) or 8: for a small image, of whose 16ths
            there are too few to show where something is.
        omega: ω, the steepness of the soft step.
        sigma0: σ0, the activation at which the soft step is one half.
        dropout: probability before the head, or None.

    Raises:
        ValueError: a width that the grouped convolutions cannot divide, or another `map_stride`; from `forward`: an
            image whose sides are no multiples of `map_stride`.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 3,
        layers: Sequence[int] = (3, 4, 6, 3),
        width: int = 64,
        map_stride: int = 16,
        omega: float = 100.0,
        sigma0: float = 0.4,
        dropout: float | None = None,
    ) -> None:
        if width < 16 or width % 16:
            raise ValueError(f"width is {width}; it must be a multiple of 16 (64 is SE-ResNeXt50)")
        if map_stride not in UNSTRIDED:
            raise ValueError(f"map_stride is {map_stride}; it must be one of {', '.join(map(str, UNSTRIDED))}")
        self._stem = width
        self.multiple = map_stride
        self._unstrided = UNSTRIDED[map_stride]
        super().__init__(
            spatial_dims=2,
            in_channels=in_channels,
            block="se_resnetxt_bottleneck",
            layers=layers,
            groups=width // 2,
            reduction=16,
            dropout_prob=dropout,
            inplanes=width,
            downsample_kernel_size=1,
            input_3x3=False,
            num_classes=classes,
        )
        keep_layout(self)
        self.last_linear = nn.Linear(self.inplanes, classes)
        nn.init.zeros_(self.last_linear.bias)
        self.omega = omega
        self.sigma0 = sigma0
        self.arguments = {
            "in_channels": in_channels,
            "classes": classes,
            "layers": list(layers),
            "width": width,
            "map_stride": map_stride,
            "omega": omega,
            "sigma0": sigma0,
            "dropout": dropout,
        }
        refuse_other_weights(self)

    def _make_layer(self, block: Any, planes: int, **named: Any) -> nn.Sequential:  # type: ignore[override]
        if planes in self._unstrided:
            named["stride"] = 1
        return super()._make_layer(block, planes * self._stem // 64, **named)

    def attention(self, features: Tensor, size: list[int]) -> Tensor:
        """f_c of every class, B×C×H×W, in fp32 whatever the network ran in (ω is too steep for half precision)."""
        if torch.jit.is_scripting():  # a script knows no autocast region whose device is a variable
            return self._soft_step(features, size)
        with torch.autocast(features.device.type, enabled=False):
            return self._soft_step(features, size)

    def activation(self, features: Tensor) -> Tensor:
        """A_c of every class at the features' size, B×C×h×w, before the rectifier."""
        return functional.conv2d(features, self.last_linear.weight.float()[:, :, None, None])

    def _soft_step(self, features: Tensor, size: list[int]) -> Tensor:
        activation = functional.relu(self.activation(features.float()))
        activation = upsampled(activation, size)
        low, high = extremes(activation)
        slope = self.omega / (high - low).clamp(min=1e-5)
        return torch.sigmoid(torch.addcmul(-low * slope - self.omega * self.sigma0, activation, slope))

    def refuse_size(self, images: Tensor) -> None:
        """Raise unless every feature lies over a whole number of the image's pixels."""
        height, width = images.shape[2], images.shape[3]
        if height % self.multiple != 0 or width % self.multiple != 0:
            raise ValueError(f"an image of {height} x {width} pixels: set image_size to a multiple of {self.multiple}")

    def forward(self, images: Tensor) -> Outputs:  # type: ignore[override]
        self.refuse_size(images)
        features = self.features(images)
        return Outputs(logits=self.logits(features).float(), maps=self.attention(features, list(images.shape[2:])))


class GradCAMClassifier(AttentionClassifier):
    r"""The same with Grad-CAM, A_c = Σ_k mean_hw(∂ logit_c/∂F_k) · F_k, for subclasses whose `logits` are no average
    pooling and linear layer, where the closed form does not hold.

    The gradient's own graph is kept, so that a loss on the map reaches features and head; it costs a backward pass per
    class. Under the head that is here both forms give the same map, and so the deployed network is the same.

    >>> GradCAMClassifier(layers=(1, 1, 1, 1), width=16)(torch.rand(1, 1, 64, 64)).maps.shape
    torch.Size([1, 3, 64, 64])
    """

    def activation(self, features: Tensor) -> Tensor:
        wanted = torch.is_grad_enabled()
        with torch.enable_grad():  # the teacher and the evaluator run without
            leaf = features if features.requires_grad else features.detach().requires_grad_()
            logits = self.logits(leaf).sum(dim=0)
            slopes = [torch.autograd.grad(logit, leaf, create_graph=True)[0].mean((2, 3)) for logit in logits]
            activation = torch.einsum("bck,bkhw->bchw", torch.stack(slopes, dim=1), leaf)
        return activation if wanted else activation.detach()


class DeployedAttentionClassifier(AttentionClassifier):
    """The same weights behind one tensor, B×(1+C)×H×W: the attention of the predicted class, then each class's
    probability as a constant plane. This is what MONAI's verifiers, TorchScript and MONAI Label take.

    >>> DeployedAttentionClassifier(layers=(1, 1, 1, 1), width=16).eval()(torch.rand(1, 1, 64, 64)).shape
    torch.Size([1, 4, 64, 64])
    """

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        self.refuse_size(images)
        features = self.features(images)
        probabilities = torch.softmax(self.logits(features).float(), dim=1)
        maps = self.attention(features, [images.shape[2], images.shape[3]])
        return answer_planes(maps, probabilities)
