"""What is fetched is what was packed; what is wrong is said, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semimed_monai.zoo import Bundle, Entry, Index, Store, build, fetch
from semimed_monai.zoo.__main__ import main
from semimed_monai.zoo.packing import write_zip
from semimed_monai.zoo.unpacking import unpack

OLD, NEW = "# knees 0.9.0\n", "# knees 0.10.0\n"


def readme(folder: Path) -> str:
    return (folder / "knees" / "docs" / "README.md").read_text()


def nothing_but(folder: Path, *names: str) -> bool:
    """Whether no draft, no download and no folder is left."""
    return sorted(path.name for path in folder.iterdir()) == sorted(names)


def rewrite(built: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The index, as somebody else would have it, of the latest version."""
    index = json.loads((built / "index.json").read_text())
    change(index["bundles"][-1])
    (built / "index.json").write_text(json.dumps(index))


def plant(built: Path, fill: Callable[[zipfile.ZipFile], None]) -> None:
    """Another zip in the latest's place, of which the index says the truth."""
    path = built / "knees_v0.10.0.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        fill(archive)
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    facts = {"size": path.stat().st_size, "sha256": sha256(path.read_bytes()).hexdigest(), "unpacked": unpacked}
    rewrite(built, lambda entry: entry.update(facts))


@pytest.mark.parametrize("terminal", [False, True])
def test_a_bar_is_for_a_terminal(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, console: Callable[[bool], StringIO], terminal: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", said := console(terminal))
    fetch("knees", Store(str(built)), tmp_path / "got")
    assert ("knees_v0.10.0.zip" in said.getvalue()) is terminal


@pytest.mark.parametrize("served", [False, True])
def test_the_latest_or_a_version(built: Path, serving: Any, tmp_path: Path, served: bool) -> None:
    with serving(built) as address:
        store = Store(address if served else str(built))
        folder, entry = fetch("knees", store, tmp_path / "got")
        assert (folder, entry.version, readme(tmp_path / "got")) == (tmp_path / "got" / "knees", "0.10.0", NEW)
        fetch("knees==0.9.0", store, tmp_path / "got")
        assert readme(tmp_path / "got") == OLD
        assert nothing_but(tmp_path / "got", "knees")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    bundle = Bundle(tmp_path / "bundles" / "knees")
    assert files == {*(file.as_posix() for file in bundle.files), ".fetched.json"}
    assert (folder / "models" / "model.pt").read_bytes() == (bundle.folder / "models" / "model.pt").read_bytes()
    packed = build([Bundle(folder)], tmp_path / "again", "http://x", tmp_path / "semimed_monai-0.1.0-py3-none-any.whl")
    assert packed.entries[0].sha256 == Index.read(Store(str(built))).find("knees==0.9.0").sha256


versions = st.tuples(*[st.integers(0, 30)] * 3)


@given(st.lists(versions, min_size=1, unique=True))
def test_versions_compare_as_numbers(numbers: list[tuple[int, int, int]]) -> None:
    entries = [Entry("knees", "{}.{}.{}".format(*number), "0" * 64, 1, 1, "a.whl", "") for number in numbers]
    assert Index(entries, []).find("knees").version == "{}.{}.{}".format(*max(numbers))


def test_a_version_before_its_release_is_asked_for() -> None:
    entries = [Entry("knees", version, "0" * 64, 1, 1, "a.whl", "") for version in ("0.9.0", "1.0.0rc1")]
    assert Index(entries, []).find("knees").version == "0.9.0"
    assert Index(entries, []).find("knees==1.0.0rc1").version == "1.0.0rc1"
    assert Index(entries[1:], []).find("knees").version == "1.0.0rc1"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("hips", "the zoo has no bundle 'hips'; there are knees"),
        ("knees==0.11.0", r"the zoo has no knees 0\.11\.0; there are 0\.9\.0, 0\.10\.0"),
        ("knees==new", "'new' is no version: give one such as knees==0.1.0"),
    ],
)
def test_what_there_is_not(built: Path, tmp_path: Path, wanted: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fetch(wanted, Store(str(built)), tmp_path / "got")
    assert not (tmp_path / "got").exists()


def tamper(built: Path) -> None:
    """One bit of the weights, in a zip whose length stays."""
    path = built / "knees_v0.10.0.zip"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(built: Path) -> None:
    path = built / "knees_v0.10.0.zip"
    path.write_bytes(path.read_bytes()[:-100])


def lengthen(built: Path) -> None:
    path = built / "knees_v0.10.0.zip"
    path.write_bytes(path.read_bytes() + b"\0")


def climb(built: Path) -> None:
    plant(built, lambda archive: archive.writestr("knees/../../stolen.txt", "stolen"))


def be_absolute(built: Path) -> None:
    plant(built, lambda archive: archive.writestr("/tmp/stolen.txt", "stolen"))


def use_backslashes(built: Path) -> None:
    plant(built, lambda archive: archive.writestr("knees/..\\..\\stolen.txt", "stolen"))


def be_on_a_drive(built: Path) -> None:
    plant(built, lambda archive: archive.writestr("knees/c:/stolen.txt", "stolen"))


def be_elsewhere(built: Path) -> None:
    plant(built, lambda archive: archive.writestr("hips/configs/metadata.json", "{}"))


def link(built: Path) -> None:
    entry = zipfile.ZipInfo("knees/models")
    entry.external_attr = 0o120777 << 16
    plant(built, lambda archive: archive.writestr(entry, "/etc"))


def be_a_bomb(built: Path) -> None:
    plant(built, lambda archive: archive.writestr("knees/models/model.pt", b"\0" * 10_000_000))


def be_many(built: Path) -> None:
    plant(built, lambda archive: [archive.writestr(f"knees/{number}", "a") for number in range(10_001)])


def say_less(built: Path) -> None:
    """A bomb whose index says that it is none."""
    be_a_bomb(built)
    rewrite(built, lambda entry: entry.update(unpacked=5000))


def be_no_zip(built: Path) -> None:
    plant(built, lambda archive: archive.writestr("knees/a", "a"))
    path = built / "knees_v0.10.0.zip"
    path.write_bytes(b"<html>not found</html>")
    facts = {"size": path.stat().st_size, "sha256": sha256(path.read_bytes()).hexdigest()}
    rewrite(built, lambda entry: entry.update(facts))


def name_twice(built: Path) -> None:
    def fill(archive: zipfile.ZipFile) -> None:
        archive.writestr("knees/a", "a")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("knees/a", "b")

    plant(built, fill)


def be_file_and_folder(built: Path) -> None:
    plant(built, lambda archive: [archive.writestr(name, "a") for name in ("knees/a", "knees/a/b")])


def hold_itself(built: Path) -> None:
    plant(built, lambda archive: archive.writestr("knees/knees_v0.10.0.zip", "a"))


def have_a_long_name(built: Path) -> None:
    plant(built, lambda archive: archive.writestr(f"knees/{'a' * 256}", "a"))


def damage(built: Path, method: int) -> None:
    """What it holds, as no reader of its kind takes it; the index says the truth of it."""
    path = built / "knees_v0.10.0.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("knees/a", "all of it, and more" * 10)
    content = bytearray(path.read_bytes())
    start = 30 + len("knees/a") + (9 if method == zipfile.ZIP_LZMA else 0)
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)
    facts = {"size": len(content), "sha256": sha256(content).hexdigest(), "unpacked": 190}
    rewrite(built, lambda entry: entry.update(facts))


