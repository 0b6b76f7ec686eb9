"""What `ResultWriter` calls with an image's maps, whatever the network: writes its files, then its table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from semimed_monai.data.find import is_result
from semimed_monai.files import digest_of, whole
from semimed_monai.handlers.result_table import ResultTable
from semimed_monai.transforms import Author, result_mark
from semimed_monai.transforms.squares import Aspect
from semimed_monai.vocabulary import share


class ImageResults(ABC):
    """Writes an image's files and enters it in the table as done, with what is missing where not all can be written.

    Args:
        table: of the whole run.
        name: of the method, for the DICOM objects.
        weights: the file with the network's weights; its digest goes into the DICOM objects.
        threshold: of the maps.
    """

    def __init__(self, table: ResultTable, name: str, weights: str | Path, threshold: float = 0.5) -> None:
        self.done = table.done
        self.name = name
        self.weights = Path(weights)
        self.threshold = share("threshold", threshold)

    def __call__(self, maps: Tensor, source: str, out: Path, *, slices: Sequence[int], aspect: Aspect = "pad") -> Path:
        """Write all of one image, and enter it in the table as done.

        Raises:
            ValueError: an image's results are not complete; what was written before stays, and the table says so.
        """
        try:
            self.write(maps, source, out, slices, aspect)
        except ValueError as error:
            self.done(source, str(error))
            raise
        self.done(source)
        return out

    @abstractmethod
    def write(self, maps: Tensor, source: str, out: Path, slices: Sequence[int], aspect: Aspect) -> None:
        """Write the maps to `out`, and whatever else beside it."""

    @cached_property
    def author(self) -> Author:
        """Who stands in the DICOM objects; the weights are read once, for the first of them."""
        return Author(self.name, digest_of(self.weights))


def beside(out: Path, ending: str) -> Path:
    """The place of another result: the map's name with another ending.

    >>> beside(Path("out/knee_attention.nii.gz"), "_overlay.png")
    PosixPath('out/knee_attention_overlay.png')
    """
    return out.with_name(out.name.removesuffix(".gz").removesuffix(".nii").removesuffix(".png") + ending)


def may_be_written(file: Path) -> Path:
    """The file itself.

    Raises:
        ValueError: it is there, and no result of this library.
    """
    if file.exists() and not is_result(file):
        raise ValueError(f"{file} is there and no result of this library: move it, or set output_dir")
    return file


def save_picture(picture: NDArray[np.uint8], file: Path) -> None:
    """An RGB picture as a PNG that is known for a result."""
    with whole(file) as part:
        # The fastest compression: noise does not become smaller with more.
        Image.fromarray(picture).save(part, pnginfo=result_mark(), compress_level=1)
