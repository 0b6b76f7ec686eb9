"""The class-activation map against Grad-CAM by autograd, its soft step by hand, and the deployed network."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets.senet import SEResNext50
from torch import Tensor
from torch.nn import functional

from semimed_monai.networks import AttentionClassifier, DeployedAttentionClassifier, GradCAMClassifier

SMALL = {"layers": (1, 1, 1, 1), "width": 16}


def _network(**given: object) -> AttentionClassifier:
    torch.manual_seed(0)
    return AttentionClassifier(**{**SMALL, **given}).eval()  # type: ignore[arg-type]


def _grad_cam(network: AttentionClassifier, images: torch.Tensor, of: int) -> torch.Tensor:
    """B×1×H×W in [0, 1]: features weighted with the mean gradient of one class's score (Selvaraju et al. 2017)."""
    features = network.features(images).detach().requires_grad_()
    score = network.last_linear(features.mean((2, 3)))[:, of].sum()
    (gradient,) = torch.autograd.grad(score, features)
    cam = torch.relu((gradient.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True))
    cam = functional.interpolate(cam, images.shape[2:], mode="bilinear")
    low, high = cam.amin((2, 3), keepdim=True), cam.amax((2, 3), keepdim=True)
    return (cam - low) / (high - low)


def test_the_map_is_grad_cam_up_to_min_max() -> None:
    """With ω = 1, σ0 = 0 the logit of the map is the scaled activation itself."""
    network, images = _network(omega=1.0, sigma0=0.0), torch.rand(3, 1, 64, 64)
    maps = network(images).maps
    compared = 0
    for of in range(3):
        expected = _grad_cam(network, images, of)
        shown = torch.isfinite(expected).all(dim=3).all(dim=2).flatten()  # 0/0 where no pixel is active
        compared += int(shown.sum())
        assert torch.allclose(torch.logit(maps[shown, of]), expected[shown, 0], atol=1e-4)
    assert compared >= 3


def _features(*pixels: float) -> tuple[AttentionClassifier, torch.Tensor]:
    """A network whose class 1 is active as its first feature, and that feature on four pixels."""
    network = _network()
    network.last_linear.weight.data.zero_()
    network.last_linear.weight.data[1, 0] = 2.0
    features = torch.zeros(1, network.inplanes, 2, 2)
    features[0, 0] = torch.tensor(pixels).view(2, 2)
    return network, features.requires_grad_()


def test_the_soft_step_by_hand() -> None:
    """−1 0 1.6 4 → relu, scaled 0 0 .4 1 → σ(−40) σ(−40) ½ σ(60)."""
    network, features = _features(-1.0, 0.0, 1.6, 4.0)
    found = network.attention(features, [2, 2])[0, 1].flatten()
    assert found[2:].tolist() == pytest.approx([0.5, 1.0], abs=1e-4)
    assert (found[:2] < 1e-15).all()


def test_an_activation_that_is_negative_everywhere_is_an_empty_map() -> None:
    network, features = _features(-1.0, -2.0, -3.0, -0.1)
    maps = network.attention(features, [8, 8])
    torch.autograd.backward(maps.sum())
    assert (maps < 1e-15).all()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


def test_gradient_reaches_features_head_and_stem() -> None:
    network = _network(omega=10.0).train()
    network(torch.rand(4, 1, 32, 32)).maps.square().sum().backward()
    parameters = dict(network.named_parameters())
    for name in ("last_linear.weight", "layer4.0.conv3.conv.weight", "layer0.conv1.weight"):
        parameter = parameters[name]
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.any()


def test_maps_are_as_exact_under_autocast() -> None:
    network, features = _features(0.0, 1.0, 1.603, 4.0)
    with torch.autocast("cpu", torch.bfloat16):
        found = network.attention(features, [2, 2])
        outputs = network(torch.rand(2, 1, 32, 32))
    assert torch.equal(found, network.attention(features, [2, 2]))
    assert outputs.maps.dtype == outputs.logits.dtype == torch.float32


