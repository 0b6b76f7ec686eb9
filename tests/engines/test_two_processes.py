"""Two processes are one: gradients, weights, teacher and means, however many rows of each count; and they end together.

Where each process has its own batch statistics, student and teacher are still the same on both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from kornia.augmentation import RandomAffine, RandomGaussianNoise
from monai.engines.utils import IterationEvents
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from semimed_monai.data import TwoStreamBatches
from semimed_monai.engines import OptimiserEvents, SemiSupervisedTrainer, on_device
from semimed_monai.handlers import EMATeacher
from semimed_monai.losses import (
    AttentionLoss,
    ClassConsistency,
    ClassEnsembling,
    Criterion,
    CrossEntropy,
    DiceCrossEntropy,
    RelationConsistency,
    SelfTraining,
    TemporalRelations,
    Term,
)
from semimed_monai.networks import AttentionClassifier, EmbeddingClassifier, Segmenter, Teacher
from semimed_monai.views import Views
from semimed_monai.vocabulary import Step

STEPS = 3
SUPERVISED = {"attention": AttentionLoss, "classification": CrossEntropy, "segmentation": DiceCrossEntropy}


class SecondPass(Term):
    """Two passes before one backward: the student's answer to the image upside down, and a factor that is learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, step: Step) -> Tensor:
        again = step.run(step.batch["image"].flip(2)).logits
        assert again is not None
        assert step.student.logits is not None
        return self.scale * (step.student.logits * again).mean()


class BreaksAt(Term):
    """Not a number from the second step on, on one process."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.broken = distributed.get_rank() == rank

    def forward(self, step: Step) -> Tensor:
        assert step.student.logits is not None
        return step.student.logits.sum() * (float("nan") if self.broken and step.progress > 0.5 else 1.0)


def _rows() -> list[dict[str, Any]]:
    random = torch.Generator().manual_seed(0)
    images = torch.rand(8, 1, 32, 32, generator=random)
    return [
        {
            "id": str(number),
            "image": image * (1 + number % 4) / 4,
            "label": number % 3 if number < 4 else -1,
            "mask": (image > 0.5).float(),
            "has_mask": number < 4,
        }
        for number, image in enumerate(images)
    ]


def _two_streams() -> DataLoader[Any]:
    """Of each batch's 2 + 2 rows this process's."""
    batches = TwoStreamBatches(4, 4, labelled_rows=2, unlabelled_rows=2, steps=STEPS)
    return DataLoader(_rows(), batch_sampler=batches)  # type: ignore[arg-type]


def _uneven(rank: int | None) -> DataLoader[Any]:
    """Two batches of which other numbers of rows count on either process; `rank` None is one process with all rows.

    Batch 1: labels 2 and 1, masks 2 and none, as row 2 is labelled without a mask; batch 2: labels and masks none and
    1.
    """
    rows = _rows()
    rows[2]["has_mask"] = False
    batches = [[[0, 1], [2, 4]], [[5, 6], [1, 7]]]
    chosen = [[row for part in batch for row in part] if rank is None else batch[rank] for batch in batches]
    return DataLoader(rows, batch_sampler=chosen)  # type: ignore[arg-type]


def _methods_terms() -> dict[str, Term]:
    return {
        "classification": CrossEntropy(),
        "attention": AttentionLoss(),
        "class_consistency": ClassConsistency(weight=5.0),
        "second": SecondPass(),
    }


def train(
    network: nn.Module,
    batches: Iterable[Mapping[str, Any]],
    terms: Mapping[str, Term],
    frozen_norm: bool,
    with_teacher: bool = True,
    epochs: int = 1,
    channels_last: bool = False,
) -> dict[str, Any]:
    """One epoch, or more: gradients and means, weights, and the buffers that this process had before each step."""
    together = distributed.is_initialized()
    network = on_device(network, "cpu", channels_last)
    teacher = Teacher(network, mode="eval") if with_teacher else None
    noise = RandomGaussianNoise(std=0.1, p=0.7)
    trainer = SemiSupervisedTrainer(
        device="cpu",
        max_epochs=epochs,
        train_data_loader=batches,
        network=DistributedDataParallel(network, broadcast_buffers=False) if together else network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.05),
        criterion=Criterion(terms),
        views=Views([RandomAffine(10.0, p=0.5)], [noise], [noise]),
        teacher=teacher,
        frozen_norm=frozen_norm,
        channels_last=channels_last,
    )
    learned = {name: value for name, value in network.named_parameters() if value.requires_grad}
    gradients: list[dict[str, Tensor]] = []
    own_buffers: list[dict[str, Tensor]] = []
    trainer.add_event_handler(
        OptimiserEvents.STEPPED,
        lambda: gradients.append({name: value.grad.clone() for name, value in learned.items()}),  # type: ignore[union-attr]
    )
    trainer.add_event_handler(
        IterationEvents.BACKWARD_COMPLETED,
        lambda: own_buffers.append({name: value.clone() for name, value in network.named_buffers()}),
    )
    EMATeacher(teacher, network, decay=0.9).attach(trainer)
    start = {name: value.clone() for name, value in network.named_buffers()}
    trainer.run()
    return {
        "gradients": gradients,
        "means": dict(trainer.state.metrics),
        "own_buffers": own_buffers,
        "start": start,
        "criterion": trainer.criterion.state_dict(),
        "student": network.state_dict(),
        "teacher": teacher.average.state_dict() if teacher is not None else {},
    }


def _classifier() -> AttentionClassifier:
    torch.manual_seed(0)
    return AttentionClassifier(layers=(1, 1, 1, 1), width=16, omega=10.0)


def train_by_relations() -> dict[str, Any]:
    """Terms of the global batch, four of which remember: epoch 2 compares with epoch 1, "young" with less."""
    torch.manual_seed(0)
    network = EmbeddingClassifier(in_channels=1, classes=3, layers=(1, 1), growth=4, stem=8)
    terms = {
        "classification": CrossEntropy(),
        "relations": RelationConsistency(weight=10.0),
        "temporal": TemporalRelations(_rows(), network.embedding_size(32), threshold=0.1, weight=10.0),
        "young": TemporalRelations(_rows(), network.embedding_size(32), threshold=0.1, weight=10.0, max_age=1.0),
        "ensembling": ClassEnsembling(_rows(), classes=3, weight=10.0),
        "self_training": SelfTraining(_rows()[4:], classes=3, threshold=0.51, multi_label=True),
    }
    return train(network, _two_streams(), terms, frozen_norm=True, epochs=2)


def train_on_uneven_rows(name: str, rank: int | None) -> dict[str, Any]:
    """One supervised term on rows of which other numbers count."""
    torch.manual_seed(0)
    network = Segmenter(classes=2, channels=(4, 8), residual_units=0) if name == "segmentation" else _classifier()
    if name == "attention":  # a map knows of no bias, and DistributedDataParallel of no parameter without gradient
        network.last_linear.bias.requires_grad_(False)  # type: ignore[union-attr]
    term = SUPERVISED[name]()
    return train(network, _uneven(rank), {name: term}, frozen_norm=True, with_teacher=False)


def _break(rank: int) -> str:
    """How a run ends in which one process's loss is no number."""
    try:
        train(_classifier(), _two_streams(), {"class": CrossEntropy(), "breaks": BreaksAt(rank)}, frozen_norm=True)
    except RuntimeError as error:
        return f"{type(error).__name__}: {error}"
    return "to its end"


