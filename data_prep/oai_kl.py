"""Knee radiographs of the Osteoarthritis Initiative (OAI) with Kellgren-Lawrence grades 0 to 4, as a datalist.

    python -m data_prep.oai_kl --source kneeKL224 --out FOLDER
    python -m data_prep.oai_kl --source OAI/00m --readings kXR_SQ_BU00.txt --out FOLDER

The first is for the published set of cut knees (Chen 2018, Mendeley Data 56rmx5bjcr). Its source is the folder with

    train/0/9001695L.png      so train, val and test, the grades 0 to 4, and in them a subject and L or R

of which the published parts are the sections; auto_test is not used. A copy without test has no test section, unless
--test-from val (or train) cuts one out, by subject and alike in grades.

The second is for who has OAI's own films: DICOM files in any folders, radiographs of both knees in one picture at the
baseline (PA, fixed flexion), and the table of the central readings with the columns ID, SIDE, READPRJ and V00XRKL,
separated by | or commas. Of several reading projects 15 comes first, then 37 and 42, then the others. A film is of the
subject whom its PatientID, its folders or its name stand for. Of a subject's films that counts whose AccessionNumber is
the barcode in the table's V00BARCDBU; where no film at all has one of those, that of the first day, and films dated
more than a year after most are named. The right knee is on the left of the picture, unless PatientOrientation says
otherwise. Each knee is found, cut out as a square of --square mm and written as a PNG; what is not found with certainty
is left out by name, and --check draws those that are, the least certain first. All subjects are divided.

OAI's own films were not seen when this was written: what is said of them is from the DICOM standard and from what
others publish, and finding knees was tried on phantoms. Look at what --check draws.

Both knees of a person are one group.

Looked for: MONAI, torchvision and MedMNIST do not have the set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from data_prep import command, pictures
from data_prep.oai_films import FOLDER, Cutting, find_knees, knee_items, write_knees
from data_prep.oai_knee import CLASSES
from data_prep.oai_published import PARTS, read_published
from data_prep.oai_readings import PROJECTS, read_readings
from data_prep.placing import refuse_overlap, relative
from data_prep.report import deliver
from data_prep.sections import FRACTIONS, Divided, Items, check_classes, check_fractions, divide
from semimed_monai.data import split_by_group
from semimed_monai.vocabulary import above_zero, share

TestFrom = Literal["val", "train"]
TESTS_FROM: Sequence[TestFrom] = ("val", "train")
SQUARE = 110.0
"""Millimetres: by the width of their bones the published knees show about 100; so the largest are whole, too."""

TEST_SHARE = 0.2
_HELP = "Write a datalist of OAI's graded knee radiographs: the published cut knees, or your own copy of OAI's films."
_PUBLISHED = {
    "source": "Chen: Knee Osteoarthritis Severity Grading Dataset, Mendeley Data, doi:10.17632/56rmx5bjcr.1",
    "licence": "CC BY 4.0",
    "cite": [
        "Chen et al.: Fully automatic knee osteoarthritis severity grading. Comput. Med. Imaging Graph. 75 (2019)",
    ],
}
_OWN = {
    "source": "Osteoarthritis Initiative, radiographs and central readings at the baseline, nda.nih.gov/oai",
    "licence": "OAI data use agreement",
    "cite": ["Nevitt, Felson, Lester: The Osteoarthritis Initiative, protocol for the cohort study (2006)"],
}


class _Prepared(NamedTuple):
    """What either source has come to, as `deliver` takes it."""

    divided: Divided
    provenance: Mapping[str, Any]
    left_out: Mapping[str, Sequence[str]]
    place: Callable[[], None]


class _CutTest(NamedTuple):
    """Out of which published part a test section is cut, how much of it, and by which seed."""

    part: TestFrom
    share: float
    seed: int


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    readings: str | Path | None = None,
    square: float = SQUARE,
    check: str | Path | None = None,
    fractions: Sequence[float] = FRACTIONS,
    test_from: TestFrom | None = None,
    test_share: float = TEST_SHARE,
    seed: int = 0,
    copy: bool = False,
    resize: int | None = None,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json`, and knees cut out of films, and print its table; the same input gives the same bytes.

    What cannot be used is left out; it is printed by name, and stands in the datalist's provenance.

    Example:
        >>> prepare("kneeKL224", "datasets/knees", test_from="val", test_share=0.5)  # doctest: +SKIP
        PosixPath('datasets/knees/datalist.json')

    Args:
        source: the folder of the published set; with `readings` that of OAI's films.
        out: the dataset folder to write.
        readings: OAI's table of grades at the baseline.
        square: of films: the side of the square around a joint, in mm.
        check: of films: a picture to draw of the knees that were found, the least certain first.
        fractions: of films: of training, validation and test; classes are spread alike.
        test_from: of the published set without its test part: the part out of which a test section is cut by subject.
        test_share: how much of that part.
        seed: decides which subject goes where.
        copy: of the published set: copy the images into `out`; otherwise the datalist points to where they are.
        resize: copy or cut them with this longest side, so that small networks read them faster.
        dry_run: only print what would be written.

    Raises:
        DatalistError: all that is wrong with the folders, the table, or whose films they are.
        ValueError: the source is not of such a form, lacks a grade, or settings without sense.
        FileNotFoundError: there is no such table or folder of films.
    """
    source, out = Path(source).resolve(), Path(out).resolve()
    pictures.check_longest(resize)
    if readings is None:
        of_films = {"--square": square != SQUARE, "--check": check, "--fractions": tuple(fractions) != FRACTIONS}
        _refuse(of_films, "is for OAI's own films: give --readings, too, or leave it out")
        cut_test = None if test_from is None else _CutTest(test_from, share("test_share", test_share), seed)
        prepared = _published(source, out, cut_test, resize, copy=copy or resize is not None)
    else:
        of_published = {"--test-from": test_from, "--test-share": test_share != TEST_SHARE, "--copy": copy}
        _refuse(of_published, "is for the published set: leave it out, or --readings")
        above_zero("square", square)
        cutting = Cutting(square, resize, None if check is None else Path(check).resolve())
        prepared = _own(source, Path(readings).resolve(), out, cutting, fractions, seed)
    return deliver(
        out,
        name="oai_kl",
        classes=CLASSES,
        sections=prepared.divided.sections,
        provenance={
            **prepared.provenance,
            "split": prepared.divided.facts,
            "longest_side": resize or "as it is",
        },
        left_out=prepared.left_out,
        notes=prepared.divided.notes,
        place_files=prepared.place,
        dry_run=dry_run,
    )


