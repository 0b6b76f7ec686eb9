"""The ensemble's memory, measured from outside; and the published list: every member builds, learns, votes, exports."""

from __future__ import annotations

import io
import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from torchvision.ops import StochasticDepth

from semimed_monai.networks import DeployedEnsemble, Ensemble, Member

TRAIN = Path(__file__).parents[2] / "bundles/kl_ensemble_classification/configs/train.json"


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def infer(rank: int, folder: Path) -> None:
    """What a pass adds to the process's peak: of one member, and of six."""
    torch.set_num_threads(1)
    network = Ensemble([{"name": "resnet18", "size": 384}] * (1, 6)[rank]).eval()
    images = torch.rand(4, 1, 64, 64)
    before = megabytes()
    with torch.no_grad():
        network(images)
    (folder / str(rank)).write_text(str(megabytes() - before))


def test_beside_the_weights_it_needs_what_one_member_needs(run_twice: Callable[..., None], tmp_path: Path) -> None:
    run_twice(infer, tmp_path)
    one, six = (float((tmp_path / str(rank)).read_text()) for rank in (0, 1))
    assert one > 60  # megabytes: a stem's features alone are 38
    assert six < 1.3 * one


@pytest.mark.slow
def test_every_published_member_builds_learns_votes_and_is_exported() -> None:
    """At a small size: what of them depends on it is their time."""
    torch.manual_seed(0)
    names = json.loads(TRAIN.read_text())["profiles"]["paper"]["members"]
    assert len(names) == 8
    images, labels = torch.rand(2, 1, 64, 64), torch.tensor([0, 4])
    trained = []
    for name in names:
        member = Member(name, size=64)
        for module in member.modules():
            if isinstance(module, StochasticDepth):
                module.p = 0.0  # a block that both rows leave out learns nothing in this step
        optimiser = torch.optim.Adam(member.parameters(), lr=1e-3)
        before = [weight.clone() for weight in member.parameters()]
        cross_entropy(member(images).logits, labels).backward()
        optimiser.step()
        assert all(not torch.equal(weight, start) for weight, start in zip(member.parameters(), before, strict=True)), (
            name
        )
        trained.append(member)
    arguments = [member.arguments for member in trained]
    state = {
        f"members.{place}.{key}": value for place, one in enumerate(trained) for key, value in one.state_dict().items()
    }
    ensemble, deployed = Ensemble(arguments).eval(), DeployedEnsemble(arguments).eval()
    ensemble.load_state_dict(state)
    deployed.load_state_dict(state)
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(deployed), file)
    file.seek(0)
    with torch.no_grad():
        answer, reloaded = deployed(images), torch.jit.load(file)(images)
        assert torch.allclose(answer[:, 1:, 0, 0], ensemble(images).logits.exp(), atol=1e-5)
    assert torch.allclose(reloaded, answer, atol=1e-4)
