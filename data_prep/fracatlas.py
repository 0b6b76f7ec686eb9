"""FracAtlas: radiographs of limbs, hips and shoulders with boxes around fractures, as a datalist of four roles.

    python -m data_prep.fracatlas --source FOLDER --out FOLDER --fold 0
    python -m data_prep.fracatlas --source FOLDER --out FOLDER --fold 0 --marked 100

The source is the folder into which the published archive was unpacked:

    images/Fractured/IMG0000019.jpg, images/Non_fractured/IMG0000000.jpg
    Annotations/COCO JSON/COCO_fracture_masks.json        the boxes, and outlines
    dataset.csv                                           only compared; folders and boxes are believed

Test is one of the folds, alike in the share of fractured images; validation is a part of the rest. Of the training
images with a fracture most lose their boxes and stand for the public sets (P_pub), the others keep them (P_hos). Those
without one are divided as in the paper, 9858 N_hos to 16921 N_pub.

With --marked N there are no roles and no boxes, but masks of what the published outlines enclose: of N training images,
and of all fractured ones for validation and test. That is what the bundle `pcam` learns from.

The set names no patients, so images of one person may be in training and in test, and scores may flatter. Only files
that are the same byte for byte are known to belong together, and stay together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from data_prep import command, pictures
from data_prep.boxes import Annotated, fitted
from data_prep.coco import read_coco
from data_prep.fracture_roles import CLASSES, IN_PAPER, with_role
from data_prep.marks import ABNORMALITY, Markable, Marks, check_count, read_marks
from data_prep.placing import relative
from data_prep.progress import each
from data_prep.report import deliver
from data_prep.sections import Items, check_classes
from data_prep.tables import read_table
from semimed_monai.data import choose_labelled, split_by_group
from semimed_monai.files import digest_of

FRACTURED, NORMAL = "images/Fractured", "images/Non_fractured"
BOXES = "Annotations/COCO JSON/COCO_fracture_masks.json"
TABLE = "dataset.csv"
HOSPITAL_NEGATIVES = IN_PAPER["N_hos"] / (IN_PAPER["N_hos"] + IN_PAPER["N_pub"])
NO_PATIENTS = (
    "NO PATIENT IDS: the set does not say which images are of one person, so the split is by image: one person may be "
    "in training and in test, and scores may flatter"
)
_HELP = (
    "Write a datalist of FracAtlas: the fracture bundle's roles, most training boxes hidden; or few marks, for pcam."
)
_ORIGIN = {
    "source": "FracAtlas, doi:10.6084/m9.figshare.22363012",
    "licence": "CC BY 4.0",
    "cite": [
        "Abedeen et al.: FracAtlas (musculoskeletal radiographs). Scientific Data 10, 521 (2023)",
    ],
}


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    folds: int = 5,
    fold: int = 0,
    validation: float = 0.2,
    hidden: float = 0.9,
    marked: int | None = None,
    seed: int = 0,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json` and print its table; the same source and settings give the same bytes.

    Images that are broken, or of which folders and boxes say different things, are left out; they are printed by name,
    and stand in the datalist's provenance.

    Example:
        >>> prepare("FracAtlas", "datasets/limbs", fold=2)  # doctest: +SKIP
        PosixPath('datasets/limbs/datalist.json')

    Args:
        source: the folder with the published files.
        out: the dataset folder to write.
        folds: how many equal parts there are.
        fold: which of them, from 0, is the test section; with one seed the parts are the same for each.
        validation: the part of the other images that is the validation section.
        hidden: the part of the fractured training images that lose their boxes, from 0 to below 1; with one seed a
            smaller part is inside a larger one.
        marked: write masks in place of roles and boxes, and leave so many training images their mask.
        seed: decides which image goes where.
        dry_run: only print what would be written.

    Raises:
        ValueError: the source is not of the published form, fewer marks than wanted, or settings without sense.
        DatalistError: the file of the boxes cannot be used.
    """
    source, out = Path(source).resolve(), Path(out).resolve()
    _check_settings(folds, fold, validation, hidden)
    check_count(marked)
    _check_layout(source)
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    labels = _labels(source)
    sizes = pictures.examine(labels)
    items, copies = _items(source, out, labels, sizes, left_out)
    check_classes(source, CLASSES, items, left_out)
    drawn = None if marked is None else _marks(source, items, sizes)
    if drawn is not None:
        items = drawn.on([{key: value for key, value in item.items() if key != "boxes"} for item in items])
    parts = split_by_group(items, {str(number): 1 / folds for number in range(folds)}, seed)
    rest = [item for number, part in parts.items() if number != str(fold) for item in part]
    divided = split_by_group(rest, {"training": 1 - validation, "validation": validation}, seed)
    facts: dict[str, Any]
    if drawn is None or marked is None:
        training = _with_roles(divided["training"], hidden, seed)
        facts = {"roles": {"hidden": hidden, "N_hos of the negatives": round(HOSPITAL_NEGATIVES, 4), "seed": seed}}
    else:
        training = drawn.keep(divided["training"], marked, seed)
        facts = {"marks": {"in training": marked, "seed": seed}}
    sections = {"training": training, "validation": divided["validation"], "test": parts[str(fold)]}
    split = {"by": "image: the set names no patients", "folds": folds, "fold": fold, "validation": validation}
    return deliver(
        out,
        name="fracatlas",
        classes=CLASSES if drawn is None else ABNORMALITY,
        sections=sections,
        provenance={
            **_ORIGIN,
            "boxes_sha256": digest_of(source / BOXES),
            "patients": NO_PATIENTS,
            "split": {**split, "seed": seed},
            **facts,
        },
        left_out=left_out,
        notes=[NO_PATIENTS, *copies],
        place_files=partial(drawn.write, out, [*chain.from_iterable(sections.values())]) if drawn else None,
        dry_run=dry_run,
    )


