"""Two processes are one: gradients, weights and teacher, also where each process has its own batch statistics."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from kornia.augmentation import RandomAffine, RandomGaussianNoise
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from semimed_monai.data import TwoStreamBatches
from semimed_monai.engines import OptimiserEvents, SemiSupervisedTrainer
from semimed_monai.handlers import EMATeacher
from semimed_monai.losses import AttentionLoss, ClassConsistency, Criterion, CrossEntropy, Term
from semimed_monai.networks import AttentionClassifier, Teacher
from semimed_monai.views import Views
from semimed_monai.vocabulary import Step

STEPS = 3


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


class FrozenNorms(AttentionClassifier):
    """Batch norm by its averages, so that a row does not depend on which others share its process."""

    def train(self, mode: bool = True) -> FrozenNorms:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


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


def train(network: AttentionClassifier, distributed_: bool) -> dict[str, Any]:
    """Three steps of 2 + 2 rows over all processes: gradients, weights, and the buffers before each EMA step."""
    wrapped = DistributedDataParallel(network, broadcast_buffers=False) if distributed_ else network
    teacher = Teacher(network, mode="eval")
    noise = RandomGaussianNoise(std=0.1, p=0.7)
    batches = TwoStreamBatches(4, 4, labelled_rows=2, unlabelled_rows=2, steps=STEPS)
    terms: dict[str, Term] = {
        "classification": CrossEntropy(),
        "attention": AttentionLoss(),
        "class_consistency": ClassConsistency(weight=5.0),
        "second": SecondPass(),
    }
    trainer = SemiSupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=DataLoader(_rows(), batch_sampler=batches),  # type: ignore[arg-type]
        network=wrapped,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.05),
        criterion=Criterion(terms),
        views=Views([RandomAffine(10.0, p=0.5)], [noise], [noise]),
        teacher=teacher,
    )
    gradients: list[dict[str, Tensor]] = []
    own_buffers: list[dict[str, Tensor]] = []

    def keep() -> None:
        gradients.append({name: value.grad.clone() for name, value in network.named_parameters()})  # type: ignore[union-attr]
        own_buffers.append({name: value.clone() for name, value in network.named_buffers()})

    trainer.add_event_handler(OptimiserEvents.STEPPED, keep)
    EMATeacher(teacher, network, decay=0.9).attach(trainer)
    start = copy.deepcopy(dict(network.named_buffers()))
    trainer.run()
    return {
        "gradients": gradients,
        "own_buffers": own_buffers,
        "start": start,
        "criterion": trainer.criterion.state_dict(),
        "student": network.state_dict(),
        "teacher": teacher.average.state_dict(),
    }


def _network(kind: type[AttentionClassifier]) -> AttentionClassifier:
    torch.manual_seed(0)
    return kind(layers=(1, 1, 1, 1), width=16, omega=10.0)


def process(rank: int, folder: str) -> None:
    """One of two: both networks, their results to files."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        for kind in (FrozenNorms, AttentionClassifier):
            torch.save(train(_network(kind), distributed_=True), f"{folder}/{kind.__name__}{rank}.pt")
    finally:
        distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    spawn(process, (str(folder),), nprocs=2)  # type: ignore[no-untyped-call]
    return folder


def _close(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    assert set(one) == set(other)
    return [name for name in one if not torch.allclose(one[name], other[name], atol=1e-5, rtol=1e-4)]


def test_gradients_are_those_of_one_process(folder: Path) -> None:
    """Two passes before one backward, views of the global batch, unsupervised rows: step after step."""
    alone = train(_network(FrozenNorms), distributed_=False)
    for rank in (0, 1):
        found = torch.load(folder / f"FrozenNorms{rank}.pt")
        assert len(found["gradients"]) == STEPS
        for step in range(STEPS):
            assert _close(found["gradients"][step], alone["gradients"][step]) == [], f"step {step + 1}"
        for part in ("student", "teacher", "criterion"):
            assert _close(found[part], alone[part]) == [], part
    assert not torch.allclose(alone["criterion"]["terms.second.scale"], torch.ones(()), atol=1e-3)


def test_student_and_teacher_are_the_same_on_both(folder: Path) -> None:
    """Each process has seen other rows, so its batch statistics are other ones, until they are averaged."""
    one, other = (torch.load(folder / f"AttentionClassifier{rank}.pt") for rank in (0, 1))
    assert any(_close(a, b) for a, b in zip(one["own_buffers"], other["own_buffers"], strict=True))
    for part in ("student", "teacher", "criterion"):
        different = [name for name, value in one[part].items() if not torch.equal(value, other[part][name])]
        assert different == [], part


def test_the_teachers_buffers_are_the_average_over_processes_and_steps(folder: Path) -> None:
    """α_n = n/(n+1) while warm: the mean of the start and of what the processes had, on average, after each step."""
    one, other = (torch.load(folder / f"AttentionClassifier{rank}.pt") for rank in (0, 1))
    for name, start in one["start"].items():
        if "running" not in name:
            continue
        means = [(a[name] + b[name]) / 2 for a, b in zip(one["own_buffers"], other["own_buffers"], strict=True)]
        expected = torch.stack([start, *means]).mean(0)
        assert torch.allclose(one["teacher"][name], expected, atol=1e-6), name
        assert torch.allclose(one["student"][name], means[-1], atol=1e-6), name
