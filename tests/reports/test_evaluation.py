"""Each network is evaluated with its own weights, on classes that it knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from semimed_monai.engines import SectionEvaluator
from semimed_monai.files import save_tensors
from semimed_monai.reports import Evaluation

Make = Callable[..., Any]
CLASSES = ["normal", "partial", "full"]


@pytest.fixture
def make_evaluation(make_net: Make, make_rows: Make, tmp_path: Path) -> Callable[..., Evaluation]:
    """Teacher and student share a network object, as nothing forbids, and differ in their files."""
    files = {name: tmp_path / f"{name}.pt" for name in ("teacher", "student")}
    for seed, file in enumerate(files.values()):
        save_tensors(file, make_net(seed=seed).state_dict())
    loader = DataLoader(make_rows(9, 0), batch_size=4)

    def make(**given: Any) -> Evaluation:
        evaluators = {name: SectionEvaluator("cpu", loader, make_net(seed=7)) for name in files}
        return Evaluation(evaluators, files, CLASSES, tmp_path, {"section": "test"}, bootstrap_repeats=5, **given)

    return make


def test_each_network_has_its_own_weights(
    make_evaluation: Callable[..., Evaluation], make_net: Make, make_rows: Make, tmp_path: Path
) -> None:
    make_evaluation().run()
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    column = lines[0].split(",").index("probability/full")
    images = torch.stack([row["image"] for row in make_rows(9, 0)])
    for seed, name in enumerate(("teacher", "student")):
        expected = torch.softmax(make_net(seed=seed).eval()(images).logits, dim=1)[:, 2]
        found = [float(line.split(",")[column]) for line in lines if line.startswith(f"{name},")]
        assert found == pytest.approx(expected.tolist(), abs=1e-6)


def test_how_it_was_trained_stands_beside_the_scores(
    make_evaluation: Callable[..., Evaluation], tmp_path: Path
) -> None:
    make_evaluation(trained={"seed": 3}, trained_classes=CLASSES).run()
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert (content["section"], content["seed"]) == ("test", 3)


@pytest.mark.parametrize("known", [["full", "normal", "partial"], ["normal", "full"]])
def test_other_classes_are_refused(make_evaluation: Callable[..., Evaluation], known: list[str]) -> None:
    with pytest.raises(
        ValueError, match=f"trained on the classes {', '.join(known)}, the data set has normal, partial"
    ):
        make_evaluation(trained_classes=known)
