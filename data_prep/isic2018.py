"""ISIC 2018 Task 3 / HAM10000: 10,015 dermatoscopic photographs, seven classes, lesion masks, as a datalist.

    python -m data_prep.isic2018 --source FOLDER --out FOLDER

The source is the folder into which the published archives were unpacked:

    ISIC2018_Task3_Training_Input/ISIC_0024306.jpg
    ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv   image, and 0 or 1 for each class
    HAM10000_metadata.csv                                                         image_id, lesion_id, and more
    HAM10000_segmentations_lesion_tschandl/ISIC_0024306_segmentation.png

Nearly half of the photographs show a lesion that another one shows, too, so the lesion is the group that is not split.
`--split random` divides the photographs themselves, as papers that split the set at random do (7:1:2): those of one
lesion get into several sections, so that some of what is tested was learned, and scores flatter.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from data_prep import command, pictures
from data_prep.placing import relative
from data_prep.report import deliver
from data_prep.sections import FRACTIONS, check_classes, check_fractions, check_way, divide
from data_prep.tables import read_table

CLASSES = {
    "MEL": "melanoma",
    "NV": "melanocytic nevus",
    "BCC": "basal cell carcinoma",
    "AKIEC": "actinic keratosis or Bowen's disease (intraepithelial carcinoma)",
    "BKL": "benign keratosis (solar lentigo, seborrheic keratosis, lichen planus-like keratosis)",
    "DF": "dermatofibroma",
    "VASC": "vascular lesion",
}
"""The classes in the challenge's order, which is that of the labels, and what they stand for."""

Split = Literal["lesion", "random"]
SPLITS: Mapping[str, str] = {
    "lesion": "no lesion is in two sections",
    "random": "photographs at random, as in a paper's 7:1:2 (as --fractions is by default): those of one lesion get "
    "into several sections, so scores flatter",
}
IMAGES = "ISIC2018_Task3_Training_Input"
GROUND_TRUTH = "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv"
METADATA = "HAM10000_metadata.csv"
MASKS = "HAM10000_segmentations_lesion_tschandl"
_HELP = "Write a datalist of ISIC 2018 Task 3 (HAM10000): image, class, lesion mask, and the lesion as group."
_ORIGIN = {
    "source": "ISIC 2018 Challenge, Task 3, training set (HAM10000), doi:10.7910/DVN/DBW86T",
    "licence": "CC BY-NC 4.0",
    "cite": [
        "Tschandl, Rosendahl, Kittler: The HAM10000 dataset. Scientific Data 5, 180161 (2018)",
        "Codella et al.: Skin lesion analysis toward melanoma detection 2018 (ISIC). arXiv:1902.03368",
        "Masks: Tschandl et al.: Human-computer collaboration for skin cancer recognition. Nature Medicine 26 (2020)",
    ],
}


