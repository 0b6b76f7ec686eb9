"""The trainer: gradients to the student only, formats, clipping, accumulation and τ."""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from ignite.engine import Events
from kornia.augmentation import RandomGaussianNoise
from monai.handlers import TensorBoardStatsHandler
from torch import Tensor, nn
from torch.utils.data import DataLoader

from semimed_monai.engines import OptimiserEvents, term_values
from semimed_monai.losses import AttentionConsistency, ClassConsistency, Criterion, CrossEntropy, StageRamp, Term
from semimed_monai.networks import AttentionClassifier, Teacher
from semimed_monai.views import Views
from semimed_monai.vocabulary import Outputs, Step

Make = Callable[..., Any]


class Spy(Term):
    """Costs the mean map, and keeps what it was given."""

    uses_teacher = True

    def __init__(self, ramp: Callable[[float], float] | None = None) -> None:
        super().__init__(ramp=ramp)
        self.steps: list[Step] = []

    def forward(self, step: Step) -> Tensor:
        self.steps.append(step)
        assert step.student.maps is not None
        return step.student.maps.mean()


def _noisy(seed: int = 0) -> Views:
    noise = RandomGaussianNoise(std=0.3, p=1.0)
    return Views(student=[noise], teacher=[noise], seed=seed)


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _learned_without_labels(
    make_trainer: Make, make_rows: Make, term: Term, precision: str, kind: str
) -> tuple[dict[str, Tensor | None], Teacher]:
    """The DC-MT network's gradient from unlabelled rows only, and its teacher."""
    torch.manual_seed(0)
    network = AttentionClassifier(layers=(1, 1, 1, 1), width=16, omega=10.0)
    teacher = Teacher(network, kind)
    trainer = make_trainer(
        max_epochs=1,
        network=network,
        teacher=teacher,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        criterion=Criterion({"unsupervised": term}),
        views=_noisy(),
        precision=precision,
        train_data_loader=DataLoader(make_rows(0, 4, size=32), batch_size=4),
    )
    trainer.run()
    return {name: parameter.grad for name, parameter in network.named_parameters()}, teacher


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("term", [ClassConsistency(), AttentionConsistency()], ids=lambda term: type(term).__name__)
def test_an_unsupervised_term_moves_the_student_alone(
    make_trainer: Make, make_rows: Make, term: Term, precision: str
) -> None:
    """Without this gradient a mean teacher trains, and looks well."""
    learned, teacher = _learned_without_labels(make_trainer, make_rows, term, precision, "ema")
    if isinstance(term, AttentionConsistency):
        del learned["last_linear.bias"]  # a map has no bias
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in learned.values())
    assert all(gradient.any() for name, gradient in learned.items() if gradient is not None and name[-4:] != "bias")
    assert len(list(teacher.parameters())) > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("term", [ClassConsistency(), AttentionConsistency()], ids=lambda term: type(term).__name__)
def test_a_student_that_is_its_own_teacher_learns_from_its_own_pass_alone(
    make_trainer: Make, make_rows: Make, term: Term, precision: str
) -> None:
    """As if what the teacher says were constants: what a copy of the student says, whose weights take no gradient."""
    own, copied = (
        _learned_without_labels(make_trainer, make_rows, term, precision, kind)[0] for kind in ("self", "ema")
    )
    assert any(gradient is not None and gradient.any() for gradient in own.values())
    for name, gradient in own.items():
        expected = copied[name]
        assert gradient is expected is None or torch.equal(gradient, expected), name


@pytest.mark.parametrize("term", [ClassConsistency(), AttentionConsistency()], ids=lambda term: type(term).__name__)
def test_identical_views_and_weights_cost_nothing(make_trainer: Make, make_net: Make, term: Term) -> None:
    """Batch statistics on both sides; then other views of the same weights, then other weights on the same views."""

    def cost(views: Views, teacher_of: nn.Module) -> float:
        network = make_net()
        parts = {"network": network, "teacher": Teacher(teacher_of), "views": views, "max_epochs": 1}
        trainer = make_trainer(criterion=Criterion({"term": term}), **parts)
        trainer.add_event_handler(
            Events.STARTED, lambda: parts["teacher"].average.load_state_dict(teacher_of.state_dict())
        )
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), trainer.terminate)
        trainer.run()
        return float(trainer.state.output[0]["loss"])

    assert cost(Views(), make_net()) == 0
    assert cost(_noisy(), make_net()) > 0
    assert cost(Views(), make_net(seed=1)) > 0


