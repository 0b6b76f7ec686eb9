"""What STSC's relation terms cost: of a step in time, and of a million photographs in memory.

    python -m benchmarks.relations                  # DenseNet-121, batch 64, 64²
    python -m benchmarks.relations --image 224 --device cuda

A step is the student's and the teacher's pass, cross-entropy and class consistency, backward and Adam; the two terms,
with their part of the backward pass and the bank's reading and writing, are timed on the same embeddings by themselves,
as a few milliseconds would be lost in the noise of whole steps. The bank is filled in a process of its own. The exit
code is 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.train_step import alternate, holds
from semimed_monai.losses import (
    ClassConsistency,
    Criterion,
    CrossEntropy,
    RelationConsistency,
    TemporalRelations,
)
from semimed_monai.networks import EmbeddingClassifier, Teacher
from semimed_monai.views import SharedGeometry
from semimed_monai.vocabulary import Outputs, Step

ROWS = 64
ITEMS = 10_000  # of the bank that is timed; ISIC 2018 has as many
MILLION = 1_000_000
FEATURES = 1024
PER_ITEM = 2 * FEATURES + 4
"""Bytes: an embedding in half precision, and when it was kept."""

IDS = 200
"""Bytes of an item at most that Python takes to find its place by its id."""


class Work:
    """A step without the two terms, and the two terms without the step."""

    def __init__(self, image: int, device: str) -> None:
        torch.manual_seed(0)
        self.student = EmbeddingClassifier().to(device)
        self.teacher = Teacher(self.student)
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=1e-4, fused=True)
        self.others = Criterion({"classification": CrossEntropy(), "consistency": ClassConsistency(summed=True)})
        items = [{"id": str(number)} for number in range(ITEMS)]
        temporal = TemporalRelations(items, FEATURES, threshold=0.5)
        self.two = Criterion({"relations": RelationConsistency(), "temporal": temporal}).to(device)
        temporal.epoch = 2
        label = torch.arange(ROWS, device=device) % 7
        label[ROWS // 2 :] = -1
        self.batch: dict[str, Any] = {"label": label, "id": [str(number) for number in range(ROWS)]}
        self.images = torch.rand(ROWS, 3, image, image, device=device)
        with torch.no_grad():
            self.seen = self.student.train()(self.images)

    def step(self) -> None:
        """One of mean teacher's."""
        with torch.no_grad():
            teacher = self.teacher(self.images)
        self.optimizer.zero_grad(set_to_none=True)
        self._loss(self.others, self.student(self.images), teacher).backward()
        self.optimizer.step()

    def terms(self) -> None:
        """Both, forward and back to the embedding."""
        embedding = (self.seen.embedding + 0.01 * torch.rand_like(self.seen.embedding)).requires_grad_()
        self._loss(self.two, Outputs(self.seen.logits, embedding=embedding), self.seen).backward()

    def _loss(self, criterion: Criterion, student: Outputs, teacher: Outputs) -> Tensor:
        loss: Tensor = criterion(Step(self.batch, student, teacher, SharedGeometry(), 1.0, self.student))["loss"]
        return loss


def _resident() -> int:
    """Bytes of this process that are in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def _fill(answer: Any) -> None:
    """Make and fill a term's bank of a million items that are there; bytes for each, of its tensors and of all."""
    items = [{"id": f"images/ISIC_{number:07d}.jpg"} for number in range(MILLION)]
    before = _resident()
    memory = TemporalRelations(items, FEATURES).memory
    rows = torch.arange(MILLION)
    for part in rows.split(10_000):
        memory.values[part], memory.marks[part] = 1, 1
    kept = memory.values.nbytes + memory.marks.nbytes
    answer.put((kept / MILLION, (_resident() - before) / MILLION))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=int, default=64, help="rows and columns of the images (default 64)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count; the median is printed (default 7)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    given = parser.parse_args()
    work = Work(given.image, given.device)
    seconds = alternate({"step": work.step, "terms": work.terms}, given.rounds, given.device)
    print(f"a step takes {1e3 * seconds['step']:.0f} ms, both terms {1e3 * seconds['terms']:.1f} ms")
    claims = [holds("relation and temporal term, of a step,", 100 * seconds["terms"] / seconds["step"], 3, " %")]
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_fill, args=(answer,))
    process.start()
    kept, grown = answer.get()
    process.join()
    claims.append(holds("a bank of a million photographs, of each,", kept, PER_ITEM, " bytes"))
    claims.append(holds("the process grows, for each,", grown, PER_ITEM + IDS, " bytes"))
    sys.exit(not all(claims))


if __name__ == "__main__":
    main()