def damage_deflated(built: Path) -> None:
    damage(built, zipfile.ZIP_DEFLATED)


def damage_lzma(built: Path) -> None:
    damage(built, zipfile.ZIP_LZMA)


def be_of_no_version(built: Path) -> None:
    plant(built, lambda archive: archive.writestr("knees/a", "a"))


def be_of_another_version(built: Path) -> None:
    plant(built, lambda archive: archive.writestr("knees/configs/metadata.json", '{"version": "9.9.9"}'))


FAULTS = {
    tamper: r"knees_v0\.10\.0\.zip is not the file of the zoo's index, whose SHA-256 is [0-9a-f]{64}: it was changed",
    cut: r"knees_v0\.10\.0\.zip ends 100 bytes before its end: it is cut off",
    lengthen: r"knees_v0\.10\.0\.zip is not the file of the zoo's index",
    climb: r"the zip of knees is refused.*'knees/\.\./\.\./stolen\.txt', which is not in knees/",
    be_absolute: r"refused.*'/tmp/stolen\.txt', which is not in knees/",
    use_backslashes: r"refused.*stolen\.txt', which is not in knees/",
    be_on_a_drive: r"refused.*'knees/c:/stolen\.txt', which is not in knees/",
    be_elsewhere: r"refused.*'hips/configs/metadata\.json', which is not in knees/",
    link: r"refused.*'knees/models' in it is a link or a device",
    be_a_bomb: r"refused.*1 files of 10000000 bytes out of \d+ are more than a bundle has",
    be_many: r"refused.*10001 files of 10001 bytes out of \d+ are more than a bundle has",
    say_less: r"refused.*its files are 10000000 bytes, and the index says 5000",
    be_no_zip: r"refused.*not a zip file",
    name_twice: r"refused.*two files of one name",
    be_file_and_folder: r"refused.*(File exists|Not a directory)",
    hold_itself: r"refused.*File exists",
    have_a_long_name: r"refused.*'knees/aaa.*longer than a disk takes",
    damage_deflated: r"refused.*while decompressing",
    damage_lzma: r"refused",
    be_of_no_version: r"refused.*metadata\.json is not of version 0\.10\.0",
    be_of_another_version: r"refused.*metadata\.json is not of version 0\.10\.0",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("older", [False, True], ids=["first", "over an older copy"])
def test_a_bad_zip_is_refused(
    built: Path, serving: Any, tmp_path: Path, fault: Callable[[Path], None], older: bool
) -> None:
    got = tmp_path / "deep" / "got"
    if older:
        fetch("knees==0.9.0", Store(str(built)), got)
    fault(built)
    with serving(built) as address, pytest.raises(ValueError, match=FAULTS[fault]):
        fetch("knees", Store(address), got)
    if older:
        assert readme(got) == OLD
        assert nothing_but(got, "knees")
    else:
        assert not (tmp_path / "deep").exists()
    assert list(tmp_path.rglob("stolen*")) == []


def test_a_zip_of_more_than_a_bundle_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "big").write_bytes(os.urandom(9000))
    write_zip(tmp_path / "a.zip", {"knees/big": tmp_path / "big"})
    for limit, refused in ((8999, True), (9000, False)):
        monkeypatch.setattr("semimed_monai.zoo.unpacking.LARGEST", limit)
        (tmp_path / str(limit)).mkdir()
        with pytest.raises(ValueError, match="1 files of 9000 bytes") if refused else nullcontext():
            unpack(tmp_path / "a.zip", "knees", 9000, tmp_path / str(limit))
    assert (tmp_path / "9000/big").read_bytes() == (tmp_path / "big").read_bytes()


