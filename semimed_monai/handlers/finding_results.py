"""What a reader of films gets where a film may have several findings: their probabilities, the map of the likeliest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semimed_monai.handlers.image_results import ImageResults, beside, may_be_written, save_picture
from semimed_monai.handlers.result_table import ResultTable
from semimed_monai.transforms import (
    Source,
    from_square,
    overlay,
    read_plane_grid,
    read_radiograph,
    write_capture,
    write_map,
)
from semimed_monai.transforms.grid import kind_of
from semimed_monai.transforms.squares import Aspect


class FindingTable(ResultTable):
    """One line per film: file, the likeliest finding, and each finding's probability by itself.

    >>> table = FindingTable("findings.csv", ["Nodule", "Mass"])
    >>> table.take("chest.dcm", 0, torch.tensor([0.5, 0.2, 0.6])[:, None, None])
    >>> table.likeliest("chest.dcm")
    ('Mass', 0.6)

    Args:
        path, key, facts: as for every ResultTable; the network's tensor is (1+C)×H×W.
        classes: names of the findings, in the order of the network's planes 1, 2, ….
    """

    def __init__(
        self, path: str | Path, classes: Sequence[str], key: str = "pred", facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(path, key, facts)
        self.classes = list(classes)
        self._of: dict[str, dict[str, float]] = {}

    def take(self, image: str, index: int, found: Tensor) -> None:  # noqa: ARG002 - a film is one image
        self._of[image] = dict(zip(self.classes, (round(float(value), 6) for value in found[1:, 0, 0]), strict=True))

    def likeliest(self, image: str) -> tuple[str, float]:
        """The finding with the highest probability, and that."""
        return max(self._of[image].items(), key=lambda finding: finding[1])

    @property
    def counted(self) -> str:
        return f"probabilities of {len(self.classes)} findings"

    @property
    def columns(self) -> list[str]:
        return ["image", "likeliest", *(f"probability/{name}" for name in self.classes)]

    def rows(self, image: str) -> list[dict[str, Any]]:
        chances = {f"probability/{name}": value for name, value in self._of[image].items()}
        return [{"image": image, "likeliest": self.likeliest(image)[0], **chances}]

    def head(self) -> dict[str, Any]:
        return {"classes": self.classes}

    def summary(self, image: str) -> dict[str, Any]:
        return {"likeliest": self.likeliest(image)[0], "probabilities": self._of[image]}


class FindingResults(ImageResults):
    """`ResultWriter`'s `write` for films: beside the map of `chest`, which is of the likeliest finding, it writes
    `chest_attention_overlay.png`, the film as it is displayed with the map's outline and that finding's probability,
    and for DICOM the same as a Secondary Capture, `chest_attention_capture.dcm`.

    >>> results = FindingResults(FindingTable("findings.csv", ["Nodule", "Mass"]), "a method", "models/model.pt")
    >>> results.threshold
    0.5

    Args:
        table: has every film's probabilities, and so is attached before the writer.
        name, weights, threshold: as for every `ImageResults`; what of the map is outlined is above the threshold.
    """

    def __init__(self, table: FindingTable, name: str, weights: str | Path, threshold: float = 0.5) -> None:
        super().__init__(table, name, weights, threshold)
        self.table = table

    def write(self, maps: Tensor, source: str, out: Path, slices: Sequence[int], aspect: Aspect) -> None:
        grid = read_plane_grid(source)
        write_map(maps, grid, out, slices, aspect)
        _, rows, columns = grid.size
        attention = from_square(torch.as_tensor(maps).float(), rows, columns, aspect)[0].numpy()
        finding, chance = self.table.likeliest(source)
        caption = f"{finding} {chance:.2f}"
        picture = overlay(read_radiograph(source), attention, caption, self.threshold, scaled=True)
        save_picture(picture, may_be_written(beside(out, "_overlay.png")))
        if kind_of(source) == "dicom":
            capture = may_be_written(beside(out, "_capture.dcm"))
            write_capture(Source(grid), capture, picture, self.author, "Outline of the likeliest finding's map")