def _check_settings(folds: int, fold: int, validation: float, hidden: float) -> None:
    if folds < 2 or not 0 <= fold < folds:
        raise ValueError(f"fold {fold} of {folds}: give two folds or more, and one from 0 to {max(folds, 2) - 1}")
    if not 0 < validation < 1:
        raise ValueError(f"validation {validation}: give a part between 0 and 1")
    if not 0 <= hidden < 1:
        raise ValueError(f"hidden {hidden}: give a part from 0 to below 1, so that some boxes are left to learn from")


def _check_layout(source: Path) -> None:
    if source.is_file():
        raise ValueError(f"{source} is a file: unpack it and give that folder")
    needed = (FRACTURED, NORMAL, BOXES)
    if missing := [name for name in needed if not (source / name).exists()]:
        raise ValueError(
            f"{source} has no {', no '.join(missing)}: give the folder into which FracAtlas was unpacked, with "
            f"{', '.join(needed)} in it"
        )


def _items(
    source: Path,
    out: Path,
    labels: Mapping[Path, int],
    sizes: Mapping[Path, pictures.Size | str],
    left_out: defaultdict[str, list[str]],
) -> tuple[Items, list[str]]:
    """All images that can be used, without roles, in the order of their names; and what to say of copies among them."""
    boxes = {image.name: image for image in read_coco(source / BOXES)}
    left_out["boxes of images that are not there"] += sorted({*boxes} - {file.name for file in labels})
    usable: dict[Path, list[list[float]]] = {}
    for file, label in labels.items():
        size, annotated = sizes[file], boxes.get(file.name, Annotated("", file.name, []))
        if isinstance(size, str):
            left_out["images broken"].append(f"{file.name} ({size})")
            continue
        found = fitted(annotated, size)
        if isinstance(found, str):
            left_out["boxes that do not fit their image"].append(f"{file.name} ({found})")
        elif label != bool(found):
            left_out[f"in {file.parent.name}, but {'without' if label else 'with'} a box"].append(file.name)
        else:
            usable[file] = found
    groups = _groups(list(usable))
    broken = {groups[file] for file in usable if labels[file]}
    contrary = [file for file in usable if not labels[file] and groups[file] in broken]
    left_out["in Non_fractured, and the very same file in Fractured"] += [file.name for file in contrary]
    _compare_table(source / TABLE, labels, left_out)
    kept = [file for file in usable if file not in contrary]
    items = [
        {
            "image": relative(file, out),
            "label": labels[file],
            **({"boxes": usable[file]} if usable[file] else {}),
            "group": groups[file],
            "id": file.name,
        }
        for file in kept
    ]
    copies = len(kept) - len({groups[file] for file in kept})
    return items, [f"{copies} images are copies of others, byte for byte: they stay in their section"] * bool(copies)


