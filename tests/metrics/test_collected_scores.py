"""Key metrics and predictions on real engines, in one process and in two."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from discs import centred_disc
from ignite.engine import Engine
from monai.bundle.config_parser import ConfigParser
from monai.engines.evaluator import Evaluator
from sklearn.metrics import average_precision_score, log_loss

from semimed_monai.metrics import (
    GradingScore,
    LocalisationScore,
    LogLikelihood,
    Predictions,
    Rows,
    TIoUScore,
    baseline_ious,
    bootstrap_interval,
    grading_scores,
    macro_tiou,
    measures,
    radial_profile,
    study_statistic,
    tiou,
)

CLASSES = ["normal", "partial", "full"]
SIZE = (25, 20)


def _items(count: int = 14) -> list[dict[str, Any]]:
    """Rows as an evaluator gives them, one by one; the last has no mask, so its map's IoU must not count."""
    random = torch.Generator().manual_seed(0)
    items = []
    for index in range(count):
        given = index < count - 1
        share = float(torch.rand((), generator=random)) * 0.5 + 0.1
        items.append(
            {
                "id": f"image-{index:02d}" + "x" * (index % 3),
                "group": f"p{index // 2}",
                "label": index % 3,
                "probabilities": torch.softmax(torch.randn(3, generator=random), 0),
                "map": torch.roll(centred_disc(SIZE, 0.3), index % 5, 1).unsqueeze(0),
                "mask": centred_disc(SIZE, share).unsqueeze(0) * (1 if given else 0),
                "has_mask": given,
            }
        )
    return items


