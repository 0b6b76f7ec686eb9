"""The cases whose pictures an evaluation keeps: the right ones, few, and the same however the section is cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from ignite.engine import Engine
from left_run import output, segmented
from monai.bundle import ConfigWorkflow

from semimed_monai.reports import Cases
from semimed_monai.reports.cases import load_cases

LABELS = [row % 3 - (row % 7 == 0) for row in range(60)]
"""Three classes, and some unlabelled: -1."""


def batches(found: dict[str, Any], size: int) -> list[dict[str, Any]]:
    return [
        {name: column[start : start + size] for name, column in found.items()}
        for start in range(0, len(found["id"]), size)
    ]


def chosen(cases: Cases, parts: list[dict[str, Any]]) -> list[tuple[str, str, float]]:
    """By an engine, twice: an epoch forgets the one before."""
    engine = Engine(lambda _, batch: batch)
    cases.attach(engine)
    engine.run(parts, max_epochs=2)
    return [(case.id, case.kind, round(case.score, 6)) for case in cases.chosen]


def graded(*certainties: float) -> dict[str, Any]:
    """Cases a, b, c … of class 1 with these probabilities."""
    own = torch.tensor(certainties)
    return {
        "id": [chr(ord("a") + row) for row in range(len(own))],
        "label": torch.ones(len(own), dtype=torch.long),
        "probabilities": torch.stack([1 - own, own], 1),
        "image": torch.rand(len(own), 1, 8, 8),
    }


def test_best_typical_and_worst_by_hand() -> None:
    found = chosen(Cases(), [graded(0.1, 0.9, 0.55, 0.3, 0.6)])
    assert [(name, kind) for name, kind, _ in found] == [("b", "best"), ("c", "typical"), ("a", "worst")]
    assert [(name, kind) for name, kind, _ in chosen(Cases(), [graded(0.4)])] == [("a", "best")]
    assert [kind for _, kind, _ in chosen(Cases(), [graded(0.4, 0.5)])] == ["best", "worst"]


def test_the_cut_into_batches_changes_nothing_and_unlabelled_rows_are_not_shown() -> None:
    found = output(LABELS, 0, 3)
    expected = chosen(Cases(sample=4), batches(found, 60))
    assert len(expected) == 9
    labels = dict(zip(found["id"], LABELS, strict=True))
    assert [labels[name] for name, _, _ in expected] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for size in (1, 7, 16):
        assert chosen(Cases(sample=4), batches(found, size)) == expected


def test_few_pictures_are_kept_however_long_the_section_is() -> None:
    cases = Cases(sample=5)
    for part in batches(output([row % 2 for row in range(400)], 0, 2), 50):
        cases.update(part)
        assert len(cases._kept) <= 2 * (2 + 5)
    cases.gather()
    typical = [case for case in cases.chosen if case.kind == "typical"]
    assert all(0.2 < case.score < 0.95 for case in typical)


def stripes(*columns: int, classes: int = 2) -> dict[str, Any]:
    """Images a, b, c … of 4×8 pixels whose mask is four columns of each class; found are so many of them."""
    mask = torch.zeros(len(columns), 1, 4, 4 * classes)
    for number in range(classes):
        mask[..., 4 * number : 4 * number + 4] = number
    found = mask.clone()
    for row, count in enumerate(columns):
        found[row, ..., 4 + count :] = 0
    return {
        "id": [chr(ord("a") + row) for row in range(len(columns))],
        "image": torch.rand(mask.shape),
        "segmentation": found.long(),
        "mask": mask,
        "has_mask": torch.ones(len(columns), dtype=torch.bool),
    }


def test_a_segmenters_best_typical_and_worst_by_hand() -> None:
    # Found n of four columns: Dice 2n / (n + 4).
    assert chosen(Cases(), [stripes(2, 4, 3, 0, 1)]) == [
        ("b", "best", 1.0),
        ("a", "typical", 0.666667),
        ("d", "worst", 0.0),
    ]
    # Two classes: all of the one, half of the other.
    assert chosen(Cases(), [stripes(6, classes=3)]) == [("a", "best", 0.833333)]


def test_an_image_without_mask_or_class_is_no_case() -> None:
    batch = stripes(3, 2, 1)
    batch["has_mask"][0] = False
    batch["mask"][1], batch["segmentation"][1] = 0, 0
    assert [(name, kind) for name, kind, _ in chosen(Cases(), [batch])] == [("c", "best")]
    batch["mask"][2], batch["segmentation"][2] = 0, 0
    assert chosen(Cases(), [batch]) == []


def test_a_segmenters_cases_are_the_same_however_the_section_is_cut() -> None:
    found = segmented(30)
    found["mask"][:9], found["segmentation"][:9] = found["mask"][:9] % 2, found["segmentation"][:9] % 2  # class 1 only
    expected = chosen(Cases(sample=4), batches(found, 30))
    assert [kind for _, kind, _ in expected] == ["best", "typical", "worst"]
    for size in (1, 7):
        assert chosen(Cases(sample=4), batches(found, size)) == expected


def test_class_numbers_stay_whole_in_small_pictures(tmp_path: Path) -> None:
    batch = stripes(2, classes=3)
    cases = Cases(side=5)
    chosen(cases, [batch])
    cases.save(tmp_path / "cases.npz", "segmenter")
    _, (case,) = load_cases(tmp_path / "cases.npz")
    assert case.pictures.keys() == {"image", "found", "given"}
    assert case.pictures["given"].shape == case.pictures["image"].shape == (2, 5)
    assert case.pictures["given"].tolist() == [[0, 0, 1, 2, 2]] * 2
    assert case.pictures["found"].tolist() == [[0, 0, 0, 0, 0]] * 2


def one_of_two(rank: int, folder: str) -> None:
    """A process with 40 or 26 of the 60 rows: some in both, as a sampler pads."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = output(LABELS, 0, 3)
    own = {name: column[:40] if rank == 0 else column[34:] for name, column in found.items()}
    (Path(folder) / f"{rank}.json").write_text(json.dumps(chosen(Cases(sample=4), batches(own, 9 - rank))))
    dist.destroy_process_group()


