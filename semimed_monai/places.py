"""Where things lie: the bundle whose config is being read, the folder for what can be made again, whole files."""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch


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
    except OSError as error:
        raise OSError(
            f"{path} cannot be written ({error.strerror or error}): make room there, or give another folder"
        ) from error


def save_tensors(path: str | Path, content: Any) -> None:
    """What `torch.save` writes, whole.

    Through a file of Python's own: where a disk is full torch's says no more than that a position is unexpected.
    """
    with whole(path) as temporary, temporary.open("wb") as file:
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


def write_table(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows with the same keys as a CSV file, written whole."""
    with whole(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def bundle_root() -> str:
    """The folder of the bundle whose config is being evaluated: the default of every bundle's `bundle_root`.

    MONAI's ConfigParser forgets which file it read, so this looks up the call stack for who gave it one: a workflow
    (`run` and everything built on ConfigWorkflow) or the `config_file` of `verify_net_in_out` and its like.

    Raises:
        FileNotFoundError: nobody up the stack has a config file of a bundle.
    """
    for given in _config_files(sys._getframe(1)):  # noqa: SLF001 - Python's way up the stack
        folder = Path(given).resolve().parent
        if folder.name != "configs":  # an overlay in experiments/
            folder = folder.parent / "configs"
        if (folder / "metadata.json").is_file():
            return str(folder.parent)
    raise FileNotFoundError(
        "cannot tell where the bundle lies: give it as --bundle_root FOLDER, the one that holds configs/"
    )


def _config_files(frame: FrameType | None) -> Iterator[str]:
    """The first config file that each caller up the stack was given, nearest first."""
    while frame is not None:
        workflow: Any = frame.f_locals.get("self")
        if "config_root_path" in getattr(workflow, "__dict__", ()):
            yield str(workflow.config_root_path / "metadata.json")
        given = frame.f_locals.get("config_file_") or frame.f_locals.get("config_file")
        if isinstance(given, (str, os.PathLike)):
            yield str(given)
        elif isinstance(given, (list, tuple)) and given:
            yield str(given[0])
        frame = frame.f_back


def chosen_profile(profiles: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """The settings of one profile.

    >>> chosen_profile({"phantom": {"image_size": 96}}, "phantom")
    {'image_size': 96}

    Raises:
        ValueError: there is no profile of that name.
    """
    if name not in profiles:
        raise ValueError(f"there is no profile {name!r}; choose one of {', '.join(profiles)}")
    return profiles[name]
