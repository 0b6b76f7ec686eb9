"""Bundles as a user runs them: real processes, from a folder that is not the repository, on a tiny set of phantoms."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser
from processes import run_forked, run_new, run_ranks

from semimed_monai.data.phantoms import knee_phantom_set
from semimed_monai.zoo.checks.metadata import SCHEMA

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
SECONDS = 300

RunBundle = Callable[..., str]


@pytest.fixture(scope="session")
def bundle_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SEMIMED_CACHE of every process that these tests start."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def knee_set(bundle_cache: Path) -> Path:
    """Eight phantom knees: what `--phantoms#people 8` finds in the cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMIMED_CACHE", str(bundle_cache))
        return knee_phantom_set(people=8)


@pytest.fixture
def own_cache(bundle_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same cache for what a test runs in this process."""
    monkeypatch.setenv("SEMIMED_CACHE", str(bundle_cache))
    return bundle_cache


@pytest.fixture(scope="session")
def run_process(bundle_cache: Path) -> RunBundle:
    """run_process("-m", "module", …, cwd=folder, expect=0, forked=False) -> stdout and stderr of `python -m module …`.

    Forked, it has no imports to wait for (processes.py).
    """
    environment = {"SEMIMED_CACHE": str(bundle_cache)}

    def run(*arguments: str, cwd: Path, expect: int = 0, forked: bool = False) -> str:
        code, said = (run_forked if forked else run_new)(arguments, cwd, environment, SECONDS)
        assert code == expect, f"exit code {code}, expected {expect}:\n{said}"
        return said

    return run


@pytest.fixture(scope="session")
def run_bundle(run_process: RunBundle) -> RunBundle:
    """run_bundle(config, "--max_epochs", "2", …, cwd=folder, run_id="training", expect=0) -> what was printed.

    `config` is a config file, or a list of one and its overlays. A file's first run is a `new` process, as a user's is.
    """

    def run(
        config: Path | Sequence[Path],
        *overrides: str,
        cwd: Path,
        run_id: str = "training",
        expect: int = 0,
        new: bool = False,
    ) -> str:
        files = json.dumps([str(file) for file in config]) if isinstance(config, Sequence) else str(config)
        command = ("-m", "monai.bundle", "run", run_id, "--config_file", files)
        return run_process(*command, *overrides, cwd=cwd, expect=expect, forked=not new)

    return run


@pytest.fixture
def run_by_two(bundle_cache: Path, free_port: int) -> RunBundle:
    """run_by_two(train, "--max_epochs=2", …, cwd=folder): a recipe with its multi-GPU overlay, as torchrun starts it.

    (torchrun itself is started by a test of dcmt's: its processes import everything anew.)
    """

    def run(train: Path, *overrides: str, cwd: Path) -> str:
        files = json.dumps([str(train), str(train.parent / "multi_gpu_train.json")])
        command = ("-m", "monai.bundle", "run", "training", "--config_file", files, *overrides)
        code, said = run_ranks(command, cwd, {"SEMIMED_CACHE": str(bundle_cache)}, SECONDS, free_port)
        assert code == 0, said
        return said

    return run


@pytest.fixture(scope="session")
def verify_network(run_process: RunBundle, metadata_schema: Path) -> Callable[..., None]:
    """verify_network(configs, models, cwd=folder, n=2): MONAI's checks of the metadata, and that the network with these
    weights is what they say.
    """

    def verify(configs: Path, *models: Path, cwd: Path, n: int) -> None:
        meta = f"--meta_file={configs}/metadata.json"
        schema = f"--filepath={metadata_schema}"
        run_process("-m", "monai.bundle", "verify_metadata", meta, schema, cwd=cwd, forked=True)
        for folder in models:
            verify_one(configs, folder, cwd, n)

    def verify_one(configs: Path, models: Path, cwd: Path, n: int) -> None:
        said = run_process(
            *("-m", "monai.bundle", "verify_net_in_out", "network_def", f"--config_file={configs}/inference.json"),
            *(f"--meta_file={configs}/metadata.json", "--device=cpu", f"--ckpt_dir={models}", f"--n={n}"),
            cwd=cwd,
            forked=True,
        )
        assert "verified with no error" in said

    return verify


@pytest.fixture(scope="session")
def export_network(run_process: RunBundle) -> Callable[..., Path]:
    """export_network(configs, models, cwd=folder) -> the TorchScript that MONAI's ckpt_export writes."""

    def export(configs: Path, models: Path, *, cwd: Path) -> Path:
        run_process(
            *("-m", "monai.bundle", "ckpt_export", "network_def", f"--filepath={cwd}/model.ts"),
            *(f"--ckpt_file={models}/model.pt", f"--meta_file={configs}/metadata.json"),
            *(f"--config_file={configs}/inference.json", f"--ckpt_dir={models}"),
            cwd=cwd,
            forked=True,
        )
        return cwd / "model.ts"

    return export


@pytest.fixture(scope="session")
def kill_bundle(run_bundle: RunBundle, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """kill_bundle(config, "--max_epochs=4", …, cwd=folder, step=30): a training that SIGKILL ends after so many steps,
    or another signal, `by`; what it printed.

    An overlay of the configuration has the process send it to itself: a signal from here would come too late on a
    machine that is fast, or busy.
    """

    def kill(config: Path, *overrides: str, cwd: Path, step: int, by: signal.Signals = signal.SIGKILL) -> str:
        deadly = (
            f"$@train#trainer.add_event_handler(Events.ITERATION_COMPLETED(once={step}), "
            f"lambda: os.kill(os.getpid(), signal.{by.name}))"
        )
        imports = ["$import os", "$import signal", "$from ignite.engine import Events"]
        training = [deadly, *json.loads(config.read_text())["training"]]
        overlay = tmp_path_factory.mktemp("kill") / "kill.json"
        overlay.write_text(json.dumps({"+imports": imports, "training": training}))
        return run_bundle([config, overlay], *overrides, cwd=cwd, expect=-by, new=by != signal.SIGKILL)

    return kill


@pytest.fixture(scope="session")
def preprocessings() -> Callable[[str, Path], tuple[Any, Any]]:
    """preprocessings(name, dataset) -> that of the bundle's training and that of its inference, at 64²."""

    def read(name: str, dataset: Path) -> tuple[Any, Any]:
        made = []
        for config, key in (("train", "train#preprocessing"), ("inference", "preprocessing")):
            parser = ConfigParser()
            parser.read_config(str(BUNDLES / name / "configs" / f"{config}.json"))
            parser["bundle_root"], parser["ckpt_dir"] = str(BUNDLES / name), "none"
            parser["dataset_dir"], parser["image_size"] = str(dataset), 64
            made.append(parser.get_parsed_content(key))
        return made[0], made[1]

    return read


@pytest.fixture(scope="session")
def copy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A bundle of this repository, without weights, in a folder of its own (with a space in its name)."""

    def copy(name: str) -> Path:
        folder = tmp_path_factory.mktemp("bundle") / f"my {name}"
        shutil.copytree(BUNDLES / name, folder, ignore=shutil.ignore_patterns("models", "eval"))
        return folder

    return copy


@pytest.fixture(scope="session")
def dicom_errors() -> Callable[[Path], str]:
    """dicom_errors(file) -> what dciodvfy says of a DICOM file; skips where it is not installed."""
    if not (tool := shutil.which("dciodvfy")):
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")

    def check(file: Path) -> str:
        return subprocess.run([tool, str(file)], capture_output=True, text=True, timeout=SECONDS, check=False).stderr

    return check


@pytest.fixture(scope="session")
def metadata_schema() -> Path:
    """What verify_metadata holds metadata.json to; a file that is there is not downloaded."""
    return SCHEMA