class _Photograph(NamedTuple):
    """One image with all that is known of it; `mask` is None where there is no usable one."""

    name: str
    label: int
    lesion: str
    image: Path
    mask: Path | None
    size: pictures.Size

    def inside(self, folder: Path) -> _Photograph:
        """As it will be when it has been copied into the folder."""
        mask = self.mask and folder / "masks" / self.mask.name
        return self._replace(image=folder / "images" / self.image.name, mask=mask)

    def copies(self, target: _Photograph) -> list[pictures.Copy]:
        """What to copy so that the target is there."""
        made = [pictures.Copy(self.image, target.image, self.size)]
        if self.mask and target.mask:
            made.append(pictures.Copy(self.mask, target.mask, self.size, mask=True))
        return made

    def item(self, folder: Path) -> dict[str, Any]:
        """Its item in a datalist that lies in the folder; the id does not depend on where the files are."""
        mask = {"mask": relative(self.mask, folder)} if self.mask else {}
        return {
            "image": relative(self.image, folder),
            "label": self.label,
            **mask,
            "group": self.lesion,
            "id": self.name,
        }


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    split: Split = "lesion",
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    copy: bool = False,
    resize: int | None = None,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json` and print its table; the same source and settings give the same bytes.

    An image that is not there or cannot be decoded is left out; one whose mask is missing, broken or of another size is
    kept without. Both are printed by name, and stand in the datalist's provenance.

    Example:
        >>> prepare("HAM10000", "datasets/skin", resize=128)  # doctest: +SKIP
        PosixPath('datasets/skin/datalist.json')

    Args:
        source: the folder with the published files.
        out: the dataset folder to write.
        split: whether lesions are kept together, or photographs go to sections at random, each a group by itself.
        fractions: of training, validation and test; classes are spread alike.
        seed: decides which lesion, or photograph, goes where.
        copy: copy images and masks into `out`; otherwise the datalist points to where they are.
        resize: copy them with this longest side, so that small networks read them faster.
        dry_run: only print what would be written.

    Raises:
        ValueError: the source is not of the published form, or settings without sense.
    """
    source, out = Path(source).resolve(), Path(out).resolve()
    check_way(split, SPLITS)
    check_fractions(fractions)
    pictures.check_longest(resize)
    _check_layout(source)
    labels = _labels(source / GROUND_TRUTH)
    photographs, left_out = _photographs(source, labels, _lesions(source / METADATA, labels))
    copied = copy or resize is not None
    placed = [shot.inside(out) for shot in photographs] if copied else photographs
    items = [shot.item(out) for shot in placed]
    check_classes(source, list(CLASSES), items, left_out)
    divided = divide(items, fractions, seed, group="lesion", by_image=split == "random")
    pairs = zip(photographs, placed, strict=True)
    copies = [each for here, there in pairs for each in here.copies(there)] if copied else []
    return deliver(
        out,
        name="isic2018",
        classes=list(CLASSES),
        sections=divided.sections,
        provenance={
            **_ORIGIN,
            "class_names": CLASSES,
            "counts": _counts(labels, photographs),
            "split": divided.facts,
            "longest_side": resize or "as published",
        },
        left_out=left_out,
        notes=divided.notes,
        place_files=partial(pictures.copy, copies, resize),
        dry_run=dry_run,
    )


def _check_layout(source: Path) -> None:
    if source.is_file():
        raise ValueError(f"{source} is a file: unpack it (tar -xf {source.name} -C FOLDER) and give that folder")
    missing = [name for name in (IMAGES, GROUND_TRUTH, METADATA) if not (source / name).exists()]
    if missing:
        raise ValueError(
            f"{source} has no {', no '.join(missing)}: give the folder into which the published archives were "
            f"unpacked, with {IMAGES}/, {GROUND_TRUTH}, {METADATA} and {MASKS}/ in it"
        )


def _rows(file: Path, needed: Iterable[str], *, others: bool) -> list[dict[str, str]]:
    """The rows of a CSV file with the columns that are needed, and others only where they may be."""
    table = read_table(file)
    rows, found = [row.cells for row in table.rows], table.columns
    missing, unknown = sorted({*needed} - {*found}), [] if others else sorted({*found} - {*needed})
    if missing or unknown:
        wrong = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has unknown {', '.join(unknown)}"] * bool(unknown)
        raise ValueError(
            f"{file}: of the columns {', '.join(needed)} it {' and '.join(wrong)}; found: {', '.join(found)}"
        )
    return rows


def _labels(file: Path) -> dict[str, int]:
    """Image name -> class index, in the order of the names."""
    labels: dict[str, int] = {}
    for line, row in enumerate(_rows(file, ("image", *CLASSES), others=False), start=2):
        marks = [row[name] for name in CLASSES]
        ones = [index for index, mark in enumerate(marks) if mark in ("1", "1.0")]
        if len(ones) != 1 or any(mark not in ("0", "0.0", "1", "1.0") for mark in marks):
            raise ValueError(f"{file}, line {line} ({row['image']}): {marks} must be one 1 and otherwise 0")
        if row["image"] in labels:
            raise ValueError(f"{file}, line {line}: {row['image']} is there twice: remove one of its lines")
        labels[row["image"]] = ones[0]
    return dict(sorted(labels.items()))


def _lesions(file: Path, labels: Mapping[str, int]) -> dict[str, str]:
    """Image name -> lesion, for at least all that have a label: without it an image could be in two sections."""
    lesions = {row["image_id"]: row["lesion_id"] for row in _rows(file, ("image_id", "lesion_id"), others=True)}
    if without := [name for name in labels if not lesions.get(name)]:
        raise ValueError(
            f"{file} lacks the lesion of {len(without)} of the ground truth's images, the first {without[0]}: "
            "take both files from the same release"
        )
    return lesions


def _photographs(
    source: Path, labels: Mapping[str, int], lesions: Mapping[str, str]
) -> tuple[list[_Photograph], dict[str, list[str]]]:
    """What can be used, and what was left out: reason -> names."""
    images = {name: source / IMAGES / f"{name}.jpg" for name in labels}
    masks = {name: source / MASKS / f"{name}_segmentation.png" for name in labels}
    found = pictures.examine(file for file in (*images.values(), *masks.values()) if file.is_file())
    photographs: list[_Photograph] = []
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    for name, label in labels.items():
        size, mask = found.get(images[name]), found.get(masks[name])
        if size is None:
            left_out["images missing"].append(name)
            continue
        if isinstance(size, str):
            left_out["images broken"].append(f"{images[name].name} ({size})")
            continue
        if mask is None:
            left_out["images without a mask, kept"].append(name)
        elif isinstance(mask, str):
            left_out["masks broken, their images kept"].append(f"{masks[name].name} ({mask})")
        elif mask != size:
            sizes = f"{mask[0]}x{mask[1]}, the image {size[0]}x{size[1]}"
            left_out["masks of another size, their images kept"].append(f"{masks[name].name} ({sizes})")
        usable = masks[name] if mask == size else None
        photographs.append(_Photograph(name, label, lesions[name], images[name], usable, size))
    return photographs, left_out


def _counts(labels: Mapping[str, int], photographs: Sequence[_Photograph]) -> dict[str, int]:
    masks, lesions = sum(shot.mask is not None for shot in photographs), {shot.lesion for shot in photographs}
    return {"listed": len(labels), "images": len(photographs), "masks": masks, "lesions": len(lesions)}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m data_prep.isic2018", description=_HELP)
    parser.add_argument("--source", type=Path, required=True, help="the folder with the unpacked archives")
    command.add_out(parser)
    command.add_split(parser, "lesion", SPLITS)
    command.add_copy(parser)
    command.add_dry_run(parser)
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
