"""What a run leaves in its folder, made in a second: the files are written by what writes them in a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from semimed_monai.files import write_table
from semimed_monai.metrics import Collected, Predictions, SegmentationPredictions
from semimed_monai.reports import Cases, Relations, SideBySide

CLASSES = ("normal", "partial", "full")
FINDINGS = ("Nodule", "Mass", "Hernia")
TISSUES = ("background", "cartilage", "meniscus")
FACTS = {
    "section": "test",
    "dataset": "knees",
    "dataset_version": "4",
    "terms": ["classification", "attention"],
    "tiou_threshold": 0.5,
    "profile": "table",
    "labelled_share": 0.1,
    "seed": 0,
}


def output(labels: Sequence[int], seed: int, classes: int, maps: bool = True, studies: bool = False) -> dict[str, Any]:
    """An evaluator's output: two images a group, each a study where there are any; the last has no mask."""
    random = torch.Generator().manual_seed(seed)
    count = len(labels)
    logits = torch.randn(count, classes, generator=random)
    label = torch.tensor(labels)
    logits[torch.arange(count), label.clamp(min=0)] += 1
    found = {
        "id": [f"images/p{row // 2:03d}.nii.gz#{row % 2}" for row in range(count)],
        "group": [f"p{row // 2:03d}" for row in range(count)],
        "label": label,
        "image": torch.rand(count, 1, 24, 24, generator=random),
        "probabilities": torch.softmax(logits, 1),
    }
    if studies:
        found["study"] = [f"p{row // 2:03d}/{row % 2}" for row in range(count)]
    if maps:
        found["map"] = torch.rand(count, 1, 24, 24, generator=random)
        found["mask"] = torch.zeros(count, 1, 24, 24)
        found["mask"][:, :, 6:18, 6:18] = 1
        found["has_mask"] = torch.arange(count) < count - 1
    return found


def segmented(count: int, missed: float = 0.4) -> dict[str, Any]:
    """A segmenter's output: two images a group, masks of three classes in stripes; the last has no mask.

    Found is less of each class from image to image, down to a share of 1 - `missed`: the first is best, the last worst.
    """
    mask = torch.zeros(count, 1, 40, 40)
    mask[:, :, 4:16, :20], mask[:, :, 24:36, 20:] = 1, 2
    found = mask.clone()
    for row in range(count):
        kept = 20 - round(20 * missed * row / (count - 1))
        found[row, :, :, kept:20] = 0
        found[row, :, :, 20 + kept :] = 0
    return {
        "id": [f"images/p{row // 2:03d}.nii.gz#{row % 2}" for row in range(count)],
        "group": [f"p{row // 2:03d}" for row in range(count)],
        "image": torch.rand(count, 1, 40, 40, generator=torch.Generator().manual_seed(0)),
        "segmentation": found.long(),
        "mask": mask,
        "has_mask": torch.arange(count) < count - 1,
    }


def leave_run(
    folder: Path,
    labels: Sequence[int] = (0, 1, 2) * 8,
    classes: Sequence[str] = CLASSES,
    maps: bool = True,
    networks: Sequence[str] = ("teacher", "student"),
    studies: bool = False,
    beside: bool = False,
    **facts: Any,
) -> Path:
    """metrics.json, predictions.csv and, of a network with maps, cases.npz and, if wanted, side_by_side.npz."""
    outputs = {network: output(labels, seed, len(classes), maps, studies) for seed, network in enumerate(networks)}
    if beside:
        shown = SideBySide(images=3)
        for network, found_output in outputs.items():
            shown.update(network, found_output)
        shown.save(folder / SideBySide.file)
    return _leave(folder, Predictions, outputs, classes, maps, {**FACTS, **facts})


def leave_answers(
    folder: Path, answers: Mapping[str, Mapping[str, Sequence[float]]], classes: Sequence[str], **facts: Any
) -> Path:
    """metrics.json and predictions.csv of a classifier that said just this: network → id → the probabilities.

    An id begins with its label: `1/knee.png`.
    """
    outputs = {
        network: {
            "id": list(rows),
            "group": list(rows),
            "label": torch.tensor([int(name.partition("/")[0]) for name in rows]),
            "image": torch.zeros(len(rows), 1, 8, 8),
            "probabilities": torch.tensor(list(rows.values())),
        }
        for network, rows in answers.items()
    }
    return _leave(folder, Predictions, outputs, classes, False, {**FACTS, **facts})


