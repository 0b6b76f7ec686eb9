"""What is kept in memory is read once, by whichever thread, and never stale."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from small_files import refused, write_nifti

from semimed_monai.transforms import knee_mr
from semimed_monai.transforms import volumes as module
from semimed_monai.transforms.volumes import Recent


def test_threads_that_ask_at_once_share_one_result() -> None:
    recent, made, started = Recent(keep=2), [], threading.Barrier(4)

    def make() -> object:
        made.append(1)
        threading.Event().wait(0.05)
        return object()

    def ask(_: int) -> object:
        started.wait()
        return recent.get("volume", make)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, range(4)))) == 1
    assert len(made) == 1


def test_the_least_recent_is_forgotten() -> None:
    recent = Recent(keep=2)
    for key in "abac":
        recent.get(key, lambda key=key: key)
    assert recent.get("a", lambda: "again") == "a"
    assert recent.get("b", lambda: "again") == "again"


def test_an_error_is_raised_and_not_kept() -> None:
    recent = Recent(keep=2)

    def fail() -> NoReturn:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        recent.get("a", fail)
    assert recent.get("a", lambda: 1) == 1


def test_a_volume_is_read_once_for_its_slices_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    load = module._load

    def counted(path: str, *rest: object) -> object:
        reads.append(path)
        return load(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_load", counted)
    preprocess, volume = knee_mr(4, percentiles=(0, 100)), np.arange(48).reshape(3, 4, 4).astype(np.float32)
    path = write_nifti(tmp_path / "v.nii", volume)

    first = [preprocess({"image": path, "slice": index})["image"] for index in range(3)]
    first[0].zero_()  # what a caller does to his copy stays with him
    assert len(reads) == 1
    assert preprocess({"image": path, "slice": 0})["image"].any()

    write_nifti(tmp_path / "v.nii", volume[:2])
    with refused("slices 0 to 1"):
        preprocess({"image": path, "slice": 2})
    assert len(reads) == 2