def test_the_last_map_is_a_sixteenth() -> None:
    network = _network(in_channels=2, classes=4)
    images = torch.rand(2, 2, 64, 48)
    assert network.features(images).shape == (2, 512, 4, 3)
    outputs = network(images)
    assert outputs.logits.shape == (2, 4)
    assert outputs.maps.shape == (2, 4, 64, 48)


def test_the_paper_size_is_se_resnext50() -> None:
    """Same names, same shapes: its weights can be loaded."""
    with torch.device("meta"):
        ours = AttentionClassifier(in_channels=3, classes=5).state_dict()
        monais = SEResNext50(spatial_dims=2, in_channels=3, num_classes=5).state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in monais.items()}


@pytest.mark.parametrize("map_stride", [8, 16])
def test_a_cell_of_the_map_is_so_many_pixels(map_stride: int) -> None:
    features = _network(map_stride=map_stride).features(torch.rand(1, 1, 96, 64))
    assert features.shape[2:] == (96 // map_stride, 64 // map_stride)


def test_a_map_of_another_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="map_stride is 4; it must be one of 16, 8"):
        _network(map_stride=4)


@pytest.mark.parametrize("width", [0, 8, 40])
def test_a_width_that_does_not_divide_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match=f"width is {width}; it must be a multiple of 16"):
        AttentionClassifier(layers=(1, 1, 1, 1), width=width)


def test_the_arguments_make_the_network_again() -> None:
    network = _network(in_channels=2, classes=4, map_stride=8, omega=50.0, sigma0=0.3, dropout=0.1)
    again = AttentionClassifier(**network.arguments)  # type: ignore[arg-type]
    again.load_state_dict(network.state_dict())
    images = torch.rand(1, 2, 32, 32)
    assert torch.equal(again.eval()(images).maps, network(images).maps)
    assert again.arguments == network.arguments


def test_the_deployed_network_is_the_trained_one() -> None:
    network = _network(omega=5.0)
    deployed = DeployedAttentionClassifier(**SMALL, omega=5.0).eval()  # type: ignore[arg-type]
    assert list(deployed.state_dict()) == list(network.state_dict())
    deployed.load_state_dict(network.state_dict())
    images = torch.rand(3, 1, 32, 32)
    with torch.no_grad():
        outputs, found = network(images), deployed(images)
        scripted = torch.jit.script(deployed)(images)
    probabilities = torch.softmax(outputs.logits, dim=1)
    assert found.shape == (3, 4, 32, 32)
    assert torch.equal(found[:, 1:], probabilities[:, :, None, None].expand(-1, -1, 32, 32))
    for row in range(3):
        assert torch.equal(found[row, 0], outputs.maps[row, probabilities[row].argmax()])
    assert torch.allclose(scripted, found, atol=1e-6)


class TwoLayerHead(GradCAMClassifier):
    """A head for which the closed form does not hold."""

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(torch.tanh(x))


def test_grad_cam_is_the_closed_form_under_this_head() -> None:
    closed, grad = AttentionClassifier(**SMALL), GradCAMClassifier(**SMALL)
    grad.load_state_dict(closed.state_dict())
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    for network in (closed, grad):
        network.eval()
    assert torch.allclose(closed(images).maps, grad(images).maps, atol=1e-3)  # ω times the rounding of a division
    with torch.no_grad():
        without = grad(images).maps
    assert not without.requires_grad
    assert torch.allclose(grad(images).maps, without, atol=1e-6)


def test_grad_cam_under_another_head_by_hand_and_its_gradient() -> None:
    network = TwoLayerHead(**SMALL).eval()
    features = torch.rand(1, network.last_linear.in_features, 2, 2, requires_grad=True)
    weight = network.last_linear.weight
    # logit_c = W_c · mean(tanh F): ∂logit_c/∂F_k = W_ck (1 − tanh²F_k)/4 at each of the four pixels
    slopes = weight[None] * (1 - torch.tanh(features).square()).mean((2, 3))[:, None] / 4
    expected = (slopes[..., None, None] * features[:, None]).sum(2)
    activation = network.activation(features)
    assert torch.allclose(activation, expected, atol=1e-6)
    reached = torch.autograd.grad(activation.square().sum(), [features, weight])
    assert all(gradient.abs().sum() > 0 for gradient in reached)