def test_a_run_moves_student_and_teacher(make_trainer: Make, make_net: Make) -> None:
    network = make_net()
    before = _weights(network)
    trainer = make_trainer(network=network)
    trainer.run()
    student, teacher = network.state_dict(), trainer.teacher.average.state_dict()
    for name, value in before.items():
        assert not torch.equal(student[name], value), name
        if "num_batches" not in name:
            assert not torch.equal(teacher[name], student[name]), name
    assert trainer.state.optimiser_step == 6


def test_progress_is_of_optimiser_steps_and_ends_at_one(make_trainer: Make) -> None:
    """3 batches an epoch by twos: 2 steps an epoch, 4 in the run."""
    spy = Spy()
    make_trainer(criterion=Criterion({"spy": spy}), accumulation_steps=2).run()
    assert [step.progress for step in spy.steps] == [1 / 4, 1 / 4, 2 / 4, 3 / 4, 3 / 4, 1.0]


def test_stepped_fires_once_per_optimiser_step(make_trainer: Make) -> None:
    trainer = make_trainer(accumulation_steps=2)
    seen: list[tuple[int, int]] = []
    trainer.add_event_handler(
        OptimiserEvents.STEPPED, lambda engine: seen.append((engine.state.iteration, engine.state.optimiser_step))
    )
    trainer.run()
    assert seen == [(2, 1), (3, 2), (5, 3), (6, 4)]


def test_two_half_batches_accumulated_are_one_whole(make_trainer: Make, make_net: Make, make_rows: Make) -> None:
    """Of labelled rows, without batch norm; the gradient and, after three epochs of one step, the teacher."""
    found = []
    for batch_size, accumulation_steps in ((6, 1), (3, 2)):
        network = make_net(norm=False)
        trainer = make_trainer(
            network=network,
            max_epochs=3,
            train_data_loader=DataLoader(make_rows(6, 0), batch_size=batch_size),
            accumulation_steps=accumulation_steps,
        )
        moved: list[int] = []
        trainer.add_event_handler(OptimiserEvents.STEPPED, lambda engine, moved=moved: moved.append(engine.state.epoch))
        trainer.run()
        assert moved == [1, 2, 3]
        found.append({**_weights(network), **_weights(trainer.teacher)})
    for name, value in found[0].items():
        assert torch.allclose(value, found[1][name], atol=1e-6), name


@pytest.mark.parametrize("clip_norm", [None, 0.01])
def test_gradients_are_clipped_to_the_norm(make_trainer: Make, make_net: Make, clip_norm: float | None) -> None:
    network = make_net()
    trainer = make_trainer(network=network, clip_norm=clip_norm, max_epochs=1)
    norms: list[float] = []
    trainer.add_event_handler(
        OptimiserEvents.STEPPED,
        lambda: norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in network.parameters()))),
    )
    trainer.run()
    assert len(norms) == 3
    if clip_norm is None:
        assert min(norms) > 0.02
    else:
        assert norms == pytest.approx([clip_norm] * 3, rel=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_formats(make_trainer: Make, make_net: Make, precision: str, channels_last: bool) -> None:
    """The convolutions run in the format asked for; every output and loss is fp32."""
    network, spy = make_net(), Spy()
    teacher = Teacher(network)
    inside: list[tuple[torch.dtype, bool]] = []
    for last in (network.last, teacher.average.get_submodule("last")):
        last.register_forward_hook(
            lambda _module, images, out: inside.append(
                (out.dtype, images[0].is_contiguous(memory_format=torch.channels_last))
            )
        )
    parts = {"network": network, "teacher": teacher, "precision": precision, "channels_last": channels_last}
    trainer = make_trainer(criterion=Criterion({"spy": spy}), max_epochs=1, **parts)
    trainer.run()
    expected = torch.bfloat16 if precision == "bf16" else torch.float32
    assert set(inside) == {(expected, channels_last)}
    for step in spy.steps:
        for outputs in (step.student, step.teacher, step.run(step.batch["image"])):
            assert isinstance(outputs, Outputs)
            assert outputs.logits is not None
            assert outputs.maps is not None
            assert outputs.logits.dtype == outputs.maps.dtype == torch.float32
    assert trainer.state.output[0]["loss"].dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_formats_change_the_speed_and_hardly_the_weights(make_trainer: Make, make_net: Make) -> None:
    found = []
    for parts in ({}, {"channels_last": True}, {"precision": "bf16"}):
        network = make_net()
        make_trainer(network=network, max_epochs=1, **parts).run()
        found.append(_weights(network))
    for name, value in found[0].items():
        assert torch.allclose(value, found[1][name], atol=1e-6), name
        assert torch.allclose(value, found[2][name], atol=3e-2), name


def test_the_epochs_means_are_metrics(make_trainer: Make) -> None:
    trainer = make_trainer()
    values: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    means: list[dict[str, float]] = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda engine: values[engine.state.epoch].append({k: float(v) for k, v in engine.state.output[0].items()}),
    )
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: means.append(dict(engine.state.metrics)))
    trainer.run()
    names = {"loss", "classification", "attention", "class_consistency", "attention_consistency"}
    assert set(means[0]) == {f"train_{name}" for name in {*names, "attention/empty_maps"}}
    for epoch in (1, 2):
        for name in names:
            mean = sum(each[name] for each in values[epoch]) / 3
            assert means[epoch - 1][f"train_{name}"] == pytest.approx(mean, rel=1e-5)


