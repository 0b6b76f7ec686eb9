"""What a reader of images gets for each of them: attention as a file, overlays, and DICOM where the image is DICOM."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semimed_monai.data.find import is_result
from semimed_monai.files import whole_folder
from semimed_monai.handlers.grade_table import GradeTable
from semimed_monai.handlers.image_results import ImageResults, beside, may_be_written, save_picture
from semimed_monai.transforms import (
    Grid,
    Source,
    from_square,
    overlay,
    read_image,
    to_source_geometry,
    write_captures,
    write_map,
    write_segmentation,
)
from semimed_monai.transforms.grid import kind_of
from semimed_monai.transforms.squares import Aspect

logger = logging.getLogger("semimed")


class GradedResults(ImageResults):
    """`ResultWriter`'s `write` for a grading network: beside the attention map of `knee` it writes

    - `knee_attention_overlays/000.png` …, a slice each with the outline of the attention and the grade
      (`knee_attention_overlay.png` for a picture), as large as the slice, or a whole number of times larger;
    - for DICOM `knee_attention.dcm`, a Segmentation of the attention above the threshold with a segment per grade, and
      `knee_attention_captures/000.dcm` …, the overlays as Secondary Captures.

    A file without a frame of reference (a radiograph) has nothing to lay a Segmentation on, and gets none.

    >>> results = GradedResults(GradeTable("grades.csv", ["normal", "torn"]), "a method", "models/model.pt")
    >>> results.caption({"slice": 3, "grade": "torn", "probability/torn": 0.8})
    'slice 3: torn 0.80'

    Args:
        table: has every slice's grade, and so is attached before the writer.
        name: of the method, for the DICOM objects.
        weights: the file with the network's weights; its digest goes into the DICOM objects.
        threshold: what of the attention is outlined and segmented: what is above it.
        n4, colour: as in the preprocessing: overlays show what the network saw, and nothing is read twice.
    """

    def __init__(
        self,
        table: GradeTable,
        name: str,
        weights: str | Path,
        threshold: float = 0.5,
        n4: bool = False,
        colour: bool = False,
    ) -> None:
        super().__init__(table, name, weights, threshold)
        self.table = table
        self.n4, self.colour = n4, colour

    def write(self, maps: Tensor, source: str, out: Path, slices: Sequence[int], aspect: Aspect) -> None:
        planes, grid = read_image(source, n4=self.n4, colour=self.colour)
        shown = planes.transpose(0, 2, 3, 1) if self.colour else planes[:, 0]
        rows = self.table.slices(source)
        attention = from_square(torch.as_tensor(maps).float(), *grid.size[1:], aspect).numpy()
        self._place(source, grid, dict(zip(slices, attention, strict=True)))
        with ThreadPoolExecutor(max_workers=2) as beside_this:  # compressing needs no Python, DICOM objects little else
            written: list[Future[Any]] = [beside_this.submit(write_map, maps, grid, out, slices, aspect)]
            pictures = {
                index: overlay(shown[index], plane, self.caption(rows[index], grid), self.threshold)
                for index, plane in zip(slices, attention, strict=True)
            }
            written.append(beside_this.submit(self._save_pictures, pictures, out, grid))
            if kind_of(source) == "dicom":
                self._write_dicom(maps, pictures, grid, out, slices, aspect)
            for one in written:
                one.result()

    def caption(self, row: dict[str, Any], grid: Grid | None = None) -> str:
        """What stands on a slice's overlay."""
        grade = f"{row['grade']} {row['probability/' + row['grade']]:.2f}"
        return grade if grid is not None and grid.size[0] == 1 else f"slice {row['slice']}: {grade}"

    def _place(self, source: str, grid: Grid, attention: dict[int, NDArray[np.float32]]) -> None:
        """The attention's centre of mass in the worst slice: in millimetres, or pixels of a picture."""
        worst = int(self.table.worst(source)["slice"])
        plane = attention[worst].astype(np.float64)
        if not (total := plane.sum()) > 0:
            return
        row, column = (float((plane.sum(axis=1 - axis) @ np.arange(n)) / total) for axis, n in enumerate(plane.shape))
        if grid.affine is None:
            self.table.add_place(source, attention_centre_pixel=[round(row, 2), round(column, 2)])
        else:
            millimetres = grid.affine @ [*grid.stored_index(worst, row, column), 1]
            self.table.add_place(source, attention_centre_ras_mm=[round(float(value), 2) for value in millimetres[:3]])

    def _save_pictures(self, pictures: dict[int, NDArray[np.uint8]], out: Path, grid: Grid) -> None:
        if grid.affine is None:
            save_picture(pictures[0], beside(out, "_overlay.png"))
            return
        with whole_folder(beside(out, "_overlays"), is_result) as folder:
            for index, picture in pictures.items():
                save_picture(picture, folder / f"{index:03d}.png")

    def _write_dicom(
        self,
        maps: Tensor,
        pictures: dict[int, NDArray[np.uint8]],
        grid: Grid,
        out: Path,
        slices: Sequence[int],
        aspect: Aspect,
    ) -> None:
        source = Source(grid)
        if source.placed:
            rows = self.table.slices(grid.path)
            grades = [self.table.classes.index(rows[z]["grade"]) if z in rows else -1 for z in range(grid.size[0])]
            attention, _ = to_source_geometry(torch.as_tensor(maps).float(), grid, slices, aspect)
            segmentation = may_be_written(beside(out, ".dcm"))
            write_segmentation(
                source, segmentation, attention > self.threshold, grades, self.table.classes, self.author
            )
        else:
            logger.warning("%s has no frame of reference: no DICOM Segmentation is written for it", grid.path)
        with whole_folder(beside(out, "_captures"), is_result) as folder:
            write_captures(source, folder, pictures, self.author)
