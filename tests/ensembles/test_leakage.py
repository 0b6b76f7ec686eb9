"""Own folds against the section that no fold has a part of, by hand and on drawn answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from semimed_monai.ensembles.leakage import FoldRun, flattery, main, table
from semimed_monai.reports.page.answers import Grades


def answers(labels: list[int], predicted: list[int], people: str) -> Grades:
    """Each knee a person's of its own."""
    ids = [f"{people}{place}" for place in range(len(labels))]
    return Grades(ids, ids, np.array(labels), np.eye(3)[predicted], None)


def test_by_hand() -> None:
    """By person: 1/2 and 3/4 on own folds, 1/2 reported. By image: 1 on its own, 1/4 reported."""
    reported = answers([0, 1, 2, 2], [0, 1, 1, 1], "r")
    found = flattery(
        [
            FoldRun("by person", answers([0, 1], [0, 2], "a"), reported),
            FoldRun("by person", answers([0, 1, 2, 2], [0, 1, 2, 0], "b"), reported),
            FoldRun("by image", answers([0, 1], [0, 1], "a"), answers([0, 1, 2, 2], [0, 0, 0, 0], "r")),
        ],
        repeats=20,
    )
    assert list(found) == [
        (split, score)
        for split in ("by person", "by image", "by image − by person")
        for score in ("accuracy", "quadratic_kappa")
    ]
    of = {split: found[split, "accuracy"] for split in ("by person", "by image", "by image − by person")}
    assert (of["by person"].own, of["by person"].reported, of["by person"].difference) == (0.625, 0.5, 0.125)
    assert (of["by image"].own, of["by image"].reported, of["by image"].difference) == (1.0, 0.25, 0.75)
    assert of["by image − by person"].difference == 0.625
    assert found["by person", "quadratic_kappa"].own == pytest.approx(((1 - 2 / 6) + (1 - 16 / 26)) / 2)
    assert "| by image − by person | accuracy | 37.5 | -25.0 | +62.5 [" in table(found)


def test_the_interval_is_of_people_who_are_drawn_together() -> None:
    """The same people with the same answers on both sides: whoever is drawn, nothing is between them."""
    random = np.random.default_rng(0)
    labels, predicted = random.integers(0, 3, (2, 40)).tolist()
    same = answers(labels, predicted, "a")
    found = flattery([FoldRun("by person", same, same)], repeats=50)["by person", "accuracy"]
    assert (found.difference, found.interval) == (0.0, (0.0, 0.0))
    other = flattery([FoldRun("by person", same, answers(labels, predicted, "b"))], repeats=50)["by person", "accuracy"]
    assert other.difference == 0.0
    assert other.interval[0] < -0.05
    assert other.interval[1] > 0.05


def test_a_folder_without_runs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path)])
    assert ended.value.code == 1
    assert f"error: there is no finished run of a member in {tmp_path}" in capsys.readouterr().err
