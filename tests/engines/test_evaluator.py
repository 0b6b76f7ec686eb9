"""What metrics are given: the batch, and what was read from the network's outputs; precision and layout."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.handlers.validation_handler import ValidationHandler
from torch.utils.data import DataLoader

from semimed_monai.engines import SectionEvaluator, precision, read_findings, read_grading, read_segmentation
from semimed_monai.handlers import KeepBest
from semimed_monai.metrics import GradingScore
from semimed_monai.vocabulary import Outputs

Make = Callable[..., Any]


def test_a_grading_by_hand() -> None:
    maps = torch.arange(2 * 2 * 2).float().view(2, 2, 1, 2)
    answer = read_grading(Outputs(torch.tensor([[0.0, math.log(3)], [2.0, 2.0]]), maps))
    assert torch.allclose(answer["probabilities"], torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    assert answer["map"].tolist() == [[[[2, 3]]], [[[4, 5]]]]
    always = read_grading(Outputs(torch.tensor([[0.0, 1.0], [2.0, 1.0]]), maps), map_class=0)
    assert always["map"].tolist() == [[[[0, 1]]], [[[4, 5]]]]
    assert set(read_grading(Outputs(torch.zeros(1, 2)))) == {"probabilities"}
    with pytest.raises(ValueError, match="needs logits"):
        read_grading(Outputs(maps=maps))


def test_findings_by_hand() -> None:
    """Each by itself: σ(log 3) = 3/4, σ(0) = 1/2; with the map of each."""
    maps, embedding = torch.arange(2 * 2).float().view(1, 2, 1, 2), torch.ones(1, 3)
    answer = read_findings(Outputs(torch.tensor([[0.0, math.log(3)]]), maps, embedding))
    assert torch.allclose(answer["probabilities"], torch.tensor([[0.5, 0.75]]))
    assert torch.equal(answer["maps"], maps)
    assert torch.equal(answer["embedding"], embedding)
    assert set(read_findings(Outputs(torch.zeros(1, 2)))) == {"probabilities"}


def test_a_segmentation_by_hand() -> None:
    logits = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]], [[0.5, 3.0]]]])
    assert read_segmentation(Outputs(logits))["segmentation"].tolist() == [[[[0, 2]]]]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
def test_every_row_with_its_columns(make_net: Make, make_rows: Make, number_format: str, channels_last: bool) -> None:
    """In eval mode, in the format asked for, without gradient; back in the mode it was in."""
    network = make_net(dropout=0.5).train()
    modes: list[tuple[bool, torch.dtype, bool]] = []
    network.last.register_forward_hook(
        lambda module, _images, out: modes.append((module.training, out.dtype, out.requires_grad))
    )
    loader = DataLoader(make_rows(4, 2), batch_size=4)
    evaluator = SectionEvaluator("cpu", loader, network, precision=number_format, channels_last=channels_last)
    outputs: list[dict[str, Any]] = []
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: outputs.append(engine.state.output))
    evaluator.run()
    expected = torch.bfloat16 if number_format == "bf16" else torch.float32
    assert modes == [(False, expected, False)] * 2
    assert [name for output in outputs for name in output["id"]] == [row["id"] for row in make_rows(4, 2)]
    assert set(outputs[0]) == {"id", "group", "image", "label", "mask", "has_mask", "probabilities", "map"}
    for output, batch in zip(outputs, loader, strict=True):
        answer = read_grading(network.eval()(batch["image"]))
        tolerance = 1e-6 if number_format == "fp32" else 2e-2
        assert torch.allclose(output["probabilities"], answer["probabilities"], atol=tolerance)
        assert output["probabilities"].dtype == output["map"].dtype == torch.float32


def test_a_precision_that_cannot_be(make_net: Make, make_rows: Make) -> None:
    with pytest.raises(ValueError, match="precision is 'half'; choose one of fp32, bf16, fp16"):
        SectionEvaluator("cpu", DataLoader(make_rows()), make_net(), precision="half")


def test_train_validate_keep(tmp_path: Path, make_trainer: Make, make_net: Make, make_rows: Make) -> None:
    """The chain of a recipe: MONAI's ValidationHandler, a metric of ours, the best teacher kept."""
    network = make_net()
    trainer = make_trainer(network=network, max_epochs=3)
    teacher = trainer.teacher.network
    validator = SectionEvaluator(
        "cpu", DataLoader(make_rows(6, 0), batch_size=4), teacher, key_val_metric={"f1": GradingScore("f1")}
    )
    scores: list[tuple[float, torch.Tensor]] = []
    validator.add_event_handler(
        Events.COMPLETED, lambda engine: scores.append((engine.state.metrics["f1"], teacher.first.weight.clone()))
    )
    ValidationHandler(1, validator).attach(trainer)
    best = KeepBest(validator, "f1", [{"path": tmp_path / "model.pt", "network": teacher}])
    best.attach(trainer)
    trainer.run()
    assert len(scores) == 3
    epoch = max(range(3), key=lambda number: scores[number][0])
    assert (best.best, best.best_epoch) == (scores[epoch][0], epoch + 1)
    assert torch.equal(torch.load(tmp_path / "model.pt", weights_only=True)["first.weight"], scores[epoch][1])


def test_only_what_is_not_fp32_is_converted() -> None:
    whole, half = torch.rand(2, 3), torch.rand(2, 3, 1, 1).bfloat16()
    outputs = precision.in_fp32(Outputs(whole, half))
    assert outputs.logits is whole
    assert outputs.maps is not None
    assert outputs.maps.dtype == torch.float32
    assert torch.equal(outputs.maps.bfloat16(), half)
    assert outputs.embedding is None


def test_what_is_no_tensor_stays_in_the_batch() -> None:
    batch = precision.to_device({"image": torch.ones(1), "id": ["a"]}, torch.device("meta"))
    assert batch["image"].device.type == "meta"
    assert batch["id"] == ["a"]
