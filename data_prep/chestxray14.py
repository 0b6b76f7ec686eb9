"""ChestX-ray14 (NIH): 112,120 frontal radiographs of 30,805 patients, with any of 14 findings, as a datalist.

    python -m data_prep.chestxray14 --source FOLDER --out FOLDER

The source is the folder with the published files:

    Data_Entry_2017_v2020.csv, else Data_Entry_2017.csv           image, its findings, patient
    images/, or images_001/images/ to images_012/images/          00000001_000.png
    BBox_List_2017.csv, if there                                  boxes around some findings of 880 images
    train_val_list.txt and test_list.txt                          for --split official only

A label is a 0 or a 1 for each finding, all 0 for "No Finding". A program read the findings in the reports; its authors
expect it to be right in more than 90 %.

Boxes are given in pixels of 1024 x 1024 and are scaled to the image's file. A box in a datalist has no class: where two
findings of an image have one each, which is whose is lost. One of a finding that the table does not give the image is
left out.

Patients have up to 184 images each. How they get into sections (--split):

    grouped     no patient is in two sections
    official    test is test_list.txt; train_val_list.txt is divided by patient, as the first two of --fractions are to
                each other
    random      images at random, as in a paper's 7:1:2: those of one patient get into several sections, so that some of
                what is tested was learned, and scores flatter

Looked for: torchxrayvision's `NIH_Dataset` makes arrays of its own of films and boxes, and has no sections; MONAI and
torchvision do not have the set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from data_prep import command, pictures
from data_prep.box_rows import Columns, read_boxes
from data_prep.boxes import Annotated, Box, fitted
from data_prep.names import without_ending
from data_prep.placing import refuse_overlap, relative
from data_prep.public_cxr import public_table, require
from data_prep.report import deliver
from data_prep.sections import (
    FRACTIONS,
    Items,
    check_classes,
    check_fractions,
    check_way,
    divide,
    divide_by_lists,
)
from data_prep.tables import Row, closest, read_table, repeated, understood
from semimed_monai.data import DatalistError
from semimed_monai.data.find import PICTURES
from semimed_monai.files import digest_of

CLASSES = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax"),
    *("Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
)
"""The findings in the official order, which is that of the labels."""

NO_FINDING = "No Finding"
Split = Literal["grouped", "official", "random"]
SPLITS: Mapping[str, str] = {
    "grouped": "no patient is in two sections",
    "official": "test is test_list.txt, the rest is divided as the first two fractions are to each other",
    "random": "images at random, as in a paper's 7:1:2 (as --fractions is by default): those of one patient get into "
    "several sections, so scores flatter",
}
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
BOXES = "BBox_List_2017.csv"
BOX_COLUMNS = ("Bbox [x", "y", "w", "h]")
LISTS = ("train_val_list.txt", "test_list.txt")
_DRAWN_AT = (1024, 1024)
_IN_BOX_LIST = {"Infiltrate": "Infiltration"}
_HELP = "Write a datalist of ChestX-ray14: image, which of 14 findings it has, boxes, and the patient as group."
_ORIGIN = {
    "source": "ChestX-ray14 (ChestX-ray8 with six findings more), NIH Clinical Center",
    "licence": "free to use; the NIH Clinical Center asks for its name, a link to its download site and the citation",
    "cite": ["Wang et al.: ChestX-ray8. CVPR 2017, doi:10.1109/CVPR.2017.369"],
}


class _Film(NamedTuple):
    """A line of the table."""

    name: str
    label: list[int]
    patient: str


def findings(text: str) -> list[int]:
    """A 0 or a 1 for each class, of the findings of an image as the table has them.

    >>> findings("No Finding") == [0] * 14, findings("Effusion|Atelectasis")[:4]
    (True, [1, 0, 1, 0])

    Raises:
        ValueError: one is unknown, or stands beside "No Finding".
    """
    named = {_known(name.strip(), (*CLASSES, NO_FINDING)) for name in text.split("|")}
    if NO_FINDING in named and len(named) > 1:
        raise ValueError(f"{text!r}: {NO_FINDING!r} may not stand beside a finding: remove one of them")
    return [int(name in named) for name in CLASSES]


def _known(name: str, names: Collection[str]) -> str:
    if name in names:
        return name
    near = closest(name, names)
    hint = f", did you mean {near!r}?" if near else ":"
    raise ValueError(f"finding {name!r} is unknown{hint} the known ones are {', '.join(names)}")


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    split: Split = "grouped",
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    copy: bool = False,
    resize: int | None = None,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json` and print its table; the same source and settings give the same bytes.

    An image that is not there or cannot be decoded is left out; one whose boxes do not fit is kept without. Both are
    printed by name, and stand in the datalist's provenance, and so do files that the table does not know.

    Example:
        >>> prepare("ChestX-ray14", "datasets/chest", resize=256)  # doctest: +SKIP
        PosixPath('datasets/chest/datalist.json')

    Args:
        source: the folder with the published files.
        out: the dataset folder to write.
        split: whether patients are kept together, the official lists are followed, or images go to sections at random.
        fractions: of training, validation and test; findings are spread alike.
        seed: decides which patient, or image, goes where.
        copy: copy the images into `out`; otherwise the datalist points to where they are.
        resize: copy them with this longest side, so that small networks read them faster.
        dry_run: only print what would be written.

    Raises:
        DatalistError: lines that cannot be understood.
        ValueError: the source is not of the published form, or settings without sense.
    """
    source, out = Path(source).resolve(), Path(out).resolve()
    check_way(split, SPLITS)
    check_fractions(fractions)
    pictures.check_longest(resize)
    table = public_table(source, *TABLES)
    require(table, COLUMNS)
    films, problems = understood(table, _film)
    if problems := [*problems, *repeated(film.name for film in films)]:
        raise DatalistError(table.file, problems)
    films.sort(key=lambda film: film.name)
    lists = _lists(source, films, table.file) if split == "official" else None
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    boxes = _boxes(source / BOXES, films, left_out)
    folders = _folders(source)
    placed = out / "images" if copy or resize is not None else None
    if placed:
        refuse_overlap(placed, *folders)
    files = _files(folders, left_out)
    left_out["files without a row"] = sorted({*files} - {film.name for film in films})
    if lists is not None:
        left_out[f"images in neither {' nor '.join(LISTS)}"] = [film.name for film in films if film.name not in lists]
        films = [film for film in films if film.name in lists]
    items, copies = _items(films, files, boxes, left_out, out=out, placed=placed, longest=resize)
    check_classes(source, CLASSES, items, left_out)
    if lists is not None:
        place_of = {without_ending(name): place for name, place in lists.items()}
        listed = {source / name: [item for item in items if place_of[item["id"]] == name] for name in LISTS}
        divided = divide_by_lists(listed, fractions, seed)
    else:
        divided = divide(items, fractions, seed, group="patient", by_image=split == "random")
    patients = {item["group"] for item in items}
    return deliver(
        out,
        name="chestxray14",
        classes=CLASSES,
        sections=divided.sections,
        provenance={
            **_ORIGIN,
            **table.origin,
            **({"boxes_sha256": digest_of(source / BOXES)} if boxes else {}),
            "counts": {"listed": len(table.rows), "images": len(items), "patients": len(patients)},
            "split": divided.facts,
            "longest_side": resize or "as published",
        },
        left_out=left_out,
        notes=[*divided.notes, *([] if boxes else [f"no boxes: {BOXES} is not there, or has none that can be used"])],
        place_files=partial(pictures.copy, copies if placed else [], resize),
        dry_run=dry_run,
    )


