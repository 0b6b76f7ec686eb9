"""CAM and PositiveCAM by hand and against MONAI's, the counting of layers, the decoder, and the deployed network."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.visualize import CAM
from torch import nn

from semimed_monai.networks import DeployedPositiveCAM, PositiveCAMClassifier, showing

SMALL = {"layers": (1, 1, 1, 1), "widths": (4, 8, 8, 16)}


def _network(**given: object) -> PositiveCAMClassifier:
    torch.manual_seed(0)
    return PositiveCAMClassifier(**{**SMALL, **given}).eval()  # type: ignore[arg-type]


def test_it_has_23_layers_and_20_cells_of_128_filters() -> None:
    network = PositiveCAMClassifier()
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len([name for name in layers if "downsample" not in name]) == 23
    assert network.features(torch.rand(1, 1, 320, 320)).shape == (1, 128, 20, 20)


@pytest.mark.parametrize("stride", [8, 16])
def test_a_cell_is_so_many_pixels(stride: int) -> None:
    network = _network(map_stride=stride, decoder=True)
    assert network.features(torch.rand(1, 1, 64, 96)).shape[2:] == (64 // stride, 96 // stride)
    outputs = network(torch.rand(1, 1, 64, 96))
    assert outputs.marks.shape == (1, 1, 64, 96)
    assert outputs.maps.shape == (1, 2, 64, 96)


def _by_hand(positive: bool) -> list[float]:
    """h1 = 1 2 3 5, h2 = 4 0 2 1 on four pixels, W of the class = 2, −1."""
    network = _network()
    network.head.weight.data.zero_()
    network.head.weight.data[1, :2] = torch.tensor([2.0, -1.0])
    features = torch.zeros(1, 16, 2, 2)
    features[0, 0] = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    features[0, 1] = torch.tensor([[4.0, 0.0], [2.0, 1.0]])
    values: list[float] = network.activation(features, [2, 2], positive)[0, 1].flatten().tolist()
    return values


def test_cam_by_hand() -> None:
    """2·h1 − h2 = −2 4 4 9, stretched 0 6/11 6/11 1."""
    assert _by_hand(positive=False) == pytest.approx([0, 6 / 11, 6 / 11, 1])


def test_positive_cam_by_hand() -> None:
    """2·h1 = 2 4 6 10, stretched 0 1/4 1/2 1: what speaks against the class is left out."""
    assert _by_hand(positive=True) == pytest.approx([0, 0.25, 0.5, 1])


@pytest.mark.parametrize("positive", [False, True])
def test_it_is_monais_cam(positive: bool) -> None:
    """MONAI's hooks are set on a copy, whose negative weights are gone for the positive one; its own stretching is
    undone by stretching.
    """

    class Logits(PositiveCAMClassifier):
        def forward(self, images: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return self.logits(self.features(images))

    network, images = _network(), torch.rand(1, 1, 64, 64)
    twin = Logits(**SMALL).eval()  # type: ignore[arg-type]
    twin.load_state_dict(copy.deepcopy(network.state_dict()))
    if positive:
        twin.head.weight.data.clamp_(min=0)
    shown = network if positive else showing(network, "cam")
    maps = shown(images).maps
    monais = CAM(twin, target_layers="last", fc_layers="head")
    for of in range(2):
        expected = 1 - monais(images, class_idx=[of])  # it stretches upside down: 1 is where there is least
        assert torch.allclose(maps[:, of : of + 1], expected, atol=1e-4)


def test_gradient_of_a_map_reaches_features_and_head() -> None:
    network = _network().train()
    network(torch.rand(4, 1, 64, 64)).maps[:, 0].square().sum().backward()
    for parameter in (network.head.weight, network.last[0].weight, network.conv1.weight):
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.any()


def test_no_positive_weight_is_an_empty_map() -> None:
    network = _network()
    network.head.weight.data.neg_().clamp_(max=0)
    assert not network(torch.rand(1, 1, 64, 64)).maps.any()


def test_the_decoder_draws_for_every_class() -> None:
    network, images = _network(decoder=True), torch.rand(2, 1, 64, 64)
    outputs = showing(network, "marks")(images)
    assert torch.equal(outputs.logits, network(images).logits)
    for of in range(2):
        assert torch.equal(outputs.maps[:, of : of + 1], network(images).marks)


@pytest.mark.parametrize("decoder", [False, True])
def test_the_answer_shows_what_is_drawn_for_abnormal_only(decoder: bool) -> None:
    network, images = _network(decoder=decoder), torch.rand(2, 1, 64, 64)
    answer, outputs = showing(network, "answer")(images).maps, network(images)
    assert torch.equal(answer[:, 0], outputs.maps[:, 0])
    assert torch.equal(answer[:, 1], outputs.marks[:, 0] if decoder else outputs.maps[:, 1])


def test_what_is_drawn_teaches_the_encoder() -> None:
    """Stage 3 shares it: a mark moves the stem's weights, not the decoder's only."""
    network = _network(decoder=True)
    network(torch.rand(2, 1, 64, 64)).marks.sum().backward()
    assert network.conv1.weight.grad.abs().max() > 0


def test_a_map_does_not_depend_on_its_batch() -> None:
    network, images = _network(), torch.rand(2, 1, 64, 64)
    images[1] *= 0.1
    both = network.eval()(images).maps
    for row in range(2):
        assert torch.allclose(both[row], network(images[row : row + 1]).maps[0], atol=1e-5)


def test_without_a_decoder_nothing_is_drawn() -> None:
    network = _network()
    assert network(torch.rand(1, 1, 64, 64)).marks is None
    with pytest.raises(ValueError, match="has no decoder"):
        showing(network, "marks")
    with pytest.raises(ValueError, match="give one of positive, cam, marks, answer"):
        showing(network, "pcam")


def test_a_twin_shares_weights_by_the_same_names() -> None:
    """So that an evaluation can load one file into both."""
    network = _network()
    twin = showing(network, "cam")
    twin.load_state_dict({name: torch.zeros_like(value) for name, value in network.state_dict().items()})
    assert not network.head.weight.any()


@pytest.mark.parametrize("decoder", [False, True])
def test_the_deployed_network_is_the_trained_one(decoder: bool) -> None:
    network, images = _network(decoder=decoder), torch.rand(3, 1, 64, 48)
    deployed = DeployedPositiveCAM(**network.arguments).eval()
    deployed.load_state_dict(network.state_dict())
    found, outputs = deployed(images), showing(network, "answer")(images)
    chosen = outputs.logits.argmax(dim=1)
    assert torch.equal(found[:, 0], outputs.maps[torch.arange(3), chosen])
    assert torch.allclose(found[:, 1:, 5, 7], outputs.logits.softmax(dim=1))
    assert torch.allclose(torch.jit.script(deployed)(images), found, atol=1e-5)
    with torch.no_grad():
        for bias in (torch.tensor([9.0, -9.0]), torch.tensor([-9.0, 9.0])):  # whichever class is predicted
            deployed.head.bias.copy_(bias)
            network.head.bias.copy_(bias)
            shown = (
                network(images).marks[:, 0] if decoder and bias[1] > 0 else network(images).maps[:, int(bias[1] > 0)]
            )
            assert torch.equal(deployed(images)[:, 0], shown)


def test_what_it_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="map_stride is 4; it must be one of 8, 16"):
        _network(map_stride=4)
    with pytest.raises(ValueError, match="set image_size to a multiple of 16"):
        _network()(torch.rand(1, 1, 64, 60))
