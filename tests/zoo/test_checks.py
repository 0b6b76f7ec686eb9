"""The bundles here are without fault, and every fault that is planted into one is found."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from semimed_monai.zoo import Bundle, find_bundles
from semimed_monai.zoo.__main__ import main
from semimed_monai.zoo.checks import check
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.networks import exported, prepared_images, shapes

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
META, TRAIN, INFER, CARD = "configs/metadata.json", "configs/train.json", "configs/inference.json", "docs/README.md"

Plant = Callable[[Path], object]


def all_bundles() -> list[Bundle]:
    return find_bundles([file.parents[1] for file in sorted(BUNDLES.glob("*/configs/metadata.json"))])


@pytest.mark.parametrize("bundle", all_bundles(), ids=lambda bundle: bundle.name)
def test_our_bundles_are_without_fault(bundle: Bundle) -> None:
    assert [str(finding) for finding in check(bundle, quick=True)] == []


@pytest.mark.parametrize("bundle", all_bundles(), ids=lambda bundle: bundle.name)
def test_so_is_a_copy_far_from_the_project(
    bundle: Bundle, copy_of: Callable[[str, Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder not in ("", str(BUNDLES.parent))])
    copy = Bundle(copy_of(bundle.name, tmp_path / "deep" / "bundles"))
    assert [str(finding) for finding in check(copy, quick=True)] == []


@pytest.fixture(scope="module")
def small(place_bundles: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All bundles, with weights of small networks."""
    return place_bundles(tmp_path_factory.mktemp("small"), *(bundle.name for bundle in all_bundles())) / "bundles"


@pytest.mark.parametrize("name", [bundle.name for bundle in all_bundles()])
def test_with_weights_they_are_without_fault_as_well(name: str, small: Path) -> None:
    """What they prepare, answer and are exported to, too."""
    assert [str(finding) for finding in check(Bundle(small / name), weights=True)] == []


@pytest.mark.slow
@pytest.mark.parametrize("bundle", all_bundles(), ids=lambda bundle: bundle.name)
def test_our_networks_are_what_they_say(bundle: Bundle) -> None:
    assert [str(finding) for finding in check(bundle)] == []


