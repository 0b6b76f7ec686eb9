"""What a table means by a name: a path below a folder, its last parts, with or without the file's ending.

Looked for: `Path.match` and `glob` compare patterns, one file at a time; `os.path.splitext` leaves `.nii` of `.nii.gz`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from data_prep.tables import closest
from semimed_monai.data.find import NIFTI, PICTURES
from semimed_monai.vocabulary import DICOM

_Thing = TypeVar("_Thing")


class Names(Generic[_Thing]):
    r"""Things by each of their names; a name may stand for several.

    Example:
        >>> names = Names([("p1/knee.nii.gz", 1), ("p2/knee.nii.gz", 2)])
        >>> names["knee"], names["p2\\knee"], names["hip"]
        ([1, 2], [2], [])

    Args:
        paths: relative paths with "/" between their parts, and what each stands for.
    """

    def __init__(self, paths: Iterable[tuple[str, _Thing]] = ()) -> None:
        self._found: defaultdict[str, list[tuple[str, _Thing]]] = defaultdict(list)
        self._whole: list[str] = []
        self._hints = 10  # each is compared with every path: where all names are wrong that takes too long
        for path, thing in paths:
            self.add(path, thing)

    def add(self, path: str, thing: _Thing) -> None:
        """Let a thing be found by a path, its last parts, and these without the ending of an image."""
        self._whole.append(path)
        for name in _forms(path):
            self._found[name].append((path, thing))

    def __getitem__(self, name: str) -> list[_Thing]:
        return [thing for _, thing in self._meant(name)]

    def only(self, name: str, place: str | Path) -> _Thing:
        """What a name stands for, where it must be one thing.

        Args:
            name: the name.
            place: where the things are, as a message says it.

        Raises:
            ValueError: it stands for nothing, or may stand for several.
        """
        found = self._meant(name)
        if len(found) == 1:
            return found[0][1]
        if found:
            several = ", ".join(path for path, _ in found[:5])
            raise ValueError(f"{name!r} may be any of {several}: write its path below {place}")
        slashes = " (write / between folders, and only those below it)" if "\\" in name else ""
        advice = f"correct the name or the folder{slashes}{self.hint(name)}"
        raise ValueError(f"{name!r} is not in {place}: {advice}")

    def hint(self, name: str) -> str:
        """A question that names the most similar path, or nothing; also nothing after the first few questions."""
        if not self._hints:
            return ""
        self._hints -= 1
        name = name.replace("\\", "/")
        last_parts = {path.rsplit("/", 1)[-1]: path for path in self._whole}
        near = closest(name, self._whole) or last_parts.get(closest(name.rsplit("/", 1)[-1], last_parts) or "")
        return f"; did you mean {near}?" if near else ""

    def _meant(self, name: str) -> list[tuple[str, _Thing]]:
        plain = name.replace("\\", "/").removeprefix("./").rstrip("/")
        return self._found.get(plain, [])


def without_ending(name: str) -> str:
    """The name of an image file without .nii.gz, .png, .dcm and their like.

    >>> without_ending("knee.NII.gz"), without_ending("v1.2")
    ('knee', 'v1.2')
    """
    endings = sorted((*NIFTI, *PICTURES, *DICOM), key=len, reverse=True)
    return next((name[: -len(ending)] for ending in endings if name.lower().endswith(ending)), name)


def _forms(path: str) -> Iterator[str]:
    parts = path.split("/")
    for start in range(len(parts)):
        form = "/".join(parts[start:])
        yield form
        if (plain := without_ending(form)) != form:
            yield plain
