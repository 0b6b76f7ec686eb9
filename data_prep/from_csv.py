"""Anyone's own images and a table of what is known of them, as a datalist that every bundle can use.

    python -m data_prep.from_csv --csv table.csv --images FOLDER --out FOLDER --group-column patient

Each line of the table is an image (PNG, JPEG, NIfTI, a DICOM file or the folder of a series) or a slice of one:

    image,label,patient
    chest/0001.png,fracture,p1

An image is a path below FOLDER, or the last parts of one, with or without the file's ending. A label is the name of a
class, or its index where no class is called by a number; images without one are learned from unlabelled. Several
findings at once are --label-columns with 0 or 1. Without a column that says which section an image is in, groups are
divided, classes alike in all sections.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from data_prep import command
from data_prep.csv_rows import Columns, Entry, read_entries
from data_prep.faults import Fault
from data_prep.images import Contents, ImageFolder, examine
from data_prep.placing import copy as copy_file
from data_prep.placing import placed_before, refuse_overlap, relative
from data_prep.progress import each
from data_prep.report import deliver
from data_prep.sections import FRACTIONS, HELD_BACK, Items, check_fractions, split
from data_prep.tables import Table, read_table
from semimed_monai.data import DatalistError
from semimed_monai.data.datalist import SECTIONS
from semimed_monai.files import whole_folder
from semimed_monai.vocabulary import item_id

_HELP = "Write a datalist of any images (PNG, JPEG, NIfTI, DICOM) and a CSV table of their labels."
_OPTIONS = {
    "image": "the image (default image)",
    "label": "the class, by name or index (default label)",
    "group": "what is not split: person, lesion, study; by default each image is by itself",
    "study": "the study: its images are judged together; without a --group-column it is what is not split",
    "mask": "the mask, named as images are",
    "section": "training, validation or test; by default the images are divided",
    "slice": "the slice of a volume",
}


class _Used(NamedTuple):
    """An entry whose files are there."""

    entry: Entry
    image: Path
    mask: Path | None


def prepare(
    csv: str | Path,
    images: str | Path,
    out: str | Path,
    *,
    image_column: str = "image",
    label_column: str | None = None,
    label_columns: Sequence[str] = (),
    group_column: str | None = None,
    study_column: str | None = None,
    mask_column: str | None = None,
    section_column: str | None = None,
    slice_column: str | None = None,
    slice_base: int = 0,
    masks: str | Path | None = None,
    classes: Sequence[str] | None = None,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    copy: bool = False,
    skip_bad: bool = False,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json` and print its table; the same files, table and settings give the same bytes.

    Pictures are opened to the last byte, of others the headers are read. A broken image is left out, one whose mask is
    broken or of another size is kept without; they are printed by name, and stand in the datalist's provenance.

    Example:
        >>> prepare("table.csv", "photographs", "datasets/skin", group_column="lesion")  # doctest: +SKIP
        PosixPath('datasets/skin/datalist.json')

    Args:
        csv: the table.
        images: the folder that its images lie below.
        out: the dataset folder to write.
        image_column: the table's name for the image, and so on for the next.
        label_column: by default "label"; a table with masks need not have it, and is for segmentation then.
        label_columns: in its place, a column of 0 and 1 for each class of a multi-label set.
        group_column: what is not split; by default each image is by itself.
        study_column: the images of a study are judged together; where there is no group column, studies are not split.
        mask_column: the masks.
        section_column: training, validation or test; by default the items are divided.
        slice_column: the slice, for volumes.
        slice_base: the number of a volume's first slice in the table, 0 or 1.
        masks: the folder that the masks lie below; by default that of the images.
        classes: the classes' names, in order; by default what the label column holds, sorted.
        fractions: of training, validation and test; groups are not split, classes are spread alike.
        seed: decides which group goes where.
        copy: copy images and masks into `out`; otherwise the datalist points to where they are.
        skip_bad: leave out images that are not there, or are no single image, in place of refusing the table for them.
        dry_run: only print what would be written.

    Raises:
        DatalistError: all that is wrong with the table's lines, or the files that they name.
        ValueError: the table's columns, or settings without sense.
        FileNotFoundError: no such table or folder.
    """
    images, out = Path(images).resolve(), Path(out).resolve()
    masks = images if masks is None else Path(masks).resolve()
    check_fractions(fractions)
    table = read_table(Path(csv).resolve())
    segmentation = mask_column and not label_column and not label_columns and "label" not in table.columns
    label = None if segmentation or label_columns else label_column or "label"
    columns = Columns(
        image=image_column,
        label=label,
        group=group_column,
        mask=mask_column,
        section=section_column,
        slice=slice_column,
        labels=tuple(label_columns),
        study=study_column,
    )
    table.require(columns.options())
    group_column = group_column or study_column
    columns = columns._replace(group=group_column)
    entries, names = read_entries(table, columns, classes, slice_base)
    folders = ImageFolder(images, out), ImageFolder(masks, out)
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    used = _usable(table, entries, *folders, left_out, skip_bad=skip_bad)
    places = {"images": (images, out / "images"), "masks": (masks, out / "masks")}
    items = [_item(each_, places, out, copied=copy) for each_ in used]
    sections = _sections(
        used, items, fractions, seed, left_out, given=section_column is not None, grouped=group_column is not None
    )
    contents: dict[str, Any] = {
        "name": table.file.stem,
        "classes": names,
        "sections": sections,
        "provenance": {
            **table.origin,
            "counts": {"lines": len(entries), "items": len(items)},
            "split": {"by": section_column}
            if section_column
            else {"by": group_column or "image", "fractions": list(fractions), "seed": seed},
        },
        "left_out": left_out,
    }
    if not copy:
        return deliver(out, dry_run=dry_run, **contents)
    for _, target in places.values():
        refuse_overlap(target, images, masks)
    return deliver(out, place_files=partial(_copy, used, places, out), dry_run=dry_run, **contents)


