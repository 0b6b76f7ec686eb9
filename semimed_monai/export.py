"""Deployed networks as files that run without this library: TorchScript and ONNX.

    python -m semimed_monai.export dcmt --to exports
    python -m semimed_monai.export my_bundles/pcam --ckpt_dir OUT/models --to exports

writes exports/dcmt/model.ts and exports/dcmt/model.onnx, after both gave what the network itself gives (to 1e-4, on the
CPU), and says by how much they differ. Any number of images is taken at once; in ONNX they are of the size that the
network was trained at.

Looked for: MONAI's ckpt_export and onnx_export, which write the files here, hold neither to the network. Of torch's two
exporters to ONNX both do all seven bundles, to the same accuracy. The one by TorchScript takes a quarter of the time
(10 s of CPU for the seven in the tests, not 39), works as it is with every torch from 2.8 on, and needs no onnxscript.
torch calls it the old one; when it goes, `dynamo` is the word to change. Both trace, and so fix the size of the image.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser, ckpt_export, onnx_export
from torch import Tensor
from tqdm import tqdm

from semimed_monai.files import require_room, whole_folder
from semimed_monai.messages import cause_of, end_when_told
from semimed_monai.networks import load_weights
from semimed_monai.zoo.bundles import METADATA, Bundle, find_bundles
from semimed_monai.zoo.checks.layout import INFERENCE

TOLERANCE = 1e-4
IMAGE, ANSWER = "image", "pred"
"""What metadata.json calls the network's input and output, as MONAI's verify_net_in_out has it."""

BATCHES = (2, 1, 3)
"""Of the random images on which files and network are compared; the first is the one that ONNX is traced with."""

_SCRIPT, _ONNX = "model.ts", "model.onnx"
_NETWORK = "network_def"
_GRAPH = 2_000_000
"""Bytes that the files have beside the weights, at most: DenseNet-161's code takes the most."""

Run = Callable[[Tensor], Tensor]


def export(bundle: Bundle, to: Path, ckpt_dir: Path | None = None, tolerance: float = TOLERANCE) -> dict[Path, float]:
    """Write the files into the folder `to`, whole and compared, or not at all; how much each differs from the network.

    Args:
        bundle: which.
        to: the folder; one that holds the files is replaced.
        ckpt_dir: of the weights; without, the bundle's own.
        tolerance: by how much a value of a file's answer may differ.

    Raises:
        FileNotFoundError: there are no weights; the message says which command makes them.
        RuntimeError: they are another network's.
        ValueError: a file gives something else than the network.
    """
    settings = _settings(bundle, ckpt_dir)
    recipe = ConfigParser()
    recipe.read_config(str(bundle.folder / INFERENCE))
    recipe.update(settings)
    network, weights = recipe.get_parsed_content(_NETWORK), recipe.get_parsed_content("ckpt_dir") + "/model.pt"
    load_weights(network, weights)
    channels = bundle.metadata["network_data_format"]["inputs"][IMAGE]["num_channels"]
    inputs = random_images(channels, recipe.get_parsed_content("image_size"))
    source = {
        "net_id": _NETWORK,
        "ckpt_file": weights,
        "meta_file": str(bundle.folder / METADATA),
        "config_file": str(bundle.folder / INFERENCE),
        **settings,
    }
    differences = {}
    with whole_folder(to, lambda file: file.name in FORMATS and file.parent.samefile(to)) as draft:
        # TorchScript's writer ends the process where a disk is full.
        require_room(draft, len(FORMATS) * Path(weights).stat().st_size + _GRAPH)
        for name, (write, opened) in tqdm(
            FORMATS.items(), desc=bundle.name, unit="file", file=sys.stderr, disable=None, leave=False
        ):
            with _quietly():
                write(str(draft / name), source, list(inputs[0].shape))
                exported = opened(str(draft / name))
            differences[to / name] = compared(network.eval(), exported, inputs, name, tolerance)
    return differences