def test_two_processes_choose_what_one_does(run_twice: Callable[..., None], tmp_path: Path) -> None:
    run_twice(one_of_two, str(tmp_path))
    alone = [list(case) for case in chosen(Cases(sample=4), batches(output(LABELS, 0, 3), 60))]
    for rank in (0, 1):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == alone


def test_pictures_are_small_bytes_and_come_back_from_the_file(tmp_path: Path) -> None:
    batch = graded(0.9) | {"image": torch.zeros(1, 3, 40, 20), "map": torch.full((1, 1, 40, 20), 0.5)}
    batch["image"][:, 0, :20] = 1  # red above, black below
    batch |= {"mask": torch.ones(1, 1, 40, 20), "has_mask": torch.tensor([False])}
    cases = Cases(side=10)
    chosen(cases, [batch])
    for name in ("one", "two"):
        cases.save(tmp_path / f"{name}.npz", "teacher")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    network, (case,) = load_cases(tmp_path / "one.npz")
    assert (network, case.id, case.kind) == ("teacher", "a", "best")
    assert case.pictures.keys() == {"image", "map"}  # it was given no mask
    image = case.pictures["image"]
    assert image.shape == (10, 5, 3)
    assert image.dtype == np.uint8
    assert image[:5, :, 0].min() == 255
    assert image[5:].max() == image[..., 1:].max() == 0
    assert np.unique(case.pictures["map"]).tolist() == [128]


def test_a_picture_is_never_made_larger_and_other_channels_are_left_out(tmp_path: Path) -> None:
    cases = Cases()
    chosen(cases, [graded(0.9) | {"image": torch.ones(1, 5, 6, 4)}])
    cases.save(tmp_path / "cases.npz", "student")
    assert load_cases(tmp_path / "cases.npz")[1][0].pictures["image"].shape == (6, 4)


def test_a_coarse_map_lies_where_it_belongs_in_its_picture() -> None:
    """A map of a quarter of the image: the cell of row 1, column 2 is the square from (4, 8) to (8, 12)."""
    found = graded(0.4)
    found["image"] = torch.rand(1, 1, 16, 16)
    found["map"] = torch.zeros(1, 1, 4, 4)
    found["map"][0, 0, 1, 2] = 1
    cases = Cases()
    chosen(cases, [found])
    drawn = cases.chosen[0].pictures["map"]
    assert drawn.shape == cases.chosen[0].pictures["image"].shape
    expected = np.zeros((16, 16), np.uint8)
    expected[4:8, 8:12] = 255
    assert np.array_equal(drawn, expected)


def test_too_small_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="wanted side >= 1 and sample >= 3, got 256 and 2"):
        Cases(sample=2)


def test_a_running_bundle_saves_its_configuration_without_passwords(tmp_path: Path) -> None:
    target = {"_target_": "semimed_monai.reports.save_configuration", "path": "$@folder + '/configuration.json'"}
    recipe = {
        "folder": str(tmp_path),
        "rate": 0.1,
        "doubled": "$2 * @rate",
        "unasked": "$1 / 0",
        "tracking_uri": "https://me:secret@host/mlflow",
        "training": ["$@doubled", target],
    }
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/train.json").write_text(json.dumps(recipe))
    (tmp_path / "configs/metadata.json").write_text('{"name": "An example", "version": "1.2.0"}')
    workflow = ConfigWorkflow(
        str(tmp_path / "configs/train.json"), str(tmp_path / "configs/metadata.json"), logging_file=False, rate=0.3
    )
    workflow.initialize()
    workflow.run_id = "training"
    workflow.run()
    content = json.loads((tmp_path / "configuration.json").read_text())
    assert content["bundle"] == {"name": "An example", "version": "1.2.0"}
    assert content["settings"]["rate"] == 0.3
    assert content["settings"]["doubled"] == 0.6
    assert content["settings"]["tracking_uri"] == "https://host/mlflow"
    assert "unasked" not in content["settings"]
    assert content["recipe"]["training"][1] == target
    assert {"monai", "torch", "Python"} <= content["versions"].keys()


def test_an_image_of_several_classes_is_a_case_of_each_with_that_classes_map() -> None:
    maps = torch.zeros(3, 2, 8, 8)
    maps[:, 1] = 1
    found = {
        "id": ["a", "b", "c"],
        "label": torch.tensor([[1.0, 1.0], [-1.0, 1.0], [0.0, 0.0]]),
        "probabilities": torch.tensor([[0.2, 0.9], [0.5, 0.4], [0.8, 0.8]]),
        "image": torch.rand(3, 1, 8, 8),
        "maps": maps,
    }
    cases = Cases()
    chosen(cases, batches(found, 2))
    assert [(case.id, case.label, case.kind, round(case.score, 4)) for case in cases.chosen] == [
        ("a", 0, "best", 0.2),
        ("a", 1, "best", 0.9),
        ("b", 1, "worst", 0.4),
    ]
    assert [case.pictures["map"].max() for case in cases.chosen] == [0, 255, 255]
