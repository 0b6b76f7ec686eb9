"""What a user gets wrong, in real processes: one message that says what to do, an exit code, and nothing half-written.

The recipe is dcmt's; datalist, trainer, handlers and messages are those of every bundle.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from tiny import TINY_DCMT

BUNDLE = Path(__file__).parents[2] / "bundles/dcmt"
TRAIN, INFERENCE = BUNDLE / "configs/train.json", BUNDLE / "configs/inference.json"
TINY = (*TINY_DCMT, "--profile=phantom", "--labelled_share=1.0")
SMALL_DISK = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))  # as on a full disk, a write that goes beyond it fails
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""

Run = Callable[..., str]


@pytest.fixture
def knees(knee_set: Path, tmp_path: Path) -> Path:
    """Eight phantom knees in a folder of their own, to be broken."""
    folder = tmp_path / "my knees"
    for name in ("images", "masks"):
        shutil.copytree(knee_set / name, folder / name)
    shutil.copy(knee_set / "datalist.json", folder)
    return folder


@pytest.fixture(scope="module")
def repositorys() -> dict[Path, int]:
    """The files of the repository's bundle, and when each was changed, before anything ran."""
    return {file: file.stat().st_mtime_ns for file in BUNDLE.rglob("*")}


@pytest.fixture(scope="module")
def trained(
    run_bundle: Run,
    knee_set: Path,
    copy_bundle: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
    repositorys: dict[Path, int],
) -> Path:
    """A copy of the bundle, trained in its own folders by the repository's recipe."""
    bundle = copy_bundle("dcmt")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    run_bundle(TRAIN, *TINY, f"--dataset_dir={knee_set}", f"--bundle_root={bundle}", cwd=elsewhere, new=True)
    assert not any(elsewhere.iterdir())
    return bundle


@pytest.fixture
def finished(trained: Path, tmp_path: Path) -> Path:
    """The same, to be run again."""
    return Path(shutil.copytree(trained, tmp_path / "finished"))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "datalist.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def opened(file: Path) -> Any:
    return nib.load(file)


def change_volume(file: Path, change: Callable[[Any], Any]) -> None:
    volume, nifti = opened(file), type(opened(file))
    nib.save(nifti(change(volume.get_fdata(dtype=np.float32)), volume.affine), file)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def message(said: str) -> str:
    """The one message that a run ended with, as a user reads it: last, once, and without a traceback."""
    assert "Traceback" not in said
    head, _, text = said.rpartition("\nerror: ")
    assert text.splitlines()[-1] == "(SEMIMED_TRACEBACK=1 shows where it arose)"
    assert text.splitlines()[0] not in head
    return text


def whole_files(folder: Path) -> dict[str, bytes]:
    """All files of a run but its TensorBoard logs, each of which is complete."""
    files = [file for file in folder.rglob("*") if file.is_file() and "tensorboard" not in file.parts]
    for file in files:
        assert not file.name.startswith("."), file
        assert ".tmp" not in file.name, file
        if file.suffix == ".pt":
            torch.load(file, weights_only=True)
        if file.suffix == ".json":
            json.loads(file.read_text())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_a_bundle_root_elsewhere_is_trained_into_and_the_repositorys_stays_as_it_was(
    trained: Path, repositorys: dict[Path, int]
) -> None:
    made = {"models/model.pt", "models/network.json", "eval/student.pt", "eval/run_state.pt", "eval/metrics.json"}
    assert made <= whole_files(trained).keys()
    assert {file: file.stat().st_mtime_ns for file in BUNDLE.rglob("*")} == repositorys


