"""ISIC 2018 Task 3 / HAM10000: 10,015 dermatoscopic photographs, seven classes, lesion masks, as a datalist.

    python -m data_prep.isic2018 --source FOLDER --out FOLDER

The source is the folder into which the challenge's archives were unpacked:

    ISIC2018_Task3_Training_Input/ISIC_0024306.jpg
    ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv   image, and 0 or 1 for each class
    ISIC2018_Task3_Test_Input/, and the same table of the test set                for --split official only

and with them from Harvard Dataverse, doi:10.7910/DVN/DBW86T,

    HAM10000_metadata.csv                                                         image_id, lesion_id, and more
    HAM10000_segmentations_lesion_tschandl/ISIC_0024306_segmentation.png          if there

of which the first is called HAM10000_metadata or .tab there: rename it. The challenge's own table of lesions,
ISIC2018_Task3_Training_LesionGroupings.csv (image, lesion_id, and more), does as well.

Nearly half of the photographs show a lesion that another one shows, too, so the lesion is the group that is not split.
How they get into sections (--split):

    lesion      no lesion is in two sections
    official    test is the challenge's test set, 1512 photographs without masks; it does not say which lesions they
                show, so each is a group by itself. Its training set is divided by lesion, as the first two of
                --fractions are to each other; its validation set, 193 photographs, is not used
    random      photographs at random, as in a paper's 7:1:2: those of one lesion get into several sections, so that
                some of what is tested was learned, and scores flatter
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from data_prep import command, pictures
from data_prep.placing import relative
from data_prep.report import deliver
from data_prep.sections import (
    FRACTIONS,
    Divided,
    Items,
    check_classes,
    check_fractions,
    check_way,
    divide,
    divide_by_lists,
)
from data_prep.tables import Row, read_table
from semimed_monai.data import DatalistError
from semimed_monai.data.find import PICTURES

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

Split = Literal["lesion", "official", "random"]
SPLITS: Mapping[str, str] = {
    "lesion": "no lesion is in two sections",
    "official": "test is the challenge's test set, the rest is divided as the first two fractions are to each other",
    "random": "photographs at random, as in a paper's 7:1:2 (as --fractions is by default): those of one lesion get "
    "into several sections, so scores flatter",
}
IMAGES = "ISIC2018_Task3_Training_Input"
GROUND_TRUTH = "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv"
TEST_IMAGES = "ISIC2018_Task3_Test_Input"
TEST_TRUTH = "ISIC2018_Task3_Test_GroundTruth/ISIC2018_Task3_Test_GroundTruth.csv"
METADATA = "HAM10000_metadata.csv"
GROUPINGS = "ISIC2018_Task3_Training_LesionGroupings.csv"
LESIONS: Mapping[str, str] = {METADATA: "image_id", GROUPINGS: "image"}
"""The tables that say which lesion an image shows, and their column of the image; the first that is there is read."""

MASKS = "HAM10000_segmentations_lesion_tschandl"
_HELP = "Write a datalist of ISIC 2018 Task 3 (HAM10000): image, class, lesion mask, and the lesion as group."
_DATAVERSE = "doi:10.7910/DVN/DBW86T"
_ALONE = (
    "the challenge does not say which lesions its test photographs show: each counts as one, so where several show the "
    "same, intervals are too narrow"
)
_ORIGIN = {
    "source": f"ISIC 2018 Challenge, Task 3, training set (HAM10000), {_DATAVERSE}",
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
    kept without. Both are printed by name, and stand in the datalist's provenance, and so do files that the ground
    truth does not know.

    Example:
        >>> prepare("HAM10000", "datasets/skin", resize=128)  # doctest: +SKIP
        PosixPath('datasets/skin/datalist.json')

    Args:
        source: the folder with the published files.
        out: the dataset folder to write.
        split: whether lesions are kept together, the challenge's test set is the test section, or photographs go to
            sections at random, each a group by itself.
        fractions: of training, validation and test; classes are spread alike.
        seed: decides which lesion, or photograph, goes where.
        copy: copy images and masks into `out`; otherwise the datalist points to where they are.
        resize: copy them with this longest side, so that small networks read them faster.
        dry_run: only print what would be written.

    Raises:
        DatalistError: lines that contradict each other.
        ValueError: the source is not of the published form, or settings without sense.
    """
    source, out = Path(source).resolve(), Path(out).resolve()
    check_way(split, SPLITS)
    check_fractions(fractions)
    pictures.check_longest(resize)
    _check_layout(source, official=split == "official")
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    labels = _labels(source / GROUND_TRUTH)
    learned = _photographs(source / IMAGES, labels, _lesions(source, labels), left_out, masks=source / MASKS)
    tested = _tested(source, left_out) if split == "official" else []
    placed = out if copy or resize is not None else None
    items, copies = _items(learned, out, placed)
    check_classes(source, list(CLASSES), items, left_out)
    of_test, more = _items(tested, out, placed)
    divided = _divide(items, of_test, source, split, fractions, seed)
    return deliver(
        out,
        name="isic2018",
        classes=list(CLASSES),
        sections=divided.sections,
        provenance={
            **_ORIGIN,
            "class_names": CLASSES,
            "counts": _counts(labels, learned, tested),
            "split": divided.facts,
            "longest_side": resize or "as published",
        },
        left_out=left_out,
        notes=divided.notes,
        place_files=partial(pictures.copy, [*copies, *more], resize),
        dry_run=dry_run,
    )


