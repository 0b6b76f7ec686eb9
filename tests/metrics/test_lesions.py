"""FROC as an evaluation collects it: batches, several sizes, intervals; against LevelCounts of all maps at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Engine
from torch import Tensor

from semimed_monai.engines import read_lesions
from semimed_monai.metrics import FrocScore, LesionPredictions, LevelCounts, levels_of
from semimed_monai.vocabulary import Outputs

CLASSES = ["normal", "fracture"]


def _set(seed: int, images: int = 12) -> dict[str, Any]:
    """Maps of 8×8 cells over images of 32×32 pixels; the first half has a box or two each, near which maps are high."""
    rng = np.random.default_rng(seed)
    maps, boxes = rng.uniform(0, 0.6, (images, 1, 8, 8)), []
    for place in range(images):
        corners = rng.integers(0, 6, (rng.integers(1, 3) if place < images // 2 else 0, 2))
        for x, y in corners:
            maps[place, 0, y : y + 2, x : x + 2] += rng.uniform(0, 0.4)
        boxes.append(torch.tensor(np.hstack([corners, corners + 2]) * 4.0).reshape(-1, 4))
    found = torch.tensor(maps.clip(max=1))
    return {
        "id": [f"{place:02d}" for place in range(images)],
        "group": [f"g{place // 2}" for place in range(images)],
        "label": torch.tensor([int(len(of_image) > 0) for of_image in boxes]),
        "image": torch.zeros(images, 1, 32, 32),
        "boxes": boxes,
        **read_lesions(Outputs(logits=torch.logit(found), maps=found)),
    }


def _batches(whole: dict[str, Any], rows: int) -> list[dict[str, Any]]:
    return [
        {name: values[start : start + rows] for name, values in whole.items()}
        for start in range(0, len(whole["id"]), rows)
    ]


def _counts(whole: dict[str, Any]) -> LevelCounts:
    counts = LevelCounts.none()
    for map_, boxes in zip(whole["map"], whole["boxes"], strict=True):
        counts += LevelCounts.of(levels_of(map_[0].numpy()), boxes.numpy() / 4)
    return counts


def _collected(whole: dict[str, Any], rows: int) -> LesionPredictions:
    predictions = LesionPredictions()
    engine = Engine(lambda _engine, batch: batch)
    predictions.attach(engine)
    engine.run(_batches(whole, rows))
    return predictions


def _evaluated(whole: dict[str, Any], rows: int, folder: Path) -> dict[str, Any]:
    """All that an evaluation reports of a set: the metric, scores with intervals, rows, and the curve's file."""
    metric = FrocScore()
    metric.attach(engine := Engine(lambda _engine, batch: batch), "froc")
    engine.run(_batches(whole, rows))
    predictions = _collected(whole, rows)
    predictions.save(folder)
    return {
        "metric": engine.state.metrics["froc"],
        "scores": predictions.scores(CLASSES, bootstrap_repeats=50),
        "table": predictions.table(CLASSES),
        "curve": (folder / "froc.csv").read_text(),
    }


def _shared_out(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """To two processes, every other image to each, as the sampler does it."""
    return [{name: values[rank::2] for name, values in whole.items()} for rank in (0, 1)]


def _one_of_two(rank: int, folder: str) -> None:
    """A process with 21 or 20 of the 41 images, in batches of its own size."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = _evaluated(_shared_out(_set(4, images=41))[rank], rows=4 + rank, folder=Path(folder) / str(rank))
    (Path(folder) / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12))
def test_score_and_rows_are_those_of_all_maps_at_once(seed: int, rows: int) -> None:
    whole = _set(seed)
    expected = _counts(whole)
    metric = FrocScore()
    metric.attach(engine := Engine(lambda _engine, batch: batch), "froc")
    engine.run(_batches(whole, rows))
    assert engine.state.metrics["froc"] == pytest.approx(expected.score())
    scores = _collected(whole, rows).scores(CLASSES, bootstrap_repeats=0)
    assert scores["froc"]["value"] == pytest.approx(expected.score())
    assert scores["recall_at_0.1"]["value"] == pytest.approx(expected.recall_at([0.1])[0])


def test_intervals_are_about_the_value_and_the_image_scores_are_there() -> None:
    predictions = _collected(_set(3, images=60), rows=16)
    scores = predictions.scores(CLASSES, bootstrap_repeats=200)
    assert {"auc", "f1", "recall", "froc", "recall_at_0.1"} <= scores.keys()
    froc = scores["froc"]
    assert 0 < froc["low"] < froc["value"] < froc["high"] < 1
    table = predictions.table(CLASSES)
    assert table[0]["probability/fracture"] == pytest.approx(float(_set(3, images=60)["map"][0].max()))


def test_the_noted_levels_tell_nearly_what_all_levels_do() -> None:
    predictions = _collected(_set(5, images=60), rows=16)
    noted = predictions.statistic(CLASSES)(np.arange(60))["froc"]
    assert noted == pytest.approx(predictions.counts.score(), abs=0.05)


def test_an_evaluator_runs_again_from_nothing() -> None:
    whole = _set(1)
    predictions = LesionPredictions()
    engine = Engine(lambda _engine, batch: batch)
    predictions.attach(engine)
    for _ in range(2):
        engine.run([whole])
    assert predictions.counts.images == 12


def test_two_processes_give_what_one_gives(run_twice: Callable[..., None], tmp_path: Path) -> None:
    whole = _set(4, images=41)
    alone = _evaluated(whole, rows=41, folder=tmp_path)
    assert alone["metric"] not in [_counts(part).score() for part in _shared_out(whole)]  # so the parts must meet
    run_twice(_one_of_two, str(tmp_path))
    for rank in (0, 1):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found["metric"] == alone["metric"]
        assert (found["table"], found["curve"]) == (alone["table"], alone["curve"])
        assert found["scores"].keys() == alone["scores"].keys()
        for name, entry in found["scores"].items():
            assert entry == pytest.approx(alone["scores"][name]), name


def test_a_positive_without_a_box_is_refused() -> None:
    whole = _set(0)
    whole["boxes"][1] = torch.zeros(0, 4)
    with pytest.raises(ValueError, match="01 is a positive without a box"):
        LesionPredictions().update(whole)


@pytest.mark.parametrize(
    ("logits", "score"),
    [(torch.tensor([[[[0.0, 2.0]]]]), 1 / (1 + np.exp(-2))), (torch.tensor([[0.0, 1.0]]), 1 / (1 + np.exp(-1)))],
)
def test_the_score_of_a_map_and_of_a_classifier(logits: Tensor, score: float) -> None:
    answer = read_lesions(Outputs(logits=logits, maps=torch.sigmoid(torch.tensor([[[[0.0, 2.0]]]]))))
    assert answer["probabilities"][0].tolist() == pytest.approx([1 - score, score])
