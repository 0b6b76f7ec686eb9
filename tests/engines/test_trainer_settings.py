"""What a recipe sets of the trainer at its top: short groups of batches, frozen normalisation, flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from ignite.engine import Events
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from semimed_monai.engines import OptimiserEvents
from semimed_monai.losses import Criterion, CrossEntropy
from semimed_monai.networks import Teacher
from semimed_monai.vocabulary import Outputs

Make = Callable[..., Any]


def test_a_short_last_group_is_the_mean_of_its_own_batches(make_trainer: Make, make_net: Make, make_rows: Make) -> None:
    """Three batches by twos: the gradient of the third alone is not halved. The weights stand still."""
    network = make_net(norm=False)
    loader = DataLoader(make_rows(6, 0), batch_size=2)
    trainer = make_trainer(
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        criterion=Criterion({"classification": CrossEntropy()}),
        teacher=None,
        max_epochs=1,
        train_data_loader=loader,
        accumulation_steps=2,
    )
    found: list[Tensor] = []
    trainer.add_event_handler(OptimiserEvents.STEPPED, lambda: found.append(network.last.weight.grad.clone()))
    trainer.run()
    costs = [functional.cross_entropy(network(batch["image"]).logits, batch["label"]) for batch in loader]
    for group, gradient in zip(((costs[0] + costs[1]) / 2, costs[2]), found, strict=True):
        (expected,) = torch.autograd.grad(group, network.last.weight)
        assert torch.allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["ema", "self"])
def test_frozen_norms_keep_their_averages_and_use_them(make_trainer: Make, make_net: Make, kind: str) -> None:
    """Bit for bit, the counter too, while the weights learn; and what comes out is by the averages."""
    network, start = make_net(), make_net()
    network.norm.running_mean.fill_(0.3)
    start.load_state_dict(network.state_dict())
    seen: list[tuple[Tensor, Outputs]] = []
    network.register_forward_hook(lambda _module, images, outputs: seen.append((images[0], outputs)))
    make_trainer(network=network, teacher=Teacher(network, kind), frozen_norm=True).run()
    before = start.state_dict()
    same = {name for name, value in network.state_dict().items() if torch.equal(value, before[name])}
    assert same == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    images, found = next(pair for pair in seen if pair[1].maps.requires_grad)  # type: ignore[union-attr]
    assert torch.equal(found.maps, start.eval()(images).maps)  # type: ignore[arg-type]


def test_norms_may_be_frozen_in_first_epochs_only(make_trainer: Make, make_net: Make) -> None:
    network, means = make_net(), []
    trainer = make_trainer(network=network, frozen_norm_epochs=2, max_epochs=3)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: means.append(network.norm.running_mean.clone()))
    trainer.run()
    assert torch.equal(means[1], torch.zeros_like(means[1]))
    assert not torch.equal(means[2], means[1])


@pytest.mark.parametrize("name", ["clip_norm", "accumulation_steps", "max_epochs"])
@pytest.mark.parametrize("value", [0, -1, "none", True])
def test_a_number_that_is_not_above_0_is_refused(make_trainer: Make, name: str, value: Any) -> None:
    """A norm clipped to 0 learns nothing, to less it climbs."""
    with pytest.raises(ValueError, match=f"{name} is {value!r}: give a number above 0"):
        make_trainer(**{name: value})


@pytest.mark.parametrize("name", ["frozen_norm", "compile", "channels_last"])
@pytest.mark.parametrize("value", ["false", "True", 0, None])
def test_a_flag_that_is_no_bool_is_refused(make_trainer: Make, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value!r}, .* no bool: write --{name} True or --{name} False"):
        make_trainer(**{name: value})
