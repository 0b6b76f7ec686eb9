"""MURA v1.1 (Stanford): 40,005 radiographs of upper limbs in studies that are normal or abnormal, as a datalist.

    python -m data_prep.mura --source MURA-v1.1 --out FOLDER
    python -m data_prep.mura --source MURA-v1.1 --out FOLDER --marks marks.json --marked 100

The source is the folder with the published files, none of whose tables names its columns:

    train_image_paths.csv         MURA-v1.1/train/XR_SHOULDER/patient00001/study1_positive/image1.png
    train_labeled_studies.csv     MURA-v1.1/train/XR_SHOULDER/patient00001/study1_positive/,1
    valid_image_paths.csv, valid_labeled_studies.csv, train/, valid/

An image has the label of its study, 1 if that is abnormal. All studies of a patient, of whatever region, stay together;
the images of a study have its path as `study`, and are judged together. How patients get into sections (--split):

    grouped     all of them are divided
    official    test is the published valid; train is divided as the first two of --fractions are to each other

The set does not say where a lesion is. --marks adds that for some images: a COCO file (polygons, run lengths that are
not compressed, else boxes), a table of boxes (image,x0,y0,x1,y1 in pixels), or a folder of masks (PNG) in folders and
under names as the images are. A name may be any last part of an image's path that no other has. --marked N leaves so
many training images their mark, of as many patients as can be; those for validation and test keep theirs.

Looked for: MONAI, torchvision and torchxrayvision do not have the set.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from data_prep import command, pictures
from data_prep.annotations import Naming, add_naming
from data_prep.marks import ABNORMALITY, FOLDER, UNUSED, Markable, Marks, check_count, read_marks
from data_prep.names import without_ending
from data_prep.placing import refuse_overlap, relative
from data_prep.report import deliver
from data_prep.sections import FRACTIONS, Items, check_classes, check_fractions, check_way, divide, divide_by_lists
from data_prep.tables import Row, Table, closest, read_table, repeated, understood
from semimed_monai.data import DatalistError
from semimed_monai.files import digest_of

REGIONS = ("XR_ELBOW", "XR_FINGER", "XR_FOREARM", "XR_HAND", "XR_HUMERUS", "XR_SHOULDER", "XR_WRIST")
Split = Literal["grouped", "official"]
SPLITS: Mapping[str, str] = {
    "grouped": "all patients are divided",
    "official": "test is the published valid, train is divided as the first two fractions are to each other",
}
PARTS = ("train", "valid")
IMAGES, STUDIES = "{}_image_paths.csv", "{}_labeled_studies.csv"
_COLUMNS = {IMAGES: ("image",), STUDIES: ("study", "label")}
_STUDY = re.compile(
    r"(?:^|/)(?P<path>(?P<part>train|valid)/(?P<region>XR_[A-Z]+)/(?P<patient>patient\d+)/"
    r"(?P<number>study\d+)_(?P<side>positive|negative))/(?P<image>[^/]*)$"
)
_LIKE = "train/XR_SHOULDER/patient00001/study1_positive/"
_SIDES = ("negative", "positive")
_HELP = "Write a datalist of MURA v1.1: image, normal or abnormal, study, patient as group, and marks if you have some."
_ORIGIN = {
    "source": "MURA v1.1, Stanford ML Group",
    "licence": "Stanford University School of Medicine MURA dataset research use agreement",
    "cite": ["Rajpurkar et al.: MURA. arXiv:1712.06957"],
}


class _Study(NamedTuple):
    """A study as the folders' names have it.

    Args:
        path: below the source.
        part: train or valid.
        region: what it is of.
        patient: whose it is.
        number: as it is called, without its side.
        side: positive or negative.
    """

    path: str
    part: str
    region: str
    patient: str
    number: str
    side: str


class _Film(NamedTuple):
    """An image of the tables; its path is that below the source."""

    path: str
    study: _Study

    @property
    def id(self) -> str:
        return without_ending(self.path)

    @property
    def label(self) -> int:
        return _SIDES.index(self.study.side)


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    regions: Sequence[str] = (),
    marks: str | Path | None = None,
    marked: int | None = None,
    image_column: str = "image",
    corner_columns: Sequence[str] | None = None,
    size_columns: Sequence[str] | None = None,
    categories: Sequence[str] = (),
    split: Split = "grouped",
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    copy: bool = False,
    resize: int | None = None,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json`, and masks of the marks, and print its table; the same input gives the same bytes.

    An image that is not there or cannot be decoded is left out; it is printed by name, and stands in the datalist's
    provenance.

    Example:
        >>> prepare("MURA-v1.1", "datasets/wrists", regions=["XR_WRIST"])  # doctest: +SKIP
        PosixPath('datasets/wrists/datalist.json')

    Args:
        source: the folder with the published files.
        out: the dataset folder to write.
        regions: those that are used; by default all.
        marks: a COCO file, a table of boxes, or a folder of masks: where the lesion is in some abnormal images.
        marked: how many training images keep their mark; by default all that have one.
        image_column: the table's name for the image, if it is one, and so on for the next.
        corner_columns: x0, y0, x1 and y1, in pixels; by default these, or those of the sizes.
        size_columns: in their place, x, y, width and height.
        categories: the COCO file's categories that count; may be left out where there is one.
        split: whether all patients are divided, or the published lists are followed.
        fractions: of training, validation and test; classes are spread alike.
        seed: decides which patient goes where, and which marks are kept.
        copy: copy the images into `out`; otherwise the datalist points to where they are.
        resize: copy them with this longest side, so that small networks read them faster.
        dry_run: only print what would be written.

    Raises:
        DatalistError: tables that contradict themselves or each other, marks that cannot be.
        ValueError: the source is not of the published form, fewer marks than wanted, or settings without sense.
        FileNotFoundError: there are no such marks.
    """
    source, out = Path(source).resolve(), Path(out).resolve()
    _check_settings(regions, marks, marked)
    check_way(split, SPLITS)
    check_fractions(fractions)
    pictures.check_longest(resize)
    source = _published(source)
    films = _films(source, official=split == "official")
    annotated = None
    if marks is not None:
        marks = Path(marks).resolve()
        refuse_overlap(out / FOLDER, marks)
        annotated = read_marks(marks, Naming(image_column, corner_columns, size_columns, categories))
    wanted = [film for film in films if not regions or film.study.region in regions]
    opened = pictures.examine(file for film in wanted if (file := source / film.path).is_file())
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    placed = out / "images" if copy or resize is not None else None
    if placed:
        refuse_overlap(placed, source)
    items, copies = _items(wanted, source, opened, left_out, out=out, placed=placed)
    check_classes(source, ABNORMALITY, items, left_out)
    drawn = None
    if marks is not None and annotated:
        drawn = Marks(Path(marks), annotated, _markable(films, opened, source), source)
        left_out[UNUSED] += drawn.unused
        items = drawn.on(items)
    if split == "official":
        lists = {source / IMAGES.format(part): [item for item in items if _is_of(item, part)] for part in PARTS}
        divided = divide_by_lists(lists, fractions, seed)
    else:
        divided = divide(items, fractions, seed, group="patient")
    sections = divided.sections
    if drawn and marked is not None:
        sections = {**sections, "training": drawn.keep(sections["training"], marked, seed)}

    def place() -> None:
        pictures.copy(copies if placed else [], resize)
        if drawn:
            drawn.write(out, [item for part in sections.values() for item in part], resize)

    return deliver(
        out,
        name="mura",
        classes=ABNORMALITY,
        sections=sections,
        provenance={
            **_ORIGIN,
            "tables_sha256": {name: digest_of(source / name) for name in _tables()},
            "regions": list(regions) or "all",
            "counts": _counts(films, items),
            **({"marks": {**drawn.origin, "in training": marked or "all", "seed": seed}} if drawn else {}),
            "split": divided.facts,
            "longest_side": resize or "as published",
        },
        left_out=left_out,
        notes=divided.notes,
        place_files=place,
        dry_run=dry_run,
    )