def test_all_that_is_wrong_with_a_dataset_is_said_at_once(knees: Path, run_bundle: Run, tmp_path: Path) -> None:
    training = json.loads((knees / "datalist.json").read_text())["training"]
    names = [item["image"] for item in training]
    first = {image: re.escape(f"training[{names.index(image)}] ({image}#0)") for image in names}
    truncated, missing, with_nan, masked = first
    mask = masked.replace("images", "masks")

    def break_it(content: dict[str, Any]) -> None:
        content["validation"][0]["label"] = "torn"
        content["validation"][1]["label"] = "full"
        content["test"][0]["group"] = training[0]["group"]

    rewrite(knees, break_it)
    cut(knees / truncated)
    (knees / missing).unlink()
    change_volume(knees / with_nan, lambda pixels: np.where(np.arange(len(pixels))[:, None, None] == 0, np.nan, pixels))
    change_volume(knees / mask, lambda pixels: pixels[:, 1:])
    said = run_bundle(TRAIN, *TINY, f"--dataset_dir={knees}", f"--bundle_root={tmp_path}/run", cwd=tmp_path, expect=1)
    text = message(said)
    assert text.startswith(f"{knees}/datalist.json cannot be used:\n")
    for pattern in (
        rf"{first[truncated]}: {truncated} cannot be read \(.*\): copy it again, or remove its items",
        rf"{first[missing]}: {missing} is missing in {re.escape(str(knees))}: correct the path, or remove its items",
        rf"{first[with_nan]}: {with_nan} has \d+ values that are NaN or infinite: replace them in the file, or .*",
        rf"{first[masked]}: {masked} and its mask {mask} differ in shape .*: resample the mask.*",
        r"validation\[0\] \(.*\): label 'torn' is text; write its class's index: 0 = normal, 1 = partial, 2 = full",
        r"validation\[1\] \(.*\): label 'full' is text; write its index 2",
        rf"group '{training[0]['group']}' is in training and in test: leave it in one of them .*",
    ):
        assert re.search(rf"^  - {pattern}$", text, re.MULTILINE), pattern
    assert len(re.findall("^  - ", text, re.MULTILINE)) == 7
    assert not (tmp_path / "run").exists()


def without_partial(content: dict[str, Any]) -> None:
    content["training"] = [item for item in content["training"] if item["label"] != 1]


def without_items(content: dict[str, Any]) -> None:
    content.update(training=[], validation=[], test=[])


def without_test(content: dict[str, Any]) -> None:
    content.update(test=[])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_items, "section 'training' is empty: list at least one image with a label or mask there"),
        (without_partial, "class 'partial' has no labelled training item (labelled_share 1.0, seed 0): label one of"),
        (without_test, "has no test items: add some (split_by_group)"),
    ],
)
def test_a_dataset_that_cannot_be_learned_from_or_tested_on(
    change: Callable[[dict[str, Any]], None], said: str, knees: Path, run_bundle: Run, tmp_path: Path
) -> None:
    rewrite(knees, change)
    where = (f"--dataset_dir={knees}", f"--bundle_root={tmp_path}/run")
    assert said in message(run_bundle(TRAIN, *TINY, *where, cwd=tmp_path, expect=1))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "--dataset_dir=/no/such/knees",
            "/no/such/knees cannot be used:\n  - there is no such folder: set dataset_dir",
        ),
        ("--profile=big", "there is no profile 'big'; choose one of phantom, table, paper"),
        ("--labelled_share=0", "labelled_share 0 must be above 0 and at most 1: 0.1 keeps 10 % of the labels"),
        ("--output_dir={folder}/file/out", "nothing can be written into {folder}/file/out (Not a directory): correct"),
    ],
)
def test_a_setting_that_is_not_possible(given: str, said: str, knee_set: Path, run_bundle: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = (*TINY, f"--dataset_dir={knee_set}", f"--bundle_root={tmp_path}/run", given.format(folder=tmp_path))
    text = message(run_bundle(TRAIN, *settings, cwd=tmp_path, expect=1))
    assert text.startswith(said.format(folder=tmp_path))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("config", "given", "said"),
    [
        (TRAIN, "--labeled_share=0.5", "'labeled_share': did you mean 'labelled_share'?"),
        (INFERENCE, "--inputs=/no/such/knees", "'inputs': did you mean 'input'?"),
    ],
    ids=["train", "inference"],
)
def test_a_misspelt_setting(config: Path, given: str, said: str, run_bundle: Run, tmp_path: Path) -> None:
    """It would train with the setting that was meant to be changed, and grade phantoms."""
    place, run_id = f"--output_dir={tmp_path}/run", "training" if config == TRAIN else "run"
    text = message(run_bundle(config, given, place, cwd=tmp_path, expect=1, run_id=run_id))
    assert text.startswith(f"{config} has no such settings; correct the command:\n  - {said}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--resume", "true"), r"resume is 'true', which is no bool: write --resume True or --resume False"),
        (("--width=32", "--resume"), r"was written by another run \(width 16 there, 32 here\): resume with the"),
        (
            ("--learning_rate=1e30", "--resume=False"),
            (
                r"the loss is not finite in epoch 1, batch \d of the run: loss nan, classification .*, attention .*\n"
                r"Lower the learning rate, set clip_norm, or look at the files of this batch:\n"
                r"(  images/p\d+\.nii\.gz#\d\n){4}"
            ),
        ),
    ],
    ids=["a text", "bare, of another network", "False, and it diverges"],
)
def test_a_run_that_fails_leaves_the_one_before_as_it_was(
    given: tuple[str, ...], said: str, finished: Path, knee_set: Path, run_bundle: Run, tmp_path: Path
) -> None:
    before = whole_files(finished)
    settings = (*TINY, f"--dataset_dir={knee_set}", f"--bundle_root={finished}", *given)
    printed = run_bundle(TRAIN, *settings, cwd=tmp_path, expect=1)
    assert re.search(said, message(printed))
    assert whole_files(finished) == before


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_in_the_second_epoch_then_resume(
    knee_set: Path, run_bundle: Run, kill_bundle: Callable[..., str], tmp_path: Path
) -> None:
    state = tmp_path / "run/eval/run_state.pt"
    long = (*TINY, "--steps_per_epoch=30", f"--dataset_dir={knee_set}", f"--bundle_root={tmp_path}/run")
    said = kill_bundle(TRAIN, *long, cwd=tmp_path, step=35, by=signal.SIGINT)
    assert said.endswith(
        f"stopped in epoch 2; the last whole epoch is in {state}: go on with --resume True\ninterrupted\n"
    )
    assert "Traceback" not in said
    assert torch.load(state, weights_only=True)["counters"]["epoch"] == 1
    assert "eval/metrics.json" not in whole_files(tmp_path / "run")
    printed = run_bundle(TRAIN, *long, "--resume", "True", cwd=tmp_path)
    assert f"resumed from {state} after epoch 1" in printed
    assert "epoch 1/2: loss" not in printed
    assert "eval/metrics.json" in whole_files(tmp_path / "run")