@pytest.mark.parametrize(("lie", "message"), [(90, "Bad CRC-32"), (9090, "'knees/big' in it is smaller than it says")])
def test_a_file_of_another_size_than_its_zip_says(tmp_path: Path, lie: int, message: str) -> None:
    """The sizes of its directory are lies, as a bomb's are; the checksum is right."""
    (tmp_path / "big").write_bytes(b"\0" * 9000)
    write_zip(tmp_path / "a.zip", {"knees/big": tmp_path / "big"})
    content = (tmp_path / "a.zip").read_bytes()
    place = content.rindex((9000).to_bytes(4, "little"))
    (tmp_path / "a.zip").write_bytes(content[:place] + lie.to_bytes(4, "little") + content[place + 4 :])
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=f"the zip of knees is refused.*{message}"):
        unpack(tmp_path / "a.zip", "knees", lie, tmp_path / "out")
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*") if file.is_file()) <= lie


def test_a_dead_server(tmp_path: Path, free_port: int) -> None:
    address = f"http://127.0.0.1:{free_port}"
    with pytest.raises(ConnectionError, match=rf"{address}/index\.json cannot be had .*refused.*start the server"):
        fetch("knees", Store(address), tmp_path / "got")
    with pytest.raises(FileNotFoundError, match=r"there is no .*index\.json: give a folder that"):
        fetch("knees", Store(str(tmp_path)), tmp_path / "got")
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("address", ["http://[::1", "http://..x", "http://127.0.0.1:port", "http://a b"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(
        ConnectionError, match=rf"^{re.escape(address)}/index\.json cannot be had .*correct the address"
    ):
        Index.read(Store(f"{address}/"))


def test_into_a_file(built: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        OSError, match=r"file/knees cannot be written \(Not a directory\): put that right, or give anoth"
    ):
        fetch("knees", Store(str(built)), tmp_path / "file")


def test_a_server_of_something_else(built: Path, serving: Any, tmp_path: Path) -> None:
    with serving(built) as address, pytest.raises(FileNotFoundError, match=r"index\.json is not there \(404"):
        fetch("knees", Store(f"{address}/below"), tmp_path / "got")
    (built / "index.json").write_text('{"format": "another"}')
    with serving(built) as address, pytest.raises(ValueError, match=r"is no index of a zoo .*'another'"):
        fetch("knees", Store(address), tmp_path / "got")
    assert not (tmp_path / "got").exists()


SIZES = (0, -1, True, 1.5, float("inf"), "all", None, int("9" * 400), (16 << 30) + 1)
WHEELS = ("evil-99.0-py3-none-any.whl", "../semimed_monai-0.1.0-py3-none-any.whl", "a.whl", "", None)


@pytest.mark.parametrize(
    "strange",
    [
        *({"name": name} for name in ("../knees", "knees\n", "", None)),
        *({"version": version} for version in ("../1", "1.0", None)),
        *({kind: size} for kind in ("size", "unpacked") for size in SIZES),
        *({"sha256": digest} for digest in ("\x1b[2J", "0" * 63, None)),
        *({"task": task} for task in ("grading\x1b[2J", "grading\nknees 9.9.9", None)),
        *({"wheel": wheel} for wheel in (*WHEELS, "semimed_monai-0.2.0-py3-none-any.whl")),
        {"version": "0.9.0"},  # once more
    ],
    ids=lambda strange: ascii(strange)[:40],
)
def test_an_index_that_leads_elsewhere(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], strange: dict[str, Any]
) -> None:
    rewrite(built, lambda entry: entry.update(strange))
    refuse(built, tmp_path, capsys)


@pytest.mark.parametrize(
    "strange",
    [
        *({"file": wheel} for wheel in (*WHEELS, "semimed_monai-0.1.0-py3-none-any; reboot.whl")),
        *({"size": size} for size in SIZES),
        {"sha256": "\x1b[2J"},
    ],
    ids=lambda strange: ascii(strange)[:40],
)
def test_an_index_of_strange_wheels(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], strange: dict[str, Any]
) -> None:
    index = json.loads((built / "index.json").read_text())
    index["wheels"].append({**index["wheels"][0], "file": "semimed_monai-0.2.0-py3-none-any.whl", **strange})
    (built / "index.json").write_text(json.dumps(index))
    refuse(built, tmp_path, capsys)


