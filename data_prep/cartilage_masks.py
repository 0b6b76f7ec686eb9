"""Cartilage masks for a grading datalist, made by the bundle cartilage_segmentation.

    python -m data_prep.cartilage_masks --datalist FOLDER --out FOLDER/with_masks.json

The bundle's own inference runs over every image of the datalist and writes the dilated femoral cartilage into a folder
beside the new datalist, which is the old one with a `mask` in every item. So dcmt can be trained on images of which
only the grades are known.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.bundle.workflows import ConfigWorkflow

from data_prep.placing import relative
from semimed_monai.data import Datalist, write_datalist
from semimed_monai.data.datalist import SECTIONS
from semimed_monai.data.splits import group_of
from semimed_monai.files import digest_of
from semimed_monai.messages import cause_of
from semimed_monai.vocabulary import item_id

BUNDLE = Path(__file__).resolve().parent.parent / "bundles" / "cartilage_segmentation"
_HELP = "Segment the femoral cartilage in every image of a datalist, and write a datalist with the masks."


def prepare(
    datalist: str | Path, out: str | Path, bundle: str | Path = BUNDLE, dilation: float = 3, device: str | None = None
) -> Path:
    """Write the masks and `out`; masks that items had before are replaced. All slices of a volume are segmented.

    Example:
        >>> prepare("datasets/knees", "datasets/knees/with_masks.json")  # doctest: +SKIP
        PosixPath('datasets/knees/with_masks.json')

    Args:
        datalist: the JSON file, or the folder with datalist.json in it.
        out: the JSON file to write; masks go into a folder of its name beside it.
        bundle: the folder of cartilage_segmentation, trained.
        dilation: radius by which masks grow, in pixels of a 256² image.
        device: where to run, "cpu" or "cuda:0"; by default the GPU if there is one.

    Raises:
        ValueError: items without grades or with label maps, or a path that the bundle's config cannot hold.
        FileNotFoundError: the bundle is not there, or not trained.
    """
    source = Path(datalist).resolve()
    source = source if source.suffix == ".json" else source / "datalist.json"
    out, bundle = Path(out).resolve(), Path(bundle).resolve()
    if out.suffix != ".json" or out == source:
        raise ValueError(f"{out}: give the new datalist a name of its own that ends in .json")
    Datalist(source)  # all that is wrong with the list and its files is said now, not after an hour
    head = json.loads(source.read_text(encoding="utf-8"))
    _refuse_what_masks_would_change(source, [item for section in SECTIONS for item in head.get(section, [])])
    images = sorted({_image(item, source) for section in SECTIONS for item in head.get(section, [])})
    masks = _segment(bundle, images, out.with_suffix(""), dilation=dilation, device=device)
    sections = {name: [_with_mask(item, source, out, masks) for item in head.get(name, [])] for name in SECTIONS}
    facts = {
        "bundle": json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))["version"],
        "weights_sha256": digest_of(bundle / "models" / "model.pt"),
        "dilation_radius": dilation,
        "datalist_sha256": digest_of(source),
    }
    file = write_datalist(
        out,
        name=head["name"],
        version=head["version"],
        classes=head["classes"],
        sections=sections,
        provenance={**head.get("provenance", {}), "cartilage_masks": facts},
    )
    print(f"{Datalist(file).summary()}\nwritten: {file}, masks in {out.with_suffix('')}")
    return file


def _refuse_what_masks_would_change(source: Path, items: Sequence[dict[str, Any]]) -> None:
    if any(item.get("label_map") is not None for item in items):
        raise ValueError(
            f"{source}: its items have label maps, which are grade and mask in one: masks are there already"
        )
    if all(item.get("label") is None for item in items):
        raise ValueError(
            f"{source}: no item has a grade; in such a list a mask is the truth to learn from, not a guess"
        )


def _segment(bundle: Path, images: list[str], folder: Path, *, dilation: float, device: str | None) -> dict[str, Path]:
    """Run the bundle's inference; image → its mask."""
    config = bundle / "configs" / "inference.json"
    if not config.is_file():
        raise FileNotFoundError(f"{bundle} is no bundle: give the folder of cartilage_segmentation as --bundle")
    for path in (str(bundle), str(folder), *images):
        if "#" in path:
            raise ValueError(f"{path}: MONAI's configs give '#' a meaning of its own; rename the file or folder")
    overrides: dict[str, Any] = {"device": f"$torch.device('{device}')"} if device else {}
    workflow = ConfigWorkflow(
        config_file=str(config),
        workflow_type="inference",
        bundle_root=str(bundle),
        dataset_dir=os.path.commonpath([os.path.dirname(image) for image in images]),  # noqa: PTH120 - of texts
        images=images,
        output_dir=str(folder),
        dilation_radius=dilation,
        **overrides,
    )
    workflow.initialize()
    places: dict[str, Path] = workflow.parser.get_parsed_content("writer").places
    workflow.run()
    workflow.finalize()
    return places


def _with_mask(item: dict[str, Any], source: Path, out: Path, masks: dict[str, Path]) -> dict[str, Any]:
    """The item as it stands in the new datalist: paths are relative to that one, the id stays what it was."""
    image = _image(item, source)
    name = item.get("id") or item_id(item["image"], item.get("slice"))
    paths = {"image": relative(Path(image), out.parent), "mask": relative(masks[image], out.parent)}
    return {**item, **paths, "group": group_of(item), "id": name}


def _image(item: dict[str, Any], source: Path) -> str:
    return os.path.normpath(source.parent / str(item["image"]))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m data_prep.cartilage_masks", description=_HELP)
    parser.add_argument("--datalist", type=Path, required=True, help="the datalist, or the folder it lies in")
    parser.add_argument("--out", type=Path, required=True, help="the new datalist (.json)")
    parser.add_argument(
        "--bundle", type=Path, default=BUNDLE, help="the trained bundle; default that of this repository"
    )
    parser.add_argument("--dilation", type=float, default=3, help="radius in pixels of a 256 x 256 image; default 3")
    parser.add_argument("--device", help="cpu or cuda:0; default the GPU if there is one")
    try:
        prepare(**vars(parser.parse_args(arguments)))
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {cause_of(error)}")


if __name__ == "__main__":
    main()
