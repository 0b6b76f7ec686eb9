"""Where a bundle lies, asked the ways that MONAI asks; profiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from monai.bundle.scripts import run, verify_net_in_out
from monai.bundle.workflows import ConfigWorkflow

from semimed_monai.recipes import bundle_root, chosen_profile


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
        "imports": ["$import torch", "$from pathlib import Path", "$from semimed_monai.recipes import bundle_root"],
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


def test_a_profile_is_chosen_by_name() -> None:
    profiles: dict[str, dict[str, Any]] = {"phantom": {"image_size": 96}, "paper": {"image_size": 256}}
    assert chosen_profile(profiles, "paper") == {"image_size": 256}
    with pytest.raises(ValueError, match="no profile 'big'; choose one of phantom, paper"):
        chosen_profile(profiles, "big")
