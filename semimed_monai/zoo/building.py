"""A zoo as a folder: reproducible zips, the library's wheel, both indexes and the catalogue, all of it or nothing.

The public zoo's form is kept: NAME_vVERSION.zip with the bundle's folder in it, and model_info.json, by which MONAI
finds versions.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from semimed_monai.files import digest_of, put_back, whole_folder
from semimed_monai.zoo.bundles import Bundle
from semimed_monai.zoo.catalogue import write_catalogue
from semimed_monai.zoo.index import FILE, Entry, Index, Wheel, is_ours
from semimed_monai.zoo.packing import write_zip
from semimed_monai.zoo.store import Store
from semimed_monai.zoo.wheel import build_wheel, library_sources

MODEL_INFO = "model_info.json"
CATALOGUE = "index.html"


def build(bundles: Sequence[Bundle], out: Path, url: str, wheel: Path | None = None) -> Index:
    """Pack the bundles into a folder; what it has of other bundles and versions stays.

    Args:
        bundles: of different names.
        out: the folder.
        url: the address that it will be served at, for model_info.json.
        wheel: the library's; None builds it.

    Raises:
        ValueError: a version that is there already with other content, two bundles of one name, a link that leads out
            of one, what no index may say, or a folder that is no zoo.
        OSError: it cannot be written.
    """
    _refuse_twins(bundles)
    _refuse_links(bundles)
    put_back(out)
    there = (out / FILE).is_file()
    before = Index.read(Store(str(out))) if there else Index([], [])
    ours = {FILE, MODEL_INFO, CATALOGUE, *(one.file for one in before.files)} if there else set()
    with whole_folder(out, lambda file: file.name in ours and file.parent.samefile(out)) as draft:
        made = _add_wheel(draft, wheel)
        hidden = len(bundles) < 2 or None  # None hides it where there is no terminal
        with tqdm(bundles, desc="packing", unit="bundle", file=sys.stderr, disable=hidden) as progress:
            packed = [_pack(bundle, draft, made.file) for bundle in progress]
        _refuse_changed([*packed, made], before, out)
        index = _with_kept(packed, made, before, out, draft)
        index.refuse_strange()  # nobody could read it
        (draft / FILE).write_text(index.text(), encoding="utf-8")
        (draft / MODEL_INFO).write_text(_model_info(index, draft, url), encoding="utf-8")
        write_catalogue(index, draft, draft / CATALOGUE)
    return index


def _refuse_twins(bundles: Sequence[Bundle]) -> None:
    names = [bundle.name for bundle in bundles]
    if twins := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two of the bundles are called {', '.join(twins)}: give each one once")


def _refuse_links(bundles: Sequence[Bundle]) -> None:
    """What lies elsewhere may be anybody's, and would be published."""
    if found := [bundle.folder / file for bundle in bundles for file in bundle.links_out]:
        raise ValueError(
            f"{found[0]} lies outside its bundle, a link leads there: put the file in its place, or remove it"
        )


def _add_wheel(draft: Path, given: Path | None) -> Wheel:
    if given is None:
        file = build_wheel(library_sources(), draft)
    else:
        if not given.is_file() or not is_ours(given.name):
            raise FileNotFoundError(f"{given} is no wheel of semimed-monai: give the library's, or leave --wheel out")
        file = Path(shutil.copyfile(given, draft / given.name))
    return Wheel(file.name, digest_of(file), file.stat().st_size)


def _pack(bundle: Bundle, draft: Path, wheel: str) -> Entry:
    path = draft / f"{bundle.label}.zip"
    unpacked = write_zip(path, {f"{bundle.name}/{file.as_posix()}": bundle.folder / file for file in bundle.files})
    return Entry(
        name=bundle.name,
        version=bundle.version,
        sha256=digest_of(path),
        size=path.stat().st_size,
        unpacked=unpacked,
        wheel=wheel,
        task=str(bundle.metadata.get("task", "")),
    )


def _refuse_changed(packed: Sequence[Entry | Wheel], before: Index, out: Path) -> None:
    """A version means one content, for whoever has it."""
    known = {one.file: one.sha256 for one in before.files}
    if changed := [one.file for one in packed if known.get(one.file, one.sha256) != one.sha256]:
        raise ValueError(
            f"{out} has {', '.join(changed)} with other content: give the bundle a new version, with its line in the "
            "changelog (the library's is `__version__`), or build into another folder"
        )


def _with_kept(packed: Sequence[Entry], made: Wheel, before: Index, out: Path, draft: Path) -> Index:
    """The new index; what else was there goes into the draft, as it was."""
    new = {entry.file for entry in packed}
    kept = [entry for entry in before.entries if entry.file not in new]
    needed = {entry.wheel for entry in kept}
    wheels = [wheel for wheel in before.wheels if wheel.file in needed and wheel.file != made.file]
    for one in Index(kept, wheels).files:
        shutil.copyfile(out / one.file, draft / one.file)
        if digest_of(draft / one.file) != one.sha256:
            raise ValueError(f"{out / one.file} is not what {FILE} says: remove {out}, and build all of it again")
    return Index([*kept, *packed], [*wheels, made])


def _model_info(index: Index, draft: Path, url: str) -> str:
    """In the public zoo's form, whose checksums are SHA-1."""
    content = {}
    for entry in sorted(index.entries, key=lambda entry: entry.order):
        content[entry.file.removesuffix(".zip")] = {
            "checksum": digest_of(draft / entry.file, "sha1"),
            "source": f"{url.rstrip('/')}/{entry.file}",
        }
    return json.dumps(content, indent=4) + "\n"