def test_until_a_term_begins_it_and_the_teacher_do_not_run(make_trainer: Make, make_net: Make) -> None:
    """Two epochs of three batches: the last two of all come after 0.7 of the run, and the mean is theirs."""
    network, spy, asked = make_net(), Spy(StageRamp(0.7)), []
    teacher = Teacher(network)
    teacher.average.register_forward_hook(lambda *_: asked.append(1))
    trainer = make_trainer(network=network, teacher=teacher, criterion=Criterion({"c": CrossEntropy(), "spy": spy}))
    values: list[dict[str, Tensor]] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: values.append(engine.state.output[0]))
    trainer.run()
    assert len(spy.steps) == len(asked) == 2
    assert ["spy" in each for each in values] == [False] * 4 + [True] * 2
    assert trainer.state.metrics["train_spy"] == pytest.approx((values[4]["spy"] + values[5]["spy"]).item() / 2)


def test_the_output_carries_no_graph_and_the_loggers_find_every_term(make_trainer: Make) -> None:
    """A loss kept with its graph would keep the activations of its batch."""
    writer = Mock()
    trainer = make_trainer([TensorBoardStatsHandler(writer, epoch_log=False, output_transform=term_values)])
    values: list[dict[str, Tensor]] = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: values.append(term_values(engine.state.output))
    )
    trainer.run()
    assert [(name, value) for each in values for name, value in each.items() if value.requires_grad] == []
    assert {"loss", "classification", "attention/empty_maps"} < set(values[0])
    written = [call.args for call in writer.add_scalar.call_args_list]
    expected = [(name, each[name].item(), step) for step, each in enumerate(values, 1) for name in sorted(each)]
    assert written == expected


def test_the_batch_sampler_is_told_the_epoch(make_trainer: Make) -> None:
    trainer = make_trainer(max_epochs=3)
    epochs: list[int] = []
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda engine: epochs.append(engine._batch_sampler.epoch))
    trainer.run()
    assert epochs == [0, 0, 0, 1, 1, 1, 2, 2, 2]


