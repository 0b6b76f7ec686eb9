"""index.json: what a built zoo holds, by name and version.

Looked for: the public zoo's model_info.json knows no sizes, and its SHA-1 is compared by nobody; MONAI sorts versions
as text, so that its latest of 0.9.0 and 0.10.0 is 0.9.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from semimed_monai.zoo.bundles import NAME, is_version, label_of
from semimed_monai.zoo.store import Store

FILE = "index.json"
FORMAT = "semimed-zoo/1"

_LARGEST_INDEX = 16 << 20


@dataclass(frozen=True)
class Entry:
    """One version of a bundle.

    Args:
        sha256, size: of its zip.
        unpacked: the bytes of its files.
        wheel: the library's, with which it was packed.
    """

    name: str
    version: str
    sha256: str
    size: int
    unpacked: int
    wheel: str
    task: str

    @property
    def file(self) -> str:
        """The zip."""
        return f"{label_of(self.name, self.version)}.zip"

    @property
    def order(self) -> tuple[str, Version]:
        return self.name, Version(self.version)


@dataclass(frozen=True)
class Wheel:
    """The library's."""

    file: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Index:
    """Entries in order of name and version.

    >>> old, new = (Entry("knees", version, "0" * 64, 1, 1, "a.whl", "") for version in ("0.9.0", "0.10.0"))
    >>> Index([new, old], []).find("knees").version
    '0.10.0'
    """

    entries: Sequence[Entry]
    wheels: Sequence[Wheel]

    @property
    def files(self) -> list[Entry | Wheel]:
        """Of which there are zips and wheels."""
        return [*self.entries, *self.wheels]

    @classmethod
    def read(cls, store: Store) -> Index:
        """Of a built zoo.

        Raises:
            OSError: there is none, or it cannot be had.
            ValueError: it is no index.
        """
        with store.open(FILE) as file:
            text = file.read(_LARGEST_INDEX)
        try:
            return cls._of(json.loads(text))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(
                f"{store.address(FILE)} is no index of a zoo ({error}): name another zoo, or build this one in a new "
                "folder"
            ) from error

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> Index:
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {FORMAT!r}")
        index = cls([Entry(**entry) for entry in content["bundles"]], [Wheel(**one) for one in content["wheels"]])
        index.refuse_strange()
        return index

    def refuse_strange(self) -> None:
        """Raise where a name would lead elsewhere, or a number is none.

        Raises:
            ValueError: which entry.
        """
        for entry in self.entries:
            if not (NAME.fullmatch(entry.name) and is_version(entry.version) and entry.size > 0 <= entry.unpacked):
                raise ValueError(f"of an entry that says {entry.name!r}, {entry.version!r}, {entry.size!r}")
        for wheel in (*(entry.wheel for entry in self.entries), *(wheel.file for wheel in self.wheels)):
            if Path(wheel).name != wheel:
                raise ValueError(f"of a wheel {wheel!r}")
            parse_wheel_filename(wheel)

    def text(self) -> str:
        """The file's."""
        entries = sorted(self.entries, key=lambda entry: entry.order)
        wheels = sorted(self.wheels, key=lambda wheel: wheel.file)
        content = {"format": FORMAT, "bundles": [*map(asdict, entries)], "wheels": [*map(asdict, wheels)]}
        return json.dumps(content, indent=2) + "\n"

    def find(self, wanted: str) -> Entry:
        """NAME==VERSION, or the latest of NAME: a version before its release only where there is no other.

        Raises:
            ValueError: there is none, or it cannot be read.
        """
        name, _, version = wanted.partition("==")
        if version and not is_version(version):
            raise ValueError(f"{version!r} is no version: give one such as {name}==0.1.0, or {name} alone")
        if not (named := [entry for entry in self.entries if entry.name == name]):
            there = ", ".join(sorted({entry.name for entry in self.entries}))
            raise ValueError(f"the zoo has no bundle {name!r}; there are {there}")
        if not version:
            return max(named, key=lambda entry: (not Version(entry.version).is_prerelease, Version(entry.version)))
        for entry in named:
            if Version(entry.version) == Version(version):
                return entry
        there = ", ".join(entry.version for entry in sorted(named, key=lambda entry: entry.order))
        raise ValueError(f"the zoo has no {name} {version}; there are {there}")

    def latest(self) -> list[Entry]:
        """One of each bundle."""
        return [self.find(name) for name in sorted({entry.name for entry in self.entries})]
