"""What DC-MT's inference costs over the bare network: a volume's file in, all results out, against the forward alone.

    python -m benchmarks.inference                 # 120 slices of 256², SE-ResNeXt50, two threads
    python -m benchmarks.inference --kind dicom    # a series in, DICOM results beside the others
    python -m benchmarks.inference --tiny          # shows that it runs, and nothing about the claim

End to end is what `monai.bundle run` does after Python's imports: it reads the recipe, makes the network, loads its
weights, reads the volume, preprocesses, infers and writes tables, NIfTI and overlays. The bare side makes the same
network, loads its weights and runs it over the same batches, which lie ready. Both take turns in one process; the ratio
is of the medians.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.bundle.workflows import ConfigWorkflow
from numpy.typing import NDArray
from torch import Tensor

from semimed_monai.data.phantoms import knee_phantom, write_dicom_series
from semimed_monai.data.phantoms.files import write_nifti
from semimed_monai.networks import AttentionClassifier, DeployedAttentionClassifier, write_card
from semimed_monai.transforms import knee_mr, slice_items

RECIPE = Path(__file__).resolve().parent.parent / "bundles" / "dcmt" / "configs" / "inference.json"
BATCH = 6  # the recipe's on CPUs: what a layer gives stays below 32 MiB, and so in memory
LIMIT = 1.2


@dataclass(frozen=True)
class Size:
    """What is measured: the network, and the volume that it is given."""

    layers: tuple[int, ...]
    width: int
    image: int
    slices: int


PAPER = Size(layers=(3, 4, 6, 3), width=64, image=256, slices=120)
TINY = Size(layers=(1, 1, 1, 1), width=16, image=64, slices=12)


def knee_volume(size: Size) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """A phantom knee at the size that is asked for: its slices enlarged, repeated, and given noise of their own."""
    knee = knee_phantom(seed=0, index=3)
    rows = np.arange(size.image) * knee.volume.shape[0] // size.image
    order = np.arange(size.slices) % knee.volume.shape[2]
    volume = knee.volume[rows][:, rows][:, :, order].astype(np.float32)
    volume += np.random.default_rng(0).normal(0, 40, volume.shape)
    affine = knee.affine.copy()
    affine[:3, :2] *= knee.volume.shape[0] / size.image
    affine[:3, 2] *= knee.volume.shape[2] / size.slices
    return volume.clip(0, 4095).astype(np.int16), affine


def prepare(folder: Path, size: Size, kind: str) -> str:
    """A volume as a file or series, and models/ as training leaves it; returns the volume's path."""
    volume, affine = knee_volume(size)
    image = folder / ("knee" if kind == "dicom" else "knee.nii.gz")
    if kind == "dicom":
        write_dicom_series(image, volume, affine, "benchmark")
    else:
        write_nifti(image, volume, affine)
    torch.manual_seed(0)
    network = AttentionClassifier(layers=size.layers, width=size.width)
    (folder / "models").mkdir()
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    card = {"size": size.image, "classes": ["normal", "partial", "full"], "n4": False, "arguments": network.arguments}
    write_card(folder / "models" / "network.json", card)
    return str(image)


def end_to_end(folder: Path, image: str) -> float:
    """Seconds of the whole recipe."""
    start = time.perf_counter()
    workflow = ConfigWorkflow(
        str(RECIPE),
        workflow_type="inference",
        logging_file=False,
        input=image,
        ckpt_dir=str(folder / "models"),
        output_dir=str(folder / "out"),
        batch_size=BATCH,
        device="cpu",
    )
    workflow.initialize()
    workflow.run()
    return time.perf_counter() - start


def bare(folder: Path, size: Size, batches: list[Tensor]) -> float:
    """Seconds to make and load the network, and of its forward passes."""
    start = time.perf_counter()
    network = DeployedAttentionClassifier(layers=size.layers, width=size.width).eval()
    network.load_state_dict(torch.load(folder / "models" / "model.pt"))
    with torch.no_grad():
        for batch in batches:
            network(batch)
    return time.perf_counter() - start


def measure(size: Size, kind: str, rounds: int) -> float:
    """Print both sides and return their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = prepare(folder, size, kind)
        preprocess = knee_mr(size.image)
        rows = torch.stack([preprocess(item)["image"] for item in slice_items(image)])
        batches = list(rows.split(BATCH))
        bare(folder, size, batches[:1])  # the first pass allocates
        whole, alone = [], []
        for _ in range(rounds):
            Path(image).touch()  # so that it is read anew
            whole.append(end_to_end(folder, image))
            alone.append(bare(folder, size, batches))
    ratio = statistics.median(whole) / statistics.median(alone)
    print(
        f"{kind}, {size.slices} slices of {size.image}²: end to end {statistics.median(whole):.2f} s, bare network "
        f"{statistics.median(alone):.2f} s, ratio {ratio:.3f} (claimed for the paper's size: at most {LIMIT})"
    )
    return ratio


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["nifti", "dicom"], default="nifti", help="what the volume lies in")
    parser.add_argument("--tiny", action="store_true", help="a network and a volume of seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    logging.disable(logging.WARNING)
    ratio = measure(TINY if given.tiny else PAPER, given.kind, given.rounds)
    if not given.tiny and ratio > LIMIT:
        raise SystemExit(f"ratio {ratio:.3f} is above {LIMIT}")


if __name__ == "__main__":
    main()
