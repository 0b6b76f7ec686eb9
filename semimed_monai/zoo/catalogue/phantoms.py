"""The picture that the catalogue shows of a bundle: a few of its phantoms, prepared as for its network.

    python -m semimed_monai.zoo.catalogue.phantoms bundles/NAME

writes bundles/NAME/docs/phantoms.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from PIL import Image
from torch.nn.functional import interpolate
from torchvision.utils import make_grid

from semimed_monai.files import whole
from semimed_monai.messages import cause_of
from semimed_monai.zoo.bundles import Bundle, find_bundles
from semimed_monai.zoo.catalogue.page import FIRST_PICTURE

SHOWN = 6
SIDE = 128


def draw_phantoms(bundle: Bundle) -> Path:
    """Of the phantoms that inference.json makes without input some, in a row; returns the file.

    Raises:
        ValueError: its inference makes none.
    """
    parser = ConfigParser()
    parser.read_config(str(bundle.folder / "configs" / "inference.json"))
    parser["bundle_root"], parser["dataset_dir"] = str(bundle.folder.resolve()), ""
    parser["image_size"] = SIDE * 2
    try:
        dataset: Any = parser.get_parsed_content("dataset")
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"inference.json of {bundle.folder} makes no phantoms: {cause_of(error)}") from error
    places = [round(place * (len(dataset) - 1) / (SHOWN - 1)) for place in range(SHOWN)]
    images = [torch.as_tensor(dataset[place]["image"])[None] for place in places]
    small = torch.cat([interpolate(image.float(), size=(SIDE, SIDE), mode="area") for image in images])
    grid = (make_grid(small, nrow=SHOWN, padding=2).clamp(0, 1) * 255).round().byte()
    picture = Image.fromarray(grid.permute(1, 2, 0).numpy())
    file = bundle.folder / "docs" / FIRST_PICTURE
    with whole(file) as temporary:
        (picture if small.shape[1] == 3 else picture.convert("L")).save(temporary, format="PNG", optimize=True)
    return file


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw and say where."""
    parser = argparse.ArgumentParser(
        prog="python -m semimed_monai.zoo.catalogue.phantoms",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help="a bundle's folder")
    try:
        for bundle in find_bundles(parser.parse_args(arguments).bundles):
            print(draw_phantoms(bundle))  # noqa: T201 - this is a command
    except (OSError, ValueError) as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
