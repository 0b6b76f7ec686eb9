"""Members and their ensemble: torchvision's scores, Grad-CAM in closed form, votes, export, ImageNet's weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.visualize import GradCAM
from torch import nn
from torchvision.models import get_model, get_model_weights
from torchvision.transforms.functional import normalize

from semimed_monai.networks import (
    DeployedEnsemble,
    DeployedMember,
    Ensemble,
    Member,
    carried,
    load_imagenet,
    load_weights,
)

FAMILIES = ("densenet121", "efficientnet_b0", "efficientnet_v2_s", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5")
SMALL = {"name": "shufflenet_v2_x0_5", "size": 64, "classes": 5}


def torchvisions(member: Member, classes: int) -> nn.Module:
    """The same weights in torchvision's own network."""
    network = get_model(member.name, num_classes=classes)
    own, theirs = member.state_dict(), network.state_dict()
    assert len(own) == len(theirs)
    network.load_state_dict(dict(zip(theirs, own.values(), strict=True)))
    return network.eval()


@pytest.mark.parametrize("name", FAMILIES)
def test_its_scores_are_torchvisions(name: str) -> None:
    torch.manual_seed(0)
    member = Member(name, size=64, classes=5, flip=False).eval()
    for norm in member.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
            norm.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    images = torch.rand(2, 1, 64, 64)  # of its own size: nothing is resized
    colour = normalize(images.expand(-1, 3, -1, -1), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = torchvisions(member, 5)(colour)
        _, logits = member.scores(images)
        assert torch.allclose(logits, expected, atol=1e-4)
        assert torch.allclose(member(images).logits, torch.log_softmax(expected, 1), atol=1e-4)


def test_its_map_is_monais_grad_cam() -> None:
    torch.manual_seed(0)
    member = Member("resnet18", size=96, classes=3, flip=False).eval()
    images = torch.rand(1, 1, 96, 96)
    maps = member(images).maps
    network = torchvisions(member, 3)
    colour = normalize(images.expand(-1, 3, -1, -1), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    for place in range(3):
        # As it is, before MONAI turns it round and scales it: relu of the weighted sum, in the features' size.
        found = GradCAM(network, target_layers="layer4", postprocessing=lambda values: values)(colour, class_idx=place)
        expected = found / found.max().clamp(min=1e-5)
        assert torch.allclose(maps[:, place, None], expected, atol=1e-3)


def test_an_answer_is_the_mean_over_the_image_and_its_mirror_image() -> None:
    torch.manual_seed(0)
    both = Member(**SMALL).eval()
    one = Member(**SMALL, flip=False).eval()
    one.load_state_dict(both.state_dict())
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        plain, mirrored, answer = one(images), one(images.flip(3)), both(images)
        mean = (plain.logits.exp() + mirrored.logits.exp()) / 2
        assert torch.allclose(answer.logits.exp(), mean, atol=1e-6)
        assert torch.allclose(answer.maps, (plain.maps + mirrored.maps.flip(3)) / 2, atol=1e-6)
        assert torch.allclose(both(images.flip(3)).logits, answer.logits, atol=1e-5)
        assert both.train()(images).maps is None


def test_it_sees_the_image_at_its_own_size() -> None:
    member, seen = Member("shufflenet_v2_x0_5", size=96).eval(), []
    member.trunk.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    assert member(torch.rand(2, 1, 64, 64)).maps.shape == (2, 5, 64, 64)
    assert seen == [(2, 3, 96, 96)] * 2


@pytest.mark.parametrize("rule", ["hard", "soft", "mix"])
def test_an_ensemble_votes_over_its_members(rule: str) -> None:
    torch.manual_seed(0)
    arguments = [SMALL, {**SMALL, "size": 96}, {"name": "resnet18", "size": 64, "classes": 5}]
    network = Ensemble(arguments, rule).eval()
    images = torch.rand(3, 1, 80, 80)
    with torch.no_grad():
        answers = [member(images) for member in network.members]
        expected = carried(torch.stack([answer.logits.exp() for answer in answers]), rule)
        found = network(images)
    assert torch.allclose(found.logits.exp(), expected, atol=1e-6)
    assert torch.allclose(found.maps, torch.stack([answer.maps for answer in answers]).mean(0), atol=1e-6)


def test_what_is_deployed_is_one_tensor_and_can_be_scripted() -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 1, 96, 96)
    for trained, deployed in (
        (Member(**SMALL), DeployedMember(**SMALL)),
        (Ensemble([SMALL, {**SMALL, "size": 96}]), DeployedEnsemble([SMALL, {**SMALL, "size": 96}])),
    ):
        deployed.load_state_dict(trained.state_dict())
        with torch.no_grad():
            answer, outputs = deployed.eval()(images), trained.eval()(images)
            scripted = torch.jit.script(deployed)(images)
        assert answer.shape == (2, 6, 96, 96)
        assert torch.allclose(answer[:, 1:, 0, 0], outputs.logits.exp(), atol=1e-6)
        assert torch.allclose(scripted, answer, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "resnet19", "size": 64}, r"torchvision has no network 'resnet19': look at torchvision.models"),
        ({"name": "vgg11", "size": 64}, "vgg11 cannot be a member: its scores are no linear layer of a mean"),
        ({"name": "resnet18", "size": 0}, "size"),
    ],
)
def test_what_cannot_be_a_member_is_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Member(**arguments)  # type: ignore[arg-type]


def test_what_cannot_be_an_ensemble_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no rule 'loud': give one of hard, soft, mix"):
        Ensemble([SMALL], rule="loud")
    with pytest.raises(ValueError, match="one member or more, all of the same classes"):
        Ensemble([])
    with pytest.raises(ValueError, match="one member or more, all of the same classes"):
        Ensemble([SMALL, {**SMALL, "classes": 3}])


def test_weights_of_another_ensemble_are_refused(tmp_path: Path) -> None:
    torch.save(Ensemble([SMALL]).state_dict(), tmp_path / "model.pt")
    with pytest.raises(RuntimeError, match="these are the weights of another network"):
        load_weights(Ensemble([SMALL, SMALL]), tmp_path / "model.pt")


def test_imagenet_weights_are_used_if_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A cache made here: the file of the name that torchvision looks for."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(1)
    published = get_model("shufflenet_v2_x0_5")
    file = tmp_path / "hub" / "checkpoints" / Path(get_model_weights("shufflenet_v2_x0_5")["DEFAULT"].url).name
    file.parent.mkdir(parents=True)
    torch.save(published.state_dict(), file)
    member = Member(**SMALL)
    head = member.head.weight.clone()
    assert load_imagenet(member)
    assert torch.equal(next(member.trunk.parameters()), next(published.parameters()))
    assert torch.equal(member.head.weight, head)
    file.write_bytes(b"cut off")
    assert not load_imagenet(member)
    assert "the ImageNet weights cannot be had" in caplog.text
