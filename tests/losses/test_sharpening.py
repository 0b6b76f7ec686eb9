"""Dynamic sharpening, its schedule and its term, against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ignite.engine import Events
from kornia.augmentation import RandomAffine
from torch import Tensor, nn

from semimed_monai.engines import SemiSupervisedTrainer
from semimed_monai.losses import (
    Criterion,
    DynamicSchedule,
    FixedSchedule,
    LesionCrossEntropy,
    MapConsistency,
    SharpenedConsistency,
    StageRamp,
    asymmetric_sharpening,
    dynamic_sharpening,
)
from semimed_monai.losses.map_consistency import bernoulli_divergence
from semimed_monai.losses.sharpening import median_score
from semimed_monai.networks import Teacher
from semimed_monai.views import Views, WarpedGeometry
from semimed_monai.vocabulary import ROLES, Outputs, Step

PLACES = st.floats(0.05, 0.95)
DEGREES = st.floats(1, 8)
SHARPENINGS = [dynamic_sharpening, asymmetric_sharpening]
POSITIVE = torch.tensor([ROLES.index("P_pub")])


def _sharp(sharpen: Callable[..., Tensor], values: list[float], t: float, a: float) -> list[float]:
    sharpened: list[float] = sharpen(torch.tensor(values), torch.tensor(t), torch.tensor(a)).tolist()
    return sharpened


def test_sharpening_by_hand() -> None:
    """t .4, a 4: .2⁴/.4³ = .0016/.064; .6^(3/4)·.15^(1/4) + .4."""
    found = _sharp(dynamic_sharpening, [0.2, 0.55], 0.4, 4)
    assert found == pytest.approx([0.025, 0.6**0.75 * 0.15**0.25 + 0.4], abs=1e-6)


def test_asymmetric_sharpening_by_hand() -> None:
    """t .5, a 2: odds 4 at .8 are squared."""
    assert _sharp(asymmetric_sharpening, [0.8], 0.5, 2) == pytest.approx([16 / 17])


@pytest.mark.parametrize("sharpen", SHARPENINGS)
@given(PLACES, DEGREES)
def test_nothing_threshold_and_all_stay(sharpen: Callable[..., Tensor], t: float, a: float) -> None:
    assert _sharp(sharpen, [0.0, t, 1.0], t, a) == pytest.approx([0, t, 1], abs=1e-5)


@pytest.mark.parametrize("sharpen", SHARPENINGS)
@given(st.floats(0, 1), st.floats(0, 1), PLACES, DEGREES)
def test_order_is_kept_and_values_leave_the_threshold(
    sharpen: Callable[..., Tensor], one: float, other: float, t: float, a: float
) -> None:
    low, high = sorted([one, other])
    sharp_low, sharp_high = _sharp(sharpen, [low, high], t, a)
    assert 0 <= sharp_low <= sharp_high + 1e-6 <= 1 + 2e-6
    for value, sharp in ((low, sharp_low), (high, sharp_high)):
        assert (sharp - value) * (value - t) >= -1e-6


@given(PLACES, DEGREES)
def test_it_is_continuous_at_the_threshold(t: float, a: float) -> None:
    """The root rises steeply above t: within (1 − t)·(ε/(1 − t))^(1/a), and no more."""
    step = 1e-6
    below, above = _sharp(dynamic_sharpening, [t - step, t + step], t, a)
    assert below == pytest.approx(t, abs=1e-4)
    assert above - t <= (1 - t) * (2 * step / (1 - t)) ** (1 / a) + 1e-6


def test_bf16_maps_are_sharpened_in_fp32() -> None:
    sharp = dynamic_sharpening(torch.tensor([0.2], dtype=torch.bfloat16), torch.tensor(0.4), torch.tensor(4.0))
    assert sharp.dtype == torch.float32


@pytest.mark.parametrize(
    ("median", "expected"),
    [(0.05, (0.2, 6)), (0.3, (0.2, 6)), (0.44, (0.34, 6)), (0.46, (0.36, 4)), (0.6, (0.5, 4)), (0.95, (0.5, 4))],
)
def test_the_schedule_by_hand(median: float, expected: tuple[float, float]) -> None:
    assert DynamicSchedule()(median) == pytest.approx(expected)


@pytest.mark.parametrize(("t", "a"), [(0.0, 4.0), (1.0, 4.0), (0.4, 0.5)])
def test_a_fixed_schedule_that_sharpens_nothing_is_refused(t: float, a: float) -> None:
    with pytest.raises(ValueError, match="0 < t < 1"):
        FixedSchedule(t, a)


def test_divergence_by_hand() -> None:
    """KL(¾‖½) = ¾·log 1.5 + ¼·log .5; at 0 and 1 it is −log of the other's probability."""
    target = torch.tensor([0.75, 0.0, 1.0])
    found = bernoulli_divergence(target, torch.tensor([0.0, math.log(3), math.log(3)]))
    assert found.tolist() == pytest.approx([0.75 * math.log(1.5) + 0.25 * math.log(0.5), math.log(4), -math.log(0.75)])


