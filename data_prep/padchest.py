"""PadChest: the frontal chest radiographs whose labels say whether a rib or clavicle is broken, for training.

    python -m data_prep.padchest --source FOLDER --out FOLDER

The source is the folder with PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv (or .csv.gz) and the unpacked images,
in folders named as in the column ImageDir (0, 1, ...) or all beside the table. Of the column Projection PA, AP and
AP_horizontal are used. What the words in the column Labels mean:

    rib fracture, clavicle fracture                  positive
    callus rib fracture                              an old one: as --callus says
    fracture (of an unnamed bone), vertebral fracture, vertebral compression, vertebral anterior compression, humeral
    fracture, and any other word with "fracture"     neither: left out, unless a rib or clavicle is broken, too
    exclude; no label; unchanged or suboptimal study and nothing else          says nothing: left out
    all else, such as normal                         negative

No label is uncertain in this set; but three quarters of the reports were labelled by a network: --method physician
takes only those that a physician labelled (column MethodLabel).
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
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

Method = Literal["all", "physician"]
TABLES = ("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", "PADCHEST_chest_x_ray_images_labels_160K.csv")
COLUMNS = ("ImageID", "ImageDir", "PatientID", "Projection", "MethodLabel", "Labels")
_BROKEN = {"rib fracture", "clavicle fracture"}
_CALLUS = "callus rib fracture"
_OTHER_BONES = {"vertebral compression", "vertebral anterior compression"}
_SAYS_NOTHING = {"unchanged", "suboptimal study"}
_FRONTAL = ("PA", "AP", "AP_horizontal")
_HELP = "Write a datalist of PadChest's frontal films with and without a broken rib or clavicle, for training."
_ORIGIN = {
    "source": "PadChest, BIMCV, labels of 01.02.19",
    "licence": "PadChest dataset research use agreement",
    "cite": ["Bustos et al.: PadChest. Medical Image Analysis 66, 101797 (2020)"],
}


def fracture(labels: set[str], callus: Rule) -> bool | str:
    """Whether the labels say that a rib or clavicle is broken; or why they do not.

    >>> fracture({"rib fracture", "vertebral fracture"}, "drop"), fracture({"normal"}, "drop")
    (True, False)
    >>> fracture({"humeral fracture", "normal"}, "drop")
    'with a fracture of another bone'
    """
    if "exclude" in labels:
        return "to be excluded"
    if labels & _BROKEN:
        return True
    if labels & _OTHER_BONES or any("fracture" in label for label in labels - {_CALLUS}):
        return "with a fracture of another bone"
    if _CALLUS in labels:
        ruled = RULES[callus]
        return "with an old fracture only (callus)" if ruled is None else ruled
    return False if labels - _SAYS_NOTHING else "without a label that says something"


def labels_in(text: str) -> set[str]:
    """The labels of a cell, which holds a list as Python writes it.

    >>> sorted(labels_in("['rib fracture', ' Normal']"))
    ['normal', 'rib fracture']

    Raises:
        ValueError: it is no such list.
    """
    try:
        labels = ast.literal_eval(text) if text and text != "nan" else []
    except (ValueError, SyntaxError):
        labels = None
    if not isinstance(labels, list) or any(not isinstance(label, str) for label in labels):
        raise ValueError(f"Labels {text!r} must be a list such as ['normal']: take the published table")
    return {label.strip().lower() for label in labels} - {""}


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    callus: Rule = "drop",
    method: Method = "all",
    negatives: float = NEGATIVES,
    seed: int = 0,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json` and print its table; the same source and settings give the same bytes.

    Example:
        >>> prepare("PadChest", "datasets/padchest", method="physician")  # doctest: +SKIP
        PosixPath('datasets/padchest/datalist.json')

    Args:
        source: the folder with the published files.
        out: the dataset folder to write.
        callus: what an old rib fracture, and no new one, is taken for.
        method: whose labels are used.
        negatives: at most so many for each positive.
        seed: decides which.
        dry_run: only print what would be written.

    Raises:
        DatalistError: lines that cannot be understood.
        ValueError: the source is not of the published form.
    """
    source, out = Path(source).resolve(), Path(out).resolve()
    table = public_table(source, *TABLES)
    require(table, COLUMNS)

    def read(row: Row) -> Film | str:
        name, folder, patient = (row.cells[column] for column in COLUMNS[:3])
        if not (name and patient):
            raise ValueError("ImageID and PatientID must be there: take the published table")
        if row.cells["Projection"] not in _FRONTAL:
            return "of another projection than PA and AP"
        if method == "physician" and row.cells["MethodLabel"].lower() != method:
            return "not labelled by a physician"
        found = fracture(labels_in(row.cells["Labels"]), callus)
        files = (source / folder.removesuffix(".0") / name, source / name)
        return found if isinstance(found, str) else Film(name, files, patient, found)

    return deliver_films(
        read_films(table, read),
        source,
        out,
        name="padchest",
        provenance={**_ORIGIN, **table.origin, "rules": {"callus": callus, "method": method}},
        negatives=negatives,
        seed=seed,
        dry_run=dry_run,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("data_prep.padchest", _HELP, __doc__)
    add_public(parser, "the folder with the table and the images")
    add_rule(parser, "--callus", "what an old rib fracture, and no new one, is taken for")
    parser.add_argument("--method", choices=get_args(Method), default="all", help="whose labels to use; default all")
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
