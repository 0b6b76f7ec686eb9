"""The evaluator: one network over one section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine
from ignite.metrics import Metric
from monai.engines import SupervisedEvaluator
from monai.engines.utils import IterationEvents
from monai.inferers import Inferer
from torch import Tensor, nn

from semimed_monai.engines.precision import autocast, checked, formatted, in_fp32, to_device
from semimed_monai.vocabulary import Outputs, class_map, flag, required


def read_grading(outputs: Outputs, map_class: int | None = None) -> dict[str, Tensor]:
    """A classifier's answer: `probabilities` (B×C) and, where it has them, the `map` of the predicted class
    (B×1×H×W) and the `embedding` (B×K).

    Args:
        outputs: of the network.
        map_class: the class whose map it is, whatever was predicted, so that measures of maps do not hold recall.
    """
    probabilities = torch.softmax(required(outputs.logits, outputs, "logits"), dim=1)
    predicted = probabilities.argmax(dim=1)
    shown = predicted if map_class is None else torch.full_like(predicted, map_class)
    found = None if outputs.maps is None else class_map(outputs.maps, shown)
    return _given(probabilities=probabilities, map=found, embedding=outputs.embedding)


def read_planes(answer: Tensor) -> dict[str, Tensor]:
    """The same of a classifier as it is deployed, whose answer is the map and a plane for each probability."""
    return {"probabilities": answer[:, 1:, 0, 0], "map": answer[:, :1]}


def read_findings(outputs: Outputs) -> dict[str, Tensor]:
    """The same where an image may have several classes: the probability of each by itself, and the `maps` of all."""
    probabilities = torch.sigmoid(required(outputs.logits, outputs, "logits"))
    return _given(probabilities=probabilities, maps=outputs.maps, embedding=outputs.embedding)


def _given(**answer: Tensor | None) -> dict[str, Tensor]:
    return {name: value for name, value in answer.items() if value is not None}


def read_segmentation(outputs: Outputs) -> dict[str, Tensor]:
    """A segmenter's answer: `segmentation`, the class number of every pixel (B×1×H×W)."""
    return {"segmentation": required(outputs.logits, outputs, "logits").argmax(dim=1, keepdim=True)}


def read_lesions(outputs: Outputs) -> dict[str, Tensor]:
    """A detector's answer: `map` (B×1×H×W), where lesions are, and `probabilities` (B×2) of an image without and with
    one: of the classifier where the network is one, otherwise the map's maximum.
    """
    maps, logits = required(outputs.maps, outputs, "maps"), required(outputs.logits, outputs, "logits")
    score = torch.softmax(logits, dim=1)[:, 1] if logits.dim() == 2 else maps.flatten(1).amax(dim=1)
    return {"map": maps, "probabilities": torch.stack([1 - score, score], dim=1)}


class SectionEvaluator(SupervisedEvaluator):
    """Runs a network over batches; its output is the batch with what `read` makes of the network's outputs.

    MONAI's SupervisedEvaluator hands on image, label and prediction only, and autocasts on CUDA only: metrics here
    need the mask, the group and the id of every row too.

    Args:
        device: where to run.
        val_data_loader: the section's batches.
        network: what to evaluate.
        read: outputs → what metrics look at: `read_grading`, `read_findings`, `read_segmentation` or `read_lesions`;
            of a deployed network `read_planes`.
        precision, channels_last: as the trainer's. Recipes leave them out: what is reported was computed in fp32.
        key_val_metric, additional_metrics, val_handlers, inferer: as in MONAI.

    Raises:
        ValueError: an unknown precision, or fp16 without a GPU.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: Iterable[Mapping[str, Any]],
        network: nn.Module,
        read: Callable[[Any], dict[str, Tensor]] = read_grading,
        precision: str = "fp32",
        channels_last: bool = False,
        inferer: Inferer | None = None,
        key_val_metric: dict[str, Metric] | None = None,
        additional_metrics: dict[str, Metric] | None = None,
        val_handlers: Sequence[Any] | None = None,
    ) -> None:
        super().__init__(
            device=torch.device(device),
            val_data_loader=val_data_loader,
            network=network,
            inferer=inferer,
            key_val_metric=key_val_metric,
            additional_metrics=additional_metrics,
            val_handlers=val_handlers,
            decollate=False,
        )
        self.read = read
        self.precision = checked(precision, torch.device(device))
        self.channels_last = flag("channels_last", channels_last)

    def _iteration(self, _: Engine, batchdata: Mapping[str, Any]) -> dict[str, Any]:
        batch = to_device(batchdata, self.state.device)
        with self.mode(self.network), autocast(self.state.device, self.precision):
            outputs = self.inferer(formatted(batch["image"], self.channels_last), self.network)
        self.fire_event(IterationEvents.FORWARD_COMPLETED)
        whole = outputs.float() if isinstance(outputs, Tensor) else in_fp32(outputs)
        self.state.output = {**batch, **self.read(whole)}
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return self.state.output  # type: ignore[no-any-return]
