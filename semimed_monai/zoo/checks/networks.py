"""The deployed network as metadata.json says that it is, and the two preprocessings on one image.

Looked for: MONAI's verify_net_in_out compares the number of channels and the dtype, its ckpt_export is run by the
public zoo; neither looks at the output's size or values.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser, ckpt_export, verify_metadata, verify_net_in_out
from PIL import Image

from semimed_monai.zoo.bundles import METADATA, Bundle
from semimed_monai.zoo.checks.finding import Finding, first_line
from semimed_monai.zoo.checks.layout import INFERENCE, TRAIN, WEIGHTS
from semimed_monai.zoo.checks.metadata import SCHEMA

_SIZES = (1, 3)
"""What the checks take for the n of a spatial_shape: the smallest that there is, and one of no power of two."""

_SIDE = 64

_NEAR = 1e-3
"""To the ends of value_range."""


def shapes(bundle: Bundle) -> Iterator[Finding]:
    """MONAI's verify_metadata and verify_net_in_out; then the output's size, and its values."""
    config, meta, smallest = str(bundle.folder / INFERENCE), str(bundle.folder / METADATA), min(_SIZES)
    if wrong := _said(lambda: verify_metadata(meta_file=meta, filepath=str(SCHEMA))):
        yield Finding(bundle.name, METADATA, f"MONAI's verify_metadata: {wrong}", "correct it")
    if wrong := _said(
        lambda: verify_net_in_out("network_def", meta, config, device="cpu", n=smallest, **_roots(bundle))
    ):
        what = f"network_def of {INFERENCE} is not what it says; MONAI's verify_net_in_out: {wrong}"
        yield Finding(bundle.name, METADATA, what, "correct network_data_format, or the network")
        return
    formats = bundle.metadata["network_data_format"]
    network = _parser(bundle, INFERENCE).get_parsed_content("network_def").eval()
    for n in _SIZES:
        for what, key in _differences(network, formats["inputs"]["image"], formats["outputs"]["pred"], n):
            yield Finding(bundle.name, METADATA, f"outputs/pred, where n is {n}: {what}", f"correct {key}")


def _differences(
    network: Callable[[torch.Tensor], torch.Tensor], given: dict[str, Any], said: dict[str, Any], n: int
) -> Iterator[tuple[str, str]]:
    """What is not as metadata.json says, and the key there."""
    with torch.no_grad():
        found = network(torch.rand(1, given["num_channels"], *_sides(given, n)))
    if list(found.shape[2:]) != _sides(said, n):
        yield f"its size is {list(found.shape[2:])} where spatial_shape says {_sides(said, n)}", "spatial_shape"
    low, high = said["value_range"]
    if not low <= float(found.min()) <= float(found.max()) <= high:
        yield f"values from {float(found.min()):.3g} to {float(found.max()):.3g}, not {low} to {high}", "value_range"


def exported(bundle: Bundle) -> Iterator[Finding]:
    """MONAI's ckpt_export, and that the result is one, where there are weights."""
    if not (bundle.folder / WEIGHTS).is_file():
        return
    with TemporaryDirectory() as folder:
        file = str(Path(folder) / "model.ts")
        wrong = _said(
            lambda: ckpt_export(
                "network_def",
                filepath=file,
                ckpt_file=str(bundle.folder / WEIGHTS),
                meta_file=str(bundle.folder / METADATA),
                config_file=str(bundle.folder / INFERENCE),
                **_roots(bundle),
            )
        ) or _said(lambda: torch.jit.load(file))  # type: ignore[no-untyped-call]
    if wrong:
        what = f"it cannot be exported; MONAI's ckpt_export: {wrong}"
        yield Finding(bundle.name, WEIGHTS, what, "take the weights and the network.json of one training")


def prepared_images(bundle: Bundle) -> Iterator[Finding]:
    """One picture, prepared by both, and its values; it is noise, so from black to white."""
    image = bundle.metadata["network_data_format"]["inputs"]["image"]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "picture.png"
        noise = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)
        Image.fromarray(noise if image["num_channels"] == 3 else noise[..., 0]).save(file)
        item = {"id": file.name, "group": file.name, "image": str(file), "slice": None}
        try:
            trained, used = (
                _parser(bundle, config, image_size=_SIDE, dataset_dir=folder).get_parsed_content(key)(dict(item))[
                    "image"
                ]
                for config, key in ((TRAIN, "train#preprocessing"), (INFERENCE, "preprocessing"))
            )
        except Exception as error:  # noqa: BLE001 - whatever a config raises is a finding
            what = f"its preprocessing cannot read a picture: {first_line(error)}"
            yield Finding(bundle.name, INFERENCE, what, "run it on an image, and correct what it says")
            return
    if trained.shape != used.shape or not torch.equal(torch.as_tensor(trained), torch.as_tensor(used)):
        what = f"it prepares the same picture otherwise than {TRAIN}"
        yield Finding(bundle.name, INFERENCE, what, "prepare images as train#preprocessing does")
    low, high = float(used.min()), float(used.max())
    if not np.allclose([low, high], image["value_range"], atol=_NEAR):
        what = f"inputs/image: a picture's values are from {low:.3g} to {high:.3g}, not {image['value_range']}"
        yield Finding(bundle.name, METADATA, what, "correct value_range")


def _parser(bundle: Bundle, config: str, **settings: Any) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(str(bundle.folder / config))
    for name, value in {**_roots(bundle), **settings}.items():
        parser[name] = value
    return parser


def _roots(bundle: Bundle) -> dict[str, Any]:
    return {"bundle_root": str(bundle.folder.resolve())}


def _sides(tensor: dict[str, Any], n: int) -> list[int]:
    """The spatial shape of this n, where * and p are 1."""
    return [_side(str(side), n) for side in tensor["spatial_shape"]]


def _side(text: str, n: int) -> int:
    """One side.

    >>> _side("16*n", 2), _side("*", 2), _side("32", 2)
    (32, 1, 32)
    """
    base, *rest = text.split("*", 1)
    return (int(base) if base else 1) * (n if rest and rest[0].endswith("n") else 1)


def _said(action: Callable[[], object]) -> str:
    """What an action fails with, or ""; MONAI prints and logs its arguments, which is not of interest."""
    logging.disable(logging.INFO)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            action()
    except Exception as error:  # noqa: BLE001 - whatever MONAI raises is a finding
        return first_line(error)
    finally:
        logging.disable(logging.NOTSET)
    return ""
