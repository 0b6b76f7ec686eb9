"""Files that a preparation puts beside its datalist: all of them or none.

Looked for: `semimed_monai.files.whole` does it for one file; `shutil.copytree` fills the folder that is looked at.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target` that takes its name, and its place, at the end; after an error nothing is left.

    One in which nothing was put is left out.

    >>> from tempfile import mkdtemp
    >>> with whole_folder(Path(mkdtemp()) / "images") as draft:
    ...     _ = (draft / "a.txt").write_text("a")
    """
    draft, old = (target.with_name(f".{os.getpid()}.{kind}.{target.name}") for kind in ("new", "old"))
    made = [folder for folder in target.parents if not folder.exists()]
    draft.mkdir(parents=True)
    try:
        yield draft
        if any(draft.iterdir()):
            if target.exists():
                target.rename(old)
            draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):  # somebody else has put something there
                folder.rmdir()
        raise
    finally:
        for folder in (draft, old):
            shutil.rmtree(folder, ignore_errors=True)  # gone already where all went well


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
