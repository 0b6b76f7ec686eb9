"""The semi-supervised GAN's term: both losses by hand, and each side's gradient as if it were trained by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import ignite.distributed as idist
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from semimed_monai.losses.adversarial import Adversarial, ImageMaker
from semimed_monai.vocabulary import Outputs, Step

MakeStep = Callable[..., Step]


class Critic(nn.Module):
    """Two class scores of a picture, without batch normalisation, which would couple the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 8 * 8, 2)

    def forward(self, images: Tensor) -> Outputs:
        return Outputs(self.layer(images.flatten(1)))


def _parts() -> tuple[Adversarial, Critic, Tensor]:
    torch.manual_seed(0)
    return Adversarial(3, 8, noise=4, width=16), Critic(), torch.rand(5, 3, 8, 8)


def test_both_losses_by_hand(make_step: MakeStep) -> None:
    """Real: scores 0, 0 → s = log 2, D = 2/3. Made: log 3, 0 → s = log 4, D = 4/5: −log 2/3 − log 1/5."""
    made = Outputs(torch.tensor([[math.log(3.0), 0.0]]))
    term = Adversarial(3, 8, noise=4, width=16)
    value = term(make_step(Outputs(torch.zeros(1, 2)), run=lambda images: made))
    assert value.item() == pytest.approx(math.log(3 / 2) + math.log(5))
    assert term.observed["real"].item() == pytest.approx(2 / 3)
    assert term.observed["made"].item() == pytest.approx(4 / 5)


def test_the_critic_learns_to_tell_and_the_maker_to_deceive(make_step: MakeStep) -> None:
    """The gradients of the one backward pass are those of two losses, each of its own side's weights."""
    term, critic, images = _parts()
    term(make_step(critic(images), run=critic)).backward()
    made = term.maker(term._drawn(5))

    def certainty(pictures: Tensor) -> Tensor:
        scores: Tensor = critic(pictures).logits
        return scores.logsumexp(1)

    told = functional.softplus(-certainty(images)).mean() + functional.softplus(certainty(made.detach())).mean()
    deceived = functional.softplus(-certainty(made)).mean()
    for side, loss in ((term.maker, deceived), (critic, told)):
        expected = torch.autograd.grad(loss, list(side.parameters()), retain_graph=True)
        for parameter, gradient in zip(side.parameters(), expected, strict=True):
            assert gradient.abs().sum() > 0
            torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)


def test_noise_follows_the_batch_and_nothing_else() -> None:
    one, other = (Adversarial(3, 8, noise=4, width=16, seed=3) for _ in range(2))
    one.batch = other.batch = 7
    assert torch.equal(one._drawn(4), other._drawn(4))
    other.batch = 8
    assert not torch.equal(one._drawn(4), other._drawn(4))


def test_each_process_draws_its_own_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else two would learn from the same made images, and the batch of the two would be half as large."""
    term, drawn = Adversarial(3, 8, noise=4, width=16), []
    for rank in (0, 1):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        drawn.append(term._drawn(4))
    assert not torch.isclose(drawn[0], drawn[1]).any()


def test_after_some_steps_the_critic_tells_made_from_real(make_step: MakeStep) -> None:
    term, critic, images = _parts()
    optimiser = torch.optim.Adam(critic.parameters(), lr=1e-2)
    for _ in range(40):
        optimiser.zero_grad()
        term(make_step(critic(images), run=critic)).backward()
        optimiser.step()
    assert term.observed["real"] > 0.8
    assert term.observed["made"] < 0.2


@pytest.mark.parametrize("size", [8, 64, 96, 224])
def test_a_maker_gives_pictures_of_the_size(size: int) -> None:
    picture = ImageMaker(noise=4, channels=1, size=size, width=16)(torch.randn(2, 4))
    assert picture.shape == (2, 1, size, size)
    assert picture.min() >= 0
    assert picture.max() <= 1


def test_a_size_that_cannot_be_made_is_refused() -> None:
    for size in (7, 44, 90):
        with pytest.raises(ValueError, match=f"images of {size} pixels cannot be made"):
            ImageMaker(noise=4, channels=1, size=size, width=16)