class _Learns(Term):
    """A term with a weight of its own, and a hook into the run."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.epochs: list[int] = []

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, lambda: self.epochs.append(engine.state.epoch))

    def forward(self, step: Step) -> Tensor:
        assert step.student.logits is not None
        return (self.scale * step.student.logits).square().mean()


def test_a_terms_own_parameters_learn_and_it_follows_the_run(make_trainer: Make) -> None:
    term = _Learns()
    trainer = make_trainer(criterion=Criterion({"learns": term}), teacher=None)
    trainer.run()
    assert term.scale.item() < 1
    assert term.epochs == [1, 2]
    assert [len(group["params"]) for group in trainer.optimizer.param_groups] == [6, 1]


class _Twice(Term):
    """Another pass of the student, over the image turned upside down."""

    def forward(self, step: Step) -> Tensor:
        again = step.run(step.batch["image"].flip(2))
        assert step.student.logits is not None
        assert again.logits is not None
        return (step.student.logits * again.logits).sum()


def test_two_passes_before_one_backward(make_trainer: Make, make_net: Make, make_rows: Make) -> None:
    """With batch norm in train mode; the gradient is that of the same sum written out."""
    network = make_net()
    loader = DataLoader(make_rows(4, 0), batch_size=4)
    expected = copy.deepcopy(network)
    images = next(iter(loader))["image"]
    (expected(images).logits * expected(images.flip(2)).logits).sum().backward()
    parts = {"criterion": Criterion({"twice": _Twice()}), "teacher": None, "train_data_loader": loader}
    make_trainer(network=network, max_epochs=1, **parts).run()
    for one, other in zip(network.parameters(), expected.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-6)


def test_another_pass_moves_no_running_average(make_trainer: Make, make_net: Make) -> None:
    """They are of images that the deployed network sees, not of what a term made; gradient goes all the same."""

    class Again(Term):
        def forward(self, step: Step) -> Tensor:
            logits = step.run(100 * torch.ones_like(step.batch["image"])).logits
            assert logits is not None
            return logits.square().mean()

    averages, weights = [], []
    for terms in (
        {"classification": CrossEntropy(weight=0.0)},
        {"classification": CrossEntropy(weight=0.0), "again": Again()},
    ):
        network = make_net()
        make_trainer(network=network, criterion=Criterion(terms), teacher=None, max_epochs=1).run()
        averages.append([network.norm.running_mean, network.norm.running_var, network.norm.num_batches_tracked])
        weights.append(network.last.bias)
    assert averages[0][2] == averages[1][2] == 3
    assert not torch.equal(averages[0][0], make_net().norm.running_mean)
    assert not torch.equal(*weights)
    assert torch.allclose(averages[0][0], averages[1][0], atol=0.05)  # the weights before it have moved a little


def test_no_teacher_where_none_is_needed(make_trainer: Make) -> None:
    with pytest.raises(ValueError, match="compares with a teacher, but there is none"):
        make_trainer(teacher=None)
    trainer = make_trainer(teacher=None, criterion=Criterion({"classification": CrossEntropy()}))
    trainer.run()
    assert "teacher" not in trainer.remembered


def test_a_teacher_that_no_term_asks_for_does_not_run(make_trainer: Make, make_net: Make) -> None:
    network = make_net()
    teacher = Teacher(network)
    teacher.average.register_forward_hook(lambda *_: pytest.fail("the teacher ran"))
    make_trainer(network=network, teacher=teacher, criterion=Criterion({"c": CrossEntropy()})).run()
    moved = teacher.state_dict()["average.last.weight"]
    assert not torch.equal(moved, make_net().last.weight), "it is moved all the same"


@pytest.mark.parametrize(
    ("precision", "message"), [("half", "choose one of fp32, bf16, fp16"), ("fp16", "fp16 needs a GPU: .* bf16")]
)
def test_a_precision_that_cannot_be(make_trainer: Make, precision: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_trainer(precision=precision)


def test_a_compiled_student_is_kept_under_its_own_names(make_trainer: Make, make_net: Make) -> None:
    """Constructed only: compiling itself takes a minute (see the next test)."""
    network = make_net()
    trainer = make_trainer(network=network, compile=True)
    assert trainer.network is not network
    assert trainer.student is network
    assert trainer.remembered["student"] is network


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_student_learns_as_the_plain_one_does(make_trainer: Make, make_net: Make) -> None:
    """Three steps: the second loss is of weights that the compiled gradient moved."""
    torch._dynamo.reset()
    found = []
    for compiled in (False, True):
        network = make_net()
        trainer = make_trainer(network=network, compile=compiled, max_epochs=1)
        losses: list[float] = []
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED,
            lambda engine, losses=losses: losses.append(engine.state.output[0]["loss"].item()),
        )
        trainer.run()
        found.append((losses, _weights(network)))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0, "nothing was compiled"
    (plain, weights), (compiled_losses, compiled_weights) = found
    assert len(set(plain)) == 3
    assert compiled_losses == pytest.approx(plain, abs=1e-4)
    for name, value in weights.items():
        assert torch.allclose(value, compiled_weights[name], atol=1e-4), name