def _refuse(given: Mapping[str, object], why: str) -> None:
    """Raise if any of the options, which go with the other source, is given."""
    if options := [option for option, value in given.items() if value]:
        raise ValueError(f"{options[0]} {why}")


def _published(source: Path, out: Path, cut_test: _CutTest | None, resize: int | None, *, copy: bool) -> _Prepared:
    placed = out / "images" if copy else source
    if copy:
        refuse_overlap(placed, source)
    published = read_published(source)
    opened = pictures.examine(source / image.path for image in published.images)
    left_out: defaultdict[str, list[str]] = defaultdict(list, {"files that are no pictures": published.others})
    sections: dict[str, Items] = {section: [] for section in PARTS.values()}
    copies = []
    for image in published.images:
        size = opened[source / image.path]
        if isinstance(size, str):
            left_out["images broken"].append(f"{image.path} ({size})")
        else:
            copies.append(pictures.Copy(source / image.path, placed / image.path, size))
            item = image.knee.item(relative(placed / image.path, out), image.grade)
            sections[PARTS[image.part]].append(item)
    check_classes(source, CLASSES, [item for items in sections.values() for item in items], left_out)
    divided = _with_test(source, sections, cut_test)
    return _Prepared(
        divided._replace(notes=[*published.notes, *divided.notes]),
        {**_PUBLISHED, "counts": {part: _counts(sections[section]) for part, section in PARTS.items()}},
        left_out,
        partial(pictures.copy, copies if copy else [], resize),
    )


