"""MIMIC-CXR-JPG: the frontal chest radiographs whose reports say whether there is a fracture, for training.

    python -m data_prep.mimic_cxr --source mimic-cxr-jpg --out FOLDER

The source is the folder with the published files, packed (.gz) or not:

    mimic-cxr-2.0.0-metadata.csv.gz     dicom_id, subject_id, study_id, ViewPosition: PA and AP are used
    mimic-cxr-2.0.0-chexpert.csv.gz     the labels of each study
    mimic-cxr-2.0.0-split.csv.gz        train, validate or test
    files/p10/p10000032/s50414267/<dicom_id>.jpg

The column "Fracture" is 1 for a positive, 0 for a negative, -1 where the report is uncertain (--uncertain), and blank
where it does not mention any (--blank). Not mentioned is a negative if the report was read at all, that is, if "No
Finding" or any other observation of the study has a value: --blank reported. With --blank no-finding it is one only
beside "No Finding" = 1, with --blank drop never. Which bone is broken, and how long ago, the labels do not say. All
films of a study have its label. Of the published splits only train is used, unless --splits says otherwise, and none of
a patient who is in one of the others, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from data_prep import command
from data_prep.chexpert import OBSERVATIONS, Blank, add_labels, fracture
from data_prep.public_cxr import NEGATIVES, Film, Rule, add_public, deliver_films, public_table, read_films, require
from data_prep.tables import Row, Table

SPLITS = ("train", "validate", "test")
_NAME = "mimic-cxr-2.0.0-{}.csv"
_FRONTAL = ("PA", "AP")
_HELP = "Write a datalist of MIMIC-CXR-JPG's frontal films with and without a fracture, for training."
_ORIGIN = {
    "source": "MIMIC-CXR-JPG 2, PhysioNet, doi:10.13026/8360-t248",
    "licence": "PhysioNet credentialed health data licence 1.5.0",
    "cite": ["Johnson et al.: MIMIC-CXR-JPG. arXiv:1901.07042 (2019)"],
}


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    uncertain: Rule = "drop",
    blank: Blank = "reported",
    splits: Sequence[str] = SPLITS[:1],
    negatives: float = NEGATIVES,
    seed: int = 0,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json` and print its table; the same source and settings give the same bytes.

    Example:
        >>> prepare("mimic-cxr-jpg", "datasets/mimic")  # doctest: +SKIP
        PosixPath('datasets/mimic/datalist.json')

    Args:
        source: the folder with the published files.
        out: the dataset folder to write.
        uncertain: what -1 is taken for.
        blank: when a report that does not mention fractures is a negative.
        splits: those of the published splits that are used.
        negatives: at most so many for each positive.
        seed: decides which.
        dry_run: only print what would be written.

    Raises:
        DatalistError: lines that cannot be understood.
        ValueError: the source is not of the published form.
    """
    source, out = Path(source).resolve(), Path(out).resolve()
    films, labels, parts = (public_table(source, _NAME.format(kind)) for kind in ("metadata", "chexpert", "split"))
    require(films, ("dicom_id", "subject_id", "study_id", "ViewPosition"))
    require(labels, ("subject_id", "study_id", *OBSERVATIONS))
    require(parts, ("dicom_id", "subject_id", "split"))
    studies = {(row.cells["subject_id"], row.cells["study_id"]): row.cells for row in labels.rows}
    split_of = {row.cells["dicom_id"]: row.cells["split"] for row in parts.rows}
    reserved = _reserved(parts, splits)

    def read(row: Row) -> Film | str:
        name, subject, study = (row.cells[column] for column in ("dicom_id", "subject_id", "study_id"))
        if not (name and subject and study):
            raise ValueError("dicom_id, subject_id and study_id must be there: take the published table")
        if row.cells["ViewPosition"] not in _FRONTAL:
            return "of another view than PA and AP"
        if split_of.get(name) not in splits:
            return "in another split"
        if subject in reserved:
            return "of patients who are in another split, too"
        if (subject, study) not in studies:
            return "of studies without labels"
        found = fracture(studies[subject, study], uncertain, blank)
        file = source / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}" / f"{name}.jpg"
        return found if isinstance(found, str) else Film(name, (file,), f"p{subject}", found)

    tables = {table.file.name: table.origin["table_sha256"] for table in (films, labels, parts)}
    return deliver_films(
        read_films(films, read),
        source,
        out,
        name="mimic_cxr",
        provenance={
            **_ORIGIN,
            "tables_sha256": tables,
            "rules": {"uncertain": uncertain, "blank": blank, "splits": list(splits)},
        },
        negatives=negatives,
        seed=seed,
        dry_run=dry_run,
    )


def _reserved(parts: Table, splits: Sequence[str]) -> set[str]:
    """The patients who are in a split that is not used."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in parts.rows:
        found[row.cells["split"]].add(row.cells["subject_id"])
    if unknown := sorted({*splits} - {*found}):
        raise ValueError(f"{parts.file} has no split {', '.join(unknown)}; it has {', '.join(sorted(found))}")
    return {patient for name, patients in found.items() if name not in splits for patient in patients}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("data_prep.mimic_cxr", _HELP, __doc__)
    add_public(parser, "the folder with the tables and files/")
    add_labels(parser)
    parser.add_argument(
        "--splits", nargs="+", choices=SPLITS, default=SPLITS[:1], help="the published splits to use; default train"
    )
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