def found(count: int, seed: int) -> dict[str, Any]:
    """An evaluator's output where images may have several findings: two a group; of the first not all is known."""
    random = torch.Generator().manual_seed(seed)
    rows = torch.arange(count)
    label = torch.stack([rows % 3 == 0, rows % 4 == 0, rows < 0], 1).float()
    label[0, 0] = -1
    return {
        "id": [f"films/p{row // 2:03d}_{row % 2}.png" for row in range(count)],
        "group": [f"p{row // 2:03d}" for row in range(count)],
        "label": label,
        "image": torch.rand(count, 1, 24, 24, generator=random),
        "probabilities": torch.sigmoid(torch.randn(count, 3, generator=random) + label),
        "maps": torch.rand(count, 3, 6, 6, generator=random),
        "embedding": torch.rand(count, 5, generator=random),
    }


def leave_findings_run(folder: Path, count: int = 24) -> Path:
    """The same files where images may have several findings, and how the images lie to each other."""
    outputs = {network: found(count, seed) for seed, network in enumerate(("teacher", "student"))}
    relations = Relations(images=16)
    for network, output in outputs.items():
        relations.update(network, output)
        relations.gather(network)
    relations.save(folder / "relations.npz")
    return _leave(folder, Predictions, outputs, FINDINGS, True, FACTS)


def leave_segmenter_run(folder: Path, count: int = 12, classes: Sequence[str] = TISSUES, **facts: Any) -> Path:
    """The same files of a segmenter."""
    known = {"section": "test", "dataset": "knees", "dataset_version": "4", "labelled_share": 1.0, "seed": 0}
    outputs = {"segmenter": segmented(count)}
    return _leave(folder, lambda: SegmentationPredictions(len(classes)), outputs, classes, True, known | facts)


def _leave(
    folder: Path,
    collector: Callable[[], Collected],
    outputs: Mapping[str, dict[str, Any]],
    classes: Sequence[str],
    pictured: bool,
    facts: Mapping[str, Any],
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    scores, rows = {}, []
    for network, found in outputs.items():
        predictions, cases = collector(), Cases()
        for each in (predictions, cases):
            each.update(found)
            each.gather()
        named = predictions.scores(classes, bootstrap_repeats=30)
        scores[network] = {
            name: {key: None if value != value else value for key, value in entry.items()}  # noqa: PLR0124 - nan
            for name, entry in named.items()
        }
        rows += [{"network": network, **row} for row in predictions.table(classes)]
        if pictured and network == next(iter(outputs)):
            cases.save(folder / "cases.npz", network)
    (folder / "metrics.json").write_text(json.dumps({**facts, "scores": scores}))
    write_table(folder / "predictions.csv", rows)
    return folder


def leave_curves(folder: Path, first: int = 1, last: int = 3, scale: float = 1.0, **terms: float) -> None:
    """TensorBoard's files of the epochs from first to last: each term is its number times `scale` times the epoch."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard")) as writer:
        for epoch in range(first, last + 1):
            for name, value in terms.items():
                writer.add_scalar(name, value * scale * epoch, epoch * 10)
                writer.add_scalar(f"train_{name}", value * scale * epoch, epoch)
            writer.add_scalar("f1", 0.1 * epoch, epoch)


def leave_configuration(folder: Path) -> None:
    """configuration.json."""
    content = {
        "bundle": {"name": "Grading of knees", "version": "0.1.0"},
        "settings": {"learning_rate": 0.001, "shift": [0.03, 0.03]},
        "recipe": {"learning_rate": 0.001, "network": {"_target_": "torch.nn.Linear"}},
        "versions": {"monai": "1.6.1-then"},
    }
    (folder / "configuration.json").write_text(json.dumps(content))
