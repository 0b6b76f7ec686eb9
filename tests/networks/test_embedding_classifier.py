"""The embedding classifier: MONAI's DenseNet with its features beside its scores, and Grad-CAM without a hook."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DenseNet121
from monai.visualize import GradCAM

from semimed_monai.networks import DeployedEmbeddingClassifier, EmbeddingClassifier

SMALL = {"classes": 3, "layers": (2, 2), "growth": 8, "stem": 16}


def _network(**given: object) -> EmbeddingClassifier:
    torch.manual_seed(0)
    return EmbeddingClassifier(**{**SMALL, **given}).eval()  # type: ignore[arg-type]


def test_the_default_is_densenet121_with_its_answers() -> None:
    torch.manual_seed(0)
    own, monai = EmbeddingClassifier().eval(), DenseNet121(spatial_dims=2, in_channels=3, out_channels=7).eval()
    named = {name.replace("class_layers.out", "head"): value for name, value in monai.state_dict().items()}
    own.load_state_dict(named)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        outputs = own(image)
        torch.testing.assert_close(outputs.logits, monai(image), atol=1e-5, rtol=1e-4)
        features = torch.relu(monai.features(image))
    assert outputs.embedding.shape == (1, 1024)
    torch.testing.assert_close(outputs.embedding, features.mean((2, 3)), atol=1e-5, rtol=1e-4)


def test_the_flat_embedding_is_every_feature() -> None:
    network, image = _network(embedding="flat"), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        outputs, pooled = network(image), _network()(image)
    assert outputs.embedding.shape == (2, network.embedding_size(64))
    assert torch.allclose(outputs.embedding.view(2, -1, 64).mean(2), pooled.embedding, atol=1e-6)
    assert _network().embedding_size(64) == pooled.embedding.shape[1]


def test_a_map_is_monais_grad_cam_over_its_maximum_and_leaves_no_hook() -> None:
    network, image = _network(), torch.rand(1, 3, 64, 64)

    class Logits(torch.nn.Module):  # MONAI's wants a network that returns a tensor
        def __init__(self) -> None:
            super().__init__()
            self.features, self.relu, self.head = network.features, torch.nn.ReLU(), network.head

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(self.relu(self.features(x)).mean((2, 3)))
            return logits

    with torch.no_grad():
        maps = network(image).maps
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    asked = GradCAM(Logits(), target_layers="relu", postprocessing=lambda cam: cam)
    seen = 0
    for of in range(3):
        cam = torch.as_tensor(asked(image, class_idx=of))
        if cam.max() > 1e-6:
            torch.testing.assert_close(maps[:, of : of + 1], cam / cam.max(), atol=1e-4, rtol=1e-3)
            seen += 1
    assert seen


def test_maps_come_in_evaluation_only() -> None:
    assert _network().train()(torch.rand(2, 3, 64, 64)).maps is None


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_deployed_network_is_the_trained_one(multi_label: bool) -> None:
    network = _network(multi_label=multi_label)
    deployed = DeployedEmbeddingClassifier(**network.arguments).eval()
    assert list(deployed.state_dict()) == list(network.state_dict())
    deployed.load_state_dict(network.state_dict())
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        outputs, found = network(images), deployed(images)
        scripted = torch.jit.script(deployed)(images)
    probabilities = torch.sigmoid(outputs.logits) if multi_label else torch.softmax(outputs.logits, dim=1)
    assert torch.equal(found[:, 1:], probabilities[:, :, None, None].expand(-1, -1, 32, 32))
    for row in range(3):
        assert torch.equal(found[row, 0], outputs.maps[row, probabilities[row].argmax()])
    assert torch.allclose(scripted, found, atol=1e-6)


def test_half_precision_gives_scores_embedding_and_maps_in_single() -> None:
    network, image = _network(), torch.rand(2, 3, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        outputs = network(image)
    assert {value.dtype for value in (outputs.logits, outputs.embedding, outputs.maps)} == {torch.float32}
    with torch.no_grad():
        assert torch.allclose(outputs.embedding, network(image).embedding, atol=0.05)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradient_reaches_every_weight(layout: torch.memory_format) -> None:
    network = _network().train().to(memory_format=layout)  # type: ignore[call-overload]
    network(torch.rand(2, 3, 64, 64).contiguous(memory_format=layout)).logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_another_embedding_is_refused() -> None:
    with pytest.raises(ValueError, match="embedding is 'mean': give one of pooled, flat"):
        EmbeddingClassifier(embedding="mean")
