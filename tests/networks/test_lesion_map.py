"""The detector of fractures: its map, where it starts, its pyramid, and that the deployed one is the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision.models import resnet50

from semimed_monai.networks import DeployedLesionMap, LesionMapNetwork

TINY: dict[str, Any] = {"layers": (1, 1, 1, 1), "widths": (4, 8, 16, 32), "pyramid": 8, "block": "basic"}


def test_gradient_reaches_every_weight_and_the_map_is_fp32() -> None:
    """Every one: a weight without gradient would stop several processes."""
    network = LesionMapNetwork(**TINY).train()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(torch.rand(2, 1, 64, 96))
    assert outputs.logits is not None
    assert (outputs.logits.shape, outputs.logits.dtype) == ((2, 1, 16, 24), torch.float32)
    torch.testing.assert_close(outputs.maps, outputs.logits.sigmoid())
    (outputs.logits * torch.rand_like(outputs.logits)).sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())


def test_a_map_starts_at_the_prior() -> None:
    """Without features, all that is left is the bias: log(.02 / .98)."""
    network = LesionMapNetwork(**TINY, prior=0.02).eval()
    torch.nn.init.zeros_(network.smooth.weight)
    maps = network(torch.rand(1, 1, 32, 32)).maps
    assert maps is not None
    assert maps.flatten().tolist() == pytest.approx([0.02] * 64)


def test_the_paper_s_backbone_is_torchvision_s() -> None:
    """ImageNet weights fit name by name, and give the same features."""
    torch.manual_seed(0)
    theirs = resnet50().eval()
    ours = LesionMapNetwork(in_channels=3).eval()
    state = {name: value for name, value in theirs.state_dict().items() if not name.startswith("fc.")}
    own = ours.state_dict()
    assert {name: value.shape for name, value in state.items()} == {
        name: value.shape for name, value in own.items() if not name.startswith(("lateral", "smooth", "head"))
    }
    ours.load_state_dict({**own, **state})
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        stem = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        deepest = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(stem))))
        own_stem = ours.maxpool(ours.act(ours.bn1(ours.conv1(image))))
        torch.testing.assert_close(ours.layer4(ours.layer3(ours.layer2(ours.layer1(own_stem)))), deepest)


def test_the_deployed_network_is_the_trained_one() -> None:
    trained = LesionMapNetwork(**TINY).eval()
    deployed = DeployedLesionMap(**trained.arguments).eval()
    deployed.load_state_dict(trained.state_dict())
    image = torch.rand(2, 1, 64, 32)
    expected = trained(image).maps
    torch.testing.assert_close(deployed(image), expected)
    torch.testing.assert_close(torch.jit.script(deployed)(image), expected, atol=1e-5, rtol=0)


def test_what_it_cannot_do_is_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        LesionMapNetwork(prior=0)
    with pytest.raises(ValueError, match="48 x 64 pixels: set image_size to a multiple of 32"):
        LesionMapNetwork(**TINY)(torch.rand(1, 1, 48, 64))
    with pytest.raises(RuntimeError, match="weights of another network"):
        LesionMapNetwork(**TINY).load_state_dict(LesionMapNetwork(**{**TINY, "pyramid": 4}).state_dict(), strict=False)