def _film(row: Row) -> _Film:
    name, label, patient = (row.cells[column] for column in COLUMNS)
    if not (name and patient):
        raise ValueError("Image Index and Patient ID must be there: take the published table")
    return _Film(name, findings(label), patient)


def _lists(source: Path, films: Sequence[_Film], table: Path) -> dict[str, str]:
    """Image -> the official list that it is in.

    Raises:
        ValueError: a list is missing.
        DatalistError: names that the table does not have, or that are there twice, or whose patient is in both lists.
    """
    if missing := [name for name in LISTS if not (source / name).is_file()]:
        raise ValueError(
            f"{source} has no {' and no '.join(missing)}: put the published lists there, or use --split grouped"
        )
    patients = {film.name: film.patient for film in films}
    places: dict[str, str] = {}
    owners: dict[str, str] = {}
    for file in (source / name for name in LISTS):
        problems = []
        # Bytes that are no text are found as the names that they are not.
        for number, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
            name = line.strip()
            if not name:
                continue
            patient, said = patients.get(name), f"line {number}: {name}"
            if patient is None:
                problems.append(f"{said} has no row in {table.name}: take both from the same release")
            elif name in places:
                problems.append(f"{said} is in {places[name]}, too: remove one of its lines")
            elif owners.setdefault(patient, file.name) != file.name:
                problems.append(f"{said} is of patient {patient}, who is in {owners[patient]}, too: leave one of them")
            places.setdefault(name, file.name)
        if problems:
            raise DatalistError(file, problems)
    return places