def test_a_full_disk(knee_set: Path, run_process: Run, tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="limits the size of files by setrlimit")
    run = ("run", "training", "--config_file", str(TRAIN), *TINY)
    said = run_process(
        "-c", SMALL_DISK, *run, f"--dataset_dir={knee_set}", f"--bundle_root={tmp_path}/run", cwd=tmp_path, expect=1
    )
    model = tmp_path / "run/models/model.pt"
    assert message(said).startswith(f"{model} cannot be written (File too large): make room there, or give another ")
    assert not whole_files(tmp_path / "run")


def grade(run_bundle: Run, images: Path, models: Path, out: Path) -> str:
    settings = (f"--dataset_dir={images}", f"--ckpt_dir={models}", f"--output_dir={out}")
    return message(run_bundle(INFERENCE, *settings, cwd=images, run_id="run", expect=1))


def test_inference_with_the_weights_of_another_network(finished: Path, knees: Path, run_bundle: Run) -> None:
    card = finished / "models/network.json"
    card.write_text(card.read_text().replace('"width": 16', '"width": 32'))
    text = grade(run_bundle, knees / "images", finished / "models", finished / "out")
    assert text.startswith(f"{finished}/models/model.pt cannot be loaded: these are the weights of another network: ")
    assert "use the weights together with the network.json that was written beside them\n" in text
    assert not (finished / "out").exists()


def test_inference_does_the_good_images_and_names_the_bad_one(
    trained: Path, knees: Path, run_bundle: Run, tmp_path: Path
) -> None:
    bad, *good = sorted((knees / "images").iterdir())
    cut(bad)
    text = grade(run_bundle, knees / "images", trained / "models", tmp_path / "out")
    first, second, _ = text.splitlines()
    assert first == "1 of 8 images could not be read (all others are done):"
    assert second.startswith(f"  {bad}: the file is damaged or cut short")
    assert second.endswith("; copy it anew")
    names = [file.name.replace(".nii.gz", "_attention.nii.gz") for file in good]
    written = {name for name in whole_files(tmp_path / "out") if "_overlays/" not in name}
    assert written == {*names, "predictions.csv", "predictions.json"}
    with (tmp_path / "out/predictions.csv").open() as file:
        assert {row["image"] for row in csv.DictReader(file)} == {str(image) for image in good}
    for image, name in zip(good, names, strict=True):
        assert opened(tmp_path / "out" / name).get_fdata().shape == opened(image).shape
