"""The handler that writes what a network found on slices: one file per image, in the image's own geometry."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from semimed_monai.data.find import NIFTI, PICTURES, is_result
from semimed_monai.handlers.image_results import beside
from semimed_monai.transforms import write_mask
from semimed_monai.vocabulary import DICOM

logger = logging.getLogger("semimed")


class UnreadableImagesError(RuntimeError):
    """Some images could not be read, or their results not be written; the message names each. The others are done."""


class ResultWriter:
    """Puts an image's slices together, from however many batches, and writes its file when the last one came.

    The file lies beside the image: `knee.nii.gz` and the DICOM folder `knee/` get `knee<ending>.nii.gz`, `knee.png`
    gets `knee<ending>.png`. Of images that would have the same file each file keeps its whole name: beside the folder
    `knee/` the volume `knee.nii.gz` gets `knee.nii.gz<ending>.nii.gz`. It is written whole or not at all, and carries a
    mark by which `find_images` leaves it out. As items of an image follow one another, no more than an image or two are
    in memory. Images that could not be read (`TolerantDataset`) are listed by `finish`, which is called after the run.

    >>> items = [{"image": "/data/knee.nii.gz", "slice": 0}, {"image": "/data/knee.nii.gz", "slice": 1}]
    >>> ResultWriter(items, ending="_mask").places
    {'/data/knee.nii.gz': PosixPath('/data/knee_mask.nii.gz')}

    Args:
        items: all that the evaluator will be given.
        ending: of the file's name.
        output_dir: a folder to write into instead; below it images keep their place below `root`.
        root: the images' common folder.
        key: where in a row of the evaluator's output the slice's result stands, 1×H×W.
        write: `write_mask` (whole numbers) or `write_map` (values in [0, 1]) from semimed_monai.transforms, or what is
            called as they are (`GradedResults`); a ValueError of it is kept for `finish`, and the next image done.
        aspect: what the preprocessing used.

    Raises:
        ValueError: two images would have the same file, or a file that is no result would be overwritten.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        ending: str,
        *,
        output_dir: str | Path = "",
        root: str | Path = "",
        key: str = "pred",
        write: Callable[..., Path] = write_mask,
        aspect: str = "pad",
    ) -> None:
        self.key = key
        self.write = write
        self.aspect = aspect
        self._to_come = Counter(str(item["image"]) for item in items)
        self._parts: dict[str, dict[int, Tensor]] = {}
        self.problems: dict[str, str] = {}
        self.incomplete: dict[str, str] = {}
        places = {image: _place(Path(image), ending, output_dir, root) for image in self._to_come}
        wanted = Counter(beside(place, "") for place in places.values())  # beside a map stand others of its name
        alone = {image: wanted[beside(place, "")] == 1 for image, place in places.items()}
        self.places = {
            image: place if alone[image] else _place(Path(image), ending, output_dir, root, whole_name=True)
            for image, place in places.items()
        }
        self._refuse_losses()

    def _refuse_losses(self) -> None:
        owners: dict[Path, str] = {}
        for image, place in self.places.items():
            if (other := owners.setdefault(beside(place, ""), image)) != image:
                raise ValueError(f"{other} and {image} would both have {place}: rename one, or run them separately")
            if place.exists() and not is_result(place):
                raise ValueError(f"{place} is there and no result of this library: move it, or set output_dir")

    def attach(self, engine: Engine) -> None:
        """To a MONAI evaluator that decollates, as it does by default: rows with source, slice, problem and `key`."""
        engine.add_event_handler(Events.STARTED, self._announce)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)

    def _announce(self) -> None:
        folders = sorted({str(place.parent) for place in self.places.values()})
        where = folders[0] if len(folders) == 1 else f"{len(folders)} folders"
        logger.info("%d images, %d slices; results go to %s", len(self.places), self._to_come.total(), where)

    def _collect(self, engine: Engine) -> None:
        batch, output = cast(list[dict[str, Any]], engine.state.batch), cast(list[dict[str, Any]], engine.state.output)
        for row, found in zip(batch, output, strict=True):
            self.add(row["source"], int(row["slice"]), found[self.key], row["problem"])

    def add(self, image: str, index: int, result: Tensor, problem: str = "") -> None:
        """Take one slice's result (1×H×W); with the last one of an image its file is written."""
        if problem:
            self.problems[image] = problem
        self._parts.setdefault(image, {})[index] = torch.as_tensor(result)[0].cpu()
        self._to_come[image] -= 1
        if self._to_come[image] == 0:
            parts = self._parts.pop(image)
            if image not in self.problems:
                slices = sorted(parts)
                stack = torch.stack([parts[index] for index in slices])
                try:
                    self.write(stack, image, self.places[image], slices=slices, aspect=self.aspect)
                except ValueError as error:
                    self.incomplete[image] = str(error)

    def finish(self) -> None:
        """Say how many files were written.

        Raises:
            UnreadableImagesError: not all images could be read, or not all of their results be written.
        """
        written = len(self.places) - len(self.problems) - len(self.incomplete)
        logger.info("%d of %d images done.", written, len(self.places))
        parts = []
        if self.problems:
            others = len(self.problems) < len(self.places) and not self.incomplete
            parts.append(self._list(f"could not be read{' (all others are done)' * others}", self.problems))
        if self.incomplete:
            parts.append(self._list("could be read, but not all of their results be written", self.incomplete))
        if parts:
            raise UnreadableImagesError("\n".join(parts))

    def _list(self, what: str, reasons: Mapping[str, str]) -> str:
        lines = [text if text.startswith(image) else f"{image}: {text}" for image, text in reasons.items()]
        return "\n  ".join([f"{len(lines)} of {len(self.places)} images {what}:", *lines])


def _place(image: Path, ending: str, output_dir: str | Path, root: str | Path, whole_name: bool = False) -> Path:
    name, is_file = image.name.lower(), not image.is_dir()
    # A DICOM file may be called by its UID, of which nothing may be lost.
    known = [kind for kind in (*NIFTI[::-1], *PICTURES, *DICOM) if is_file and name.endswith(kind)]
    stem = image.name[: -len(known[0])] if known and not whole_name else image.name
    file = stem + ending + (".png" if is_file and name.endswith(PICTURES) else ".nii.gz")
    if not output_dir:
        return image.with_name(file)
    top = Path(root).absolute()
    inside = image.parent.relative_to(top) if root and image.parent.is_relative_to(top) else Path()
    return Path(output_dir).absolute() / inside / file