def _boxes(file: Path, films: Sequence[_Film], left_out: defaultdict[str, list[str]]) -> dict[str, Annotated]:
    """Image -> its boxes as they were drawn; nothing where there is no list of them."""
    if not file.is_file():
        return {}
    table = read_table(file)
    require(table, ("Image Index", "Finding Label", *BOX_COLUMNS))
    labels = {film.name: film.label for film in films}
    found, problems = understood(table, _finding)
    if problems:
        raise DatalistError(file, problems)
    kept = []
    for row, finding in zip(table.rows, found, strict=True):
        name = row.cells["Image Index"]
        if name and name not in labels:
            left_out["boxes of images without a row"].append(name)
        elif name and not labels[name][finding]:
            left_out["boxes of a finding that the table does not give the image"].append(f"{name} ({CLASSES[finding]})")
        else:
            kept.append(row)
    images = read_boxes(table._replace(rows=kept), Columns("Image Index", BOX_COLUMNS, sized=True))
    return {image.name: image for image in images}


def _finding(row: Row) -> int:
    name = row.cells["Finding Label"]
    return CLASSES.index(_known(_IN_BOX_LIST.get(name, name), CLASSES))


def _folders(source: Path) -> list[Path]:
    places = (source / "images", *sorted(source.glob("images_*/images")))
    if not (found := [place for place in places if place.is_dir()]):
        raise ValueError(f"{source} has no images/ and no images_001/images/: unpack the published archives there")
    return found


def _files(folders: Sequence[Path], left_out: defaultdict[str, list[str]]) -> dict[str, Path]:
    """The pictures by their names; of two of one name the first."""
    files: dict[str, Path] = {}
    for file in (file for folder in folders for file in sorted(folder.iterdir())):
        is_film = file.name.lower().endswith(PICTURES) and not file.name.startswith(".")
        if is_film and files.setdefault(file.name, file) != file:
            left_out["files of a name that another folder has, too"].append(str(file))
    return files


def _items(
    films: Sequence[_Film],
    files: Mapping[str, Path],
    boxes: Mapping[str, Annotated],
    left_out: defaultdict[str, list[str]],
    *,
    out: Path,
    placed: Path | None,
    longest: int | None,
) -> tuple[Items, list[pictures.Copy]]:
    """An item for each film that can be used, and what to copy for it, if files are to be placed in a folder."""
    opened = pictures.examine(files[film.name] for film in films if film.name in files)
    items, copies = [], []
    for film in films:
        file = files.get(film.name)
        if file is None:
            left_out["images missing"].append(film.name)
            continue
        size = opened[file]
        if isinstance(size, str):
            left_out["images broken"].append(f"{film.name} ({size})")
            continue
        target = placed / file.name if placed else file
        copies.append(pictures.Copy(file, target, size))
        item = {"image": relative(target, out), "label": film.label, "group": film.patient}
        drawn = _scaled(boxes[film.name], pictures.shrunk(size, longest)) if film.name in boxes else []
        if isinstance(drawn, str):
            left_out["boxes that do not fit, their images kept"].append(f"{film.name} ({drawn})")
        elif drawn:
            item["boxes"] = drawn
        items.append({**item, "id": without_ending(film.name)})
    return items, copies


def _scaled(annotated: Annotated, size: pictures.Size) -> list[Box] | str:
    """The boxes in an image of this size, those of two findings that are the same once; or what is wrong with them."""
    different = [box for place, box in enumerate(annotated.boxes) if box not in annotated.boxes[:place]]
    found = fitted(annotated._replace(boxes=different), _DRAWN_AT)
    if isinstance(found, str):
        return found
    across, down = (side / drawn for side, drawn in zip(size, _DRAWN_AT, strict=True))  # exact: 1024 is a power of 2
    return [[x0 * across, y0 * down, x1 * across, y1 * down] for x0, y0, x1, y1 in found]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("data_prep.chestxray14", _HELP, __doc__)
    parser.add_argument("--source", type=Path, required=True, help="the folder with the published files")
    command.add_out(parser)
    command.add_split(parser, "patient", SPLITS)
    command.add_copy(parser)
    command.add_dry_run(parser)
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
