"""configs/metadata.json agrees with its schema, the recipes and the model card."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from planting import (
    ANSWER,
    IMAGE,
    INFER,
    META,
    NETWORK,
    PRED,
    TRAIN,
    Fault,
    assert_found,
    both,
    change,
    copy,
    drop,
    put,
    put_last,
    say,
    write,
)

from semimed_monai.zoo import Bundle
from semimed_monai.zoo.bundles import VERSION, is_version
from semimed_monai.zoo.checks import check
from semimed_monai.zoo.checks.metadata import SCHEMA

ORDER = "label_classes has another order than the classes, "
COMMAND = "python -m semimed_monai.experiments bundles/pcam/experiments/stages.json --seeds 3 --out runs/pcam"


FAULTS: dict[str, Fault] = {
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
        put(META, f"{ANSWER}#value_range", [0, 3]),
        META,
        "outputs/answer: 4 values, and channel_def names 0, 1, 2",
    ),
    "a label map of two channels": (
        put(META, f"{ANSWER}#num_channels", 2),
        META,
        "outputs/answer: a label map of 2 channels",
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
        put(META, "eval_metrics", {"source": "docs/README.md: phantoms", "command": COMMAND, "auc": 0.91234}),
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
        put(META, "eval_metrics", {"source": "table.csv", "command": COMMAND, "auc": 0.888}),
        META,
        "eval_metrics/source names table.csv",
    ),
    "a medical device": (put(META, "intended_use", "diagnosis"), META, "does not say: not a medical device"),
    "another schema": (put(META, "schema", "https://a.b/meta_schema.json"), META, "schema: "),
    "a version of several": (put(META, "version", ["0.1.0"]), META, "version: ['0.1.0'] is not of type 'string'"),
    "a range of words": (
        put(META, f"{IMAGE}#value_range", ["a", "b"]),
        META,
        "value_range/0: 'a' is not of type 'number'",
    ),
    "a package that cannot be": (put(META, "required_packages_version#a b", "1.0.0"), META, "'a b' does not match"),
    "a numpy from tomorrow": (put(META, "numpy_version", "99.0.0"), META, "it asks for numpy 99.0.0"),
    "labels in another order": (put(META, "label_classes", "0 abnormal, 1 normal"), META, ORDER),
    "labels of other numbers": (put(META, "label_classes", "1 normal, 0 abnormal"), META, ORDER),
    "a metric of another section": (
        both(say("## Data\n", "## Data\n\n0.91234\n"), put(META, "eval_metrics#auc", 0.91234)),
        META,
        "eval_metrics/auc is 0.91234, which does not stand in",
    ),
    "a metric without its command": (drop(META, "eval_metrics#command"), META, "'command' is a required property"),
    "another command": (
        put(META, "eval_metrics#command", COMMAND.replace("3", "1")),
        META,
        "eval_metrics/command does not stand in",
    ),
    "weights of other classes": (
        write(NETWORK, '{"classes": ["abnormal", "normal"]}'),
        NETWORK,
        "its card has the classes abnormal, normal, and configs/inference.json normal, abnormal",
    ),
    "weights for coloured input": (
        write(NETWORK, '{"arguments": {"in_channels": 3}}'),
        META,
        "inputs/image has 1 channels, and a recipe's in_channels is 3",
    ),
    "weights of no size": (write(NETWORK, '{"size": "320"}'), NETWORK, "its size is '320', and no whole number"),
    "another output first": (
        put_last(META, ANSWER),
        META,
        "outputs begins with pred, and MONAI Label takes",
    ),
    "another input first": (
        both(copy(META, IMAGE, "mask"), put_last(META, IMAGE)),
        META,
        "inputs begins with mask, and MONAI Label takes the first for image",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, copy_of: Callable[[str, Path], Path], tmp_path: Path) -> None:
    assert_found(FAULTS[fault], copy_of("pcam", tmp_path))


OF_OTHERS: dict[str, tuple[str, Fault]] = {
    "a label map in another order": (
        "cxr_fracture",
        (
            put(META, f"{ANSWER}#channel_def", {"0": "fracture", "1": "background"}),
            META,
            "outputs/answer: the value 0 is called fracture",
        ),
    ),
    "another finding": (
        "cxr_fracture",
        (
            put(META, f"{PRED}#channel_def", {"0": "nodule"}),
            META,
            "outputs/pred: the last channels are nodule, and the classes fracture",
        ),
    ),
    "an answer in another order": (
        "stsc_skin_classification",
        (
            both(put(META, f"{ANSWER}#channel_def#0", "NV"), put(META, f"{ANSWER}#channel_def#1", "MEL")),
            META,
            "outputs/answer: the last channels are NV, MEL, BCC",
        ),
    ),
    "findings in another order": (
        "stsc_chest_classification",
        (change(META, "each of Atelectasis, Cardiomegaly", "each of Cardiomegaly, Atelectasis"), META, ORDER),
    ),
    "labels of other numbers": (
        "cxr_fracture",
        (put(META, "label_classes", "0 fracture, 1 normal; boxes"), META, ORDER),
    ),
    "a training that begins with other classes": (
        "stsc_skin_classification",
        (put(TRAIN, "weights_card#classes", ["NV", "MEL"]), TRAIN, "its card has the classes NV, MEL, and"),
    ),
    "grades in another order": (
        "kl_ensemble_classification",
        (put(META, "label_classes", "0 KL 1, 1 KL 0, 2 KL 2, 3 KL 3, 4 KL 4"), META, ORDER),
    ),
}


@pytest.mark.parametrize("fault", OF_OTHERS)
def test_classes_are_named_in_one_order(fault: str, copy_of: Callable[[str, Path], Path], tmp_path: Path) -> None:
    name, planted = OF_OTHERS[fault]
    assert_found(planted, copy_of(name, tmp_path))


def test_no_card_is_asked_for_classes_that_inference_does_not_name(
    copy_of: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    folder = copy_of("cxr_fracture", tmp_path)
    write(NETWORK, '{"classes": ["normal", "fracture"]}')(folder)
    assert check(Bundle(folder), quick=True) == []


@pytest.mark.parametrize("name", ["pcam_classification", "pcam_detection"])
def test_a_name_that_monai_label_takes_for_another_task(
    name: str, copy_of: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    found = check(Bundle(copy_of("pcam", tmp_path).rename(tmp_path / name)), quick=True)
    what = f"MONAI Label takes a bundle of this name for one of {name.removeprefix('pcam_')}"
    assert [one for one in found if what in one.what]


@pytest.mark.parametrize("text", ["0.1.0", "0.10.0", "1.0.0rc1", "10.20.30a0"])
def test_a_version(text: str) -> None:
    assert is_version(text)


NO_VERSIONS = ["1.0", "01.0.0", "1.0.0rc01", "v0.1.0", " 0.1.0", "0.1.0\n", "1!0.1.0", "1.0.0+cu1", "1.0.0-1", "١.0.0"]


@pytest.mark.parametrize("text", NO_VERSIONS)
def test_no_version(text: str) -> None:
    assert not is_version(text)


def test_the_schema_knows_versions_as_the_zoo_does() -> None:
    schema = json.loads(SCHEMA.read_text())["definitions"]["version"]
    assert schema["pattern"] == VERSION.pattern
    assert not [text for text in NO_VERSIONS if Draft7Validator(schema).is_valid(text)]
