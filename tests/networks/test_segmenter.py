"""The segmenter: what it computes, that the deployed one is the same, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from semimed_monai.networks import DeployedSegmenter, Segmenter, load_weights

TINY = {"classes": 3, "channels": (4, 8, 16), "residual_units": 1}


def test_gradient_reaches_every_weight_and_scores_are_fp32() -> None:
    network = Segmenter(**TINY).train()  # type: ignore[arg-type]
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.rand(2, 1, 16, 24)).logits
    assert logits is not None
    assert (logits.shape, logits.dtype) == ((2, 3, 16, 24), torch.float32)
    # A sum of all scores alone has no gradient through a normalisation.
    (logits * torch.rand_like(logits)).sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())


def test_the_deployed_network_is_the_trained_one_with_a_softmax() -> None:
    trained = Segmenter(**TINY).eval()  # type: ignore[arg-type]
    deployed = DeployedSegmenter(**trained.arguments).eval()  # type: ignore[arg-type]
    deployed.load_state_dict(trained.state_dict())
    image = torch.rand(2, 1, 32, 32)
    expected = trained(image).logits.softmax(dim=1)
    torch.testing.assert_close(deployed(image), expected)
    torch.testing.assert_close(torch.jit.script(deployed)(image), expected, atol=1e-5, rtol=0)


def test_what_it_cannot_do_is_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match="two levels or more"):
        Segmenter(channels=(8,))
    with pytest.raises(ValueError, match="30 x 32 pixels: set image_size to a multiple of 4"):
        Segmenter(**TINY)(torch.rand(1, 1, 30, 32))  # type: ignore[arg-type]


def test_weights_are_loaded_whole_or_not_at_all(tmp_path: Path) -> None:
    network, other = Segmenter(**TINY), Segmenter(**{**TINY, "channels": (4, 8)})  # type: ignore[arg-type]
    file = tmp_path / "models" / "model.pt"
    with pytest.raises(FileNotFoundError, match=r"no weights at .*; this makes them: .* the bundle's configs/train"):
        load_weights(network, file)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "train.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"monai\.bundle run training --config_file .*train\.json"):
        load_weights(network, file)
    file.parent.mkdir()
    torch.save(other.state_dict(), file)
    with pytest.raises(RuntimeError, match=r"model\.pt cannot be loaded: .*weights of another network"):
        load_weights(network, file)
    file.write_bytes(b"half a file")
    with pytest.raises(RuntimeError, match=r"model\.pt cannot be loaded"):
        load_weights(network, file)
    torch.save({name: value + 1 for name, value in network.state_dict().items()}, file)
    before = next(network.parameters()).clone()
    load_weights(network, file)
    torch.testing.assert_close(next(network.parameters()), before + 1)
