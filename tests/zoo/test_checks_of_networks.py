"""The deployed network is as metadata.json says that it is, and faults of it that are planted are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from planting import IMAGE, INFER, META, PRED, Plant, both, put

from semimed_monai.zoo import Bundle
from semimed_monai.zoo.checks import networks
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.networks import exported, prepared_images, shapes

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
        "[16, 16] where spatial_shape says [8, 8]",
    ),
    "a size below the smallest": (
        shapes,
        both(*(put(META, f"{tensor}#spatial_shape", ["8*n", "8*n"]) for tensor in (IMAGE, PRED))),
        "an image of 8 x 8 pixels: set image_size to a multiple of 16",
    ),
    "the smallest size only": (
        shapes,
        put(META, f"{PRED}#spatial_shape", [16, 16]),
        "where n is 3: its size is [48, 48] where spatial_shape says [16, 16]",
    ),
    "values from higher up": (shapes, put(META, f"{PRED}#value_range", [0.1, 1]), "not 0.1 to 1"),
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
    "values before the preprocessing": (
        prepared_images,
        put(META, f"{IMAGE}#value_range", [0, 255]),
        "inputs/image: a picture's values are from 0 to 1, not [0, 255]",
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


def test_the_exported_file_is_loaded(
    copy_of: Callable[[str, Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of("pcam", tmp_path)
    (folder / "models").mkdir()
    (folder / "models" / "model.pt").write_bytes(b"weights")
    monkeypatch.setattr(
        networks, "ckpt_export", lambda *_, filepath, **__: Path(filepath).write_bytes(b"no TorchScript")
    )
    (found,) = exported(Bundle(folder))
    assert found.file == "models/model.pt"
    assert "it cannot be exported" in found.what
