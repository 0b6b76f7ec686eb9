"""Recipes have what MONAI, MONAI Label and their own references want, and components what they take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from planting import INFER, TRAIN, Fault, assert_found, both, change, drop, put, write

SEVERAL, EVALUATE = "configs/multi_gpu_train.json", "configs/evaluate.json"
TENSORRT = "configs/inference_trt.json"
MAP_ANSWER = "semimed_monai.label.MapAnswer"
OPTIONS = "it has displayable_configs, and MONAI Label then fails"

FAULTS: dict[str, Fault] = {
    "an overlay that refers to what it is not over": (
        put(TENSORRT, "network#base_path", "@pretrained"),
        TENSORRT,
        "it refers to @pretrained, which it does not have",
    ),
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
        put(EVALUATE, "run", ["$@test#evaluater.run()"]),
        "configs/evaluate.json",
        "it refers to @test::evaluater",
    ),
    "an evaluation that is none": (write(EVALUATE, "{}"), EVALUATE, "it leaves training as configs/train.json has it"),
    "an evaluation of another size": (
        put(EVALUATE, "image_size", "$@settings['image_size']"),
        EVALUATE,
        "it leaves image_size as configs/train.json has it",
    ),
    "several GPUs that are none": (write(SEVERAL, "{}"), SEVERAL, "it leaves network as configs/train.json has it"),
    "images that every GPU evaluates": (
        change(SEVERAL, '"test#dataloader#sampler"', '"test#dataloader#batch_sampler"'),
        SEVERAL,
        "it leaves test#dataloader#sampler as configs/train.json has it",
    ),
    "an engine that is none": (write(TENSORRT, "{}"), TENSORRT, "it leaves network as configs/inference.json has it"),
    "an overlay's key that is none": (
        put(EVALUATE, "trian", {"seed": 1}),
        EVALUATE,
        "configs/train.json has no 'trian': did you mean 'train'?",
    ),
    "a bundle that is where a command is given": (
        put(TRAIN, "bundle_root", "."),
        TRAIN,
        "its bundle_root is not the component semimed_monai.recipes.bundle_root",
    ),
    "an inference that is where a command is given": (put(INFER, "bundle_root", "."), INFER, "its bundle_root is not"),
    "weights that are not loaded": (
        change(INFER, "semimed_monai.networks.load_weights", "semimed_monai.messages.show_plainly"),
        INFER,
        "its initialize does not load the weights",
    ),
    "other weights": (put(INFER, "weights", "$@output_dir + '/model.pt'"), INFER, "does not load the weights in ckpt_"),
    "weights for another network": (
        change(INFER, '"@network",\n            "path"', '"@network_def",\n            "path"'),
        INFER,
        "does not load the weights in ckpt_dir into @network",
    ),
    "an experiment with what is none": (
        put("experiments/stages.json", "overrides", {"max_epoch": 3}),
        "experiments/stages.json",
        "did you mean 'max_epochs'",
    ),
    "an argument that is none": (
        put(TRAIN, "optimizer#lrr", 0.1),
        TRAIN,
        "optimizer: torch.optim.Adam: got an unexpected keyword argument 'lrr'",
    ),
    "a term's argument that is none": (
        put(TRAIN, "criterion#terms#marks#wieght", 1.0),
        TRAIN,
        "criterion#terms#marks: semimed_monai.losses.MarkLoss: got an unexpected keyword argument 'wieght'",
    ),
    "an argument of a part that is called later": (
        put(TRAIN, "test#of_abnormal#map_clas", 1),
        TRAIN,
        "read_grading: got an unexpected keyword argument 'map_clas'",
    ),
    "an overlay's argument that is none": (
        put(SEVERAL, "network#broadcast_bufers", False),
        SEVERAL,
        "network: torch.nn.parallel.DistributedDataParallel: got an unexpected keyword argument 'broadcast_bufers'",
    ),
    "what an overlay adds to the recipe below it": (
        change(EVALUATE, '"test#evaluation#trained"', '"test#evaluation#train"'),
        EVALUATE,
        "test#evaluation: semimed_monai.reports.Evaluation: got an unexpected keyword argument 'train'",
    ),
    "an argument of a component of MONAI's": (
        put(TRAIN, "train#dataset#progres", False),
        TRAIN,
        "train#dataset: CacheDataset: got an unexpected keyword argument 'progres'",
    ),
    "an argument too few": (drop(TRAIN, "scheduler#optimizer"), TRAIN, "missing a required argument: 'optimizer'"),
    "a number for a component": (put(TRAIN, "optimizer#_target_", 5), TRAIN, "optimizer: its _target_ is 5"),
    "what cannot be called": (put(TRAIN, "optimizer#_target_", "torch.float32"), TRAIN, "no component torch.float32"),
    "a training that is no object": (put(TRAIN, "train", []), TRAIN, "MONAI misses train::trainer in it"),
    "options of a training": (put(TRAIN, "displayable_configs", {"lr": 0.1}), TRAIN, OPTIONS),
    "options of an inference": (put(INFER, "displayable_configs", {"size": 96}), INFER, OPTIONS),
    "nothing that reads a request": (
        drop(INFER, "pre_transforms"),
        INFER,
        'pre_transforms is not [{"_target_": "semimed_monai.label.ReadRequest"',
    ),
    "nothing that makes a reply": (
        put(INFER, "post_transforms", ["@preprocessing"]),
        INFER,
        'post_transforms is not [{"_target_": "semimed_monai.label.MapAnswer"',
    ),
    "a request prepared otherwise": (
        change(INFER, '"preprocessing": "@preprocessing"', '"preprocessing": "@dataset#transform"'),
        INFER,
        "pre_transforms is not",
    ),
    "a request that is read too late": (
        change(INFER, '"pre_transforms": [', '"pre_transforms": ["@preprocessing",'),
        INFER,
        "pre_transforms is not",
    ),
    "a volume as one image": (
        put(INFER, "inferer", {"_target_": "SimpleInferer"}),
        INFER,
        'inferer is not {"_target_": "semimed_monai.label.SlicesInferer"',
    ),
    "an answer without its classes": (
        put(INFER, "post_transforms", [{"_target_": MAP_ANSWER, "threshold": "@threshold"}]),
        INFER,
        "post_transforms is not",
    ),
    "an answer of another threshold": (
        change(INFER, '"@threshold",\n            "classes"', '0.1,\n            "classes"'),
        INFER,
        "post_transforms is not",
    ),
    "an answer of another output": (
        put(INFER, "post_transforms", [{"_target_": "semimed_monai.label.ClassAnswer"}]),
        INFER,
        "which make an answer of labels",
    ),
    "a map for a mask": (
        put(INFER, "post_transforms", [{"_target_": "semimed_monai.label.MaskAnswer"}]),
        INFER,
        "which make an answer of labels",
    ),
    "handlers elsewhere": (put(TRAIN, "train#handlers", "%validate#handlers"), TRAIN, "train#handlers is no list of"),
    "a handler elsewhere": (put(TRAIN, "train#handlers", ["@tracked"]), TRAIN, "train#handlers is no list of objects"),
    "no images to validate on": (drop(TRAIN, "validate#dataset#data"), TRAIN, "it has no validate#dataset#data, which"),
    "no images to learn from": (drop(TRAIN, "train#dataset#data"), TRAIN, "it has no train#dataset#data, which"),
    "nothing that runs": (drop(TRAIN, "run"), TRAIN, "it has no run, which MONAI Label replaces or runs"),
    "a network elsewhere": (drop(TRAIN, "network"), TRAIN, "it has no network, which MONAI Label replaces"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, copy_of: Callable[[str, Path], Path], tmp_path: Path) -> None:
    assert_found(FAULTS[fault], copy_of("pcam", tmp_path))


def test_classes_are_not_answered_as_a_map(copy_of: Callable[[str, Path], Path], tmp_path: Path) -> None:
    plant = put(INFER, "post_transforms", [{"_target_": MAP_ANSWER, "threshold": "@threshold"}])
    assert_found((plant, INFER, "which make an answer of classes"), copy_of("stsc_skin_classification", tmp_path))