def _copy(used: Sequence[_Used], places: Mapping[str, tuple[Path, Path]], out: Path) -> None:
    """Images and masks into the folders below `out`: all of them, or none."""
    with ExitStack() as stack:
        mine = placed_before(out)
        drafts = {kind: stack.enter_context(whole_folder(target, mine)) for kind, (_, target) in places.items()}
        wanted = {(one.image, "images") for one in used} | {(one.mask, "masks") for one in used if one.mask}
        tasks = [(path, drafts[kind] / path.relative_to(places[kind][0])) for path, kind in sorted(wanted)]
        each(lambda task: copy_file(*task), tasks, "copying")


def _usable(
    table: Table,
    entries: Sequence[Entry],
    images: ImageFolder,
    masks: ImageFolder,
    left_out: defaultdict[str, list[str]],
    *,
    skip_bad: bool,
) -> list[_Used]:
    """The entries with their files, one for each image and slice, in the order of their names."""
    problems: list[str] = []

    def look_up(folder: ImageFolder, name: str, line: int, reason: str) -> Path | None:
        try:
            return folder[name]
        except ValueError as error:
            problems.append(f"line {line}: {error}")
            left_out[reason].append(name)
            return None

    found = []
    for entry in entries:
        image = look_up(images, entry.image, entry.line, "images missing")
        mask = look_up(masks, entry.mask, entry.line, "masks missing, their images kept") if entry.mask else None
        if image:
            found.append(_Used(entry, image, mask))
    contents = examine(sorted({one.image for one in found}))
    inside = examine(sorted({one.mask for one in found if one.mask}), masks=True)
    used = []
    for one in found:
        name = images.name_of(one.image)
        fault = _fault(contents[one.image], one.entry)
        if fault is None:
            used.append(_with_good_mask(one, contents[one.image], inside, name, left_out))
            continue
        if fault.stops:
            problems.append(f"line {one.entry.line}: {name}: {fault.reason}")
        left_out[fault.reason].append(name)
    if problems and not skip_bad:
        raise DatalistError(table.file, [*problems, "correct these lines, or leave them out with --skip-bad"])
    return _one_each(table, used, images)


def _fault(contents: Contents | Fault, entry: Entry) -> Fault | None:
    """Why an image, or the slice that is wanted of it, cannot be used."""
    if isinstance(contents, Fault):
        return contents
    count = contents.slices
    if entry.slice is None:
        advice = "name one in a --slice-column, or, for knee MR, use data_prep.knee_mri"
        return Fault(f"a volume of {count} slices: {advice}", stops=True) if count > 1 else None
    if entry.slice >= max(count, 1):
        return Fault(f"slice {entry.slice} (from 0) does not exist, it has {count} slices", stops=True)
    return None


