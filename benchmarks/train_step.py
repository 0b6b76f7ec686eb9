"""What the trainer costs over a bare PyTorch loop of the same mathematics: same networks, views, losses, average.

    python -m benchmarks.train_step            # all sizes
    python -m benchmarks.train_step --size small --rounds 5

Both sides take turns in one process, in which the trainer has set what becomes of freed memory, and the ratio is of
the medians over the rounds. Peak memory is each side's own process. The exit code is 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser
from torch import Tensor, nn

from semimed_monai.engines import SemiSupervisedTrainer, fastest_precision
from semimed_monai.handlers import EMATeacher
from semimed_monai.losses import (
    AttentionConsistency,
    AttentionLoss,
    ClassConsistency,
    Criterion,
    CrossEntropy,
    LesionCrossEntropy,
    SharpenedConsistency,
    SigmoidRamp,
)
from semimed_monai.networks import AttentionClassifier, LesionMapNetwork, Teacher
from semimed_monai.views import Views
from semimed_monai.vocabulary import ROLES, Outputs, Step

DECAY = 0.99


@dataclass(frozen=True)
class Size:
    """One configuration to measure; `limit` is the ratio that is claimed for it."""

    bundle: str
    network: Mapping[str, Any]
    image: int
    steps: int
    limit: float
    precision: str = "fp32"


_ONE_BLOCK = {"layers": (1, 1, 1, 1), "width": 16}
SIZES = {
    "se_resnext50": Size("dcmt", {}, 128, 2, 1.05),
    "default": Size("dcmt", {**_ONE_BLOCK, "map_stride": 8}, 96, 15, 1.15),
    "small": Size("dcmt", _ONE_BLOCK, 32, 30, 1.15),
    "resnet50": Size("cxr_fracture", {}, 128, 2, 1.05),
    "fractures": Size(
        "cxr_fracture",
        {"layers": (1, 1, 1, 1), "widths": (16, 32, 64, 128), "block": "basic", "pyramid": 32},
        128,
        15,
        1.15,
    ),
}


class Guided(SharpenedConsistency):
    """t and a are as they are: what sets them belongs to an epoch, and here steps are measured."""

    def attach(self, _engine: Engine) -> None:
        """Once, not before each epoch."""
        self.guide.copy_(torch.tensor([0.2, 6.0, 0.3]))


class Method:
    """What a bundle's default run is made of, with a batch of noise: the second stage's where there are two."""

    student: nn.Module
    teacher: Teacher
    criterion: Criterion

    def __init__(self, size: Size) -> None:
        recipe = ConfigParser()
        recipe.read_config(Path(__file__).parents[1] / "bundles" / size.bundle / "configs" / "train.json")
        self.views: Views = recipe.get_parsed_content("views")
        make = {"dcmt": self._grading, "cxr_fracture": self._finding}[size.bundle]
        known = make(size.network)
        rows = len(next(iter(known.values())))
        self.batch: dict[str, Any] = {
            "image": torch.rand(rows, 1, size.image, size.image),
            "mask": (torch.rand(rows, 1, size.image, size.image) > 0.9).float(),
            "id": [str(row) for row in range(rows)],
            **known,
        }

    def _grading(self, network: Mapping[str, Any]) -> dict[str, Tensor]:
        """DC-MT: 20 labelled rows, 10 others, and a teacher of its own."""
        self.student = AttentionClassifier(**network)
        self.teacher = Teacher(self.student)
        self.criterion = Criterion(
            {
                "classification": CrossEntropy(),
                "attention": AttentionLoss(),
                "class_consistency": ClassConsistency(ramp=SigmoidRamp()),
                "attention_consistency": AttentionConsistency(ramp=SigmoidRamp()),
            }
        )
        label = torch.arange(30) % 3
        label[20:] = -1
        return {"label": label, "has_mask": label >= 0}

    def _finding(self, network: Mapping[str, Any]) -> dict[str, Tensor]:
        """Dynamic sharpening: 8 rows of each role, and a teacher that is the student."""
        self.student = LesionMapNetwork(**network)
        self.teacher = Teacher(self.student, kind="self", mode="eval")
        lesions = LesionCrossEntropy(dict.fromkeys(["P_hos", "N_hos", "N_pub"], 8))
        self.criterion = Criterion({"lesions": lesions, "sharpened": Guided(positives=())})
        role = torch.arange(len(ROLES)).repeat_interleave(8)
        return {"role": role, "label": (role % 2 == 0).long(), "has_mask": role != ROLES.index("P_pub")}


class Side:
    """One of the two loops over its own copy of everything, and the same batches."""

    def __init__(self, size: Size, device: str) -> None:
        torch.manual_seed(0)
        self.size = size
        self.device = torch.device(device)
        self.channels_last = size.precision != "fp32"
        self.method = Method(size)
        self.student, self.teacher = self.method.student.to(device), self.method.teacher.to(device)
        if self.channels_last:
            self.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)
        self.batches = [self.method.batch] * size.steps


class Trainer(Side):
    """The project's loop."""

    def __init__(self, size: Size, device: str) -> None:
        super().__init__(size, device)
        self.engine = SemiSupervisedTrainer(
            device=device,
            max_epochs=1,
            train_data_loader=self.batches,
            network=self.student,
            optimizer=self.optimizer,
            criterion=self.method.criterion,
            views=self.method.views,
            teacher=self.teacher,
            precision=size.precision,
            channels_last=self.channels_last,
            train_handlers=[EMATeacher(self.teacher, self.student, DECAY)],
        )

    def run(self) -> None:
        """One epoch."""
        self.engine.run()