def _check_layout(source: Path, *, official: bool) -> None:
    if source.is_file():
        raise ValueError(f"{source} is a file: unpack it (tar -xf {source.name} -C FOLDER) and give that folder")

    def absent(*names: str) -> list[str]:
        return [name for name in names if not (source / name).exists()]

    tables = " or ".join(LESIONS)
    if missing := absent(IMAGES, GROUND_TRUTH):
        raise ValueError(
            f"{source} has no {', no '.join(missing)}: give the folder into which the published archives were "
            f"unpacked, with {IMAGES}/, {GROUND_TRUTH}, {tables}, and {MASKS}/ in it"
        )
    if len(absent(*LESIONS)) == len(LESIONS):
        raise ValueError(
            f"{source} has no {tables}, which say which lesion a photograph shows: put one of them there, the first "
            f"from Harvard Dataverse ({_DATAVERSE}) or the second from the challenge"
        )
    if official and (missing := absent(TEST_IMAGES, TEST_TRUTH)):
        raise ValueError(
            f"{source} has no {', no '.join(missing)}: unpack the challenge's test set there, or use --split lesion"
        )


def _rows(file: Path, needed: Iterable[str], *, others: bool) -> list[Row]:
    """The rows of a CSV file with the columns that are needed, and others only where they may be."""
    table = read_table(file)
    missing, unknown = sorted({*needed} - {*table.columns}), [] if others else sorted({*table.columns} - {*needed})
    if missing or unknown:
        wrong = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has unknown {', '.join(unknown)}"] * bool(unknown)
        raise ValueError(
            f"{file}: of the columns {', '.join(needed)} it {' and '.join(wrong)}; found: {', '.join(table.columns)}"
        )
    return table.rows


def _labels(file: Path) -> dict[str, int]:
    """Image name -> class index, in the order of the names."""
    labels: dict[str, int] = {}
    for line, row in _rows(file, ("image", *CLASSES), others=False):
        marks = [row[name] for name in CLASSES]
        ones = [index for index, mark in enumerate(marks) if mark in ("1", "1.0")]
        if len(ones) != 1 or any(mark not in ("0", "0.0", "1", "1.0") for mark in marks):
            raise ValueError(f"{file}, line {line} ({row['image']}): {marks} must be one 1 and otherwise 0")
        if row["image"] in labels:
            raise ValueError(f"{file}, line {line}: {row['image']} is there twice: remove one of its lines")
        labels[row["image"]] = ones[0]
    return dict(sorted(labels.items()))


def _lesions(source: Path, labels: Mapping[str, int]) -> dict[str, str]:
    """Image name -> lesion, for at least all that have a label: without it an image could be in two sections."""
    name, column = next((name, column) for name, column in LESIONS.items() if (source / name).exists())
    file = source / name
    lesions: dict[str, str] = {}
    problems = []
    for line, row in _rows(file, (column, "lesion_id"), others=True):
        image, lesion = row[column], row["lesion_id"]
        if lesions.setdefault(image, lesion) != lesion:
            said = f"line {line}: {image} is of lesion {lesion!r}, and of {lesions[image]!r} above"
            problems.append(f"{said}: remove the line that is wrong")
    if problems:
        raise DatalistError(file, problems)
    if without := [image for image in labels if not lesions.get(image)]:
        raise ValueError(
            f"{file} lacks the lesion of {len(without)} of the ground truth's images, the first {without[0]}: "
            "take both files from the same release"
        )
    return lesions


