"""A bundle's zip into a folder: nothing outside it, no links, no more than was said.

Looked for: `zipfile.extractall` cleans names silently, and writes as much as a zip says that it holds; MONAI's
`extractall` calls it.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

LARGEST = 16 << 30
"""Bytes of a bundle; the networks of an ensemble take a few hundred million."""

DENSEST = 100
"""Bytes out of one; JSON gives some ten, weights hardly more than one."""

_BROKEN = (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
_IN_CONFLICT = (FileExistsError, NotADirectoryError)
"""One name is a file and a folder, or two are one on this disk."""

_MOST_FILES = 10_000
_LONGEST_NAME = 255
_PART = 1 << 20


def unpack(archive: Path, name: str, unpacked: int, target: Path) -> None:
    """The files of the zip's folder `name` into the folder `target`.

    Args:
        archive: the zip.
        name: the folder that all of its files are in.
        unpacked: the bytes that they are to be.
        target: an empty folder.

    Raises:
        ValueError: a zip that is none, or that nobody of good will has made.
        OSError: it cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            _refuse_sizes(entries, unpacked, archive.stat().st_size)
            for place, entry in _places(entries, name).items():
                _extract(opened, entry, target / place)
    except (*_BROKEN, *_IN_CONFLICT) as error:
        raise ValueError(f"the zip of {name} is refused, and nothing of it kept: {error}") from error


def _refuse_sizes(entries: list[zipfile.ZipInfo], unpacked: int, size: int) -> None:
    total = sum(entry.file_size for entry in entries)
    if total != unpacked:
        raise ValueError(f"its files are {total} bytes, and the index says {unpacked}")
    if total > LARGEST or total > DENSEST * size or len(entries) > _MOST_FILES:
        raise ValueError(f"{len(entries)} files of {total} bytes out of {size} are more than a bundle has")


def _places(entries: list[zipfile.ZipInfo], name: str) -> dict[PurePosixPath, zipfile.ZipInfo]:
    places = {_place(entry, name): entry for entry in entries}
    if len(places) != len(entries):
        raise ValueError("it holds two files of one name")
    return places


def _place(entry: zipfile.ZipInfo, name: str) -> PurePosixPath:
    """Where a file goes, below the target."""
    path = PurePosixPath(entry.filename)
    outside = path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename
    if outside or path.parts[0] != name or len(path.parts) < 2:
        raise ValueError(f"it holds {entry.filename!r}, which is not in {name}/")
    if any(len(part.encode()) > _LONGEST_NAME for part in path.parts):
        raise ValueError(f"a name in it, {entry.filename[:40]!r} …, is longer than a disk takes")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise ValueError(f"{entry.filename!r} in it is a link or a device, and no file")
    return path.relative_to(name)


def _extract(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    """One file; its reader gives no more than the size that the zip says, and compares the checksum at its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(entry) as source, path.open("xb") as file:
        shutil.copyfileobj(source, file, _PART)
        if file.tell() < entry.file_size:
            raise ValueError(f"{entry.filename!r} in it is smaller than it says")