@pytest.mark.parametrize("bundles", [[], [[]], [{"\x1b[2J": 1}], None])
def test_an_index_without_bundles(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], bundles: object
) -> None:
    index = json.loads((built / "index.json").read_text())
    (built / "index.json").write_text(json.dumps({**index, "bundles": bundles}))
    refuse(built, tmp_path, capsys)


def refuse(built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One message, of one line that shows what it names."""
    for command in (["list"], ["fetch", "knees", "--to", str(tmp_path / "got")]):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--from", str(built)])
        said = capsys.readouterr()
        assert (ended.value.code, said.out) == (1, "")
        assert said.err.startswith(f"error: {built / 'index.json'} is no index of a zoo (")
        assert said.err.removesuffix("\n").isprintable()
    assert not (tmp_path / "got").exists()


def test_an_index_beyond_all_measure(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semimed_monai.zoo.index._LARGEST_INDEX", 10_000)
    index = (built / "index.json").read_text()
    (built / "index.json").write_text(" " * (10_000 - len(index)) + index)
    fetch("knees", Store(str(built)), tmp_path / "got")
    (built / "index.json").write_text(" " * 10_000 + index)
    with pytest.raises(ValueError, match="is no index of a zoo"):
        fetch("knees", Store(str(built)), tmp_path / "got")


def test_a_server_that_dies_on_the_way(built: Path, tmp_path: Path) -> None:
    """It says how long the zip is, sends half of it and hangs up."""

    class Dying(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = (built / self.path.strip("/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if self.path.endswith(".json") else content[: len(content) // 2])

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Dying) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            store = Store(f"http://127.0.0.1:{server.server_address[1]}")
            with pytest.raises((ValueError, ConnectionError), match=r"cut off|cannot be had"):
                fetch("knees", store, tmp_path / "got")
        finally:
            server.shutdown()
    assert not (tmp_path / "got").exists()


class Endless(Store):
    """A zip that never ends."""

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        with super().open(name) as file:
            parts = iter([bytes(1 << 20)] * 3)
            yield type("Flood", (), {"read": lambda _, size: next(parts)})() if name.endswith(".zip") else file


def test_a_server_that_never_ends_is_cut_off(built: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"knees_v0\.10\.0\.zip is not the file of the zoo's index"):
        fetch("knees", Endless(str(built)), tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_a_server_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semimed_monai.zoo.store.SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=rf"{address}/index\.json cannot be had \(timed out\)"):
            fetch("knees", Store(address), tmp_path / "got")
    assert not (tmp_path / "got").exists()


class Stopped(Store):
    """Ctrl-C in the middle of the zip."""

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        with super().open(name) as file:
            if name.endswith(".zip"):
                read = file.read
                parts = iter([read(500)])

                def stop(_: int) -> bytes:
                    try:
                        return next(parts)
                    except StopIteration:
                        raise KeyboardInterrupt from None

                yield type("Stopping", (), {"read": staticmethod(stop)})()
            else:
                yield file


@pytest.mark.parametrize("older", [False, True])
def test_ctrl_c_leaves_what_there_was(built: Path, tmp_path: Path, older: bool) -> None:
    if older:
        fetch("knees==0.9.0", Store(str(built)), tmp_path / "got")
    with pytest.raises(KeyboardInterrupt):
        fetch("knees", Stopped(str(built)), tmp_path / "got")
    assert (readme(tmp_path / "got") == OLD) if older else not (tmp_path / "got").exists()
    assert not older or nothing_but(tmp_path / "got", "knees")


def test_a_killed_fetch_is_mended_by_the_next(
    built: Path, tmp_path: Path, between_names: Callable[[Path], None]
) -> None:
    store, got = Store(str(built)), tmp_path / "got"
    fetch("knees==0.9.0", store, got)
    between_names(got / "knees")
    fetch("knees", store, got)
    assert readme(got) == NEW
    assert nothing_but(got, "knees")


class Asked(Store):
    """Whoever is asked for a file writes that down."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.names: list[str] = []

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        self.names.append(name)
        with super().open(name) as file:
            yield file


def test_a_full_disk(make_bundle: Callable[..., Path], wheel: Path, small_disk: Path, tmp_path: Path) -> None:
    """It is said before the zip is asked for; packed it would fit."""
    build([Bundle(make_bundle())], tmp_path / "zoo", "http://x", wheel)
    got = small_disk / "got"
    fetch("knees", Store(str(tmp_path / "zoo")), got)
    large = make_bundle(version="0.2.0", weights=os.urandom(2000) * 50)
    build([Bundle(large)], tmp_path / "zoo", "http://x", wheel)
    store = Asked(str(tmp_path / "zoo"))
    with pytest.raises(OSError, match=r"knees cannot be written \(it takes about 10.... bytes, and .*free\): make"):
        fetch("knees", store, got)
    assert store.names == ["index.json"]
    assert readme(got) == "# knees 0.1.0\n"
    assert nothing_but(got, "knees")


def test_what_was_changed_is_not_lost(built: Path, tmp_path: Path) -> None:
    got, store = tmp_path / "got", Store(str(built))
    fetch("knees==0.9.0", store, got)
    (got / "knees" / "models" / "model.pt").write_bytes(b"trained for a week")
    with pytest.raises(ValueError, match=r"got/knees holds models/model\.pt, which this command did not write"):
        fetch("knees", store, got)
    assert readme(got) == OLD
    (got / "mine" / "knees").mkdir(parents=True)
    (got / "mine" / "knees" / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"knees holds notes\.txt"):
        fetch("knees", store, got / "mine")
    fetch("knees", store, got / "theirs")
    weights = got / "theirs" / "knees" / "models"
    weights.rename(got / "weights")
    weights.symlink_to(got / "weights")
    with pytest.raises(ValueError, match=r"knees holds models, which this command did not write"):
        fetch("knees", store, got / "theirs")
    (got / "linked").mkdir()
    (got / "linked" / "knees").symlink_to(got / "knees")
    with pytest.raises(ValueError, match=r"linked/knees is a link or a file"):
        fetch("knees", store, got / "linked")


@pytest.mark.parametrize(
    "note", ["", "{", "[1]", "{}", "1", '{"files": null}', '{"files": [1]}', '{"files": "all"}', "[" * 100_000]
)
def test_a_damaged_note_tells_of_no_file(built: Path, tmp_path: Path, note: str) -> None:
    got, store = tmp_path / "got", Store(str(built))
    fetch("knees==0.9.0", store, got)
    (got / "knees" / ".fetched.json").write_text(note)
    with pytest.raises(ValueError, match=r"got/knees holds .*, which this command did not write"):
        fetch("knees", store, got)
    assert readme(got) == OLD


def test_the_commands(built: Path, serving: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(built) as address:
        main(["list", "--from", address])
        assert capsys.readouterr().out.startswith("knees 0.10.0 (also 0.9.0)  0.0 MB")
        main(["fetch", "knees==0.9.0", "--from", address, "--to", str(tmp_path / "got")])
        assert capsys.readouterr().out == f"knees 0.9.0 is in {tmp_path / 'got' / 'knees'}\n"
    with pytest.raises(SystemExit) as ended:
        main(["fetch", "hips", "--from", str(built), "--to", str(tmp_path / "got")])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: the zoo has no bundle 'hips'; there are knees\n"
    with pytest.raises(SystemExit) as ended:
        main(["serve", str(tmp_path)])
    assert "is no built zoo" in capsys.readouterr().err


def test_a_newer_library_is_named(
    make_bundle: Callable[..., Path], wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = wheel.rename(wheel.with_name("semimed_monai-99.0.0-py3-none-any.whl"))
    build([Bundle(make_bundle())], tmp_path / "zoo", "http://x", newer)
    main(["fetch", "knees", "--from", str(tmp_path / "zoo"), "--to", str(tmp_path / "got")])
    said = capsys.readouterr().out
    assert f"it was packed with a newer library: pip install {tmp_path / 'zoo' / newer.name}" in said