def _tested(source: Path, left_out: defaultdict[str, list[str]]) -> list[_Photograph]:
    """The challenge's test set, each photograph with a lesion of its own."""
    labels = _labels(source / TEST_TRUTH)
    return _photographs(source / TEST_IMAGES, labels, {name: name for name in labels}, left_out)


def _photographs(
    folder: Path,
    labels: Mapping[str, int],
    lesions: Mapping[str, str],
    left_out: defaultdict[str, list[str]],
    masks: Path | None = None,
) -> list[_Photograph]:
    """What can be used of a folder of images; reason -> names of what cannot goes to `left_out`."""
    images = {name: folder / f"{name}.jpg" for name in labels}
    drawn = {name: masks / f"{name}_segmentation.png" for name in labels} if masks else {}
    found = pictures.examine(file for file in (*images.values(), *drawn.values()) if file.is_file())
    photographs: list[_Photograph] = []
    for name, label in labels.items():
        size = found.get(images[name])
        if size is None:
            left_out["images missing"].append(name)
        elif isinstance(size, str):
            left_out["images broken"].append(f"{images[name].name} ({size})")
        else:
            mask = drawn.get(name)
            usable = mask if mask and _is_usable(mask, found.get(mask), name, size, left_out) else None
            photographs.append(_Photograph(name, label, lesions[name], images[name], usable, size))
    left_out["files without a row"] += sorted(_pictures_in(folder) - {file.name for file in images.values()})
    return photographs


def _is_usable(
    mask: Path,
    found: pictures.Size | str | None,
    name: str,
    size: pictures.Size,
    left_out: defaultdict[str, list[str]],
) -> bool:
    """Whether a mask, of which this was found, fits an image of this name and size; if not, it is left out."""
    if found is None:
        left_out["images without a mask, kept"].append(name)
    elif isinstance(found, str):
        left_out["masks broken, their images kept"].append(f"{mask.name} ({found})")
    elif found != size:
        sizes = f"{found[0]}x{found[1]}, the image {size[0]}x{size[1]}"
        left_out["masks of another size, their images kept"].append(f"{mask.name} ({sizes})")
    return found == size


def _pictures_in(folder: Path) -> set[str]:
    names = {file.name for file in folder.iterdir()}
    return {name for name in names if name.lower().endswith(PICTURES) and not name.startswith(".")}


def _items(photographs: Sequence[_Photograph], out: Path, placed: Path | None) -> tuple[Items, list[pictures.Copy]]:
    """An item for each, and what to copy for them, if files are to be placed in a folder."""
    there = [shot.inside(placed) for shot in photographs] if placed else photographs
    pairs = zip(photographs, there, strict=True) if placed else []
    return [shot.item(out) for shot in there], [copy for here, target in pairs for copy in here.copies(target)]


def _divide(items: Items, tested: Items, source: Path, split: Split, fractions: Sequence[float], seed: int) -> Divided:
    if split != "official":
        return divide(items, fractions, seed, group="lesion", by_image=split == "random")
    lists = {source / GROUND_TRUTH: items, source / TEST_TRUTH: tested}
    divided = divide_by_lists(lists, fractions, seed, group="lesion")
    return divided._replace(notes=[*divided.notes, _ALONE])


def _counts(
    labels: Mapping[str, int], photographs: Sequence[_Photograph], tested: Sequence[_Photograph]
) -> dict[str, int]:
    masks, lesions = sum(shot.mask is not None for shot in photographs), {shot.lesion for shot in photographs}
    counts = {"listed": len(labels), "images": len(photographs), "masks": masks, "lesions": len(lesions)}
    return {**counts, **({"test images": len(tested)} if tested else {})}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("data_prep.isic2018", _HELP, __doc__)
    parser.add_argument("--source", type=Path, required=True, help="the folder with the unpacked archives")
    command.add_out(parser)
    command.add_split(parser, "lesion", SPLITS)
    command.add_copy(parser)
    command.add_dry_run(parser)
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
