"""A network, rows and a trainer small enough for thousands of steps; what a term is given."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import small_bundles
import torch
from hypothesis import settings
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes
from torch.utils.data import DataLoader

from semimed_monai.data import TwoStreamBatches
from semimed_monai.engines import SemiSupervisedTrainer
from semimed_monai.experiments.forks import fork_context, run_module
from semimed_monai.handlers import EMATeacher
from semimed_monai.losses import AttentionConsistency, AttentionLoss, ClassConsistency, Criterion, CrossEntropy
from semimed_monai.networks import Teacher
from semimed_monai.views import SharedGeometry, Views
from semimed_monai.vocabulary import UNLABELLED, Outputs, Step

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores
    torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of every process that a test begins: new or forked, all add in one order
# What a test serves, it serves on this machine, where a proxy that may be set cannot find it.
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"

# A busy machine is slow: pytest-timeout stops what hangs.
settings.register_profile("semimed", deadline=None)
settings.load_profile("semimed")


class TinyNet(nn.Module):
    """Two convolutions; the maps are the sigmoid of the last one, the logits its mean."""

    def __init__(self, norm: bool = True, dropout: float = 0.0, classes: int = 3) -> None:
        super().__init__()
        self.arguments = {"norm": norm, "dropout": dropout, "classes": classes}
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Conv2d(4, classes, 1)

    def forward(self, images: Tensor) -> Outputs:
        features = self.last(self.dropout(torch.relu(self.norm(self.first(images)))))
        return Outputs(logits=features.mean((2, 3)), maps=torch.sigmoid(features))


def seeded_net(seed: int = 0, **arguments: Any) -> TinyNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyNet(**arguments)


def seeded_rows(labelled: int = 6, unlabelled: int = 6, size: int = 8) -> list[dict[str, Any]]:
    """Labelled rows with a mask, then unlabelled ones."""
    random = torch.Generator().manual_seed(1)
    rows = []
    for number in range(labelled + unlabelled):
        known = number < labelled
        image = torch.rand(1, size, size, generator=random)
        rows.append(
            {
                "id": f"images/p{number:02d}.png",
                "group": f"p{number:02d}",
                "image": image,
                "label": number % 3 if known else UNLABELLED,
                "mask": (image > 0.6).float() if known else torch.zeros_like(image),
                "has_mask": known,
            }
        )
    return rows


def all_terms() -> Criterion:
    return Criterion(
        {
            "classification": CrossEntropy(),
            "attention": AttentionLoss(),
            "class_consistency": ClassConsistency(),
            "attention_consistency": AttentionConsistency(),
        }
    )


def small_trainer(handlers: Sequence[Any] = (), **given: Any) -> SemiSupervisedTrainer:
    """A trainer of three batches an epoch, 2 + 2 rows each; whatever is not given is the smallest there is."""
    network = given.pop("network", None) or seeded_net()
    parts: dict[str, Any] = {
        "device": "cpu",
        "max_epochs": 2,
        "network": network,
        "optimizer": torch.optim.SGD(network.parameters(), lr=0.1),
        "criterion": all_terms(),
        "views": Views(),
        "teacher": Teacher(network),
    }
    parts.update(given)
    if "train_data_loader" not in parts:
        batches = TwoStreamBatches(labelled=6, unlabelled=6, labelled_rows=2, unlabelled_rows=2)
        parts["train_data_loader"] = DataLoader(seeded_rows(), batch_sampler=batches)  # type: ignore[arg-type]
    return SemiSupervisedTrainer(**parts, train_handlers=[EMATeacher(parts["teacher"], network), *handlers])


def step_of(student: Outputs, teacher: Outputs | None = None, **given: Any) -> Step:
    """What a term is given; rows are labelled 0 and masked with zeros unless said otherwise."""
    shown = student.maps if student.maps is not None else student.logits
    assert shown is not None
    rows = len(shown)
    size = shown.shape[2:] if shown.dim() == 4 else (2, 2)
    label = given.pop("label", torch.zeros(rows, dtype=torch.long))
    batch = {
        "image": given.pop("image", torch.zeros(rows, 1, *size)),
        "label": label,
        "mask": given.pop("mask", torch.zeros(rows, 1, *size)),
        "has_mask": given.pop("has_mask", label != UNLABELLED),
        "role": given.pop("role", torch.full((rows,), UNLABELLED)),
        "id": given.pop("id", [str(row) for row in range(rows)]),
    }
    parts: dict[str, Any] = {"geometry": SharedGeometry(), "progress": 1.0, "run": lambda images: student, **given}
    return Step(batch=batch, student=student, teacher=teacher, **parts)


@pytest.fixture
def run_program(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[int, str]]:
    """run_program("data_prep.from_csv", "--csv", …, cwd=folder) -> exit code of `python -m`, and all that it said."""

    def run(*arguments: str, cwd: Path) -> tuple[int, str]:
        said = tmp_path_factory.mktemp("said") / "said"
        return run_module(arguments, said, cwd=cwd, seconds=300), said.read_text()

    return run


@pytest.fixture(scope="session")
def run_twice() -> Callable[..., None]:
    """run_twice(function, …): two processes, forked as a table's cells are, of which each calls function(rank, …)."""

    def run(function: Callable[..., None], *given: Any) -> None:
        start_processes(function, given, nprocs=2, start_method=fork_context().get_start_method())  # type: ignore[no-untyped-call]

    return run


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A suite started in the background hands on that Ctrl-C is ignored: not to the processes of this test."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def make_net() -> Callable[..., TinyNet]:
    return seeded_net


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., list[dict[str, Any]]]:
    return seeded_rows


@pytest.fixture(scope="session")
def make_trainer() -> Callable[..., SemiSupervisedTrainer]:
    return small_trainer


@pytest.fixture(scope="session")
def make_step() -> Callable[..., Step]:
    return step_of


@pytest.fixture(scope="session")
def place_bundles() -> Callable[..., Path]:
    """place_bundles(folder, "dcmt", …) -> the folder, with these bundles of small networks in `bundles`, and an empty
    `my_images`.
    """
    return small_bundles.place


@pytest.fixture
def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """64 KiB, which a bundle with weights fills."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only the superuser can mount a small disk, and not everywhere")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
