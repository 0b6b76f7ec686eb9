"""What a reader of radiographs gets for each of them: map, candidates, overlay, and DICOM where the image is DICOM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydicom.sr.coding import Code
from torch import Tensor

from semimed_monai.handlers.candidate_table import CandidateTable
from semimed_monai.handlers.image_results import ImageResults, beside, may_be_written, save_picture
from semimed_monai.transforms import (
    Candidate,
    PlaneGrid,
    Source,
    find_candidates,
    from_square,
    overlay,
    read_plane_grid,
    read_radiograph,
    write_capture,
    write_lesion_segmentation,
    write_map,
    write_report,
)
from semimed_monai.transforms.grid import kind_of
from semimed_monai.transforms.squares import Aspect


class LesionResults(ImageResults):
    """`ResultWriter`'s `write` for a detector of lesions on radiographs: beside the 16-bit map of `chest` it writes

    - `chest_lesions_overlay.png`: the image as it is displayed, the map's outline, the candidates with their scores,
      and in another colour what is known to be there; as large as the image, or a whole number of times larger;
    - for DICOM `chest_lesions.dcm`, a Segmentation, where the file is a section through the patient with its place;
      else, as radiographs are projections, `chest_lesions_report.dcm`, a structured report with a region for each
      candidate; and the overlay as a Secondary Capture, `chest_lesions_capture.dcm`.

    A candidate is a component of the map at the threshold. An image's score is its map's maximum.

    >>> from semimed_monai.data import coco_images
    >>> results = LesionResults(CandidateTable("candidates.csv", coco_images([])), "a method", "models/model.pt")
    >>> results.caption(0.8)
    'Fracture 0.80'

    Args:
        table: gets what is found.
        name: of the method, for the DICOM objects.
        weights: the file with the network's weights; its digest goes into the DICOM objects.
        threshold: from which on a place is a candidate.
        finding: what kind of lesion: code, coding scheme and meaning of a morphologically abnormal structure.
    """

    def __init__(
        self,
        table: CandidateTable,
        name: str,
        weights: str | Path,
        threshold: float = 0.5,
        finding: Sequence[str] = ("72704001", "SCT", "Fracture"),
    ) -> None:
        super().__init__(table, name, weights, threshold)
        self.table = table
        if len(finding) != 3:
            raise ValueError(f"finding is {finding!r}: give a code, its coding scheme and what it means")
        self.finding = Code(*finding)

    def write(self, maps: Tensor, source: str, out: Path, slices: Sequence[int], aspect: Aspect) -> None:
        grid = read_plane_grid(source)
        write_map(maps, grid, out, slices, aspect, in_16_bits=True)
        _, rows, columns = grid.size
        coarse = torch.as_tensor(maps).float()
        score = float(coarse.max())
        found = find_candidates(coarse[0].numpy(), rows, columns, self.threshold, aspect)
        self.table.add(source, score, found, rows, columns)
        fine = from_square(coarse, rows, columns, aspect)[0].numpy()
        given = self.table.coco.boxes(source)
        plane = read_radiograph(source)
        picture = overlay(plane, fine, self.caption(score), self.threshold, found=found, given=given, scaled=True)
        save_picture(picture, may_be_written(beside(out, "_overlay.png")))
        if kind_of(source) == "dicom":
            self._write_dicom(grid, out, fine, found, score, picture)

    def caption(self, score: float) -> str:
        """What stands on an overlay."""
        return f"{self.finding.meaning} {score:.2f}"

    def _write_dicom(
        self,
        grid: PlaneGrid,
        out: Path,
        fine: NDArray[np.float32],
        found: Sequence[Candidate],
        score: float,
        picture: NDArray[np.uint8],
    ) -> None:
        source = Source(grid)
        if source.sectional:
            place = may_be_written(beside(out, ".dcm"))
            lesions = grid.to_stored(fine[None] >= self.threshold)
            write_lesion_segmentation(source, place, lesions, self.finding, self.author)
        else:
            place = may_be_written(beside(out, "_report.dcm"))
            write_report(source, place, found, score, self.threshold, self.finding, self.author)
        capture = may_be_written(beside(out, "_capture.dcm"))
        write_capture(source, capture, picture, self.author, "Outline of the map, candidates and their scores")
