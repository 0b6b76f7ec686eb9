"""Knee MR images as they come from the scanner or an archive, and a table of slice grades, as a datalist.

    python -m data_prep.knee_mri --source TREE --grades grades.csv --out FOLDER

The tree holds DICOM series or NIfTI volumes in folders of any depth. Each line of the table is a slice:

    subject,volume,slice,grade
    p001,p001/sag_pd,11,partial

`subject` is what is not split between the sections: a folder's name or the PatientID, or the table's own name for a
person whom the tree does not name. `volume` is a path below the tree or its last parts, or a series' UID, description
or number. `slice` counts along the left-right axis: a series by ImagePositionPatient, along row x column; a NIfTI file
as it is stored. A line without a grade is a slice to learn from without a label (without a slice, too: the whole
volume), and so is every slice of a volume that the table does not name. Other slices of graded volumes are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from data_prep import command
from data_prep.knee_grades import DROPPED, Columns, Grades, match
from data_prep.knee_volumes import Found, Refusal, Volume, find_volumes
from data_prep.placing import link_or_copy, placed_before, refuse_overlap, relative
from data_prep.progress import each
from data_prep.report import deliver
from data_prep.sections import FRACTIONS, HELD_BACK, Items, check_fractions, split
from data_prep.tables import read_table
from semimed_monai.data import DatalistError
from semimed_monai.files import whole_folder
from semimed_monai.vocabulary import item_id

CLASSES = ("normal", "partial", "full")
SORTED = "series"
_HELP = "Write a datalist of knee MR slices: DICOM series or NIfTI volumes in a tree of folders, and a CSV of grades."
_BACKWARDS = "series whose instance numbers are not in the order of their positions (slice counts positions)"
_PASSED_BY = "slices of graded volumes that the table does not name"


def prepare(
    source: str | Path,
    grades: str | Path,
    out: str | Path,
    *,
    subject_column: str = "subject",
    volume_column: str = "volume",
    slice_column: str = "slice",
    grade_column: str = "grade",
    slice_base: int = 0,
    classes: Sequence[str] = CLASSES,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    exclude: Sequence[str] = (),
    skip_bad: bool = False,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json` and print its table; the same files, table and settings give the same bytes.

    Only headers are read. A series that shares its folder is sorted into `out/series/UID`, by hard link, or by copy
    where there are none. Whatever is no sagittal grey volume (localisers, reports, other planes) is left out, printed
    by name, and stands in the datalist's provenance.

    Example:
        >>> prepare("scans", "grades.csv", "datasets/knees")  # doctest: +SKIP
        PosixPath('datasets/knees/datalist.json')

    Args:
        source: the tree.
        grades: the CSV table.
        out: the dataset folder to write.
        subject_column: the table's name for the subject.
        volume_column: for the volume.
        slice_column: for the slice.
        grade_column: for the grade.
        slice_base: the number of the first slice in the table, 0 or 1.
        classes: the grades' names, in order; the table has names, or indices where no name is a number.
        fractions: of training, validation and test; subjects are not split, grades are spread alike.
        seed: decides which subject goes where.
        exclude: patterns of paths below the tree that are not looked at.
        skip_bad: leave out volumes that are broken (with their grades) in place of refusing the tree for them.
        dry_run: only print what would be written.

    Raises:
        DatalistError: all that is wrong with the tree, or with the table's lines.
        ValueError: the table's columns, or settings without sense.
        FileNotFoundError: no such tree or table.
    """
    source, out = Path(source).resolve(), Path(out).resolve()
    check_fractions(fractions)
    table = read_table(Path(grades).resolve())
    columns = Columns(subject_column, volume_column, slice_column, grade_column)
    table.require({f"--{field}-column": column for field, column in columns._asdict().items()})
    written = [out / SORTED, out / "datalist.json"] if out == source else [out]  # by an earlier run
    found = _found(source, [*written, table.file], exclude, skip_bad=skip_bad)
    known = match(table, columns, found, classes=classes, base=slice_base, skip_bad=skip_bad)
    items = [item for volume in found.volumes for item in _items(volume, known, out)]
    sections, held_back = split(items, fractions, seed)
    contents: dict[str, Any] = {
        "name": "knee_mri",
        "classes": list(classes),
        "sections": sections,
        "provenance": {
            **table.origin,
            "counts": {"volumes": len(found.volumes), "graded": len(known.slices), "slices": len(items)},
            "split": {"by": "subject", "fractions": list(fractions), "seed": seed},
        },
        "left_out": _left_out(found, known, held_back),
        "notes": ["only headers were read: training opens every file before it starts, pixels too"],
    }
    shared = [volume for volume in found.volumes if volume.files]
    if not shared:
        return deliver(out, dry_run=dry_run, **contents)
    refuse_overlap(out / SORTED, source)
    if dry_run:
        print(f"{len(shared)} series that share folders would be sorted into {out / SORTED}")
    return deliver(out, place_files=partial(_sort, shared, out), dry_run=dry_run, **contents)


