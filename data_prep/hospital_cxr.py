"""A hospital's own radiographs with boxes around fractures, as a datalist that the fracture bundle can use.

    python -m data_prep.hospital_cxr --images FOLDER --boxes boxes.csv --out FOLDER

Images are DICOM (CR, DX), PNG or JPEG files below FOLDER. Boxes are a COCO file (.json), or a table with a line for
each box, in pixels of the image as it is stored:

    image,x0,y0,x1,y1
    chest/0001.dcm,812,1034,901,1100
    chest/0002.dcm,,,,

An image is a path below FOLDER, or the last parts of one, with or without the file's ending. An image of the COCO file
or the table that has no box is a negative, and so is one that --negatives lists; images that neither names are not
used. Positives become P_hos in training, negatives N_hos.

Patients are not split. They are the PatientID of the DICOM files, or what --patient-column says: a column of the
tables, or the name of a value in each image's entry of the COCO file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep import command
from data_prep.annotations import Naming, add_naming, read_annotated
from data_prep.box_rows import Columns, read_boxes
from data_prep.boxes import Annotated, Box, fitted
from data_prep.dicom_series import read_header
from data_prep.faults import Fault
from data_prep.fracture_roles import CLASSES, with_role
from data_prep.images import ImageFolder, examine
from data_prep.placing import relative
from data_prep.report import deliver
from data_prep.sections import FRACTIONS, Items, check_fractions
from data_prep.tables import read_table
from semimed_monai.data import DatalistError, split_by_group
from semimed_monai.data.datalist import SECTIONS
from semimed_monai.data.find import NIFTI, PICTURES
from semimed_monai.files import digest_of

_HELP = "Write a datalist of your own radiographs (DICOM, PNG, JPEG) and the boxes around their fractures."


class _Refused:
    """What is not used: problems, which their owner has to decide about, and all of it by reason."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.left_out: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, entry: Annotated, reason: str, problem: str, *, stops: bool = True) -> None:
        self.left_out[reason].append(entry.name)
        if stops:
            self.problems.append(f"{entry.where}: {problem}")


