"""Files written whole, and the folder for what can be made again."""

from __future__ import annotations

import csv
import errno
import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A copy that finds no room names the file that it reads."""


def cache_folder() -> Path:
    """For phantoms and notes: SEMIMED_CACHE, else XDG_CACHE_HOME/semimed, else ~/.cache/semimed."""
    if own := os.environ.get("SEMIMED_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "semimed"


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A temporary name in the file's own folder, renamed to it at the end: a reader finds the old file or the new one,
    and after an error nothing is left behind.

    >>> from tempfile import mkdtemp
    >>> with whole(Path(mkdtemp()) / "example.txt") as file:
    ...     _ = file.write_text("all of it")

    Raises:
        OSError: it cannot be written; the message names the file.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except _UnwritableError:  # of a file within
        raise
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextmanager
def whole_folder(path: str | Path, replaceable: Callable[[Path], bool]) -> Iterator[Path]:
    """The same for a folder of files: a hidden folder beside it takes its name, and its place, at the end.

    One in which nothing was put is left out. After an error nothing is left, nor a folder above it that was made; what
    only a killed process leaves is mended first.

    >>> from tempfile import mkdtemp
    >>> with whole_folder(Path(mkdtemp()) / "images", lambda file: file.suffix == ".png") as draft:
    ...     _ = (draft / "a.txt").write_text("a")

    Args:
        path: the folder; one that is there is replaced. Of a link it is the folder that it leads to.
        replaceable: whether a file in it may be lost; of a link in it nobody is asked.

    Raises:
        ValueError: there is a link in it or a file that may not, or it is a file itself.
        OSError: it cannot be written.
    """
    path = Path(path)
    path = path.resolve() if path.is_symlink() else path
    put_back(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file, and a folder is to be written there: give another name")
    if kept := [file for file in path.rglob("*") if file.is_symlink() or (file.is_file() and not replaceable(file))]:
        raise ValueError(
            f"{path} holds {kept[0].relative_to(path)}, which this command did not write: move it, or write elsewhere"
        )
    draft, old = (path.with_name(f".{os.getpid()}@{platform.node()}.{kind}.{path.name}") for kind in ("new", "old"))
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        draft.mkdir(parents=True)
        yield draft
        if any(draft.iterdir()):
            if path.exists():
                path.rename(old)
            draft.rename(path)
            made = []
    except _UnwritableError:  # of a file within
        raise
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if old.exists() and not path.exists():  # stopped between one name and the other
            old.rename(path)
        for folder in (draft, old):
            shutil.rmtree(folder, ignore_errors=True)  # gone already where all went well
        for folder in made:
            with suppress(OSError):  # somebody else has put something there
                folder.rmdir()


def put_back(path: Path) -> None:
    """Mend what a process that was killed has left of a folder written whole: between one name and the other the old
    folder comes back, and drafts go. For whoever looks into the folder before it writes. Of a process on another
    machine nobody knows here whether it lives: what is its own stays.
    """
    path = path.resolve()
    if not path.parent.is_dir():
        return
    named = re.compile(rf"\.(\d{{1,9}})@{re.escape(platform.node())}\.(old|new)\.{re.escape(path.name)}")
    found = [(file, match) for file in path.parent.iterdir() if (match := named.fullmatch(file.name))]
    left = {file: match[2] for file, match in found if _is_dead(int(match[1]))}
    for file, kind in left.items():
        if kind == "old" and not path.exists():
            with suppress(FileNotFoundError):  # another process has put it back
                file.rename(path)
    for file in left:
        shutil.rmtree(file, ignore_errors=True)  # gone already where it was put back


def _is_dead(number: int) -> bool:
    """Whether no other process has this number; what has this one's is of one that had it before."""
    if number == os.getpid():
        return True
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's, who lives
        pass
    return False


class _UnwritableError(OSError):
    """Says which file, and what to do."""


def _cannot_write(path: Path, error: OSError) -> OSError:
    """The error with what to do about it; one over another file, which was to be read, is left as it is, and so is one
    that the system did not raise.
    """
    if error.errno is None:
        return error
    if error.filename is not None and error.errno not in _FULL:
        named = Path(os.fsdecode(error.filename))
        if not (named.is_relative_to(path.parent) or path.is_relative_to(named)):
            return error
    remedy = "make room there" if error.errno in _FULL else "put that right"
    return _UnwritableError(f"{path} cannot be written ({error.strerror or error}): {remedy}, or give another folder")


def require_room(folder: Path, needed: int) -> None:
    """Refuse to begin what the folder's disk has no room for, before hours or a connection are spent on it.

    >>> require_room(Path("."), needed=0)
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"it takes about {needed} bytes, and {free} are free", str(folder))


def digest_of(path: str | Path, algorithm: str = "sha256") -> str:
    """The digest of a file, in hexadecimal digits."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with Path(path).open("rb", buffering=0) as file:  # in parts: memory for a whole file of weights takes longer
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def save_tensors(path: str | Path, content: Any) -> None:
    """What `torch.save` writes, whole."""
    with whole(path) as temporary:
        write_tensors(temporary, content)


def write_tensors(path: str | Path, content: Any) -> None:
    """What `torch.save` writes.

    Through a file of Python's own: where a disk is full torch's says no more than that a position is unexpected.
    """
    with Path(path).open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def ensure_writable(folders: Sequence[str | Path]) -> None:
    """Make the folders; before a long run, and not at its first result, say which of them nothing can be written into.

    Raises:
        OSError: such a folder.
    """
    for folder in folders:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"something")
        except OSError as error:
            raise OSError(
                f"nothing can be written into {folder} ({error.strerror}): correct output_dir or ckpt_dir, or the "
                "folder's permissions"
            ) from error


def write_table(path: str | Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Rows with the same keys as a CSV file, written whole; where there may be no row, the columns must be given."""
    with whole(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0] if columns is None else columns))
        writer.writeheader()
        writer.writerows(rows)