def _found(source: Path, without: Sequence[Path], exclude: Sequence[str], *, skip_bad: bool) -> Found:
    """The tree's volumes; an error if it has none, or a broken one."""
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: there is no such folder: give the tree with the volumes")
    found = find_volumes(source, without=without, exclude=exclude)
    stops = [_said(refusal) for refusal in found.refused if refusal.fault.stops]
    if stops and not skip_bad:
        raise DatalistError(
            source, [*stops, "mend these files, or leave their volumes out with --exclude or --skip-bad"]
        )
    if not found.volumes:
        reasons = "; ".join(sorted({refusal.fault.reason for refusal in found.refused})) or "it is empty"
        raise ValueError(f"{source} has no knee volume that can be used: {reasons}")
    return found


def _said(refusal: Refusal) -> str:
    files = refusal.files
    return f"{files[0] if len(files) == 1 else f'{files[0]} and {len(files) - 1} more'}: {refusal.fault.reason}"


def _items(volume: Volume, known: Grades, out: Path) -> Items:
    """An item for each slice that the table names, or, unlabelled, for all slices of another volume."""
    image = out / SORTED / volume.image if volume.files else volume.image
    slices = known.slices.get(volume.name) or dict.fromkeys(range(volume.slices))
    return [
        {
            "image": relative(image, out),
            "slice": place,
            **({} if grade is None else {"label": grade}),
            "group": known.subjects[volume.name],
            "id": item_id(volume.name, place),
        }
        for place, grade in sorted(slices.items())
    ]


def _left_out(found: Found, known: Grades, held_back: Items) -> dict[str, list[str]]:
    """Reason -> names of files, slices and volumes."""
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    for refusal in found.refused:
        left_out[refusal.fault.reason] += refusal.files
    for volume in found.volumes:
        if passed_by := volume.slices - len(known.slices.get(volume.name, range(volume.slices))):
            left_out[_PASSED_BY].append(f"{volume.name} ({passed_by})")
        if volume.backwards:
            left_out[_BACKWARDS].append(volume.name)
    left_out[DROPPED] += known.dropped
    left_out[HELD_BACK] += [item["id"] for item in held_back]
    return left_out


def _sort(volumes: Sequence[Volume], out: Path) -> None:
    """Each series into a folder of its own, its files named in the order of the slices; says how."""
    with whole_folder(out / SORTED, placed_before(out)) as draft:
        tasks = []
        for volume in volumes:
            place = draft / volume.image
            place.mkdir()
            tasks += [(file, place / f"{number:05d}.dcm") for number, file in enumerate(volume.files)]
        linked = each(lambda task: link_or_copy(*task), tasks, "sorting series")
    how = "hard links" if all(linked) else "copies" if not any(linked) else "hard links and copies"
    print(f"{len(volumes)} series that share folders are sorted, as {how}, into {out / SORTED}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("data_prep.knee_mri", _HELP, __doc__)
    parser.add_argument("--source", type=Path, required=True, help="the tree of DICOM series or NIfTI volumes")
    parser.add_argument("--grades", type=Path, required=True, help="the CSV table: a line for each graded slice")
    command.add_out(parser)
    for field, default in Columns()._asdict().items():
        name = f"--{field}-column"
        parser.add_argument(name, default=default, metavar="NAME", help=f"the table's name for it; default {default}")
    command.add_slice_base(parser)
    parser.add_argument(
        "--classes", nargs="+", default=CLASSES, metavar="CLASS", help=f"the grades; default {' '.join(CLASSES)}"
    )
    command.add_split(parser, "subject")
    parser.add_argument(
        "--exclude", nargs="+", default=(), metavar="PATTERN", help="paths to pass by, such as '*_mask.nii.gz'"
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave out broken volumes, and report them")
    command.add_dry_run(parser)
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