def prepare(
    images: str | Path,
    boxes: str | Path,
    out: str | Path,
    *,
    negatives: str | Path | None = None,
    image_column: str = "image",
    corner_columns: Sequence[str] | None = None,
    size_columns: Sequence[str] | None = None,
    categories: Sequence[str] = (),
    patient_column: str | None = None,
    by_image: bool = False,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    skip_bad: bool = False,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json` and print its table; the same files and settings give the same bytes.

    Pictures are opened to the last byte, of DICOM the headers are read. A broken image is left out; it is printed by
    name, and stands in the datalist's provenance. A box that reaches over the border by up to a pixel is cut there.

    Example:
        >>> prepare("films", "boxes.json", "datasets/ribs", categories=["rib fracture"])  # doctest: +SKIP
        PosixPath('datasets/ribs/datalist.json')

    Args:
        images: the folder that the images lie below.
        boxes: a COCO file (.json) or a CSV table.
        out: the dataset folder to write.
        negatives: a CSV table of more images, all without a lesion.
        image_column: the tables' name for the image.
        corner_columns: the table's names for x0, y0, x1 and y1, in pixels; by default these, or those of the sizes.
        size_columns: in their place, the names for x, y, width and height.
        categories: the COCO file's categories whose boxes count; an image with boxes of others only is a negative.
        patient_column: who an image is of; by default the PatientID of the DICOM file.
        by_image: take each image of which nobody knows the patient for one of a patient by itself.
        fractions: of training, validation and test; patients are not split, classes are spread alike.
        seed: decides which patient goes where.
        skip_bad: leave out images that are not there, or whose boxes are wrong, in place of refusing all for them.
        dry_run: only print what would be written.

    Raises:
        DatalistError: all that is wrong with the boxes' file and the images that it names.
        ValueError: the table's columns, settings without sense, or one of the two classes is not there.
        FileNotFoundError: no such file or folder.
    """
    images, out, boxes = Path(images).resolve(), Path(out).resolve(), Path(boxes).resolve()
    check_fractions(fractions)
    entries = read_annotated(boxes, Naming(image_column, corner_columns, size_columns, categories, patient_column))
    if negatives is not None:
        more = read_table(Path(negatives).resolve())
        columns = Columns(image_column, patient=patient_column)
        more.require(columns.options())
        entries += read_boxes(more, columns)
    refused = _Refused()
    items = _items(entries, ImageFolder(images, out), out, refused, by_image=by_image)
    if refused.problems and not skip_bad:
        advice = "correct these, or leave these images out with --skip-bad"
        raise DatalistError(boxes, [*refused.problems, advice])
    _check_enough(boxes, items)
    sections = split_by_group(items, dict(zip(SECTIONS, fractions, strict=True)), seed)
    sections["training"] = [with_role(item, "hos") for item in sections["training"]]
    sources = {"boxes": boxes, "negatives": Path(negatives) if negatives is not None else None}
    digests = {name: {"file": file.name, "sha256": digest_of(file)} for name, file in sources.items() if file}
    split = {"by": patient_column or "PatientID", "by_image": by_image, "fractions": list(fractions), "seed": seed}
    return deliver(
        out,
        name=images.name,
        classes=CLASSES,
        sections=sections,
        provenance={
            **digests,
            "categories": list(categories),
            "counts": {"listed": len(entries), "items": len(items)},
            "split": split,
        },
        left_out=refused.left_out,
        dry_run=dry_run,
    )


def _items(entries: Sequence[Annotated], folder: ImageFolder, out: Path, refused: _Refused, *, by_image: bool) -> Items:
    """An item for each image that can be used, in the order of their names."""
    found = _found(entries, folder, refused)
    boxes = _boxes(found, folder, refused)
    items = []
    for path, entry in found.items():
        if path not in boxes:
            continue
        name, patient = folder.name_of(path), entry.patient or _patient(path)
        if not (patient or by_image):
            advice = "give --patient-column, or --by-image if no two images are of one patient"
            refused.add(entry, "of an unknown patient", f"{name} is of an unknown patient: {advice}")
            continue
        item = {"image": relative(path, out), "label": int(bool(boxes[path])), "group": patient or name, "id": name}
        items.append({**item, "boxes": boxes[path]} if boxes[path] else item)
    return items


def _found(entries: Sequence[Annotated], folder: ImageFolder, refused: _Refused) -> dict[Path, Annotated]:
    """The entries of files that are there, by the file, in the order of their names."""
    named: defaultdict[Path, list[Annotated]] = defaultdict(list)
    for entry in entries:
        try:
            named[folder[entry.name]].append(entry)
        except ValueError as error:
            refused.add(entry, "images missing", str(error))
    for path, same in named.items():
        if path.is_dir():
            refused.add(same[0], "folders", f"{same[0].name} is a folder: name the file of the radiograph")
        elif len(same) > 1:
            said = f"{folder.name_of(path)} is also in {same[1].where}: remove one of them"
            refused.add(same[0], "images that are there twice", said)
    return {path: same[0] for path, same in sorted(named.items()) if len(same) == 1 and not path.is_dir()}


def _boxes(found: Mapping[Path, Annotated], folder: ImageFolder, refused: _Refused) -> dict[Path, list[Box]]:
    """The boxes of each file that is a whole radiograph, and inside of which they lie."""
    usable = {}
    for path, contents in examine(list(found)).items():
        entry, name = found[path], folder.name_of(path)
        if isinstance(contents, Fault):
            refused.add(entry, contents.reason, f"{name}: {contents.reason}", stops=contents.stops)
        elif contents.slices > 1:
            refused.add(entry, "of several slices", f"{name} has {contents.slices} slices: name a radiograph")
        elif isinstance(boxes := fitted(entry, (contents.size[0], contents.size[1])), str):
            refused.add(entry, "boxes that do not fit their image", f"{name}: {boxes}")
        else:
            usable[path] = boxes
    return usable


def _patient(file: Path) -> str:
    """The PatientID of a DICOM file; "" where there is none."""
    if file.name.lower().endswith((*PICTURES, *NIFTI)):
        return ""
    header = read_header(file)
    return "" if isinstance(header, Fault) else header.patient


def _check_enough(source: Path, items: Sequence[Mapping[str, Any]]) -> None:
    labels = {item["label"] for item in items}
    if 1 not in labels:
        raise ValueError(f"{source}: no image with a box can be used: look at what was left out, or at --categories")
    if 0 not in labels:
        raise ValueError(f"{source}: every image has a box: list images without a fracture with --negatives")
    if len(patients := {item["group"] for item in items}) == 1:
        said = f"all images are of one patient ({patients.pop()!r}), as if made anonymous"
        raise ValueError(f"{source}: {said}: give --patient-column, so that they can be split")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("data_prep.hospital_cxr", _HELP, __doc__)
    parser.add_argument("--images", type=Path, required=True, help="the folder that the images lie below")
    parser.add_argument("--boxes", type=Path, required=True, help="a COCO file (.json), or a CSV table of boxes")
    command.add_out(parser)
    parser.add_argument("--negatives", type=Path, metavar="CSV", help="a table of more images, all without a fracture")
    add_naming(parser, "a fracture")
    parser.add_argument("--patient-column", metavar="NAME", help="who an image is of; default the DICOM's PatientID")
    parser.add_argument(
        "--by-image", action="store_true", help="take images whose patient nobody knows for one patient each"
    )
    command.add_split(parser, "patient")
    parser.add_argument("--skip-bad", action="store_true", help="leave out what is missing or unfit, and report it")
    command.add_dry_run(parser)
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
