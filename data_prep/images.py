"""The images of a folder by what a table calls them, and what can be said of each without the table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep import pictures
from data_prep.dicom_series import read_header
from data_prep.faults import Fault
from data_prep.names import Names
from data_prep.nifti_headers import nifti_grid
from data_prep.progress import each
from semimed_monai.data.find import NIFTI, PICTURES
from semimed_monai.transforms.grid import read_grid


class ImageFolder:
    """Files and folders below a folder.

    Args:
        folder: where they are.
        without: a folder that is not looked at: where an earlier run has written.
    """

    def __init__(self, folder: Path, without: Path) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: there is no such folder: give the one with the images")
        self.folder = folder
        self._names: Names[Path] = Names()
        for place, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and Path(place, name) != without)
            for path in (Path(place, name) for name in (*folders, *sorted(files)) if not name.startswith(".")):
                self._names.add(path.relative_to(folder).as_posix(), path)

    def __getitem__(self, name: str) -> Path:
        """The image of a name.

        Raises:
            ValueError: there is none, or there are several.
        """
        exact = Path(os.path.normpath(self.folder / name))
        if exact != self.folder and exact.is_relative_to(self.folder) and exact.exists():
            return exact
        return self._names.only(name, self.folder)

    def name_of(self, path: Path) -> str:
        """The path below the folder."""
        return path.relative_to(self.folder).as_posix()


class Contents(NamedTuple):
    """A picture's width and height, a volume's shape; and how many slices there are to choose from, 0 in a picture."""

    size: tuple[int, ...]
    slices: int


def examine(files: Sequence[Path], *, masks: bool = False) -> dict[Path, Contents | Fault]:
    """What each file holds, or what is wrong with it: pictures are decoded, of others the headers are read."""
    known = [file for file in files if file.name.lower().endswith(PICTURES) and not file.is_dir()]
    found: dict[Path, Contents | Fault] = {}
    for file, size in pictures.examine(known).items():
        found[file] = Fault(f"broken ({size})") if isinstance(size, str) else Contents(size, 0)
    others = [file for file in files if file not in found]
    results = each(lambda file: _contents(file, masks=masks), others, "reading headers")
    return {**found, **dict(zip(others, results, strict=True))}


def _contents(file: Path, *, masks: bool) -> Contents | Fault:
    if file.is_dir():
        return _series(file)
    if file.name.lower().endswith(NIFTI):
        grid = nifti_grid(file, mask=masks)
        return grid if isinstance(grid, Fault) else Contents(grid.shape, grid.size[0])
    header = read_header(file)
    if isinstance(header, Fault):
        return header._replace(stops=False)  # a broken picture does not stop either: no slice's number depends on it
    return Contents((*header.size[::-1], header.frames), header.frames if header.frames > 1 else 0)


def _series(folder: Path) -> Contents | Fault:
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    for file in files:
        header = Fault("a folder") if file.is_dir() else read_header(file)
        if isinstance(header, Fault):
            return Fault(f"its folder is to hold one DICOM series and nothing else ({file.name}: {header.reason})")
    try:
        grid = read_grid(str(folder))
    except ValueError as error:
        return Fault(str(error).removeprefix(f"{folder}: "), stops=True)
    return Contents(grid.shape, grid.size[0])
