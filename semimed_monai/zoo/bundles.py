"""A bundle's folder as the zoo sees it: its name, its version, and which of its files are packed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

PACKED = ("LICENSE", "configs", "docs", "experiments", "models")
"""What a bundle is made of; runs, caches and whatever else lies in its folder stay at home."""

MODELS = ("model.pt", "network.json")
"""What is packed of models/: the deployed network's weights, and its card."""

LEFT_BY_LABEL = "configs/monailabel_train.json"
"""MONAI Label writes it before a training on several GPUs; it names every image that is trained on."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

VERSION = re.compile(r"^(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}((a|b|rc)(0|[1-9][0-9]*))?$(?!\n)")
"""Written as JSON Schema's dialect and Python's read it alike: the schema of metadata.json has the same."""

NO_SCORES = ("source", "command")
"""What eval_metrics in metadata.json has beside its numbers: where they stand, and what made them."""

METADATA = "configs/metadata.json"
README = "docs/README.md"


@dataclass(frozen=True)
class Bundle:
    """A folder with configs/metadata.json.

    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp()) / "knees"
    >>> (folder / "configs").mkdir(parents=True)
    >>> _ = (folder / METADATA).write_text('{"version": "0.2.0"}')
    >>> Bundle(folder).label
    'knees_v0.2.0'
    """

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """configs/metadata.json.

        Raises:
            ValueError: it is no JSON object.
        """
        return self.read(METADATA)

    @property
    def version(self) -> str:
        """As metadata.json has it.

        Raises:
            ValueError: there is none, or it is none.
        """
        version = self.metadata.get("version")
        if not isinstance(version, str) or not is_version(version):
            raise ValueError(f"{self.folder / METADATA} has the version {version!r}: give one such as 0.1.0")
        return version

    @property
    def label(self) -> str:
        """Name and version in the public zoo's form."""
        return label_of(self.name, self.version)

    def read(self, file: str) -> dict[str, Any]:
        """A JSON file of the bundle.

        Raises:
            ValueError: it is no JSON object.
        """
        path = self.folder / file
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, UnicodeError) as error:
            raise ValueError(f"{path} is no JSON ({error}): correct it") from error
        if not isinstance(content, dict):
            raise ValueError(f"{path} holds no JSON object: correct it")  # noqa: TRY004 - to a user a wrong value
        return content

    @property
    def files(self) -> list[Path]:
        """What is packed, relative to the folder, in an order that no file system decides."""
        return [place for place in self._places() if (self.folder / place).is_file()]

    @property
    def links_out(self) -> list[Path]:
        """What would be packed, and lies elsewhere."""
        own = self.folder.resolve()
        return [place for place in self._places() if not (self.folder / place).resolve().is_relative_to(own)]

    def _places(self) -> list[Path]:
        found = [self.folder / name for name in PACKED]
        found += [path for folder in found for path in folder.rglob("*")]
        places = [path.relative_to(self.folder) for path in found]
        return sorted((place for place in places if not _is_left_out(place)), key=lambda place: place.as_posix())


def label_of(name: str, version: str) -> str:
    """What a zip is called, without its ending."""
    return f"{name}_v{version}"


def is_version(text: str) -> bool:
    """Whether it is three numbers, perhaps of a version before its release, and written in the one way.

    >>> is_version("0.10.0"), is_version("1.0.0rc1"), is_version("1.0"), is_version("01.0.0"), is_version("v1.0.0")
    (True, True, False, False, False)
    """
    return VERSION.search(text) is not None


def section_of(card: str, title: str) -> str:
    r"""What a model card says under a heading of the second level; "" where it has none.

    >>> section_of("# Knees\n## Input\n`image`\n## Output\n", "Input")
    '`image`\n'
    """
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", card, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def find_bundles(given: Sequence[str | Path]) -> list[Bundle]:
    """Those given, each by its folder or by its name in the folder `bundles` here; without any, all in there.

    Raises:
        FileNotFoundError: there is none, or one is no bundle.
    """
    if not given:
        found = sorted(file.parents[1] for file in Path("bundles").glob(f"[!.]*/{METADATA}"))
        if not found:
            raise FileNotFoundError("there is no folder bundles/ with a bundle here: name the bundles' folders")
        return [Bundle(folder) for folder in found]
    return [_find(one) for one in given]


def _find(given: str | Path) -> Bundle:
    for folder in (Path(given), Path("bundles") / given):
        if (folder / METADATA).is_file():
            return Bundle(folder)
    raise FileNotFoundError(
        f"{given} is no bundle, it has no {METADATA}: give the folder of one, or the name of one in the folder bundles/"
    )


def _is_left_out(file: Path) -> bool:
    """Caches, what programs hide beside their files, what else lies in models/, such as TensorRT's engines, which are
    of one machine, and what MONAI Label leaves.
    """
    if file.parts[0] == "models" and file.relative_to("models").as_posix() not in MODELS:
        return True
    hidden = any(part.startswith(".") or part == "__pycache__" for part in file.parts)
    return hidden or file.suffix == ".pyc" or file.as_posix() == LEFT_BY_LABEL