def _batches(items: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    batches = []
    for start in range(0, len(items), size):
        part = items[start : start + size]
        columns: dict[str, Any] = {key: [item[key] for item in part] for key in part[0]}
        for key in ("label", "has_mask"):
            columns[key] = torch.tensor(columns[key])
        for key in ("probabilities", "map", "mask"):
            columns[key] = torch.stack(columns[key])
        batches.append(columns)
    return batches


def _evaluated(items: list[dict[str, Any]], size: int = 4) -> dict[str, Any]:
    """The scores of `items` as an engine's metrics and as collected predictions."""
    engine = Engine(lambda _, batch: batch)
    for name in GradingScore.names:
        GradingScore(name).attach(engine, name)
    LogLikelihood().attach(engine, "log_likelihood")
    TIoUScore().attach(engine, "tiou")
    TIoUScore(macro=True).attach(engine, "tiou_macro")
    for name in measures():
        LocalisationScore(name).attach(engine, name)
    predictions = Predictions()
    predictions.attach(engine)
    engine.run(_batches(items, size), max_epochs=2)
    return {
        "metrics": engine.state.metrics,
        "scores": predictions.scores(CLASSES, bootstrap_repeats=50),
        "table": predictions.table(CLASSES),
    }


def _whole_set(items: list[dict[str, Any]]) -> dict[str, float]:
    """The same numbers from the arrays, with no engine between."""
    batch = _batches(items, len(items))[0]
    labels = batch["label"].numpy()
    inside, attended = batch["mask"].flatten(1) > 0, batch["map"].flatten(1) > 0.5
    ious = ((inside & attended).sum(1) / (inside | attended).sum(1)).double().numpy()
    ious[~batch["has_mask"].numpy()] = np.nan
    marked = [(map_.numpy(), mask.numpy()) for map_, mask, given in _maps(batch) if given]
    baselines = baseline_ious(radial_profile(batch["mask"]).numpy())
    return {
        **grading_scores(batch["probabilities"].numpy(), labels, CLASSES),
        "log_likelihood": -log_loss(labels, batch["probabilities"].double().numpy()),
        "tiou": tiou(ious),
        "tiou_disc": tiou(baselines["disc"]),
        "tiou_ones": tiou(baselines["ones"]),
        "tiou_macro": macro_tiou(ious, labels),
        "iou": float(np.nanmean(ious)),
        "pointing_game": float(np.mean([mask[map_ == map_.max()].mean() for map_, mask in marked])),
        "energy_inside": float(np.mean([(map_ * mask).sum() / map_.sum() for map_, mask in marked])),
        "pixel_ap": float(np.mean([average_precision_score(mask, map_) for map_, mask in marked])),
    }


def _maps(batch: dict[str, Any]) -> Any:
    """Map, mask and whether it was given, of each row."""
    return zip(batch["map"].flatten(1), batch["mask"].flatten(1), batch["has_mask"], strict=True)


def _one_of_two(rank: int, folder: str) -> None:
    """A process with 9 or 6 of the 14 rows, one in both, as a sampler pads; and a set that rank 0 has no row of."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    items = _items()
    own = items[:9] if rank == 0 else items[8:]
    found = _evaluated(own, size=4 if rank == 0 else 2)
    rows = Rows()
    if rank == 1:
        rows.extend(id=["b", "a"], label=torch.tensor([1, 0]))
    found["only on rank 1"] = rows.gathered()["label"].tolist()
    (Path(folder) / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def test_an_engine_gives_the_whole_sets_scores_however_it_is_batched() -> None:
    items = _items()
    expected = _whole_set(items)
    assert expected["tiou"] != expected["tiou_macro"]
    for size in (1, 4, 14):
        found = _evaluated(items, size)
        scores = {name: entry["value"] for name, entry in found["scores"].items()}
        assert found["metrics"] | scores == pytest.approx(expected)
        assert found["metrics"] == pytest.approx({name: expected[name] for name in found["metrics"]})
        assert len(found["metrics"]) == len(GradingScore.names) + 3 + len(measures())


def test_the_log_likelihood_is_a_mean_over_labelled_rows() -> None:
    """Of three batches: log ½, log ¼ and a row without label; none with one; log ⅛."""
    metric = LogLikelihood()
    metric.update((["a", "b", "c"], torch.tensor([0, 1, -1]), torch.tensor([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]])))
    metric.update((["d"], torch.tensor([-1]), torch.tensor([[0.9, 0.1]])))
    assert metric.compute() == pytest.approx(-1.5 * math.log(2))
    metric.update((["e"], torch.tensor([1]), torch.tensor([[0.875, 0.125]])))
    assert metric.compute() == pytest.approx(-2 * math.log(2))
    metric.update((["f"], torch.tensor([1]), torch.tensor([[1.0, 0.0]])))  # sure and wrong costs much, not everything
    assert metric.compute() == pytest.approx((-6 * math.log(2) - 12 * math.log(10)) / 4)
    metric.reset()
    metric.update((["d"], torch.tensor([-1]), torch.tensor([[0.9, 0.1]])))
    assert math.isnan(metric.compute())


def test_two_processes_with_uneven_rows_give_what_one_gives(run_twice: Callable[..., None], tmp_path: Path) -> None:
    run_twice(_one_of_two, str(tmp_path))
    alone = json.loads(json.dumps(_evaluated(_items())))
    for rank in (0, 1):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        # nan is not itself, and one row has no IoU
        assert str(found["table"]) == str(alone["table"])
        assert found["metrics"] == pytest.approx(alone["metrics"])
        assert found["only on rank 1"] == [0, 1]
        assert found["scores"].keys() == alone["scores"].keys()
        for name, entry in found["scores"].items():
            assert entry == pytest.approx(alone["scores"][name], nan_ok=True)


def test_a_recipe_makes_it_the_key_metric_of_a_monai_evaluator() -> None:
    metric = ConfigParser({"metric": {"_target_": "semimed_monai.metrics.GradingScore", "score": "f1"}})
    items = _items()
    evaluator = Evaluator(
        device=torch.device("cpu"),
        val_data_loader=_batches(items, 4),
        iteration_update=lambda _, batch: batch,
        key_val_metric={"f1": metric.get_parsed_content("metric")},
        val_handlers=[Predictions()],
    )
    evaluator.run()
    assert evaluator.state.best_metric == pytest.approx(_whole_set(items)["f1"])


def test_a_key_metric_that_cannot_be_computed_is_an_error_and_another_metric_is_nan() -> None:
    items = [item | {"has_mask": False} for item in _items()]
    settings: dict[str, Any] = {
        "device": torch.device("cpu"),
        "val_data_loader": _batches(items, 4),
        "iteration_update": lambda _, batch: batch,
    }
    with pytest.raises(ValueError, match="the key metric tiou cannot be computed"):
        Evaluator(**settings, key_val_metric={"tiou": TIoUScore()}).run()
    with_another = Evaluator(
        **settings, key_val_metric={"f1": GradingScore("f1")}, additional_metrics={"tiou": TIoUScore()}
    )
    with_another.run()
    assert math.isnan(with_another.state.metrics["tiou"])


def test_table_has_a_plain_line_per_item() -> None:
    predictions = Predictions(threshold=0.5)
    predictions.update(
        {
            "id": ["b", "a"],
            "group": ["p", "p"],
            "label": torch.tensor([1, -1]),
            "probabilities": torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.bfloat16),
            "map": torch.ones(2, 1, 30, 30),
            "mask": torch.ones(2, 1, 30, 30),
            "has_mask": torch.tensor([True, False]),
        }
    )
    predictions.gather()
    line = {"id": "b", "group": "p", "label": 1, "predicted": 1, "probability/no": 0.25, "probability/yes": 0.75}
    assert predictions.table(["no", "yes"])[1] == line | dict.fromkeys(measures(), 1.0)
    assert predictions.table()[0]["probability/0"] == 0.5
    assert all(math.isnan(predictions.table()[0][name]) for name in measures())  # it was given no mask
    json.dumps(predictions.table())


@pytest.mark.parametrize(("threshold", "expected"), [(0.3, 4 / 7), (0.5, 1.0), (0.7, 0.0)])
def test_the_threshold_is_the_one_asked_for(threshold: float, expected: float) -> None:
    """Left half .4, right half .6, the mask on the right: both halves (IoU 1/2: four T of seven), the right, none."""
    maps = torch.cat([torch.full((1, 1, 30, 15), 0.4), torch.full((1, 1, 30, 15), 0.6)], dim=3)
    batch = {
        "id": ["a"],
        "group": ["p"],
        "label": torch.tensor([0]),
        "probabilities": torch.tensor([[0.9, 0.05, 0.05]]),
        "map": maps,
        "mask": (maps > 0.5).float(),
        "has_mask": torch.tensor([True]),
    }
    engine, predictions = Engine(lambda _, batch: batch), Predictions(threshold)
    TIoUScore(threshold).attach(engine, "tiou")
    predictions.attach(engine)
    engine.run([batch])
    assert engine.state.metrics["tiou"] == pytest.approx(expected)
    scores = predictions.scores(CLASSES, bootstrap_repeats=0)
    assert scores["tiou"]["value"] == pytest.approx(expected)
    assert scores["iou"]["value"] == {0.3: 0.5, 0.5: 1.0, 0.7: 0.0}[threshold]


def test_each_epoch_is_collected_anew() -> None:
    engine, predictions = Engine(lambda _, batch: batch), Predictions()
    GradingScore("f1").attach(engine, "f1")
    predictions.attach(engine)
    items = _items()
    engine.run(_batches(items[:8], 4))
    engine.run(_batches(items[8:], 4))
    assert engine.state.metrics["f1"] == pytest.approx(_whole_set(items[8:])["f1"])
    assert predictions.rows["id"].tolist() == [item["id"] for item in items[8:]]


def test_intervals_are_by_group() -> None:
    predictions = Predictions()
    for batch in _batches(_items(), 4):
        predictions.update(batch)
    predictions.gather()
    rows = predictions.rows
    right = rows["probabilities"].argmax(axis=1) == rows["label"]
    expected = bootstrap_interval(lambda drawn: float(right[drawn].mean()), rows["group"], repeats=100, seed=7)
    entry = predictions.scores(CLASSES, bootstrap_repeats=100, seed=7)["accuracy"]
    assert (entry["low"], entry["high"]) == pytest.approx(expected)
    assert (entry["low"], entry["high"]) != pytest.approx(
        bootstrap_interval(lambda drawn: float(right[drawn].mean()), rows["id"], repeats=100, seed=7)
    )


def test_intervals_hold_the_value_and_can_be_left_out() -> None:
    predictions = Predictions()
    for batch in _batches(_items(), 4):
        predictions.update(batch)
    predictions.gather()
    for entry in predictions.scores(CLASSES, bootstrap_repeats=200).values():
        assert entry["low"] <= entry["value"] <= entry["high"]
    without = predictions.scores(CLASSES, bootstrap_repeats=0)["f1"]
    assert without["value"] > 0
    assert math.isnan(without["low"])
    assert math.isnan(without["high"])


def test_a_network_without_maps_has_no_tiou() -> None:
    predictions = Predictions()
    batch = _batches(_items(), 14)[0]
    predictions.update({key: batch[key] for key in Predictions.needed})
    predictions.gather()
    assert not [name for name in predictions.scores(CLASSES, 10) if "tiou" in name or name in measures()]
    assert not predictions.table()[0].keys() & measures().keys()


def test_studies_are_judged_over_all_batches_and_drawn_by_group() -> None:
    """Two groups' images are a study each, whose second image comes in another batch; the others are alone."""
    items = [item | {"label": int(item["group"][1:]) % 3} for item in _items()]
    items = [item | {"study": item["group"] if item["group"] in {"p0", "p6"} else item["id"]} for item in items]
    engine, predictions = Engine(lambda _, batch: batch), Predictions()
    predictions.attach(engine)
    engine.run(_batches(items[::2] + items[1::2], 5))
    rows = predictions.rows
    statistic = study_statistic(rows["probabilities"], rows["label"], np.array([item["study"] for item in items]))
    expected, found = statistic(np.arange(14)), predictions.scores(CLASSES, bootstrap_repeats=50, seed=2)
    intervals = bootstrap_interval(statistic, rows["group"], repeats=50, seed=2)
    for name, value in expected.items():
        entry = found[name]
        assert (entry["value"], entry["low"], entry["high"]) == pytest.approx((value, *intervals[name]))
    assert list(predictions.table(CLASSES)[0])[:4] == ["id", "group", "study", "label"]
    assert [line["study"] for line in predictions.table(CLASSES)] == [item["study"] for item in items]


def test_an_item_that_comes_in_two_studies_is_an_error() -> None:
    predictions = Predictions()
    for study in ("s1", "s2"):
        predictions.update({**{key: _batches(_items(1), 1)[0][key] for key in Predictions.needed}, "study": [study]})
    with pytest.raises(ValueError, match="two items with the id 'image-00' differ in study"):
        predictions.gather()


def test_without_studies_there_are_no_scores_of_them() -> None:
    predictions = Predictions()
    predictions.update(_batches(_items(), 14)[0])
    predictions.gather()
    assert not [name for name in predictions.scores(CLASSES, 0) if name.startswith("study")]
    assert "study" not in predictions.table()[0]


def test_wrong_use_is_named() -> None:
    predictions = Predictions()
    with pytest.raises(ValueError, match="lacks label, probabilities; it has id, group"):
        predictions.update({"id": ["a"], "group": ["p"]})
    with pytest.raises(ValueError, match="run the evaluator"):
        predictions.table()
    with pytest.raises(ValueError, match="there is no score 'F1': choose one of recall, specificity, f1"):
        GradingScore("F1")


def test_two_items_with_one_id_are_an_error_and_one_item_twice_is_not() -> None:
    rows = Rows()
    rows.extend(id=["a", "b", "a"], label=torch.tensor([0, 1, 0]))
    assert rows.gathered()["label"].tolist() == [0, 1]
    rows.extend(id=["b"], label=torch.tensor([0]))
    with pytest.raises(ValueError, match="two items with the id 'b' differ in label"):
        rows.gathered()
    with pytest.raises(ValueError, match="differ in length"):
        rows.extend(id=["c", "d"], label=torch.tensor([0]))


def test_rows_of_several_classes_have_an_auc_of_each_and_a_column_of_each() -> None:
    """b is nodule's one positive and above a; mass has no row, so its AUC is not defined, and no number."""
    output = {
        "id": ["a", "b"],
        "group": ["p", "q"],
        "label": torch.tensor([[0.0, 0.0], [1.0, 0.0]]),
        "probabilities": torch.tensor([[0.2, 0.1], [0.7, 0.9]]),
    }
    predictions, metric = Predictions(), GradingScore("auc")
    for _ in range(2):  # a sampler may give a row twice
        predictions.update(output)
    predictions.gather()
    scores = predictions.scores(["nodule", "mass"], bootstrap_repeats=20)
    assert scores["auc"]["value"] == scores["auc/nodule"]["value"] == 1
    assert math.isnan(scores["auc/mass"]["value"])
    line = predictions.table(["nodule", "mass"])[1]
    assert {**line, "probability/nodule": 0, "probability/mass": 0} == {
        "id": "b",
        "group": "q",
        "label/nodule": 1,
        "label/mass": 0,
        "probability/nodule": 0,
        "probability/mass": 0,
    }
    metric.update((output["id"], output["label"], output["probabilities"]))
    assert metric.compute() == 1
    other = GradingScore("f1")
    other.update((output["id"], output["label"], output["probabilities"]))
    with pytest.raises(ValueError, match="there is no score 'f1': use 'auc'"):
        other.compute()


def test_two_items_with_one_id_and_other_findings_are_an_error() -> None:
    predictions = Predictions()
    for label in ([0.0, 1.0], [1.0, 1.0]):
        predictions.update(
            {
                "id": ["a"],
                "group": ["p"],
                "label": torch.tensor([label]),
                "probabilities": torch.tensor([[0.2, 0.1]]),
            }
        )
    with pytest.raises(ValueError, match="two items with the id 'a' differ in label"):
        predictions.gather()