def _check_settings(regions: Sequence[str], marks: str | Path | None, marked: int | None) -> None:
    for name in regions:
        if name not in REGIONS:
            near = closest(name, REGIONS)
            hint = f"did you mean {near!r}? " if near else ""
            raise ValueError(f"region {name!r}: {hint}they are {', '.join(REGIONS)}")
    check_count(marked)
    if marked is not None and marks is None:
        raise ValueError(f"marked {marked}: say with --marks where the lesions are")


def _tables() -> list[str]:
    return [name.format(part) for part in PARTS for name in (IMAGES, STUDIES)]


def _published(source: Path) -> Path:
    """The folder with the tables: the source, or the one that the published archive makes in it."""
    folder = next((place for place in (source, source / "MURA-v1.1") if (place / _tables()[0]).is_file()), source)
    if missing := [name for name in _tables() if not (folder / name).is_file()]:
        raise ValueError(
            f"{source} has no {', no '.join(missing)}: give the folder MURA-v1.1 into which the published archive was "
            f"unpacked, with {', '.join(_tables())}, train/ and valid/ in it"
        )
    return folder


def _films(source: Path, *, official: bool) -> list[_Film]:
    """All images of the tables, in the order of their paths.

    Raises:
        DatalistError: with all that the tables contradict themselves in, or each other.
    """
    films: list[_Film] = []
    problems = []
    for part in PARTS:
        studies, images = (read_table(source / name.format(part), _COLUMNS[name]) for name in (STUDIES, IMAGES))
        known, of_studies = _studies(studies, part)
        found, of_images = understood(images, partial(_film, part=part))
        of_images += repeated(film.path for film in found)
        of_images += [
            f"{film.path}: its study is not in {studies.file.name}: take both from the same release"
            for film in found
            if film.study.path not in known
        ]
        shown = {film.study.path for film in found}
        of_studies += [
            f"line {line}: {path} has no image in {images.file.name}: take both from the same release"
            for path, line in known.items()
            if path not in shown
        ]
        problems += [f"{studies.file.name}, {problem}" for problem in of_studies]
        problems += [f"{images.file.name}, {problem}" for problem in of_images]
        films += found
    if official:
        problems += _in_both(films)
    if problems:
        raise DatalistError(source, problems)
    return sorted(films)


