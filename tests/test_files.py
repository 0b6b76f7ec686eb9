"""Files written whole, folders that can be written into, the cache folder."""

from __future__ import annotations

import errno
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from semimed_monai.files import cache_folder, digest_of, ensure_writable, save_tensors, whole, whole_folder


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SEMIMED_CACHE": "/a/b", "XDG_CACHE_HOME": "/c"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/semimed"),
        ({"HOME": "/home/me"}, "/home/me/.cache/semimed"),
        ({"XDG_CACHE_HOME": "", "HOME": "/home/me"}, "/home/me/.cache/semimed"),
    ],
)
def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str) -> None:
    for name in ("SEMIMED_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def _write_half(file: Path, error: Exception) -> None:
    with whole(file) as temporary:
        temporary.write_text("half")
        raise error


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "a.txt"
    with whole(file) as temporary:
        temporary.write_text("old")
    with pytest.raises(KeyError):
        _write_half(file, KeyError("other"))
    with pytest.raises(OSError, match=r"a\.txt cannot be written \(No space left.*\): make room there"):
        _write_half(file, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert [(path.name, path.read_text()) for path in file.parent.iterdir()] == [("a.txt", "old")]


def test_where_a_file_lies_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match=r"file/a\.txt cannot be written \(.*\): put that right, or"),
        whole(tmp_path / "file" / "a.txt"),
    ):
        pass
    with pytest.raises(OSError, match=r"nothing can be written into .*file \(File exists\): correct output_dir"):
        ensure_writable([tmp_path, tmp_path / "file"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match=r"Permission denied.*: correct output_dir or ckpt_dir, or the folder's permiss"):
        ensure_writable([tmp_path])


def test_a_writable_folder_is_made_and_stays_empty(tmp_path: Path) -> None:
    ensure_writable([tmp_path / "a" / "b", str(tmp_path / "c")])
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["a", "a/b", "c"]


def test_tensors_are_saved_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.pt"
    save_tensors(file, {"one": torch.ones(2)})
    assert torch.equal(torch.load(file, weights_only=True)["one"], torch.ones(2))
    before = file.read_bytes()
    resource = pytest.importorskip("resource", reason="limits the size of files, as a full disk does")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"a\.pt cannot be written \(File too large\)"):
            save_tensors(file, {"one": torch.ones(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]
    assert file.read_bytes() == before


def _folder_with(path: Path, name: str, error: Exception | None = None) -> None:
    with whole_folder(path, lambda file: file.suffix == ".png") as folder:
        (folder / name).touch()
        if error:
            raise error


def test_a_folder_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "pictures"
    _folder_with(path, "old.png")
    with pytest.raises(KeyError):
        _folder_with(path, "half.png", KeyError("other"))
    with pytest.raises(OSError, match=r"pictures cannot be written \(No space left.*\): make room there"):
        _folder_with(path, "half.png", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert [file.name for file in path.iterdir()] == ["old.png"]
    _folder_with(path, "new.png")
    assert [file.name for file in path.iterdir()] == ["new.png"]
    (path / "mine.txt").touch()
    with pytest.raises(ValueError, match=r"pictures holds mine\.txt, which this command did not write"):
        _folder_with(path, "newer.png")
    assert sorted(file.name for file in path.iterdir()) == ["mine.txt", "new.png"]
    assert [file.name for file in path.parent.iterdir()] == ["pictures"]


def test_a_file_is_no_folder_and_a_link_leads_to_one(tmp_path: Path) -> None:
    thesis, link = tmp_path / "thesis.docx", tmp_path / "link"
    thesis.write_text("three years")
    with pytest.raises(ValueError, match=r"thesis\.docx is a file, and a folder is to be written there"):
        _folder_with(thesis, "new.png")
    assert thesis.read_text() == "three years"
    _folder_with(tmp_path / "pictures", "old.png")
    link.symlink_to(tmp_path / "pictures")
    _folder_with(link, "new.png")
    assert link.is_symlink()
    assert [file.name for file in (tmp_path / "pictures").iterdir()] == ["new.png"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "pictures", "thesis.docx"]


def test_between_one_name_and_the_other_the_old_folder_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename = tmp_path / "pictures", Path.rename
    _folder_with(path, "old.png")

    def stop_at_the_second(of: Path, target: Path) -> Path:
        if ".new." in of.name:
            raise KeyboardInterrupt
        return rename(of, target)

    monkeypatch.setattr(Path, "rename", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        _folder_with(path, "new.png")
    assert [file.name for file in path.iterdir()] == ["old.png"]
    assert [file.name for file in tmp_path.iterdir()] == ["pictures"]


KILLED = """
import os, signal, sys
from pathlib import Path
from semimed_monai.files import whole_folder
rename = Path.rename
def rename_or_die(file, target):
    if ".new." in file.name:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(file, target)
Path.rename = rename_or_die
with whole_folder(Path(sys.argv[1]), bool) as folder:
    (folder / "half.png").touch()
"""


def test_what_a_killed_process_has_left_is_mended_by_the_next(tmp_path: Path) -> None:
    """Between one name and the other nobody can be told to put anything back; who lives is left alone."""
    path, link = tmp_path / "pictures", tmp_path / "link"
    _folder_with(path, "old.png")
    link.symlink_to(path)
    assert subprocess.run([sys.executable, "-c", KILLED, path], check=False).returncode == -signal.SIGKILL
    assert not path.exists()
    here, elsewhere = platform.node(), f"{platform.node()}.example"
    others = {f".{os.getppid()}@{here}.new.pictures", f".{os.getppid()}@{here}.old.pictures"}
    others |= {f".1@{here}.old.x.pictures", f".{os.getpid()}@{elsewhere}.old.pictures", ".old.pictures"}
    for name in others:
        (tmp_path / name).mkdir()
    with pytest.raises(KeyError):
        _folder_with(link, "half.png", KeyError("other"))
    assert [file.name for file in path.iterdir()] == ["old.png"]
    assert {file.name for file in tmp_path.iterdir()} == {"link", "pictures", *others}


def test_a_number_of_a_killed_process_comes_again(tmp_path: Path) -> None:
    path, old = tmp_path / "pictures", tmp_path / f".{os.getpid()}@{platform.node()}.old.pictures"
    _folder_with(path, "new.png")
    old.mkdir()
    (old / "old.png").touch()
    _folder_with(path, "newer.png")
    assert [file.name for file in path.iterdir()] == ["newer.png"]
    assert [file.name for file in tmp_path.iterdir()] == ["pictures"]


def test_a_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_of(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_what_cannot_be_read_is_not_said_to_be_written(tmp_path: Path) -> None:
    missing, target = tmp_path / "elsewhere", tmp_path / "a" / "b"
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: .*elsewhere"), whole(target):
        missing.read_text()
    with pytest.raises(ConnectionError, match=r"^nobody answers$"), whole_folder(target, bool):
        raise ConnectionError("nobody answers")