def place(config: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    *above, last = key.split("#")
    for name in above:
        config = config[name]
    return config, last


def put(file: str, key: str, value: Any) -> Plant:
    """A value under a key of a JSON file."""

    def plant(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        owner, last = place(content, key)
        owner[last] = value
        (folder / file).write_text(json.dumps(content))

    return plant


def drop(file: str, key: str) -> Plant:
    def plant(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        owner, last = place(content, key)
        del owner[last]
        (folder / file).write_text(json.dumps(content))

    return plant


def say(old: str, new: str) -> Plant:
    """Other words in the model card."""

    def plant(folder: Path) -> None:
        text = (folder / CARD).read_text()
        assert old in text
        (folder / CARD).write_text(text.replace(old, new))

    return plant


def write(file: str, text: str) -> Plant:
    def plant(folder: Path) -> None:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(text)

    return plant


def remove(file: str) -> Plant:
    return lambda folder: (folder / file).unlink()


def both(*plants: Plant) -> Plant:
    return lambda folder: [plant(folder) for plant in plants]


PRED = "network_data_format#outputs#pred"
IMAGE = "network_data_format#inputs#image"
RUN = "python -m monai.bundle run training --config_file bundles/pcam/configs/train.json --stage 2"

FAULTS: dict[str, tuple[Plant, str, str]] = {
    "no licence": (remove("LICENSE"), "LICENSE", "there is none"),
    "an empty licence": (write("LICENSE", ""), "LICENSE", "it is empty"),
    "a licence of nothing": (write("LICENSE", "all mine"), "LICENSE", "it holds no licence"),
    "no recipe to infer with": (remove(INFER), INFER, "there is none"),
    "no card": (remove(CARD), CARD, "there is none"),
    "metadata that is no JSON": (write(META, '{"version": '), META, "is no JSON"),
    "an overlay that is no JSON": (write("configs/evaluate.json", "[]"), "configs/evaluate.json", "holds no JSON obj"),
    "an overlay that refers to what it is not over": (
        put("configs/inference_trt.json", "network#base_path", "@pretrained"),
        "configs/inference_trt.json",
        "it refers to @pretrained, which it does not have",
    ),
    "a key that is missing": (drop(META, "intended_use"), META, "'intended_use' is a required property"),
    "a key that nobody knows": (put(META, "licence", "MIT"), META, "'licence' was unexpected"),
    "a dtype that is none": (put(META, f"{IMAGE}#dtype", "float"), META, "inputs/image/dtype: 'float' is not one of"),
    "no modality": (drop(META, f"{IMAGE}#modality"), META, "'modality' is a required property"),
    "a version that is none": (put(META, "version", "1"), META, "version: '1' does not match"),
    "a version without its line": (put(META, "version", "0.2.0"), META, "the changelog has no version 0.2.0"),
    "a line without its version": (
        put(META, "changelog", {"0.1.0": "first", "0.10.0": "more"}),
        META,
        "the changelog has 0.10.0, and the version is 0.1.0",
    ),
    "a package from tomorrow": (put(META, "pytorch_version", "99.0.0"), META, "it asks for torch 99.0.0"),
    "a package that is none": (
        put(META, "required_packages_version#scikit-lern", "1.4.0"),
        META,
        "there is no package scikit-lern here",
    ),
    "a channel without a name": (
        put(META, f"{PRED}#num_channels", 4),
        META,
        "4 channels, and channel_def names 0, 1, 2",
    ),
    "a label map's value without a name": (
        put(META, f"{PRED.replace('pred', 'answer')}#value_range", [0, 3]),
        META,
        "outputs/answer: 4 values, and channel_def names 0, 1, 2",
    ),
    "classes in another order": (
        put(META, f"{PRED}#channel_def", {"0": "basis", "1": "abnormal", "2": "normal"}),
        META,
        "the last channels are basis, abnormal, normal",
    ),
    "a class without a label": (
        put(META, "label_classes", "0 normal, 1 ill"),
        META,
        "label_classes does not name abnor",
    ),
    "coloured input": (
        both(put(META, f"{IMAGE}#num_channels", 3), put(META, f"{IMAGE}#channel_def", {"0": "r", "1": "g", "2": "b"})),
        META,
        "inputs/image has 3 channels, and a recipe's in_channels is 1",
    ),
    "another size": (put(INFER, "card#size", 256), INFER, "without a card the image is 256, and the profile paper"),
    "a metric that is nowhere": (
        put(META, "eval_metrics", {"source": "docs/README.md: phantoms", "auc": 0.91234}),
        META,
        "eval_metrics/auc is 0.91234, which does not stand in",
    ),
    "a table without its metrics": (
        put(META, "eval_metrics", {}),
        META,
        "eval_metrics is empty, and docs/README.md has",
    ),
    "a metric without its source": (put(META, "eval_metrics", {"auc": 0.98}), META, "'source' is a required property"),
    "a metric from nowhere": (
        put(META, "eval_metrics", {"source": "table.csv", "accuracy": 0.98}),
        META,
        "eval_metrics/source names table.csv",
    ),
    "a medical device": (put(META, "intended_use", "diagnosis"), META, "does not say: not a medical device"),
    "another preprocessing": (
        put(INFER, "preprocessing#_target_", "semimed_monai.transforms.chest_xray"),
        INFER,
        "preprocessing: it is semimed_monai.transforms.chest_xray, and training's",
    ),
    "another setting": (put(INFER, "preprocessing#size", 320), INFER, "its size is 320, and training's '@image_size'"),
    "a setting too few": (put(TRAIN, "train#preprocessing#n4", True), INFER, "it does not set n4, and training does"),
    "a setting too many": (put(INFER, "preprocessing#n4", True), INFER, "it sets n4, and training does not"),
    "another validation": (
        put(TRAIN, "validate#preprocessing", {"_target_": "semimed_monai.transforms.photograph", "size": 8}),
        TRAIN,
        "validate#preprocessing is not that of training",
    ),
    "another setting of the card": (
        both(put(TRAIN, "train#preprocessing#n4", "@is_bone"), put(INFER, "preprocessing#n4", "$@card['size']")),
        INFER,
        "its n4 is \"$@card['size']\", and training's '@is_bone'",
    ),
    "no inferer": (drop(TRAIN, "train#inferer"), TRAIN, "MONAI misses train::inferer"),
    "no dataset": (both(drop(INFER, "dataset"), put(INFER, "data", [])), INFER, "MONAI misses dataset in it"),
    "a component that is none": (
        put(TRAIN, "optimizer#_target_", "torch.optim.Adamm"),
        TRAIN,
        "there is no component torch.optim.Adamm",
    ),
    "a reference to nothing": (
        put(TRAIN, "optimizer#lr", "@learning_rat"),
        TRAIN,
        "it refers to @learning_rat, which it does not have",
    ),
    "an overlay's reference to nothing": (
        put("configs/evaluate.json", "run", ["$@test#evaluater.run()"]),
        "configs/evaluate.json",
        "it refers to @test::evaluater",
    ),
    "an experiment with what is none": (
        put("experiments/stages.json", "overrides", {"max_epoch": 3}),
        "experiments/stages.json",
        "did you mean 'max_epochs'",
    ),
    "a section too few": (say("## Data", "## Images"), CARD, "it has no section '## Data'"),
    "a card that promises": (
        say("Not a medical device", "A medical device"),
        CARD,
        "does not say: not a medical device",
    ),
    "a picture that is not there": (say("## Data\n", "## Data\n![a](b.png)\n"), CARD, "it links to b.png"),
    "a config that is not there": (
        say(RUN, RUN.replace("train.json", "trane.json")),
        CARD,
        "there is no bundles/pcam/conf",
    ),
    "a setting that is none": (say(RUN, RUN.replace("--stage", "--stag")), CARD, "has no setting 'stag'"),
    "a module that is none": (say("-m data_prep.mura", "-m data_prep.mira"), CARD, "there is no module data_prep.mira"),
    "an option that is none": (
        say("-m semimed_monai.experiments bundles", "-m semimed_monai.experiments --sed 3 bundles"),
        CARD,
        "semimed_monai.experiments takes no --sed",
    ),
    "a name that is none": (
        say("`semimed_monai.transforms.bone_xray", "`semimed_monai.transforms.bone_xry` (`bone_xray"),
        CARD,
        "there is no semimed_monai.transforms.bone_xry",
    ),
    "a setting in passing": (say("`--mask_class 1`", "`--mask_clas 1`"), CARD, "no recipe has a setting mask_clas"),
    "half a command": (say("`python -m data_prep.mura", "python -m data_prep.mura"), CARD, "a backtick has no second"),
    "a row too wide": (say("| MURA | ", "| MURA | of | "), CARD, "a row has 4 columns, and its table 3"),
    "a place on one machine": (
        put("configs/evaluate.json", "dataset_dir", "/hospital/doe_john"),
        "configs/evaluate.json",
        'it names "/hospital/doe_john", a place on one machine',
    ),
    "a command that no shell reads": (say("--stage 2\n", "--stage '2\n"), CARD, "no shell reads"),
    "code": (write("scripts/net.py", ""), "scripts/net.py", "a bundle has no Python"),
    "another model": (write("models/last.pt", ""), "models/last.pt", "MONAI Label offers every .pt"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(copy_of: Callable[[str, Path], Path], tmp_path: Path, fault: str) -> None:
    folder = copy_of("pcam", tmp_path)
    plant, file, what = FAULTS[fault]
    plant(folder)
    found = check(Bundle(folder), quick=True)
    assert [one for one in found if one.file == file and what in one.what], [str(one) for one in found]
    assert all(one.bundle == "pcam" and one.remedy for one in found)


def test_weights_are_asked_for(copy_of: Callable[[str, Path], Path], tmp_path: Path) -> None:
    (found,) = check(Bundle(copy_of("pcam", tmp_path)), weights=True, quick=True)
    assert (found.file, found.what) == ("models/model.pt", "there is none")


def test_a_name_that_monai_cuts(copy_of: Callable[[str, Path], Path], tmp_path: Path) -> None:
    folder = copy_of("pcam", tmp_path).rename(tmp_path / "pcam_version")
    assert "MONAI takes what follows _v in a name for the version" in [
        one.what for one in check(Bundle(folder), quick=True)
    ]


FOUND_BY_NETWORKS: dict[str, tuple[Callable[[Bundle], Any], Plant, str]] = {
    "a channel too many": (
        shapes,
        put(META, PRED, {"num_channels": 4, "dtype": "float32", "spatial_shape": ["16*n"] * 2, "value_range": [0, 1]}),
        "MONAI's verify_net_in_out: output channel number `3` doesn't match: `4`",
    ),
    "another dtype": (
        shapes,
        put(META, f"{PRED}#dtype", "float64"),
        "dtype of output data `torch.float32` doesn't match",
    ),
    "another size": (
        shapes,
        put(META, f"{PRED}#spatial_shape", ["8*n", "8*n"]),
        r"[32, 32] where spatial_shape says [16, 16]",
    ),
    "other values": (shapes, put(META, f"{PRED}#value_range", [0, 0.001]), "not 0 to 0.001"),
    "other arguments": (shapes, put(INFER, "card#arguments", {"depth": 3}), "unexpected keyword argument 'depth'"),
    "what verify_metadata finds": (
        shapes,
        put(META, "version", 1),
        "MONAI's verify_metadata: 1 is not of type 'string'",
    ),
    "another preprocessing": (
        prepared_images,
        put(INFER, "preprocessing#_target_", "semimed_monai.transforms.chest_xray"),
        "it prepares the same picture otherwise",
    ),
    "no preprocessing": (prepared_images, put(INFER, "preprocessing", "$1 / 0"), "cannot read a picture"),
    "weights of another network": (
        exported,
        lambda folder: (folder / "models").mkdir() or torch.save({"a": torch.ones(1)}, folder / "models" / "model.pt"),
        "it cannot be exported; MONAI's ckpt_export: ",
    ),
}


@pytest.mark.parametrize("fault", FOUND_BY_NETWORKS)
def test_a_planted_fault_shows_in_the_network(copy_of: Callable[[str, Path], Path], tmp_path: Path, fault: str) -> None:
    by, plant, what = FOUND_BY_NETWORKS[fault]
    folder = copy_of("pcam", tmp_path)
    assert list(by(Bundle(folder))) == []
    plant(folder)
    found: list[Finding] = list(by(Bundle(folder)))
    assert [one for one in found if what in one.what], [str(one) for one in found]


def test_the_command(copy_of: Callable[[str, Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copy_of("pcam", tmp_path)
    main(["check", "--quick", str(folder)])
    assert capsys.readouterr().out == "no faults in 1 bundle\n"
    (folder / "LICENSE").unlink()
    (folder / "docs" / "README.md").unlink()
    with pytest.raises(SystemExit) as ended:
        main(["check", "--quick", str(folder)])
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "pcam: LICENSE: there is none; add the licence's text"
    assert re.fullmatch(r"pcam: docs/README\.md: there is none; add the model card", lines[1])
    assert lines[2] == "2 faults in 1 bundle"
