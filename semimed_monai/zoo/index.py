"""index.json: what a built zoo holds, by name and version.

Looked for: the public zoo's model_info.json knows no sizes, and its SHA-1 is compared by nobody; MONAI sorts versions
as text, so that its latest of 0.9.0 and 0.10.0 is 0.9.0.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from semimed_monai.zoo.bundles import NAME, is_version, label_of
from semimed_monai.zoo.store import Store
from semimed_monai.zoo.unpacking import LARGEST

FILE = "index.json"
FORMAT = "semimed-zoo/1"

_LARGEST_INDEX = 16 << 20
_DIGEST = re.compile("[0-9a-f]{64}")
_WHEEL = re.compile(r"[A-Za-z0-9_.+!-]+")
"""What a wheel's name is made of: it is told to people as an argument of pip."""


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

    def refuse_strange(self) -> None:
        if not (NAME.fullmatch(self.name) and is_version(self.version)):
            raise ValueError(f"{self.name!r}, {self.version!r} are no name and version of a bundle")
        if not (_is_size(self.unpacked) and isinstance(self.task, str) and self.task.isprintable()):
            raise ValueError(f"{self.file} unpacked is of size {self.unpacked!r}, its task {self.task!r}")


@dataclass(frozen=True)
class Wheel:
    """The library's."""

    file: str
    sha256: str
    size: int

    def refuse_strange(self) -> None:
        if not is_ours(self.file):
            raise ValueError(f"{self.file!r} is no wheel of this library")


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
        index = cls(
            [Entry(**_facts(Entry, entry)) for entry in content["bundles"]],
            [Wheel(**_facts(Wheel, wheel)) for wheel in content["wheels"]],
        )
        index.refuse_strange()
        return index

    def refuse_strange(self) -> None:
        """Raise where a name would lead elsewhere, a number is none, or a terminal would be told more than words.

        Raises:
            ValueError: what is strange.
        """
        if not self.entries:
            raise ValueError("it has no bundle")
        for one in self.files:
            one.refuse_strange()
            if not (_is_size(one.size) and _DIGEST.fullmatch(one.sha256)):
                raise ValueError(f"{one.file} is of size {one.size!r}, its SHA-256 {one.sha256!r}")
        if twice := [file for file, count in Counter(one.file for one in self.files).items() if count > 1]:
            raise ValueError(f"{twice[0]} is there twice")
        if lacking := {entry.wheel for entry in self.entries} - {wheel.file for wheel in self.wheels}:
            raise ValueError(f"there is no wheel {lacking.pop()!r}, with which a bundle was packed")

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


def is_ours(file: str) -> bool:
    """Whether a wheel is called as the library's are.

    >>> is_ours("semimed_monai-0.1.0-py3-none-any.whl"), is_ours("evil-99.0-py3-none-any.whl"), is_ours("a.whl")
    (True, False, False)
    """
    try:
        return bool(_WHEEL.fullmatch(file)) and parse_wheel_filename(file)[0] == "semimed-monai"
    except InvalidWheelFilename:
        return False


def _facts(kind: type, content: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry of this kind says, and nothing else."""
    return {field.name: content[field.name] for field in fields(kind)}


def _is_size(number: object) -> bool:
    """Of a file or a bundle; True is a number elsewhere, and 1.5 and Infinity are numbers in JSON."""
    return type(number) is int and 0 < number <= LARGEST