def _change_layout_late() -> str:
    """What is said of a network that was wrapped before it is made channels-last."""
    network = _classifier()
    try:
        SemiSupervisedTrainer(
            device="cpu",
            max_epochs=1,
            train_data_loader=_two_streams(),
            network=DistributedDataParallel(network, broadcast_buffers=False),
            optimizer=torch.optim.SGD(network.parameters(), lr=0.05),
            criterion=Criterion({"classification": CrossEntropy()}),
            views=Views(),
            channels_last=True,
        )
    except ValueError as error:
        return str(error)
    return "nothing"


def process(rank: int, folder: str) -> None:
    """One of two: every run, its results to files."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        for norms in ("frozen", "own"):
            frozen = norms == "frozen"
            found = train(_classifier(), _two_streams(), _methods_terms(), frozen, channels_last=frozen)
            torch.save(found, f"{folder}/{norms}{rank}.pt")
        alone = train(_classifier(), _two_streams(), {"c": CrossEntropy()}, frozen_norm=False, with_teacher=False)
        torch.save(alone, f"{folder}/no_teacher{rank}.pt")
        torch.save(train_by_relations(), f"{folder}/relations{rank}.pt")
        for name in SUPERVISED:
            torch.save(train_on_uneven_rows(name, rank), f"{folder}/{name}{rank}.pt")
        Path(folder, f"broken{rank}.txt").write_text(_break(rank=1))
        Path(folder, f"late{rank}.txt").write_text(_change_layout_late())
    finally:
        distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(run_twice: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    run_twice(process, str(folder))
    return folder


def _found(folder: Path, name: str) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{name}{rank}.pt") for rank in (0, 1)]


def _far(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    assert set(one) == set(other)
    return [name for name in one if not torch.allclose(one[name], other[name], atol=1e-5, rtol=1e-4)]


def test_a_layout_that_comes_too_late_is_refused(folder: Path) -> None:
    """DistributedDataParallel would give back gradients with their elements out of order, and warn only."""
    for rank in (0, 1):
        assert "give `on_device` channels_last, too" in (folder / f"late{rank}.txt").read_text()


def test_gradients_are_those_of_one_process(folder: Path) -> None:
    """Two passes before one backward, views of the global batch, unsupervised rows: step after step.

    The two are channels-last, the one is not.
    """
    alone = train(_classifier(), _two_streams(), _methods_terms(), frozen_norm=True)
    for found in _found(folder, "frozen"):
        assert len(found["gradients"]) == STEPS
        for step in range(STEPS):
            assert _far(found["gradients"][step], alone["gradients"][step]) == [], f"step {step + 1}"
        for part in ("student", "teacher", "criterion"):
            assert _far(found[part], alone[part]) == [], part
    assert not torch.allclose(alone["criterion"]["terms.second.scale"], torch.ones(()), atol=1e-3)


def test_terms_of_the_whole_batch_and_their_bank_are_those_of_one_process(folder: Path) -> None:
    alone = train_by_relations()
    for found in _found(folder, "relations"):
        for step in range(2 * STEPS):
            assert _far(found["gradients"][step], alone["gradients"][step]) == [], f"step {step + 1}"
        for part in ("student", "teacher"):
            assert _far(found[part], alone[part]) == [], part
        for name, value in alone["criterion"].items():  # the bank is in half precision
            assert torch.allclose(found["criterion"][name].float(), value.float(), atol=1e-3), name
        assert found["means"] == pytest.approx(alone["means"], rel=1e-4)
    for name in ("temporal", "young", "ensembling", "self_training"):  # all have remembered something
        assert alone["means"][f"train_{name}"] > 1e-6, name


@pytest.mark.parametrize("name", SUPERVISED)
def test_a_row_weighs_the_same_on_whichever_process_it_is(folder: Path, name: str) -> None:
    """Other numbers of labels and masks on either process, none at all among them: gradients and means are of one."""
    alone = train_on_uneven_rows(name, rank=None)
    assert alone["means"]["train_loss"] > 0.1
    for found in _found(folder, name):
        assert len(found["gradients"]) == 2
        for step in range(2):
            assert any(gradient.any() for gradient in alone["gradients"][step].values())
            assert _far(found["gradients"][step], alone["gradients"][step]) == [], f"step {step + 1}"
        assert _far(found["student"], alone["student"]) == []
        for value in ("train_loss", f"train_{name}"):
            assert found["means"][value] == pytest.approx(alone["means"][value], rel=1e-5)


@pytest.mark.parametrize("run", ["own", "no_teacher"])
def test_student_and_teacher_are_the_same_on_both(folder: Path, run: str) -> None:
    """Each process has seen other rows, so its batch statistics are other ones, until they are averaged."""
    one, other = _found(folder, run)
    assert all(_far(a, b) for a, b in zip(one["own_buffers"], other["own_buffers"], strict=True))
    for part in ("student", "teacher", "criterion"):
        different = [name for name, value in one[part].items() if not torch.equal(value, other[part][name])]
        assert different == [], part


@pytest.mark.parametrize("run", ["own", "no_teacher"])
def test_buffers_are_the_average_over_processes_and_the_teachers_over_steps_too(folder: Path, run: str) -> None:
    """α_n = n/(n+1) while warm: the mean of the start and of what the processes had, on average, after each step."""
    one, other = _found(folder, run)
    running = [name for name in one["start"] if "running" in name]
    assert running
    for name in running:
        means = [(a[name] + b[name]) / 2 for a, b in zip(one["own_buffers"], other["own_buffers"], strict=True)]
        assert torch.allclose(one["student"][name], means[-1], atol=1e-6), name
        if one["teacher"]:
            expected = torch.stack([one["start"][name], *means]).mean(0)
            assert torch.allclose(one["teacher"][name], expected, atol=1e-6), name


def test_a_loss_that_is_no_number_on_one_process_ends_both(folder: Path) -> None:
    """Or the other would wait for a gradient that never comes; each names its own value and files."""
    fine, broken = ((folder / f"broken{rank}.txt").read_text() for rank in (0, 1))
    for message in (fine, broken):
        assert message.startswith("NonFiniteLossError: the loss is not finite in epoch 1, batch 2 of the run: loss")
    assert "breaks nan" in broken
    assert "breaks nan" not in fine
    assert fine.splitlines()[-2:] != broken.splitlines()[-2:]
