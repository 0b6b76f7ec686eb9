"""A zoo is the same bytes from the same bundles, and all there or as it was."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha1, sha256
from io import StringIO
from pathlib import Path

import pytest

from semimed_monai.zoo import Bundle, Index, Store, build, find_bundles
from semimed_monai.zoo.packing import write_zip
from semimed_monai.zoo.wheel import build_wheel, library_sources

URL = "http://127.0.0.1:8000"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_what_is_packed_and_what_is_not(make_bundle: Callable[..., Path], wheel: Path, tmp_path: Path) -> None:
    folder = make_bundle(task="grading")
    strays = (
        "eval/run_state.pt",
        "runs/1/metrics.json",
        "configs/__pycache__/a.pyc",
        "models/.7.model.pt",
        "models/model.pt.plan",
        "models/notes.txt",
        "configs/monailabel_train.json",
        "a.txt",
    )
    for stray in strays:
        (folder / stray).parent.mkdir(parents=True, exist_ok=True)
        (folder / stray).write_text("stray")
    index = build([Bundle(folder)], tmp_path / "zoo", URL + "/", wheel)
    path = tmp_path / "zoo" / "knees_v0.1.0.zip"
    with zipfile.ZipFile(path) as archive:
        names = [entry.filename for entry in archive.infolist()]
        modes = {stat.filemode(entry.external_attr >> 16) for entry in archive.infolist()}
        assert archive.read("knees/models/model.pt") == b"\0\1\2" * 1000
    kept = ["LICENSE", "configs/inference.json", "configs/metadata.json", "docs/README.md", "models/model.pt"]
    assert names == [f"knees/{name}" for name in kept]
    assert modes == {"-rw-r--r--"}
    (entry,) = index.entries
    assert (entry.sha256, entry.size) == (sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
    assert entry.unpacked == sum((folder / name).stat().st_size for name in kept)
    assert entry.task == "grading"
    info = json.loads((tmp_path / "zoo" / "model_info.json").read_text())
    checksum = sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
    assert info == {"knees_v0.1.0": {"checksum": checksum, "source": f"{URL}/knees_v0.1.0.zip"}}
    assert Index.read(Store(str(tmp_path / "zoo"))) == index


def test_the_same_bytes_whatever_the_clock_the_umask_and_the_order(
    make_bundle: Callable[..., Path], wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = make_bundle(), Path.rglob
    build([Bundle(folder)], tmp_path / "one", URL, wheel)
    monkeypatch.setattr(Path, "rglob", lambda *given: sorted(found(*given), reverse=True))
    before = os.umask(0o077)
    try:
        for file in Bundle(folder).files:  # made anew
            content = (folder / file).read_bytes()
            (folder / file).unlink()
            (folder / file).write_bytes(content)
            os.utime(folder / file, (1e9, 1e9))
        build([Bundle(folder)], tmp_path / "two", URL, wheel)
    finally:
        os.umask(before)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    build([Bundle(folder)], tmp_path / "two", URL, wheel)  # over itself
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_wheel_is_the_same_bytes_and_has_what_the_zoo_needs(tmp_path: Path) -> None:
    one = build_wheel(library_sources(), tmp_path / "one")
    before = os.umask(0o077)
    try:
        two = build_wheel(library_sources(), tmp_path / "two")
    finally:
        os.umask(before)
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        names = set(archive.namelist())
    package = library_sources() / "semimed_monai"
    wanted = [file for file in package.rglob("*") if file.suffix in (".py", ".j2", ".css", ".json")]
    assert {f"semimed_monai/{file.relative_to(package).as_posix()}" for file in wanted} <= names
    assert not [name for name in names if name.startswith(("tests", "bundles"))]


def test_other_versions_and_bundles_stay(built: Path, make_bundle: Callable[..., Path], wheel: Path) -> None:
    old = (built / "knees_v0.9.0.zip").read_bytes()
    newer = wheel.rename(wheel.with_name("semimed_monai-0.2.0-py3-none-any.whl"))
    build([Bundle(make_bundle("chests"))], built, URL, newer)
    index = Index.read(Store(str(built)))
    assert [(entry.name, entry.version) for entry in index.entries] == [
        ("chests", "0.1.0"),
        ("knees", "0.9.0"),
        ("knees", "0.10.0"),
    ]
    info = json.loads((built / "model_info.json").read_text())
    assert list(info) == ["chests_v0.1.0", "knees_v0.9.0", "knees_v0.10.0"]
    assert (built / "knees_v0.9.0.zip").read_bytes() == old
    assert [one.file for one in index.wheels] == ["semimed_monai-0.1.0-py3-none-any.whl", newer.name]
    assert set(contents(built)) == {
        *("index.json", "index.html", "model_info.json", "chests_v0.1.0.zip", "knees_v0.9.0.zip", "knees_v0.10.0.zip"),
        *(one.file for one in index.wheels),
    }


def test_a_wheel_of_which_no_bundle_is_left_goes(make_bundle: Callable[..., Path], wheel: Path, tmp_path: Path) -> None:
    bundle, zoo = Bundle(make_bundle()), tmp_path / "zoo"
    build([bundle], zoo, URL, wheel)
    newer = wheel.rename(wheel.with_name("semimed_monai-0.2.0-py3-none-any.whl"))
    assert [one.file for one in build([bundle], zoo, URL, newer).wheels] == [newer.name]
    assert not (zoo / wheel.name).exists()


def test_a_version_means_one_content(built: Path, make_bundle: Callable[..., Path], wheel: Path) -> None:
    before = contents(built)
    changed = make_bundle(version="0.10.0", weights=b"others")
    with pytest.raises(ValueError, match=r"has knees_v0\.10\.0\.zip with other content: give the bundle a new version"):
        build([Bundle(changed)], built, URL, wheel)
    wheel.write_bytes(b"others")
    with pytest.raises(ValueError, match=r"has semimed_monai-0\.1\.0-py3-none-any\.whl with other content: give"):
        build([Bundle(make_bundle(version="0.10.0"))], built, URL, wheel)
    wheel.write_bytes(b"wheel")
    (built / "knees_v0.9.0.zip").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"knees_v0\.9\.0\.zip is not what index\.json says: remove"):
        build([Bundle(make_bundle(version="0.10.0"))], built, URL, wheel)
    assert contents(built) == {**before, "knees_v0.9.0.zip": b"damaged"}
    assert [path.name for path in built.parent.iterdir() if path.name.startswith(".")] == []


def test_after_an_error_the_old_zoo_is_there(
    built: Path, make_bundle: Callable[..., Path], wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(built)

    def stop(path: Path, files: dict[str, Path]) -> int:
        write_zip(path, files)
        raise KeyboardInterrupt

    monkeypatch.setattr("semimed_monai.zoo.building.write_zip", stop)
    with pytest.raises(KeyboardInterrupt):
        build([Bundle(make_bundle("chests"))], built, URL, wheel)
    assert contents(built) == before
    assert [path.name for path in built.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("terminal", [False, True])
def test_an_error_has_a_line_of_its_own(
    make_bundle: Callable[..., Path],
    wheel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    console: Callable[[bool], StringIO],
    terminal: bool,
) -> None:
    """The bar, which only a terminal has, ends before it."""
    bundles = [Bundle(make_bundle(name)) for name in ("chests", "knees")]

    def stop(path: Path, files: dict[str, Path]) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("semimed_monai.zoo.building.write_zip", stop)
    monkeypatch.setattr(sys, "stderr", said := console(terminal))
    with pytest.raises(OSError, match=r"zoo cannot be written \(No space left.*\): make room") as raised:
        build(bundles, tmp_path / "zoo", URL, wheel)
    assert raised.value.__traceback__ is not None  # which holds whatever has not been closed
    assert said.getvalue().endswith("\n") is terminal


def test_a_killed_build_loses_no_version(
    built: Path, make_bundle: Callable[..., Path], wheel: Path, between_names: Callable[[Path], None]
) -> None:
    link = built.with_name("link")
    link.symlink_to(built)
    between_names(built)
    build([Bundle(make_bundle("chests"))], link, URL, wheel)
    assert {"chests_v0.1.0.zip", "knees_v0.9.0.zip", "knees_v0.10.0.zip"} < set(contents(built))
    assert [path.name for path in built.parent.iterdir() if path.name.startswith(".")] == []


def test_what_cannot_be_packed_is_said(make_bundle: Callable[..., Path], wheel: Path, tmp_path: Path) -> None:
    folder, out = make_bundle(), tmp_path / "zoo"
    with pytest.raises(ValueError, match=r"two of the bundles are called knees"):
        build([Bundle(folder), Bundle(folder)], out, URL, wheel)
    with pytest.raises(FileNotFoundError, match=r"no\.whl is no wheel"):
        build([Bundle(folder)], out, URL, tmp_path / "no.whl")
    for name in ("strange.whl", "numpy-2.0.0-py3-none-any.whl"):
        (tmp_path / name).write_bytes(b"wheel")
        with pytest.raises(FileNotFoundError, match=rf"{name} is no wheel of semimed-monai"):
            build([Bundle(folder)], out, URL, tmp_path / name)
    with pytest.raises(ValueError, match=r"metadata\.json has the version '1': give one such as 0\.1\.0"):
        build([Bundle(make_bundle(version="1"))], out, URL, wheel)
    with pytest.raises(ValueError, match=r"knees_v0\.1\.0\.zip .*its task 'grading\\n'"):
        build([Bundle(make_bundle(task="grading\n"))], out, URL, wheel)
    with pytest.raises(ValueError, match=r"'my knees', '0\.1\.0' are no name and version of a bundle"):
        build([Bundle(make_bundle("my knees"))], out, URL, wheel)
    assert not out.exists()
    out.mkdir()
    (out / "thesis.txt").touch()
    with pytest.raises(ValueError, match=r"zoo holds thesis\.txt, which this command did not write"):
        build([Bundle(folder)], out, URL, wheel)


@pytest.mark.parametrize("theirs", ["ISIC2018.zip", "numpy.whl", "index.html", "below/index.json", "knees_v0.1.0.zip"])
def test_what_somebody_else_has_there_is_not_lost(
    make_bundle: Callable[..., Path], wheel: Path, tmp_path: Path, theirs: str
) -> None:
    file = tmp_path / "data" / theirs
    file.parent.mkdir(parents=True)
    file.write_text("theirs")
    with pytest.raises(ValueError, match=rf"data holds {theirs}, which this command did not write"):
        build([Bundle(make_bundle())], tmp_path / "data", URL, wheel)
    assert file.read_text() == "theirs"


def test_beside_what_was_built_too(built: Path, make_bundle: Callable[..., Path], wheel: Path) -> None:
    (built / "below").mkdir()
    for theirs in ("knees.zip", "below/index.html"):
        (built / theirs).write_text("theirs")
        with pytest.raises(ValueError, match=rf"zoo holds {theirs}, which this command did not write"):
            build([Bundle(make_bundle("chests"))], built, URL, wheel)
        (built / theirs).unlink()


@pytest.mark.parametrize("place", ["docs/words.txt", "models", "docs/more"])
def test_a_link_that_leads_out_is_not_packed(
    make_bundle: Callable[..., Path], wheel: Path, tmp_path: Path, place: str
) -> None:
    folder, elsewhere = make_bundle(), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "model.pt").write_text("secret")
    (folder / "models/model.pt").unlink()
    (folder / "models").rmdir()
    (folder / place).symlink_to(elsewhere / "model.pt" if place.endswith(".txt") else elsewhere)
    with pytest.raises(ValueError, match=rf"{place}.* lies outside its bundle, a link leads there: put the file"):
        build([Bundle(folder)], tmp_path / "zoo", URL, wheel)
    (folder / place).unlink()
    (tmp_path / "linked").symlink_to(folder)  # as MONAI Label's app has it
    assert build([Bundle(tmp_path / "linked")], tmp_path / "zoo", URL, wheel).entries[0].name == "knees"


def test_bundles_are_found_or_named(
    make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder bundles/"):
        find_bundles([])
    make_bundle("knees")
    make_bundle("chests")
    make_bundle(".123@here.new.hips")  # a fetch that was killed
    assert [bundle.name for bundle in find_bundles([])] == ["chests", "knees"]
    assert [bundle.name for bundle in find_bundles([Path("bundles/knees"), "chests"])] == ["knees", "chests"]
    monkeypatch.chdir(tmp_path / "bundles" / "knees")
    assert find_bundles([Path()])[0].name == "knees"
    with pytest.raises(FileNotFoundError, match="bundles is no bundle"):
        find_bundles([tmp_path / "bundles"])