@given(st.floats(0, 1), st.floats(-200, 200))
def test_the_divergence_is_no_less_than_0_and_its_gradient_finite(target: float, logit: float) -> None:
    """Also where the maps are exactly 0 or 1: a sigmoid in fp32 is, from a logit of 20 on."""
    scores = torch.tensor([logit], requires_grad=True)
    divergence = bernoulli_divergence(torch.tensor([target]), scores)
    divergence.sum().backward()
    assert divergence.item() >= -1e-6
    assert scores.grad is not None
    assert scores.grad.item() == pytest.approx(torch.sigmoid(torch.tensor(logit)).item() - target, abs=1e-6)


def _fixed(**given: Any) -> SharpenedConsistency:
    """A term whose t is .4 and a is 4, as after the start of an epoch."""
    term = SharpenedConsistency(positives=[], **given)
    term.guide.copy_(torch.tensor([0.4, 4.0, 0.9]))
    return term


def test_the_term_by_hand(make_step: Callable[..., Step]) -> None:
    """One public positive of two pixels at .2 and 1 (sharpened .025 and 1), the student at ½ everywhere."""
    teacher = torch.logit(torch.tensor([[[[0.2, 1.0]]], [[[0.7, 0.7]]]]), eps=1e-9)
    roles = torch.tensor([ROLES.index("P_pub"), ROLES.index("N_pub")])
    step = make_step(Outputs(torch.zeros(2, 1, 1, 2)), Outputs(teacher), role=roles)
    entropy = 0.025 * math.log(0.025) + 0.975 * math.log(0.975)
    term = _fixed()
    assert term(step).item() == pytest.approx(math.log(2) + entropy / 2, abs=1e-5)
    assert {name: value.item() for name, value in term.observed.items()} == pytest.approx({"t": 0.4, "a": 4, "m": 0.9})


def test_no_public_positive_costs_nothing_and_keeps_a_graph(make_step: Callable[..., Step]) -> None:
    logits = torch.zeros(1, 1, 2, 2, requires_grad=True)
    loss = _fixed()(make_step(Outputs(logits), Outputs(torch.ones(1, 1, 2, 2)), role=torch.tensor([0])))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_only_the_student_has_a_gradient(make_step: Callable[..., Step]) -> None:
    student, teacher = (torch.randn(1, 1, 4, 4, requires_grad=True) for _ in range(2))
    _fixed()(make_step(Outputs(student), Outputs(teacher), role=POSITIVE)).backward()
    assert student.grad is not None
    assert student.grad.any()
    assert teacher.grad is None


