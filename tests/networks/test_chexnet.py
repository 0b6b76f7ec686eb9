"""CheXNet: the image's scores are the mean of its cells', whose map is measured like a detector's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.networks.nets import DenseNet121

from semimed_monai.networks import CheXNet, load_weights


def small() -> CheXNet:
    torch.manual_seed(0)
    return CheXNet(layers=(2, 2), growth=8, stem=16)


def test_the_default_is_densenet121_with_the_same_keys_and_answers() -> None:
    torch.manual_seed(0)
    own, monai = CheXNet().eval(), DenseNet121(spatial_dims=2, in_channels=1, out_channels=2).eval()
    own.load_state_dict(monai.state_dict())
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(own(image).logits, monai(image), atol=1e-5, rtol=1e-4)


def test_the_map_by_an_independent_route() -> None:
    """A constant image's inner cells are alike: there the map is the softmax of the pooled score nearly."""
    network = small().eval()
    with torch.no_grad():
        outputs = network(torch.rand(2, 1, 64, 64))
        features = torch.relu(network.features(torch.full((1, 1, 64, 64), 0.3)))
        scores = torch.einsum("ck,bkhw->bchw", network.class_layers.out.weight, features)
        scores = scores + network.class_layers.out.bias[:, None, None]
        constant = network(torch.full((1, 1, 64, 64), 0.3))
    assert outputs.maps.shape == (2, 1, 16, 16)
    torch.testing.assert_close(constant.logits, scores.mean((2, 3)), atol=1e-5, rtol=1e-4)
    fine = torch.nn.functional.interpolate(scores, size=(16, 16), mode="bilinear")
    torch.testing.assert_close(constant.maps[:, 0], torch.softmax(fine, 1)[:, 1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradient_reaches_every_weight(layout: torch.memory_format) -> None:
    network = small().to(memory_format=layout)  # type: ignore[call-overload]
    network(torch.rand(2, 1, 64, 64).contiguous(memory_format=layout)).logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_weights_go_through_a_file_and_not_into_another(tmp_path: Path) -> None:
    network = small()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    load_weights(CheXNet(**network.arguments), tmp_path / "model.pt")
    with pytest.raises(RuntimeError, match="weights of another network"):
        load_weights(CheXNet(layers=(2, 3), growth=8, stem=16), tmp_path / "model.pt")