def _with_good_mask(
    one: _Used,
    contents: Contents | Fault,
    inside: Mapping[Path, Contents | Fault],
    name: str,
    left_out: defaultdict[str, list[str]],
) -> _Used:
    mask = inside[one.mask] if one.mask else None
    if mask is None or isinstance(contents, Fault):
        return one
    if isinstance(mask, Fault):
        left_out[f"masks {mask.reason}, their images kept"].append(name)
    elif len(mask.size) == len(contents.size) and sorted(mask.size) != sorted(contents.size):
        left_out["masks of another size, their images kept"].append(name)
    else:
        return one
    return one._replace(mask=None)


def _one_each(table: Table, used: Sequence[_Used], images: ImageFolder) -> list[_Used]:
    """Lines that say the same again count once; those that say something else are an error."""
    first: dict[tuple[Path, int | None], _Used] = {}
    problems = []
    for one in used:
        other = first.setdefault((one.image, one.entry.slice), one)
        if other.entry[2:] != one.entry[2:]:
            slice_ = "" if one.entry.slice is None else f", slice {one.entry.slice} (from 0),"
            problems.append(
                f"line {one.entry.line}: {images.name_of(one.image)}{slice_} is not what line {other.entry.line} says "
                "it is: remove one of them"
            )
    if problems:
        raise DatalistError(table.file, problems)
    return [one for _, one in sorted(first.items(), key=lambda pair: (pair[0][0].as_posix(), pair[0][1] or 0))]


def _item(one: _Used, places: Mapping[str, tuple[Path, Path]], out: Path, *, copied: bool) -> dict[str, Any]:
    """The item; its id does not depend on where the files are."""

    def place(path: Path, kind: str) -> str:
        source, target = places[kind]
        return relative(target / path.relative_to(source) if copied else path, out)

    entry, name = one.entry, one.image.relative_to(places["images"][0]).as_posix()
    item = {
        "image": place(one.image, "images"),
        "slice": entry.slice,
        "label": entry.label,
        "mask": place(one.mask, "masks") if one.mask else None,
        "group": entry.group,
        "study": entry.study,
        "id": item_id(name, entry.slice),
    }
    return {key: value for key, value in item.items() if value is not None}


def _sections(
    used: Sequence[_Used],
    items: Items,
    fractions: Sequence[float],
    seed: int,
    left_out: defaultdict[str, list[str]],
    *,
    given: bool,
    grouped: bool,
) -> dict[str, Items]:
    if given:
        pairs = list(zip(used, items, strict=True))
        return {name: [item for one, item in pairs if one.entry.section == name] for name in SECTIONS}
    sections, held_back = split(items, fractions, seed)
    left_out[HELD_BACK] += [item["id"] for item in held_back]
    if not grouped:
        print("split by image: name what belongs together (a person, a lesion) with --group-column")
    return sections


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("data_prep.from_csv", _HELP, __doc__)
    parser.add_argument("--csv", type=Path, required=True, help="the table: a line for each image, or slice of one")
    parser.add_argument("--images", type=Path, required=True, help="the folder that the images lie below")
    command.add_out(parser)
    for field, meaning in _OPTIONS.items():
        default = "image" if field == "image" else None
        parser.add_argument(f"--{field}-column", default=default, metavar="NAME", help=f"the column with {meaning}")
    parser.add_argument(
        "--label-columns", nargs="+", default=(), metavar="NAME", help="a column of 0 and 1 for each class"
    )
    command.add_slice_base(parser)
    parser.add_argument("--masks", type=Path, metavar="FOLDER", help="where the masks lie; default the images' folder")
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="the classes; default what the labels show")
    command.add_split(parser, "group")
    parser.add_argument("--copy", action="store_true", help="copy the files too; otherwise the datalist points to them")
    parser.add_argument("--skip-bad", action="store_true", help="leave out what is missing or unfit, and report it")
    command.add_dry_run(parser)
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
