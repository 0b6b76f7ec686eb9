"""CheXpert: the frontal chest radiographs whose reports say whether there is a fracture, for training as public images.

    python -m data_prep.chexpert --source CheXpert-v1.0 --out FOLDER

The source is the folder with train.csv, and the images in train/patient00001/study1/view1_frontal.jpg; or the one with
the published batches ("CheXpert-v1.0 batch 2 (train 1)" and so on) beside each other.

    column "Fracture"    1 positive, 0 negative, -1 uncertain (--uncertain), blank not mentioned (--blank)

Not mentioned is a negative if the report was read at all, that is, if "No Finding" or any other observation of its line
has a value: --blank reported. With --blank no-finding it is one only beside "No Finding" = 1, with --blank drop never.
Which bone is broken, and how long ago, the labels do not say. Lateral films are not used, nor those of patients who are
in valid.csv, too.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from data_prep import command
from data_prep.public_cxr import (
    NEGATIVES,
    RULES,
    Film,
    Rule,
    add_public,
    add_rule,
    deliver_films,
    public_table,
    read_films,
    require,
)
from data_prep.tables import Row

OBSERVATIONS = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other"),
    *("Fracture", "Support Devices"),
)
Blank = Literal["reported", "no-finding", "drop"]
_VALUES = {"": None, **{form: value for value in (1, 0, -1) for form in (str(value), f"{value}.0")}}
_PATH = re.compile(r"(?:^|/)(?P<patient>patient\d+)/(?P<study>study\d+)/(?P<view>[^/]+)$")
_BATCHES = "*batch*(*train*)"
_HELP = "Write a datalist of CheXpert's frontal films with and without a fracture, for training."
_ORIGIN = {
    "source": "CheXpert v1.0, Stanford ML Group",
    "licence": "Stanford University dataset research use agreement",
    "cite": ["Irvin et al.: CheXpert. AAAI 33, 590-597 (2019)"],
}


def fracture(cells: Mapping[str, str], uncertain: Rule, blank: Blank) -> bool | str:
    """Whether CheXpert's labels of a report say that there is a fracture; or why they do not.

    >>> seen = {**dict.fromkeys(OBSERVATIONS, ""), "Edema": "1.0"}
    >>> fracture({**seen, "Fracture": "1.0"}, "drop", "reported"), fracture(seen, "drop", "reported")
    (True, False)
    >>> fracture(seen, "drop", "no-finding")
    'not mentioned'

    Raises:
        ValueError: a value that is none of a label's.
    """
    for column in OBSERVATIONS:
        if cells[column] not in _VALUES:
            raise ValueError(f"{column} {cells[column]!r} must be 1.0, 0.0, -1.0 or empty: take the published table")
    value = _VALUES[cells["Fracture"]]
    if value == -1:
        ruled = RULES[uncertain]
        return "uncertain" if ruled is None else ruled
    if value is not None:
        return value == 1
    read = {
        "reported": any(cells[column] for column in OBSERVATIONS),
        "no-finding": _VALUES[cells["No Finding"]] == 1,
        "drop": False,
    }
    return False if read[blank] else "not mentioned"


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    uncertain: Rule = "drop",
    blank: Blank = "reported",
    negatives: float = NEGATIVES,
    seed: int = 0,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json` and print its table; the same source and settings give the same bytes.

    Example:
        >>> prepare("CheXpert-v1.0", "datasets/chexpert")  # doctest: +SKIP
        PosixPath('datasets/chexpert/datalist.json')

    Args:
        source: the folder with the published files.
        out: the dataset folder to write.
        uncertain: what -1 is taken for.
        blank: when a report that does not mention fractures is a negative.
        negatives: at most so many for each positive.
        seed: decides which.
        dry_run: only print what would be written.

    Raises:
        DatalistError: lines that cannot be understood.
        ValueError: the source is not of the published form.
    """
    source, out = Path(source).resolve(), Path(out).resolve()
    folder = next((file.parent for file in sorted(source.glob("*/train.csv"))), source)
    folder = source if (source / "train.csv").is_file() else folder
    table = public_table(folder, "train.csv")
    require(table, ("Path", "Frontal/Lateral", *OBSERVATIONS))
    reserved = _patients(folder / "valid.csv")
    places = [source / "train", *sorted(source.glob(_BATCHES))]

    def read(row: Row) -> Film | str:
        patient, study, view = _parts(row.cells["Path"])
        if row.cells["Frontal/Lateral"] != "Frontal":
            return "lateral"
        if patient in reserved:
            return "of patients who are in valid.csv"
        found = fracture(row.cells, uncertain, blank)
        files = tuple(place / patient / study / view for place in places)
        return found if isinstance(found, str) else Film(f"{patient}/{study}/{view}", files, patient, found)

    return deliver_films(
        read_films(table, read),
        source,
        out,
        name="chexpert",
        provenance={**_ORIGIN, **table.origin, "rules": {"uncertain": uncertain, "blank": blank}},
        negatives=negatives,
        seed=seed,
        dry_run=dry_run,
    )


def _parts(path: str) -> tuple[str, str, str]:
    found = _PATH.search(path)
    if not found:
        raise ValueError(f"Path {path!r} must end like patient00001/study1/view1_frontal.jpg: take the published table")
    return found["patient"], found["study"], found["view"]


def _patients(file: Path) -> set[str]:
    """Those of valid.csv, which is for evaluation; nobody, where it is not there."""
    if not file.is_file():
        return set()
    table = public_table(file.parent, file.name)
    require(table, ("Path",))
    return {_parts(row.cells["Path"])[0] for row in table.rows}


def add_labels(parser: argparse.ArgumentParser) -> None:
    """--uncertain and --blank, for sets that have CheXpert's labels."""
    add_rule(parser, "--uncertain", "what a label of -1 is taken for")
    parser.add_argument(
        "--blank",
        choices=get_args(Blank),
        default="reported",
        help="when a report that does not mention fractures is a negative; default reported",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("data_prep.chexpert", _HELP, __doc__)
    add_public(parser, "the folder with train.csv and the images")
    add_labels(parser)
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
