"""Each network is evaluated with its own weights, on classes that it knows."""

from __future__ import annotations

import csv
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader as ItemLoader
from monai.data import Dataset
from PIL import Image
from sklearn.metrics import cohen_kappa_score
from torch.utils.data import DataLoader

from semimed_monai.data import Datalist, write_datalist
from semimed_monai.engines import SectionEvaluator
from semimed_monai.files import save_tensors
from semimed_monai.metrics import measures
from semimed_monai.reports import Evaluation
from semimed_monai.transforms import knee_mr

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


def test_the_console_says_what_is_not_defined(
    make_net: Make, make_rows: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without an image of a class its recall is no number; and one person has no interval."""
    save_tensors(tmp_path / "student.pt", make_net().state_dict())
    weights = {"student": tmp_path / "student.pt"}
    rows = [{**row, "group": "p"} for row in make_rows(9, 0) if row["label"] < 2]
    evaluators = {"student": SectionEvaluator("cpu", DataLoader(rows, batch_size=4), make_net())}  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO, "semimed"):
        Evaluation(evaluators, weights, CLASSES, tmp_path, {}, bootstrap_repeats=5).run()
    shown = dict(line.split(maxsplit=1) for line in caplog.messages[-1].splitlines() if line)
    assert shown["recall/full"] == "student not defined"
    assert re.fullmatch(r"student +\d+\.\d", shown["recall/normal"])
    assert "nan" not in caplog.text


def test_studies_and_marks_come_from_the_datalists_files_to_the_scores(make_net: Make, tmp_path: Path) -> None:
    """Eight people of one study each, of three images; only what is not normal has a mark."""
    random, items = np.random.default_rng(0), []
    for n in range(24):
        person, label = n // 3, n // 3 % 3
        Image.fromarray(random.integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / f"{n}.png")
        Image.fromarray(np.pad(np.full((3, 2), 255, np.uint8), ((2, 3), (1, 5)))).save(tmp_path / f"{n}_mark.png")
        marked = {"mask": f"{n}_mark.png"} if label else {}
        items.append({"image": f"{n}.png", "label": label, "group": f"p{person}", "study": f"s{person}", **marked})
    datalist = write_datalist(tmp_path, name="bones", classes=CLASSES, sections={"test": items})
    rows = Dataset(Datalist(datalist, sections=["test"], check=False).section("test"), knee_mr(8))
    network = make_net()
    save_tensors(tmp_path / "student.pt", network.state_dict())
    evaluator = SectionEvaluator("cpu", ItemLoader(rows, batch_size=5), network)
    evaluated = {"evaluators": {"student": evaluator}, "weights": {"student": tmp_path / "student.pt"}}
    Evaluation(**evaluated, classes=CLASSES, output_dir=tmp_path, facts={}, bootstrap_repeats=20).run()

    with (tmp_path / "predictions.csv").open() as file:
        lines = list(csv.DictReader(file))
    scores = json.loads((tmp_path / "metrics.json").read_text())["scores"]["student"]
    assert {line["id"]: line["study"] for line in lines} == {item["image"]: item["study"] for item in items}
    for name in measures():
        values = [float(line[name]) for line in lines if line["label"] != "0"]
        assert scores[name]["value"] == pytest.approx(np.mean(values))
        assert scores[name]["low"] <= scores[name]["value"] <= scores[name]["high"]
        assert all(line[name] == "nan" for line in lines if line["label"] == "0")
    given = np.array([[float(line[f"probability/{name}"]) for name in CLASSES] for line in lines])
    means = np.array([given[[line["study"] == f"s{person}" for line in lines]].mean(axis=0) for person in range(8)])
    labels, predicted = np.arange(8) % 3, means.argmax(axis=1)
    assert scores["study_accuracy"]["value"] == pytest.approx((labels == predicted).mean())
    assert scores["study_kappa"]["value"] == pytest.approx(cohen_kappa_score(labels, predicted), abs=1e-12)


@pytest.mark.parametrize("known", [["full", "normal", "partial"], ["normal", "full"]])
def test_other_classes_are_refused(make_evaluation: Callable[..., Evaluation], known: list[str]) -> None:
    with pytest.raises(
        ValueError, match=f"trained on the classes {', '.join(known)}, the data set has normal, partial"
    ):
        make_evaluation(trained_classes=known)
