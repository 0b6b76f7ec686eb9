"""What MONAI's own commands make of a built zoo; and that a bundle from it runs where there is only the wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import load
from PIL import Image

from semimed_monai.networks import deployed_network
from semimed_monai.zoo import Bundle, Store, build, fetch
from semimed_monai.zoo.checks.networks import exported
from semimed_monai.zoo.wheel import build_wheel, library_sources

NAME = "cartilage_segmentation"
CARD = {
    "deployed": "semimed_monai.networks.DeployedSegmenter",
    "size": 32,
    "classes": ["background", "femoral cartilage", "tibial cartilage", "meniscus"],
    "arguments": {"in_channels": 1, "classes": 4, "channels": [2, 4], "residual_units": 0},
}

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def with_weights(copy_of: Callable[[str, Path], Path], tmp_path: Path) -> Path:
    """The segmenter, with a network that is as small as they come."""
    folder = copy_of(NAME, tmp_path / "bundles")
    (folder / "models").mkdir()
    torch.manual_seed(0)
    torch.save(deployed_network(CARD).state_dict(), folder / "models" / "model.pt")
    (folder / "models" / "network.json").write_text(json.dumps(CARD))
    return folder


@pytest.fixture
def zoo(with_weights: Path, wheel: Path, tmp_path: Path) -> Path:
    build([Bundle(with_weights)], tmp_path / "zoo", "http://127.0.0.1:8000", wheel)
    return tmp_path / "zoo"


def test_monai_downloads_it(zoo: Path, serving: Any, run_program: Run, with_weights: Path, tmp_path: Path) -> None:
    with serving(zoo) as address:
        url = f"{address}/{NAME}_v0.1.0.zip"
        given = ("--name", NAME, "--version", "0.1.0", "--url", url, "--bundle_dir", str(tmp_path / "got"))
        code, said = run_program("monai.bundle", "download", *given, cwd=tmp_path)
    assert code == 0, said
    for file in Bundle(with_weights).files:
        assert (tmp_path / "got" / NAME / file).read_bytes() == (with_weights / file).read_bytes()


def test_monai_finds_it_in_model_info(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list that the public zoo's readers ask for; the answer comes from the file instead of the network."""
    from monai.bundle import get_all_bundles_list, get_bundle_info

    class Answer:
        text = (zoo / "model_info.json").read_text()

        def raise_for_status(self) -> None:
            pass

    monkeypatch.setattr("monai.bundle.scripts.requests.get", lambda *_, **__: Answer())
    assert get_all_bundles_list() == [(NAME, "0.1.0")]
    found = get_bundle_info(NAME, version="0.1.0")
    assert found["browser_download_url"] == f"http://127.0.0.1:8000/{NAME}_v0.1.0.zip"


def test_monai_loads_it(zoo: Path, with_weights: Path, tmp_path: Path) -> None:
    fetch(NAME, Store(str(zoo)), tmp_path / "got")
    network: Any = load(NAME, bundle_dir=str(tmp_path / "got"), workflow_type="inference", device="cpu")
    weights = torch.load(with_weights / "models" / "model.pt", weights_only=True)
    assert type(network).__name__ == "DeployedSegmenter"
    assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())


def test_a_network_with_its_weights_is_exported(with_weights: Path) -> None:
    assert list(exported(Bundle(with_weights))) == []


def test_it_runs_where_there_is_only_the_wheel(with_weights: Path, serving: Any, tmp_path: Path) -> None:
    """An environment with the dependencies of this one, but without the library and far from its sources."""
    real = build_wheel(library_sources(), tmp_path)
    build([Bundle(with_weights)], tmp_path / "zoo", "http://127.0.0.1:8000", real)
    away = tmp_path / "away"
    (away / "images").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(noise).save(away / "images" / "knee.png")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    # A path in a .pth file: what lies there can be imported, and its own .pth files (an editable library) are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(python), *arguments],
            cwd=away,
            env={**environment, "SEMIMED_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with serving(tmp_path / "zoo") as address:
        offline = ("--no-deps", "--no-index", "--ignore-installed", "--disable-pip-version-check")
        run("-m", "pip", "install", *offline, f"{address}/{real.name}")
        where = run("-c", "import semimed_monai; print(semimed_monai.__file__)").strip()
        assert Path(where).is_relative_to(site)
        run("-m", "semimed_monai.zoo", "fetch", NAME, "--from", address, "--to", "my_bundles")
    config = f"my_bundles/{NAME}/configs/inference.json"
    run("-m", "monai.bundle", "run", "--config_file", config, "--dataset_dir", "images")
    mask = np.asarray(Image.open(away / "images" / "knee_cartilage.png"))
    assert mask.shape == (40, 40)
    assert set(np.unique(mask)) <= {0, 1}
