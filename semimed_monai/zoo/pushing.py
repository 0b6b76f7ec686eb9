"""A built zoo to where the public keeps bundles, in the form that `monai.bundle download` reads there.

On the Hugging Face hub a bundle is a repository OWNER/NAME whose tags are its versions (--source huggingface_hub); on
GitHub a release holds the zips (--source github --repo OWNER/REPOSITORY/TAG).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from semimed_monai.files import digest_of
from semimed_monai.zoo.bundles import NAME
from semimed_monai.zoo.index import FILE, Entry, Index
from semimed_monai.zoo.store import Store
from semimed_monai.zoo.unpacking import unpack


@dataclass(frozen=True)
class Step:
    """Something to do at a hub, what it is in a line; done, it tells what was there already and stays."""

    line: str
    do: Callable[[], Sequence[str]]


def push(folder: Path, to: str, repository: str, dry_run: bool, say: Callable[[str], None]) -> None:
    """The latest version of each bundle.

    Args:
        folder: the built zoo.
        to: one of TARGETS.
        repository: OWNER for huggingface, OWNER/REPOSITORY/TAG for github.
        dry_run: only say what would be done.
        say: is given each step's line, and what was there already.

    Raises:
        ValueError: a repository of another form, or a zip that is not what the index says.
        OSError: there is no zoo, or what pushes is not installed.
    """
    index = Index.read(Store(str(folder)))
    entries = index.latest()
    for one in Index(entries, index.wheels).files:
        if not (folder / one.file).is_file() or digest_of(folder / one.file) != one.sha256:
            raise ValueError(f"{folder / one.file} is not what {FILE} says: build the zoo again, into a new folder")
    for step in TARGETS[to](folder, entries, repository, dry_run):
        say(step.line)
        if not dry_run:
            for known in step.do():
                say(f"{known} is there already")


def _to_huggingface(folder: Path, entries: Sequence[Entry], owner: str, dry_run: bool) -> list[Step]:
    if not NAME.fullmatch(owner):
        raise ValueError(f"{owner!r} is no owner on the Hugging Face hub: give OWNER; each bundle is OWNER/NAME there")
    if not dry_run and find_spec("huggingface_hub") is None:
        raise ModuleNotFoundError(
            "huggingface_hub is not installed, which pushes to the hub: pip install huggingface_hub"
        )
    return [
        Step(
            f"{folder / entry.file} and {entry.wheel} as {owner}/{entry.name}, tag {entry.version}, unless it is there",
            partial(_upload, folder, entry, f"{owner}/{entry.name}"),
        )
        for entry in entries
    ]


def _upload(folder: Path, entry: Entry, repository: str) -> Sequence[str]:
    """The bundle's files, and the wheel without which they do not run, in place of those of the version before."""
    hub = import_module("huggingface_hub").HfApi()
    hub.create_repo(repository, exist_ok=True)
    if entry.version in {tag.name for tag in hub.list_repo_refs(repository).tags}:  # a version means one content
        return [f"{repository} {entry.version}"]
    with TemporaryDirectory() as unpacked:
        unpack(folder / entry.file, entry.name, entry.unpacked, Path(unpacked))
        shutil.copyfile(folder / entry.wheel, Path(unpacked) / entry.wheel)
        message = f"version {entry.version}"
        hub.upload_folder(repo_id=repository, folder_path=unpacked, commit_message=message, delete_patterns="*")
    hub.create_tag(repository, tag=entry.version)
    return []


def _to_github(folder: Path, entries: Sequence[Entry], repository: str, dry_run: bool) -> list[Step]:
    parts = repository.split("/")
    if len(parts) != 3 or not all(parts):
        raise ValueError(f"{repository!r} is no release: give OWNER/REPOSITORY/TAG")
    if not dry_run and shutil.which("gh") is None:
        raise FileNotFoundError("there is no gh, GitHub's command, which uploads to a release: install it and log in")
    owner, name, tag = parts
    files = [*(entry.file for entry in entries), *dict.fromkeys(entry.wheel for entry in entries)]
    what = ", ".join(str(folder / file) for file in files)
    line = f"{what} into release {tag} of {owner}/{name}, each unless it is there"
    return [Step(line, partial(_add_to_release, folder, files, tag, f"{owner}/{name}"))]


def _add_to_release(folder: Path, files: Sequence[str], tag: str, repository: str) -> Sequence[str]:
    """Those that the release has not: gh uploads none at all where it has one of them."""
    release = json.loads(_gh("view", tag, "--repo", repository, "--json", "assets"))
    there = {asset["name"] for asset in release["assets"]}
    if missing := [str(folder / file) for file in files if file not in there]:
        _gh("upload", tag, *missing, "--repo", repository)
    return [file for file in files if file in there]


def _gh(*arguments: str) -> str:
    """What GitHub's command answers about releases."""
    command = ["gh", "release", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - gh, with our files
    if done.returncode:
        raise ValueError(f"gh says: {done.stderr.strip()}")
    return done.stdout


TARGETS = {"huggingface": _to_huggingface, "github": _to_github}
