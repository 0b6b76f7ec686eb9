"""The files of a DICOM series in the order of its slices, once they are known to be one stack.

Looked for: ITK (GDCM) groups and sorts files, but takes an instance that is there twice for two slices, and one of
another orientation for a slice like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import itk
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

_WANTED = ["SOPInstanceUID", "SeriesInstanceUID", "ImageOrientationPatient"]
# Directions are unit vectors: this is about half a degree, above what headers round to.
SAME_DIRECTION = 0.01


def series_files(folder: str) -> list[str]:
    """The files of the one series in a folder, as ITK reads and orders them.

    Example:
        >>> series_files("study/left_knee")  # doctest: +SKIP
        ['study/left_knee/0001.dcm', 'study/left_knee/0002.dcm']

    Raises:
        ValueError: no DICOM file, several series, an instance that is there twice, or several orientations.
    """
    headers = _headers(folder)
    if not headers:
        raise ValueError(
            f"{folder}: no DICOM file in this folder, so no slices; give the folder with the series' files"
        )
    if len({header.get("SeriesInstanceUID") for header in headers.values()}) == 1:
        _refuse_duplicates(folder, headers)
        _refuse_orientations(folder, headers)
    # The settings of monai.data.ITKReader, which reads the pixels: the same files in the same order.
    series = itk.GDCMSeriesFileNames.New()
    series.SetUseSeriesDetails(True)
    series.AddSeriesRestriction("0008|0021")
    series.SetDirectory(folder)
    found = list(series.GetSeriesUIDs())
    if len(found) != 1:
        raise ValueError(f"{folder}: {len(found)} DICOM series in this folder; give each series a folder of its own")
    return [str(file) for file in series.GetFileNames(found[0])]


def _headers(folder: str) -> dict[str, Dataset]:
    """What tells files apart, by name; files that are no DICOM are left out, as ITK leaves them out."""
    headers: dict[str, Dataset] = {}
    for file in sorted(Path(folder).iterdir()):
        if not file.is_file() or file.name == "DICOMDIR":
            continue
        try:
            headers[file.name] = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_WANTED))
        except (InvalidDicomError, EOFError):
            continue
    return headers


def _refuse_duplicates(folder: str, headers: Mapping[str, Dataset]) -> None:
    owners: dict[str, str] = {}
    for name, header in headers.items():
        instance = str(header.get("SOPInstanceUID") or name)
        if (other := owners.setdefault(instance, name)) != name:
            raise ValueError(
                f"{folder}: {other} and {name} are the same instance (SOP Instance UID {instance}); remove one of the "
                "two, or export the series anew if they are different slices"
            )


def _refuse_orientations(folder: str, headers: Mapping[str, Dataset]) -> None:
    groups: list[tuple[NDArray[np.float64], list[str]]] = []
    for name, header in headers.items():
        direction = np.array(header.get("ImageOrientationPatient") or [], dtype=np.float64)
        for known, names in groups:
            if known.shape == direction.shape and np.allclose(known, direction, atol=SAME_DIRECTION, rtol=0):
                names.append(name)
                break
        else:
            groups.append((direction, [name]))
    if len(groups) > 1:
        which = "; ".join(f"{names[0]} and {len(names) - 1} more" for _, names in groups)
        raise ValueError(
            f"{folder}: slices of {len(groups)} orientations in one series ({which}); move those of each orientation "
            "(a localizer, a reformatted view) into a folder of their own"
        )
