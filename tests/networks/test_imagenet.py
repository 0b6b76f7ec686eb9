"""ImageNet weights: taken from torch's cache as MONAI and torchvision do, a warning without them."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import torch
from monai.networks.nets import SEResNext50
from torchvision.models import densenet121, resnet50
from torchvision.models.feature_extraction import create_feature_extractor

from semimed_monai.networks import AttentionClassifier, CheXNet, EmbeddingClassifier, LesionMapNetwork, load_imagenet

FILE = "se_resnext50_32x4d-a260b3a4.pth"  # as MONAI's address of it ends
RESNET = "resnet50-0676ba61.pth"  # and torchvision's
DENSENET = "densenet121-a639ec97.pth"  # with the names that its layers had when it was published


def original_name(name: str) -> str:
    """A tensor's name in the published file, from MONAI's."""
    name = re.sub(r"^(layer\d\.\d\.conv\d\.)conv\.", r"\1", name)
    name = re.sub(r"^(layer\d\.\d\.)conv(\d)\.adn\.N\.", r"\1bn\2.", name)
    name = name.replace("se_layer.fc.0", "se_module.fc1").replace("se_layer.fc.2", "se_module.fc2")
    return name.replace("project.conv", "downsample.0").replace("project.adn.N", "downsample.1")


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A torch cache with made weights under the published names."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    source = SEResNext50(spatial_dims=2, in_channels=3, num_classes=1000).state_dict()
    source = {name: torch.rand_like(value) if value.is_floating_point() else value for name, value in source.items()}
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    torch.save({original_name(name): value for name, value in source.items()}, folder / FILE)
    return source


@pytest.mark.parametrize("channels", [1, 3])
def test_the_cached_weights_are_taken(cached: dict[str, torch.Tensor], channels: int) -> None:
    network = AttentionClassifier(in_channels=channels)
    head = network.last_linear.weight.clone()
    assert load_imagenet(network)
    state = network.state_dict()
    for name in ("layer1.0.conv2.conv.weight", "layer4.2.conv3.adn.N.running_var", "layer3.5.se_layer.fc.0.weight"):
        assert torch.equal(state[name], cached[name]), name
    stem = cached["layer0.conv1.weight"]
    assert torch.equal(state["layer0.conv1.weight"], stem if channels == 3 else stem.sum(dim=1, keepdim=True))
    assert torch.equal(state["last_linear.weight"], head)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_detectors_levels_are_torchvisions_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    """An independent network of the same weights gives the same features; grey images are three equal colours there."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    published = resnet50().eval()
    for buffer in published.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)  # running averages that are not those of a new network
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    torch.save(published.state_dict(), folder / RESNET)
    network = LesionMapNetwork(in_channels=channels).eval()
    head = network.head.weight.clone()
    assert load_imagenet(network)
    assert torch.equal(network.head.weight, head)
    levels: dict[str, torch.Tensor] = {}
    names = [f"layer{number}" for number in range(1, 5)]
    for name in names:
        getattr(network, name).register_forward_hook(lambda _, __, out, name=name: levels.update({name: out}))
    image = torch.rand(1, channels, 64, 64)
    with torch.no_grad():
        network(image)
        expected = create_feature_extractor(published, names)(image.expand(-1, 3, -1, -1))
    for name in names:
        assert torch.allclose(levels[name], expected[name], rtol=1e-4, atol=1e-4 * float(expected[name].abs().max()))


def test_a_classifiers_features_are_torchvisions_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    published = densenet121().eval()
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    named = {
        re.sub(r"(denselayer\d+\.(norm|conv))", r"\1.", name): value for name, value in published.state_dict().items()
    }
    torch.save(named, folder / DENSENET)
    network = EmbeddingClassifier().eval()
    head = network.head.weight.clone()
    assert load_imagenet(network)
    assert torch.equal(network.head.weight, head)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = torch.relu(published.features(image)).mean((2, 3))
        torch.testing.assert_close(network(image).embedding, expected, atol=1e-5, rtol=1e-4)


def test_another_size_is_refused(cached: dict[str, torch.Tensor]) -> None:
    assert cached
    with pytest.raises(ValueError, match=r"are SE-ResNeXt50's \(layers .* use --pretrained False"):
        load_imagenet(AttentionClassifier(layers=(1, 1, 1, 1), width=16))
    with pytest.raises(ValueError, match="for 1 or 3 channels, not 2: use --pretrained False"):
        load_imagenet(AttentionClassifier(in_channels=2))
    with pytest.raises(ValueError, match="no ImageNet weights for CheXNet: use --pretrained False"):
        load_imagenet(CheXNet(layers=(1, 1), growth=4, stem=4))


@pytest.mark.parametrize("content", [b"", b"no weights at all, but some bytes"])
def test_a_damaged_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    (folder / RESNET).write_bytes(content)
    with caplog.at_level(logging.WARNING, "semimed"):
        assert not load_imagenet(LesionMapNetwork())
    assert f"if the file is damaged, delete it from {folder}" in caplog.text


def test_without_weights_there_is_a_warning_and_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there: as without a network
    network = AttentionClassifier(layers=(1, 1, 1, 1), width=16)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with caplog.at_level(logging.WARNING, "semimed"):
        assert not load_imagenet(network)
    assert "random" in caplog.text
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_pretrained_that_is_no_bool_is_refused() -> None:
    """'false' would count as on, and fetch them."""
    with pytest.raises(ValueError, match=r"pretrained is 'false', .*: write --pretrained True or --pretrained False"):
        load_imagenet(AttentionClassifier(layers=(1, 1, 1, 1), width=16), pretrained="false")  # type: ignore[arg-type]