class Bare(Side):
    """The same mathematics as a plain loop."""

    def run(self) -> None:
        """As many steps as the trainer's epoch."""
        criterion = self.method.criterion.to(self.device)
        criterion.attach(Engine(lambda *_: None))
        self.student.train()
        for number, batch in enumerate(self.batches, start=1):
            on_device = {
                name: value.to(self.device) if isinstance(value, Tensor) else value for name, value in batch.items()
            }
            viewed = self.method.views(on_device, number)
            teacher = self._outputs(self.teacher, viewed.teacher_images)
            student = self._outputs(self.student, viewed.batch["image"])
            progress = number / self.size.steps
            loss = criterion(Step(viewed.batch, student, teacher, viewed.geometry, progress, self.student))["loss"]
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            if self.teacher.kind == "ema":
                self.average()

    def average(self) -> None:
        """The teacher's update, one tensor after the other."""
        with torch.no_grad():
            pairs = zip(self.teacher.average.state_dict().values(), self.student.state_dict().values(), strict=True)
            for follower, leader in pairs:
                if leader.is_floating_point():
                    follower.lerp_(leader, 1 - DECAY)
                else:
                    follower.copy_(leader)

    def _outputs(self, network: nn.Module, images: Tensor) -> Outputs:
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.size.precision == "bf16"):
            outputs: Outputs = network(images)
        return outputs


def holds(what: str, value: float, limit: float, unit: str = "", at_least: bool = False) -> bool:
    """Print a claim beside what was measured; whether it holds."""
    print(f"{what} {value:.3g}{unit} (claimed: at {'least' if at_least else 'most'} {limit}{unit})")
    return value >= limit if at_least else value <= limit


def timed(run: Callable[[], object], device: str) -> float:
    """Seconds that one call takes."""
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def alternate(sides: Mapping[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """The median seconds of each side; they take turns, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, run in sides.items():
            spent = timed(run, device)
            if number:
                seconds[name].append(spent)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _peak(kind: type[Side], size: Size, device: str, answer: Any) -> None:
    """Peak memory of one side, in bytes over what it had before its first step."""
    side = kind(size, device)
    before = _most_resident()
    side.run()  # type: ignore[attr-defined]
    answer.put(_most_resident() - before if device == "cpu" else torch.cuda.max_memory_allocated())


def _most_resident() -> int:
    """The largest resident set so far in KiB. Not getrusage's, which a new process has from the one that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def peak_memory(kind: type[Side], size: Size, device: str) -> float:
    """The peak of one side in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_peak, args=(kind, replace(size, steps=3), device, answer))
    process.start()
    peak: float = answer.get()
    process.join()
    return peak


def ema_share(trainer: Trainer, step_seconds: float, device: str) -> float:
    """The fused update's share of a step."""
    handler = EMATeacher(trainer.teacher, trainer.student, DECAY)
    handler.attach(trainer.engine)

    def update() -> None:
        handler._move(trainer.engine)  # noqa: SLF001 - what the handler does at each step

    return statistics.median(timed(update, device) for _ in range(50)) / step_seconds


def measure(name: str, rounds: int, device: str) -> bool:
    """Print one size's lines; whether its claims hold."""
    size = SIZES[name]
    trainer, bare = Trainer(size, device), Bare(size, device)
    seconds = alternate({"bare": bare.run, "trainer": trainer.run}, rounds, device)
    step = {side: value / size.steps for side, value in seconds.items()}
    taken = (
        f"{name}: a step takes {1e3 * step['trainer']:.1f} ms in the trainer, {1e3 * step['bare']:.1f} ms bare: ratio"
    )
    memory = {kind.__name__: peak_memory(kind, size, device) for kind in (Bare, Trainer)}
    claims = [
        holds(taken, step["trainer"] / step["bare"], size.limit),
        holds(f"{name}: peak memory ratio", memory["Trainer"] / memory["Bare"], 1.1),
    ]
    if trainer.teacher.kind == "ema":
        share = ema_share(trainer, step["trainer"], device)
        claims.append(holds(f"{name}: the teacher's update, of a step,", 100 * share, 2, " %"))
    return all(claims)


def compare_formats(rounds: int, device: str) -> bool:
    """The trainer in bf16 and channels-last against the bare loop in fp32, at the default run's size.

    Only where the device computes in bf16: what emulates it takes many times as long, and no recipe chooses it there.
    """
    if fastest_precision(device) != "bf16":
        print("default: bf16 channels-last is not measured: this device has no bf16 instructions")
        return True
    fp32 = SIZES["default"]
    sides = {"fp32": Bare(fp32, device).run, "bf16": Trainer(replace(fp32, precision="bf16"), device).run}
    seconds = alternate(sides, rounds, device)
    what = "default: bf16 channels-last is faster than the bare loop in fp32"
    return holds(what, seconds["fp32"] / seconds["bf16"], 1.7, "×", True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=[*SIZES, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count; the median is printed (default 7)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    names = SIZES if arguments.size == "all" else [arguments.size]
    claims = [measure(name, arguments.rounds, arguments.device) for name in names]
    claims.append(compare_formats(2 * arguments.rounds, arguments.device))  # short ones
    sys.exit(not all(claims))


if __name__ == "__main__":
    main()