def _studies(table: Table, part: str) -> tuple[dict[str, int], list[str]]:
    """The line of each study, by its path; and what is wrong with the lines."""
    lines: dict[str, int] = {}
    numbers: dict[tuple[str, str, str], _Study] = {}

    def enter(row: Row) -> None:
        study = _study(f"{row.cells['study'].rstrip('/')}/", part)
        if study.path in lines:
            raise ValueError(f"{study.path} is in line {lines[study.path]}, too: remove one of them")
        lines[study.path] = row.number
        other = numbers.setdefault((study.region, study.patient, study.number), study)
        if other.side != study.side:
            raise ValueError(
                f"{study.path} is {other.path} in line {lines[other.path]}: a study has one label, remove one of them"
            )
        label = row.cells["label"]
        if label not in ("0", "1"):
            raise ValueError(f"{study.path}: label {label!r} must be 0 or 1: take the published table")
        if _SIDES[int(label)] != study.side:
            raise ValueError(f"{study.path} has label {label}, and is {study.side} by its name: correct one of them")

    return lines, understood(table, enter)[1]


def _film(row: Row, part: str) -> _Film:
    path = row.cells["image"]
    study, name = _study(path, part), path.rsplit("/", 1)[-1]
    if not name.lower().endswith(".png"):
        raise ValueError(f"{path!r} must end like {_LIKE}image1.png: take the published table")
    return _Film(f"{study.path}/{name}", study)


def _study(path: str, part: str) -> _Study:
    """That of a path.

    Raises:
        ValueError: it is not of the published form, or of the other table.
    """
    found = _STUDY.search(path)
    if not found:
        raise ValueError(f"{path!r} must be like {_LIKE}: take the published table")
    if found["part"] != part:
        raise ValueError(f"{path} belongs into the table of {found['part']}: take the published table")
    return _Study(**{name: text for name, text in found.groupdict().items() if name != "image"})


def _in_both(films: Sequence[_Film]) -> list[str]:
    """Patients who are in train and in valid: to test on them would flatter."""
    learned, tested = ({film.study.patient for film in films if film.study.part == part} for part in PARTS)
    both = sorted(learned & tested)
    return [f"{patient} is in train and in valid: leave one of them, or use --split grouped" for patient in both]


def _items(
    films: Sequence[_Film],
    source: Path,
    opened: Mapping[Path, pictures.Size | str],
    left_out: defaultdict[str, list[str]],
    *,
    out: Path,
    placed: Path | None,
) -> tuple[Items, list[pictures.Copy]]:
    """An item for each image that can be used, and what to copy for it, if files are to be placed in a folder."""
    items, copies = [], []
    for film in films:
        file = source / film.path
        size = opened.get(file)
        if size is None:
            left_out["images missing"].append(film.path)
            continue
        if isinstance(size, str):
            left_out["images broken"].append(f"{film.path} ({size})")
            continue
        target = placed / film.path if placed else file
        copies.append(pictures.Copy(file, target, size))
        names = {"group": film.study.patient, "study": film.study.path, "id": film.id}
        items.append({"image": relative(target, out), "label": film.label, **names})
    return items, copies


def _is_of(item: Mapping[str, Any], part: str) -> bool:
    return str(item["study"]).startswith(f"{part}/")


def _markable(films: Sequence[_Film], opened: Mapping[Path, pictures.Size | str], source: Path) -> list[Markable]:
    """All images, those that are not used without a size."""
    images = []
    for film in films:
        size = opened.get(source / film.path)
        known = None if isinstance(size, str) else size
        images.append(Markable(film.id, f"{source.name}/{film.path}", film.label == 1, known))
    return images


def _counts(films: Sequence[_Film], items: Items) -> dict[str, int]:
    return {
        "listed": len(films),
        "images": len(items),
        "studies": len({item["study"] for item in items}),
        "patients": len({item["group"] for item in items}),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("data_prep.mura", _HELP, __doc__)
    parser.add_argument("--source", type=Path, required=True, help="the folder with the published files")
    command.add_out(parser)
    parser.add_argument("--regions", nargs="+", default=(), metavar="XR_WRIST", help="those that are used; default all")
    parser.add_argument("--marks", type=Path, help="a COCO file, a table of boxes, or a folder of masks")
    parser.add_argument("--marked", type=int, metavar="N", help="training images that keep their mark; default all")
    add_naming(parser, "a lesion")
    command.add_split(parser, "patient", SPLITS)
    command.add_copy(parser)
    command.add_dry_run(parser)
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
