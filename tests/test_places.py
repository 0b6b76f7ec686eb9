"""Where a bundle lies, asked the ways that MONAI asks; the cache folder; profiles."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle.scripts import run, verify_net_in_out
from monai.bundle.workflows import ConfigWorkflow

from semimed_monai.places import (
    bundle_root,
    cache_folder,
    chosen_profile,
    ensure_writable,
    save_tensors,
    whole,
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle whose only run writes its root into a file, and one overlay."""
    root = tmp_path / "some bundle"
    (root / "configs").mkdir(parents=True)
    (root / "experiments").mkdir()
    image = {"num_channels": 1, "spatial_shape": [4, 4], "dtype": "float32"}
    formats = {"inputs": {"image": image}, "outputs": {"pred": {**image, "num_channels": 2}}}
    (root / "configs" / "metadata.json").write_text(json.dumps({"network_data_format": formats}))
    found = tmp_path / "found.txt"
    config = {
        "imports": ["$import torch", "$from pathlib import Path", "$from semimed_monai.places import bundle_root"],
        "bundle_root": "$bundle_root()",
        "found": str(found),
        "network_def": "$Path(@found).write_text(@bundle_root) and torch.nn.Conv2d(1, 2, 1)",
        "run": ["$@network_def"],
    }
    (root / "configs" / "train.json").write_text(json.dumps(config))
    (root / "experiments" / "table1.json").write_text(json.dumps({"profile": "table"}))
    return root


def _found(bundle: Path) -> str:
    return (bundle.parent / "found.txt").read_text()


@pytest.mark.parametrize("given", ["absolute", "relative", "from inside"])
def test_a_run_from_anywhere(bundle: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    config = bundle / "configs" / "train.json"
    if given == "relative":
        monkeypatch.chdir(bundle.parent)
        config = config.relative_to(bundle.parent)
    if given == "from inside":
        monkeypatch.chdir(bundle / "configs")
        config = Path("train.json")
    run(run_id="run", config_file=str(config))
    assert _found(bundle) == str(bundle)


def test_a_workflow_and_its_parser(bundle: Path) -> None:
    workflow = ConfigWorkflow(config_file=str(bundle / "configs" / "train.json"), workflow_type=None)
    workflow.run()
    assert _found(bundle) == str(bundle)


@pytest.mark.parametrize("first", ["configs/train.json", "experiments/table1.json"])
def test_a_list_with_an_overlay(bundle: Path, first: str) -> None:
    """Whichever file stands first; an overlay lies in experiments/, beside configs/."""
    second = "experiments/table1.json" if first.startswith("configs") else "configs/train.json"
    run(
        run_id="run",
        config_file=[str(bundle / first), str(bundle / second)],
        meta_file=str(bundle / "configs" / "metadata.json"),
    )
    assert _found(bundle) == str(bundle)


def test_a_caller_that_has_a_bare_parser(bundle: Path) -> None:
    """It reads the config with a ConfigParser, which forgets the file."""
    config = str(bundle / "configs" / "train.json")
    verify_net_in_out("network_def", str(bundle / "configs" / "metadata.json"), config, device="cpu")
    assert _found(bundle) == str(bundle)


def test_the_nearest_caller_counts(bundle: Path, tmp_path: Path) -> None:
    """A bundle that runs another: the inner one's root."""
    other = tmp_path / "outer"
    (other / "configs").mkdir(parents=True)
    (other / "configs" / "metadata.json").write_text("{}")

    def outer(config_file: str) -> str:
        assert config_file
        return inner(str(bundle / "configs" / "train.json"))

    def inner(config_file: str) -> str:
        assert config_file
        return bundle_root()

    assert outer(str(other / "configs" / "train.json")) == str(bundle)


def test_nobody_knows(tmp_path: Path) -> None:
    config_file = str(tmp_path / "train.json")  # no metadata.json beside it: no bundle
    with pytest.raises(FileNotFoundError, match="give it as --bundle_root FOLDER"):
        bundle_root()
    assert config_file


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


def test_a_profile_is_chosen_by_name() -> None:
    profiles: dict[str, dict[str, Any]] = {"phantom": {"image_size": 96}, "paper": {"image_size": 256}}
    assert chosen_profile(profiles, "paper") == {"image_size": 256}
    with pytest.raises(ValueError, match="no profile 'big'; choose one of phantom, paper"):
        chosen_profile(profiles, "big")


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
    with pytest.raises(OSError, match=r"file/a\.txt cannot be written"), whole(tmp_path / "file" / "a.txt"):
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
