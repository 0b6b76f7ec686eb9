"""What the preparations of public chest radiographs share: a label for each film from its report, and no boxes.

They give training items only, P_pub and N_pub, which data_prep.join_datalists puts beside a hospital's own films.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from data_prep import command, pictures
from data_prep.fracture_roles import CLASSES, IN_PAPER, with_role
from data_prep.placing import relative
from data_prep.progress import each
from data_prep.report import deliver
from data_prep.tables import Row, Table, read_table, repeated, understood
from semimed_monai.data import DatalistError

Rule = Literal["drop", "negative", "positive"]
RULES: Mapping[Rule, bool | None] = {"drop": None, "negative": False, "positive": True}
"""What a label that says neither may be taken for."""

NEGATIVES = round(IN_PAPER["N_pub"] / IN_PAPER["P_pub"], 1)
_TRAINING_ONLY = "training items only: python -m data_prep.join_datalists puts them beside a hospital's own"


class Film(NamedTuple):
    """A frontal film whose report says whether there is a fracture.

    Args:
        name: the set's name for it.
        places: where its file may lie; the first that is there counts.
        patient: whose it is.
        positive: whether there is one.
    """

    name: str
    places: tuple[Path, ...]
    patient: str
    positive: bool


class Films(NamedTuple):
    """What the tables of a set say: the films that can be used, and how many lines cannot, by reason."""

    used: list[Film]
    passed_by: Counter[str]


def read_films(table: Table, read: Callable[[Row], Film | str]) -> Films:
    """A film from each line, or the reason why it is none.

    Raises:
        DatalistError: with each line that cannot be understood, and films that are there twice.
    """
    found, problems = understood(table, read)
    films = Films(
        [film for film in found if isinstance(film, Film)], Counter(said for said in found if isinstance(said, str))
    )
    problems += repeated(film.name for film in films.used)
    if problems:
        raise DatalistError(table.file, problems)
    return films


def public_table(source: Path, *names: str) -> Table:
    """The published table of one of these names, as it is or packed (.gz), with its columns.

    Raises:
        ValueError: there is none in the folder.
    """
    if source.is_file():
        raise ValueError(f"{source} is a file: give the folder that it is in")
    found = [file for name in names for file in (source / name, source / f"{name}.gz") if file.is_file()]
    if not found:
        raise ValueError(f"{source} has no {' and no '.join(names)} (or .gz): give the folder with the published files")
    return read_table(found[0])


def require(table: Table, columns: Sequence[str]) -> None:
    """Raise unless the published columns are there."""
    if missing := [column for column in columns if column not in table.columns]:
        raise ValueError(f"{table.file} has no column {', '.join(missing)}: take it from the published set")


def deliver_films(
    films: Films,
    source: Path,
    out: Path,
    *,
    name: str,
    provenance: Mapping[str, Any],
    negatives: float,
    seed: int,
    dry_run: bool,
) -> Path:
    """Look for the films' files, choose the negatives, open what is chosen, and write `out/datalist.json`.

    Args:
        films: what the tables say.
        source: the folder of the set.
        out: the dataset folder to write.
        name: of the set.
        provenance: where it comes from, and by which rules.
        negatives: how many there are for each positive, at most.
        seed: decides which.
        dry_run: only print what would be written.

    Raises:
        ValueError: no positive film is there, or a number of negatives without sense.
    """
    if not negatives > 0:
        raise ValueError(f"negatives {negatives}: give how many for each positive, such as {NEGATIVES}, or inf")
    placed = dict(zip(films.used, each(_place, films.used, "looking for pictures"), strict=True))
    there = sorted((film for film, file in placed.items() if file), key=lambda film: film.name)
    positives, others = ([film for film in there if film.positive == kind] for kind in (True, False))
    if not positives:
        wanted = [film.places[0] for film in films.used if film.positive]
        looked = f"; the first is looked for at {wanted[0]}: unpack it there" if wanted else ""
        raise ValueError(f"{source}: of {len(wanted)} frontal films with a fracture none is there{looked}")
    chosen = sorted([*positives, *_some(others, negatives * len(positives), seed)], key=lambda film: film.name)
    opened = pictures.examine(file for film in chosen if (file := placed[film]))
    items = []
    left_out: dict[str, list[str]] = {"images missing": [film.name for film, file in placed.items() if not file]}
    for film in chosen:
        file = placed[film]
        if file and isinstance(opened[file], str):
            left_out.setdefault("images broken", []).append(f"{film.name} ({opened[file]})")
        elif file:
            item = {"image": relative(file, out), "label": int(film.positive), "group": film.patient, "id": film.name}
            items.append(with_role(item, "pub"))
    passed_by = dict(sorted(films.passed_by.items()))
    counts = {"positives there": len(positives), "negatives there": len(others), "passed by": passed_by}
    return deliver(
        out,
        name=name,
        classes=CLASSES,
        sections={"training": items},
        provenance={**provenance, "counts": counts, "choice": {"negatives": str(negatives), "seed": seed}},
        left_out=left_out,
        notes=[
            *(f"passed by: {count} {reason}" for reason, count in passed_by.items()),
            f"of {len(others)} negatives that are there {len(chosen) - len(positives)} are chosen (--negatives)",
            _TRAINING_ONLY,
        ],
        dry_run=dry_run,
    )


def _place(film: Film) -> Path | None:
    return next((place for place in film.places if place.is_file()), None)


def _some(films: Sequence[Film], count: float, seed: int) -> list[Film]:
    """That many of them; with the same seed more of them contain fewer."""
    order = np.random.default_rng(seed).permutation(len(films))
    return [films[place] for place in order[: round(min(count, len(films)))]]


def add_public(parser: argparse.ArgumentParser, source: str) -> None:
    """The options that all of these commands have; `source` says what the folder holds."""
    parser.add_argument("--source", type=Path, required=True, help=source)
    command.add_out(parser)
    parser.add_argument(
        "--negatives",
        type=float,
        default=NEGATIVES,
        metavar="N",
        help=f"at most so many for each positive, inf for all; default {NEGATIVES}, as in the paper",
    )
    parser.add_argument("--seed", type=int, default=0, help="decides which negatives; default 0")
    command.add_dry_run(parser)


def add_rule(parser: argparse.ArgumentParser, option: str, what: str) -> None:
    """An option whose value is one of the rules, drop by default."""
    parser.add_argument(option, choices=list(RULES), default="drop", help=f"{what}; default drop")