def _with_test(source: Path, sections: Mapping[str, Items], cut_test: _CutTest | None) -> Divided:
    """The published parts as sections; and a test section cut out of one of them, if there is none and one is wanted.

    Raises:
        ValueError: there is one, or nothing to cut it out of.
    """
    facts = {"by": "published parts"}
    if cut_test is None:
        return Divided({**sections}, facts, [])
    part, share_of_part, seed = cut_test
    if sections["test"]:
        raise ValueError(f"{source} has the published test part, so leave --test-from out")
    if not sections[PARTS[part]]:
        raise ValueError(f"{source} has no image in {part}/: cut the test section out of train, or unpack it")
    cut = split_by_group(sections[PARTS[part]], {PARTS[part]: 1 - share_of_part, "test": share_of_part}, seed)
    said = f"TEST IS NOT THE PUBLISHED ONE: it is {share_of_part:.1%} of {part}, cut out by subject"
    return Divided({**sections, **cut}, {**facts, "test": said, "seed": seed}, [said])


def _own(source: Path, table: Path, out: Path, cutting: Cutting, fractions: Sequence[float], seed: int) -> _Prepared:
    check_fractions(fractions)
    refuse_overlap(out / FOLDER, source)
    readings = read_readings(table)
    found = find_knees(source, readings)
    items = knee_items(found.cuts, readings.grades)
    check_classes(source, CLASSES, items, found.left_out, "Give the films of more subjects, and this table's")
    divided = divide(items, fractions, seed, group="subject")
    passed_by = dict(sorted(found.passed_by.items()))
    absent, order = len(readings.grades) - len(found.cuts), ", ".join(map(str, PROJECTS))
    notes = [f"passed by: {count} files, {what}" for what, count in passed_by.items()]
    if not found.by_barcode:
        notes.append("a subject's earliest film counts: none has a V00BARCDBU of the table as its AccessionNumber")
    if absent:
        notes.append(f"{absent} of {len(readings.grades)} graded knees are not used: no film of them, or not found")
    if readings.disagreed:
        notes.append(f"where reading projects differ, the first of {order} counts ({len(readings.disagreed)} knees)")
    return _Prepared(
        divided._replace(notes=[*notes, *divided.notes]),
        {
            **_OWN,
            **readings.table.origin,
            "reading_projects": order,
            "square_mm": cutting.side,
            "counts": {"graded": len(readings.grades), "films": found.films, **_counts(items), "passed by": passed_by},
        },
        {**found.left_out, "knees whose grades differ between projects": readings.disagreed},
        partial(write_knees, found.cuts, out, cutting),
    )


def _counts(items: Items) -> dict[str, int]:
    return {"images": len(items), "subjects": len({item["group"] for item in items})}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("data_prep.oai_kl", _HELP, __doc__)
    parser.add_argument("--source", type=Path, required=True, help="the folder with train and val, or of OAI's films")
    parser.add_argument(
        "--readings", type=Path, metavar="TABLE", help="OAI's kXR_SQ_BU00: the source holds OAI's films"
    )
    command.add_out(parser)
    parser.add_argument(
        "--square",
        type=float,
        default=SQUARE,
        metavar="MM",
        help=f"of films: the side around a joint; default {SQUARE:g}",
    )
    parser.add_argument("--check", type=Path, metavar="PNG", help="of films: draw the knees that were found")
    parser.add_argument(
        "--test-from", choices=list(TESTS_FROM), help="published set: cut a test section out of this part"
    )
    parser.add_argument(
        "--test-share", type=float, default=TEST_SHARE, metavar="PART", help=f"of that part; default {TEST_SHARE}"
    )
    command.add_split(parser, "subject")
    command.add_copy(parser)
    command.add_dry_run(parser)
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