def _labels(source: Path) -> dict[Path, int]:
    """Each image's class, by its folder, in the order of the names."""
    labels = {
        file: label
        for label, folder in enumerate((NORMAL, FRACTURED))
        for file in (source / folder).iterdir()
        if file.suffix.lower() in {".jpg", ".jpeg", ".png"} and not file.name.startswith(".")
    }
    if twice := sorted(name for name, count in Counter(file.name for file in labels).items() if count > 1):
        raise ValueError(f"{source}: {', '.join(twice)} is in {FRACTURED} and in {NORMAL}: remove one of them")
    return dict(sorted(labels.items(), key=lambda pair: pair[0].name))


def _groups(files: Sequence[Path]) -> dict[Path, str]:
    """Each file's group: the first name among the files that are the same byte for byte."""
    first: dict[str, str] = {}
    digests = each(digest_of, files, "comparing pictures")
    return {file: first.setdefault(digest, file.name) for file, digest in zip(files, digests, strict=True)}


def _compare_table(file: Path, labels: Mapping[Path, int], left_out: defaultdict[str, list[str]]) -> None:
    """Say where dataset.csv and the folders differ; it decides nothing."""
    if not file.is_file():
        return
    table = read_table(file)
    if missing := {"image_id", "fractured"} - {*table.columns}:
        raise ValueError(f"{file} has no column {', '.join(sorted(missing))}: take it from the published archive")
    listed = {row.cells["image_id"]: row.cells["fractured"] for row in table.rows}
    folders = {image.name: label for image, label in labels.items()}
    left_out[f"in {TABLE}, but in no folder"] += sorted({*listed} - {*folders})
    left_out[f"not in {TABLE}, kept"] += sorted({*folders} - {*listed})
    left_out[f"of another class in {TABLE}, kept as the folder says"] += [
        name for name, label in folders.items() if name in listed and listed[name] != str(label)
    ]


def _marks(source: Path, items: Items, sizes: Mapping[Path, pictures.Size | str]) -> Marks:
    """The outlines of the items."""
    sized = {file.name: size for file, size in sizes.items() if not isinstance(size, str)}
    images = [Markable(item["id"], item["id"], item["label"] == 1, sized[item["id"]]) for item in items]
    listed = {image.id for image in images}
    annotated = [one for one in read_marks(source / BOXES) if one.name in listed]  # of others the boxes said it
    return Marks(source / BOXES, annotated, images, source)


def _with_roles(training: Items, hidden: float, seed: int) -> Items:
    positives, negatives = ([item for item in training if item["label"] == label] for label in (1, 0))
    near = [positives[place] for place in choose_labelled(positives, 1 - hidden, seed)]
    near += [negatives[place] for place in choose_labelled(negatives, HOSPITAL_NEGATIVES, seed)]
    hospital = {item["id"] for item in near}
    return [with_role(item, "hos" if item["id"] in hospital else "pub") for item in training]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("data_prep.fracatlas", _HELP, __doc__)
    parser.add_argument("--source", type=Path, required=True, help="the folder with the unpacked archive")
    command.add_out(parser)
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="equal parts; default 5")
    parser.add_argument("--fold", type=int, default=0, metavar="K", help="the part to test on, from 0; default 0")
    parser.add_argument(
        "--validation", type=float, default=0.2, metavar="PART", help="of the other images, for validation; default 0.2"
    )
    known = parser.add_mutually_exclusive_group()
    known.add_argument(
        "--hidden", type=float, default=0.9, metavar="PART", help="of the training boxes' images; default 0.9"
    )
    known.add_argument(
        "--marked", type=int, metavar="N", help="masks in place of roles and boxes, of so many training images"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides which image goes where; default 0")
    command.add_dry_run(parser)
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