def compared(network: Run, exported: Run, inputs: Sequence[Tensor], name: str, tolerance: float = TOLERANCE) -> float:
    """The largest absolute difference between what two networks give.

    >>> compared(torch.sigmoid, lambda images: torch.sigmoid(images) + 2**-14, [torch.zeros(2, 1)], "model.onnx")
    6.103515625e-05

    Raises:
        ValueError: it is above the tolerance, or no number, or the answers are of different shapes.
    """
    differences = []
    with torch.no_grad():
        for images in inputs:
            wanted, found = network(images), exported(images)
            if wanted.shape != found.shape:
                raise ValueError(
                    f"{name} gives {list(found.shape)} for {list(images.shape)} where the network gives "
                    f"{list(wanted.shape)}: it is not written"
                )
            differences.append((wanted - found).abs().max())
    largest = float(torch.stack(differences).max())  # not a number, if there is one
    if not largest <= tolerance:
        raise ValueError(
            f"{name} differs from the network by {largest:.1e}, and may by {tolerance:.1e}: it is not written; a "
            "little more is rounding, which a steep map enlarges, and --tolerance allows it"
        )
    return largest


def random_images(channels: int, side: int) -> list[Tensor]:
    """Batches of noise in [0, 1], the same each time."""
    random = torch.Generator().manual_seed(0)
    return [torch.rand(rows, channels, side, side, generator=random) for rows in BATCHES]


def _settings(bundle: Bundle, ckpt_dir: Path | None) -> dict[str, str]:
    """What the recipe is told of this place."""
    settings = {"bundle_root": str(bundle.folder.resolve())}
    if ckpt_dir is not None:
        settings["ckpt_dir"] = str(ckpt_dir.resolve())
    for path in settings.values():
        if "#" in path:
            raise ValueError(f"{path}: MONAI's configs give '#' a meaning of its own; rename the file or folder")
    return settings


def _write_script(file: str, source: Mapping[str, Any], _shape: list[int]) -> None:
    ckpt_export(filepath=file, **source)


def _write_onnx(file: str, source: Mapping[str, Any], shape: list[int]) -> None:
    rows = {name: {0: "batch"} for name in (IMAGE, ANSWER)}
    how = {"input_names": [IMAGE], "output_names": [ANSWER], "dynamic_axes": rows, "dynamo": False}
    onnx_export(filepath=file, use_trace=True, input_shape=shape, converter_kwargs=how, **source)


def _open_script(file: str) -> Run:
    return torch.jit.load(file)  # type: ignore[no-untyped-call, no-any-return]


def _open_onnx(file: str) -> Run:
    session = import_module("onnxruntime").InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run([ANSWER], {IMAGE: images.numpy()})[0])


FORMATS = {_SCRIPT: (_write_script, _open_script), _ONNX: (_write_onnx, _open_onnx)}
"""How each file is written, and how it is run."""


@contextmanager
def _quietly() -> Iterator[None]:
    """MONAI logs its arguments, and torch warns of what tracing might get wrong: the comparison says whether it did."""
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _bundles(given: Sequence[str], ckpt_dir: Path | None) -> list[Bundle]:
    if ckpt_dir is not None and len(given) > 1:
        raise ValueError("--ckpt_dir holds the weights of one bundle: export the others by themselves")
    return find_bundles(given)


def main(arguments: Sequence[str] | None = None) -> None:
    """What the command line asks for; exit code 1 with one message for what is wrong, 130 after Ctrl-C."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        _refuse_without_onnx()
        for bundle in _bundles(given.bundles, given.ckpt_dir):
            for file, difference in export(bundle, given.to / bundle.name, given.ckpt_dir, given.tolerance).items():
                _say(f"{file}  {file.stat().st_size} bytes  differs from the network by {difference:.1e} at most")
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        parser.exit(1, f"error: {cause_of(error)}\n")
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped\n")


def _refuse_without_onnx() -> None:
    if missing := [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]:
        raise ModuleNotFoundError(
            f"export needs {' and '.join(missing)}, not installed here: pip install {' '.join(missing)}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m semimed_monai.export",
        description=(__doc__ or "").split("\n\nLooked for")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundles", nargs="+", metavar="BUNDLE", help="its folder, or its name in the folder bundles/")
    parser.add_argument("--to", type=Path, default=Path("exports"), help="the folder for its folder (default exports)")
    parser.add_argument("--ckpt_dir", type=Path, help="where model.pt and network.json are (default: its models/)")
    parser.add_argument(
        "--tolerance", type=float, default=TOLERANCE, help=f"by how much an answer may differ (default {TOLERANCE:g})"
    )
    return parser


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is a command


if __name__ == "__main__":
    end_when_told()
    main()
