"""The knee volumes in a tree of folders, DICOM series and NIfTI files, and every file that is none, with the reason.

Only headers are read. A series whose folder holds nothing else is read where it is; the reader takes a folder as one
series, so one that shares its folder, or is spread over several, is to be sorted into a folder of its own.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from data_prep.dicom_series import (
    Header,
    duplicate,
    ordered,
    read_header,
    repeated,
    runs_against_instances,
    series_of,
)
from data_prep.faults import Fault
from data_prep.nifti_headers import nifti_grid
from data_prep.progress import each
from semimed_monai.data.find import NIFTI
from semimed_monai.transforms.series import ending

# nibabel has no type hints.
turning: Any = nib.orientations

_THICK = 2.0  # slices that are so many times as thick as another axis's steps are the planes that were acquired
_DIRECTIONS = ("sagittal", "coronal", "axial")


class Volume(NamedTuple):
    """Slices that are read together.

    Args:
        name: the path below the source; for a series that must be sorted, its folder and its UID.
        image: what the datalist names; for such a series its UID stands for it until it has been sorted.
        slices: how many.
        names: how a table may call it, beside that: the series' UID, and its folders.
        description: of the series.
        number: of the series.
        patient: PatientID, if any.
        files: of a series that must be sorted, in the order of the slices.
        backwards: instance numbers do not run along the positions.
    """

    name: str
    image: Path
    slices: int
    names: tuple[str, ...] = ()
    description: str = ""
    number: str = ""
    patient: str = ""
    files: tuple[Path, ...] = ()
    backwards: bool = False

    @property
    def folders(self) -> list[str]:
        """The folders that its files lie in, the nearest first."""
        parts = self.name.split("/")
        is_folder = not (self.files or self.name.lower().endswith(NIFTI))
        return (parts if is_folder else parts[:-1])[::-1]

    @property
    def tiers(self) -> tuple[tuple[str, ...], ...]:
        """How a table may call it: the best names first."""
        return (
            (self.name, *self.names),
            *((label,) if label else () for label in (self.description, self.number)),
        )


class Refusal(NamedTuple):
    """Files, by their paths below the source, that are no volume; `names` as a table may call what they are."""

    fault: Fault
    files: tuple[str, ...]
    names: tuple[str, ...] = ()


@dataclass
class Found:
    """What a tree holds."""

    volumes: list[Volume] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def find_volumes(source: Path, *, without: Sequence[Path] = (), exclude: Sequence[str] = ()) -> Found:
    """All volumes below a folder, in the order of their names.

    Args:
        source: the folder.
        without: files and folders that are not looked at: what an earlier run has written there.
        exclude: patterns ("*_mask.nii.gz", "old/*") of paths below the source that are not looked at.
    """
    found = Found()
    files: list[Path] = []
    contents: dict[Path, set[Path]] = {}  # also what is not looked at: the reader of a folder would look at it
    for folder, entries in _walk(source, without):
        contents[folder] = entries
        if not entries:
            name = _below(folder, source)
            found.refused.append(Refusal(Fault("empty folder"), (name,), (name,)))
        files += sorted(
            file
            for file in entries
            if file.is_file()
            and file not in without
            and file.name != "DICOMDIR"
            and not any(fnmatch(_below(file, source), pattern) for pattern in exclude)
        )
    niftis = [file for file in files if file.name.lower().endswith(NIFTI)]
    for file, result in zip(niftis, each(_nifti, niftis, "reading NIfTI headers"), strict=True):
        name = _below(file, source)
        if isinstance(result, Fault):
            found.refused.append(Refusal(result, (name,), (name,)))
        else:
            found.volumes.append(Volume(name, file, result))
    others = [file for file in files if file not in set(niftis)]
    headers = []
    lost: list[tuple[Path, Fault]] = []
    for file, header in zip(others, each(read_header, others, "reading DICOM headers"), strict=True):
        if isinstance(header, Fault):
            found.refused.append(Refusal(header, (_below(file, source),), (_below(file.parent, source),)))
            lost.append((file, header))
        else:
            headers.append(header)
    _add_series(found, series_of(headers), _Lost(lost), source, contents)
    found.volumes.sort(key=lambda volume: volume.name)
    return found


class _Lost:
    """Files that cannot be used, of which one may be a slice: without it all others of its series get new numbers."""

    def __init__(self, files: Sequence[tuple[Path, Fault]]) -> None:
        self._of_series = {fault.series: (file, fault) for file, fault in files if fault.series}
        self._unknown: defaultdict[Path, list[tuple[Path, Fault]]] = defaultdict(list)
        for file, fault in files:
            if not fault.series:
                self._unknown[file.parent].append((file, fault))

    def slice_of(self, headers: Sequence[Header]) -> Fault | None:
        """What to say of a series that may have lost a slice; nothing of one that is whole."""
        kinds = {ending(header.file) for header in headers}
        beside = [entry for folder in {header.file.parent for header in headers} for entry in self._unknown[folder]]
        candidates = [entry for entry in beside if entry[1].series == "" or ending(entry[0]) in kinds]
        if headers[0].series in self._of_series:
            candidates.append(self._of_series[headers[0].series])
        if not candidates:
            return None
        file, fault = min(candidates)
        advice = "without it the others would be numbered anew. Copy it anew, or move it away if it is none"
        return Fault(f"{file.name} may be a slice of it, and cannot be used ({fault.reason}): {advice}", stops=True)


def _add_series(
    found: Found, series: dict[str, list[Header]], lost: _Lost, source: Path, contents: dict[Path, set[Path]]
) -> None:
    slices: dict[str, list[Header]] = {}
    for uid, headers in series.items():
        result = ordered(headers)
        if not isinstance(result, Fault):
            result = lost.slice_of(headers) or result
        if isinstance(result, Fault):
            found.refused.append(_refusal(result, headers, source))
        else:
            slices[uid] = result
    for same in repeated(header for headers in slices.values() for header in headers):  # in several series
        for uid in sorted({header.series for header in same} & {*slices}):
            found.refused.append(_refusal(duplicate(same), slices.pop(uid), source))
    for uid, headers in slices.items():
        files = [header.file for header in headers]
        alone = contents[files[0].parent] == {*files}
        place = _below(files[0].parent, source)
        found.volumes.append(
            Volume(
                name=place if alone else (Path(place) / uid).as_posix(),
                image=files[0].parent if alone else Path(uid),
                slices=len(files),
                names=_names(headers, source),
                description=headers[0].description,
                number=headers[0].number,
                patient=headers[0].patient,
                files=() if alone else tuple(files),
                backwards=runs_against_instances(headers),
            )
        )


def _walk(source: Path, without: Sequence[Path]) -> Iterator[tuple[Path, set[Path]]]:
    """Each folder, in order, and all that lies in it but what is hidden."""
    for place, folders, files in os.walk(source):
        folder = Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and folder / name not in without)
        yield folder, {folder / name for name in (*folders, *files) if not name.startswith(".")}


def _refusal(fault: Fault, headers: Sequence[Header], source: Path) -> Refusal:
    return Refusal(fault, tuple(sorted(_below(header.file, source) for header in headers)), _names(headers, source))


def _names(headers: Sequence[Header], source: Path) -> tuple[str, ...]:
    """The UID and the folders of a series."""
    return (headers[0].series, *sorted({_below(header.file.parent, source) for header in headers}))


def _nifti(file: Path) -> int | Fault:
    """How many sagittal slices the reader will see in a file."""
    grid = nifti_grid(file)
    if isinstance(grid, Fault):
        return grid
    # How far a step along each stored axis goes, in the order left-right, front-back, up-down.
    steps = np.empty(3)
    steps[turning.io_orientation(grid.affine)[:, 0].astype(int)] = grid.spacing
    thickest = int(np.argmax(steps))
    otherwise = len(grid.stored) < 3 or steps[thickest] > _THICK * steps[0]
    return Fault(f"not sagittal ({_DIRECTIONS[thickest]})") if otherwise else grid.size[0]


def _below(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix()