class Shifted:
    """The student's frame lies one pixel to the right of the teacher's: its last column is from outside."""

    def carry(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        moved = torch.zeros_like(maps)
        moved[..., :-1] = maps[..., 1:]
        seen = torch.ones_like(maps)
        seen[..., -1] = 0
        return moved, seen


def test_pixels_from_outside_do_not_count(make_step: Callable[..., Step]) -> None:
    """The teacher is sure of columns 1 and 2, the student of 0 and 1; what it says in column 2 costs nothing."""
    sure = 40.0
    teacher = torch.tensor([[[[-sure, sure, -sure]]]])
    for last in (-sure, sure):
        student = torch.tensor([[[[sure, -sure, last]]]])
        step = make_step(Outputs(student), Outputs(teacher), role=POSITIVE, geometry=Shifted())
        assert _fixed()(step).item() == pytest.approx(0, abs=1e-6)


def test_seen_pixels_have_the_mean_of_those_that_are_seen(make_step: Callable[..., Step]) -> None:
    """Teacher ¾, student ½, one of four columns from outside: ¾ log ¾ + ¼ log ¼ + log 2 on each of the other three."""
    term = MapConsistency()
    teacher = torch.logit(torch.full((1, 1, 2, 4), 0.75))
    step = make_step(Outputs(torch.zeros(1, 1, 2, 4)), Outputs(teacher), role=POSITIVE, geometry=Shifted())
    expected = 0.75 * math.log(0.75) + 0.25 * math.log(0.25) + math.log(2)
    assert expected == pytest.approx(0.1308, abs=1e-4)
    assert term(step).item() == pytest.approx(expected, abs=1e-5)


def test_a_cell_is_the_mean_of_its_pixels_and_seen_if_all_are(make_step: Callable[..., Step]) -> None:
    """An image of 4 × 16, maps of 1 × 4, moved by two pixels: a cell is half of its own and half of its neighbour's,
    .5 and .55 beside the first, of which half comes from outside.
    """
    warp = torch.tensor([[[1.0, 0.0, 2.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    geometry = WarpedGeometry(warp, torch.Size((4, 16)))
    teacher = torch.logit(torch.tensor([[[[0.2, 0.8, 0.3, 0.9]]]]))
    for first in (-3.0, 0.0, 3.0):
        student = torch.logit(torch.tensor([[[[0.5, 0.5, 0.55, 0.6]]]]))
        student[..., 0] = first
        step = make_step(Outputs(student), Outputs(teacher), role=POSITIVE, geometry=geometry)
        assert MapConsistency()(step).item() == pytest.approx(0, abs=1e-6)


def test_a_warp_is_carried_from_the_small_map(make_step: Callable[..., Step]) -> None:
    """Views move by the image's pixels, maps are a fourth of it: a spot comes back where the student's image has it."""
    affine = RandomAffine(degrees=0.0, translate=(0.25, 0.25), p=1.0)
    views = Views(geometry=[affine], share_geometry=False, seed=3)
    image = torch.zeros(1, 1, 64, 64)
    image[..., 24:40, 24:40] = 1
    viewed = views({"image": image, "mask": image}, step=1)
    shown = nn.functional.avg_pool2d(viewed.batch["image"], 4)
    assert not torch.equal(shown, nn.functional.avg_pool2d(image, 4))
    teacher = torch.logit(nn.functional.avg_pool2d(image, 4), eps=1e-6)
    there, elsewhere = torch.logit(shown, eps=1e-3), torch.logit(shown.flip(2, 3), eps=1e-3)
    near, far = (
        _fixed()(make_step(Outputs(student), Outputs(teacher), role=POSITIVE, geometry=viewed.geometry)).item()
        for student in (there, elsewhere)
    )
    assert near < 0.1 < far


class Brightest(nn.Module):
    """Its map is the image; a dropout tells whether it is in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.dropout = nn.Dropout(0.9)

    def forward(self, images: Tensor) -> Outputs:
        return Outputs(logits=torch.logit(self.dropout(images) * self.scale, eps=1e-6))


def _batches(*peaks: float) -> list[dict[str, Tensor]]:
    images = torch.zeros(len(peaks), 1, 4, 4)
    images[:, 0, 1, 2] = torch.tensor(peaks)
    return [{"image": part} for part in images.split(2)]


def test_the_median_of_the_highest_values() -> None:
    network = Brightest().train()
    assert median_score(network, _batches(0.2, 0.9, 0.4), torch.device("cpu")) == pytest.approx(0.4)
    assert median_score(network, _batches(0.2, 0.9, 0.4, 0.8), torch.device("cpu")) == pytest.approx(0.6)
    assert network.training
    with pytest.raises(ValueError, match="no positive image"):
        median_score(network, [], torch.device("cpu"))


def test_a_run_without_positives_does_not_start(make_trainer: Callable[..., SemiSupervisedTrainer]) -> None:
    """Not after a first stage that needs none."""
    rows = [{"image": torch.rand(1, 1, 4, 4), "mask": torch.zeros(1, 1, 4, 4), "role": POSITIVE, "id": ["a"]}]
    network = Brightest()
    trainer = make_trainer(
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        teacher=Teacher(network, kind="self", mode="eval"),
        criterion=Criterion({"sharpened": SharpenedConsistency([], ramp=StageRamp(0.5))}),
        train_data_loader=rows,
    )
    with pytest.raises(ValueError, match="there is no image of P_pub to set t and a by: add the role to `roles`"):
        trainer.run()
    assert trainer.state.iteration == 0


def test_each_epoch_sets_t_and_a_by_the_student(make_trainer: Callable[..., SemiSupervisedTrainer]) -> None:
    """The student halves between the epochs, and with it m; the teacher is the student itself, unaugmented."""
    network = Brightest()
    term = SharpenedConsistency(_batches(0.8, 0.8, 0.8))
    rows = [{"image": torch.rand(1, 1, 4, 4), "mask": torch.zeros(1, 1, 4, 4), "role": POSITIVE, "id": ["a"]}]
    seen = []

    def note(trainer: SemiSupervisedTrainer) -> None:
        seen.append([round(trainer.state.output[0][f"sharpened/{name}"].item(), 4) for name in "tam"])
        with torch.no_grad():
            network.scale.fill_(0.5)

    trainer = make_trainer(
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        teacher=Teacher(network, kind="self", mode="eval"),
        criterion=Criterion({"sharpened": term}),
        train_data_loader=rows,
    )
    trainer.add_event_handler(Events.EPOCH_COMPLETED, note)
    trainer.run()
    assert seen == [[0.5, 4.0, 0.8], [0.3, 6.0, 0.4]]
    assert term.state_dict()["guide"].tolist() == pytest.approx([0.3, 6, 0.4])


def test_no_positive_is_looked_at_before_the_second_stage(make_trainer: Callable[..., SemiSupervisedTrainer]) -> None:
    """Of two epochs of one batch the second is the second stage."""
    network, asked = Brightest(), []

    class Positives:
        def __iter__(self) -> Iterator[dict[str, Tensor]]:
            asked.append(trainer.state.epoch)
            return iter(_batches(0.8))

    sharpened = SharpenedConsistency(Positives(), ramp=StageRamp(0.5))
    terms = {"sharpened": sharpened, "lesions": LesionCrossEntropy({"N_hos": 1})}
    rows = [{"image": torch.rand(1, 1, 4, 4), "mask": torch.zeros(1, 1, 4, 4), "role": POSITIVE, "id": ["a"]}]
    trainer = make_trainer(
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        teacher=Teacher(network, kind="self", mode="eval"),
        criterion=Criterion(terms),
        train_data_loader=rows,
    )
    trainer.run()
    assert asked == [2]


def test_it_needs_a_teacher(make_step: Callable[..., Step]) -> None:
    with pytest.raises(ValueError, match="set `teacher`"):
        _fixed()(make_step(Outputs(torch.zeros(1, 1, 2, 2))))
