"""How files get beside a datalist, and how it names them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


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


def relative(path: Path, folder: Path) -> str:
    """A path as a datalist in the folder writes it."""
    return Path(os.path.relpath(path, folder)).as_posix()
