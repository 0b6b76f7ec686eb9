"""A bundle out of a built zoo, by name and version: the right bytes in its folder, or what was there before.

Looked for: `monai.bundle download` compares no hash, unpacks before it knows what it has, and leaves a second version
of a bundle lying packed beside the first.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from tqdm import tqdm

from semimed_monai.files import digest_of, put_back, require_room, whole_folder
from semimed_monai.zoo.bundles import METADATA, Bundle
from semimed_monai.zoo.index import Entry, Index
from semimed_monai.zoo.store import Store
from semimed_monai.zoo.unpacking import unpack

NOTE = ".fetched.json"
"""In a fetched bundle: the digest of each file, by which what its user has changed is known."""

_PART = 1 << 20


def fetch(wanted: str, store: Store, folder: Path) -> tuple[Path, Entry]:
    """NAME==VERSION, or the latest NAME, into the folder's folder NAME; an older copy is replaced.

    Args:
        wanted: what.
        store: of whom.
        folder: where its folder goes.

    Returns:
        the bundle's folder, and what the index says of it.

    Raises:
        ValueError: there is no such bundle, it is not what the index says, or its folder holds what was not fetched.
        OSError: it cannot be had, or not be written.
    """
    entry = Index.read(store).find(wanted)
    target = folder / entry.name
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ValueError(f"{target} is a link or a file, and no fetched bundle: move it, or fetch into another folder")
    put_back(target)
    known = _fetched_files(target)
    with whole_folder(target, lambda file: known.get(str(file.relative_to(target))) in (digest_of(file), "")) as draft:
        archive = draft / entry.file
        require_room(draft, entry.size + entry.unpacked)
        _download(entry, store, archive)
        unpack(archive, entry.name, entry.unpacked, draft)
        archive.unlink()
        _refuse_another(entry, draft)
        (draft / NOTE).write_text(_note(entry, draft), encoding="utf-8")
    return target, entry


def _fetched_files(target: Path) -> dict[str, str]:
    """The digest of each file that was fetched; of the note itself none. A damaged note tells of no file."""
    try:
        files = dict(json.loads((target / NOTE).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    return {**files, NOTE: ""}


def _refuse_another(entry: Entry, draft: Path) -> None:
    if not (draft / METADATA).is_file() or Bundle(draft).version != entry.version:
        raise ValueError(
            f"the zip of {entry.name} is refused, and nothing of it kept: its {METADATA} is not of version "
            f"{entry.version}, as the index says; ask whoever serves it"
        )


def _note(entry: Entry, draft: Path) -> str:
    files = {str(file.relative_to(draft)): digest_of(file) for file in sorted(draft.rglob("*")) if file.is_file()}
    return json.dumps({"name": entry.name, "version": entry.version, "sha256": entry.sha256, "files": files}, indent=2)


def _download(entry: Entry, store: Store, archive: Path) -> None:
    """The zip, no byte longer than it is to be, and those that it is to be."""
    digest, left = hashlib.sha256(), entry.size
    bar = tqdm(total=entry.size, desc=entry.file, unit="B", unit_scale=True, file=sys.stderr, disable=None, leave=False)
    with bar, archive.open("wb") as file, store.open(entry.file) as source:
        while left >= 0 and (part := source.read(_PART)):
            left -= len(part)
            digest.update(part)
            file.write(part)
            bar.update(len(part))
    if left > 0:
        raise ValueError(
            f"{store.address(entry.file)} ends {left} bytes before its end: it is cut off; fetch it again, and if that "
            "does not help have the zoo built again"
        )
    if left < 0 or digest.hexdigest() != entry.sha256:
        raise ValueError(
            f"{store.address(entry.file)} is not the file of the zoo's index, whose SHA-256 is {entry.sha256}: it was "
            "changed or damaged on the way, and is not unpacked; fetch it again, and if that does not help ask whoever "
            "serves it"
        )
