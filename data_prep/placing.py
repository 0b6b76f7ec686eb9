"""How files get beside a datalist, and how it names them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from semimed_monai.data.datalist import FILE_KEYS, SECTIONS
from semimed_monai.vocabulary import item_id


def refuse_overlap(target: Path, *sources: Path) -> None:
    """Raise if the folder to be written is one of those that are read, or holds one of them."""
    for source in sources:
        if target == source or target in source.parents:
            raise ValueError(f"{target} would be written, but the files to read are there: give another --out")


def placed_before(out: Path) -> Callable[[Path], bool]:
    """Whether a file below `out` was placed by an earlier preparation: the datalist there names it, or its folder."""
    try:
        head = json.loads((out / "datalist.json").read_text())
    except (OSError, ValueError):  # none, or none of ours
        return lambda _: False
    items = [item for section in SECTIONS for item in head.get(section, [])]
    named = {out / item[kind] for item in items for kind in ("image", "mask") if kind in item}
    return lambda file: file in named or file.parent in named


def link_or_copy(source: Path, target: Path) -> bool:
    """Whether a hard link could be made, which takes no space; otherwise the file is copied."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or one that has no links; what is wrong with the source shows in copying it
        shutil.copyfile(source, target)
        return False
    return True


def copy(source: Path, target: Path) -> None:
    """Copy a file, or the folder of a series, creating the folders above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def from_place(item: Mapping[str, Any], source: Path, out: Path) -> dict[str, Any]:
    """An item of a datalist in one folder as a datalist in another writes it; its id, which may follow from its path,
    stays.
    """
    paths = {key: relative(source / item[key], out) for key in FILE_KEYS if item.get(key)}
    return {**item, **paths, "id": item.get("id") or item_id(item["image"], item.get("slice"))}


def relative(path: Path, folder: Path) -> str:
    """A path as a datalist in the folder writes it."""
    return Path(os.path.relpath(path, folder)).as_posix()
