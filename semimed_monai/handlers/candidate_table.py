"""What a detector found in the images of a run: as a table, as JSON, and in COCO's format of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semimed_monai.data import CocoImages
from semimed_monai.handlers.result_table import ResultTable, write_json
from semimed_monai.transforms import Candidate


@dataclass(frozen=True)
class Found:
    """What was found in one image of so many pixels; numbers as they stand in the files."""

    score: float
    candidates: list[Candidate]
    rows: int
    columns: int


class CandidateTable(ResultTable):
    """One line per candidate: its image with the image's score, its box in the image's pixels, and its own score.

    An image without a candidate has one line, too, in which these are empty. Beside it are `coco_results.json`, boxes
    as [x, y, width, height], and `coco_images.json`, the images and the category that its ids mean: a COCO file by
    itself, without annotations.

    >>> from semimed_monai.data import coco_images
    >>> table = CandidateTable("candidates.csv", coco_images(["chest.png"], category="fracture"))
    >>> table.add("chest.png", 0.9, [Candidate((1.0, 2.0, 4.0, 6.0), 0.9)], rows=30, columns=40)
    >>> table.coco_results("chest.png")
    [{'image_id': 1, 'category_id': 1, 'bbox': [1.0, 2.0, 3.0, 4.0], 'score': 0.9}]

    Args:
        path: candidates.csv; the others lie beside it.
        coco: ids of the images, and of what is found in them.
        facts: what the results are of: the network, its weights, the threshold; stands in the JSON file.
    """

    def __init__(self, path: str | Path, coco: CocoImages, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(path, facts=facts)
        self.coco = coco
        self._found: dict[str, Found] = {}

    def add(self, image: str, score: float, candidates: Sequence[Candidate], rows: int, columns: int) -> None:
        """Take what was found in an image of so many pixels: its score, and the candidates in their order."""
        kept = []
        for one in candidates:
            x0, y0, x1, y1 = (round(edge, 3) for edge in one.box)
            kept.append(Candidate((x0, y0, x1, y1), round(one.score, 6)))
        self._found[image] = Found(round(score, 6), kept, rows, columns)

    @property
    def counted(self) -> str:
        return f"{sum(len(found.candidates) for found in self._found.values())} candidates"

    @property
    def columns(self) -> list[str]:
        return ["image", "image_score", "candidate", "x0", "y0", "x1", "y1", "score"]

    def rows(self, image: str) -> list[dict[str, Any]]:
        if image not in self._found:
            return []
        found = self._found[image]
        head: dict[str, Any] = {"image": image, "image_score": found.score}
        rows = []
        for number, one in enumerate(found.candidates, start=1):
            edges = dict(zip(("x0", "y0", "x1", "y1"), one.box, strict=True))
            rows.append({**head, "candidate": number, **edges, "score": one.score})
        return rows or [head]

    def summary(self, image: str) -> dict[str, Any]:
        if image not in self._found:
            return {}
        found = self._found[image]
        candidates = [{"box": list(one.box), "score": one.score} for one in found.candidates]
        return {"score": found.score, "rows": found.rows, "columns": found.columns, "candidates": candidates}

    def write(self, images: Sequence[str]) -> None:
        super().write(images)
        listed = [image for image in images if image in self._found and image in self.coco.of]
        results = [result for image in listed for result in self.coco_results(image)]
        write_json(self.path.with_name("coco_results.json"), results)
        known = [
            {
                "id": self.coco.of[image].id,
                "file_name": self.coco.of[image].file_name,
                "width": self._found[image].columns,
                "height": self._found[image].rows,
            }
            for image in listed
        ]
        content = {"images": known, "annotations": [], "categories": [dict(self.coco.category)]}
        write_json(self.path.with_name("coco_images.json"), content)

    def coco_results(self, image: str) -> list[dict[str, Any]]:
        """An image's candidates as COCO has them."""
        return [
            {
                "image_id": self.coco.of[image].id,
                "category_id": self.coco.category["id"],
                "bbox": [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)],
                "score": one.score,
            }
            for one in self._found[image].candidates
            for x0, y0, x1, y1 in [one.box]
        ]
