"""Several datalists as one: a hospital's own films and those of public sets, say.

    python -m data_prep.join_datalists --out joined ribs/datalist.json chexpert padchest

Every item keeps its section, role and label. Ids, groups and studies get the name of their list before them, so that
person 7 of one set is not person 7 of another; where lists are of the same people, say so with --same-groups, and
nobody may be in two sections. Files stay where they are.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from data_prep import command
from data_prep.placing import from_place
from data_prep.report import deliver
from data_prep.sections import Items
from semimed_monai.data import Datalist
from semimed_monai.data.datalist import SECTIONS
from semimed_monai.data.splits import group_of
from semimed_monai.files import digest_of

_HELP = "Join datalists that have the same classes into one."


class _Part(NamedTuple):
    """A datalist and the name that tells its items from those of others."""

    name: str
    file: Path
    head: dict[str, Any]

    def items(self, section: str, out: Path, *, same_groups: bool) -> Items:
        """Its items as they stand in a datalist in the folder `out`."""
        return [self._item(item, out, same_groups=same_groups) for item in self.head.get(section, [])]

    def groups(self) -> set[str]:
        return {group_of(item) for section in SECTIONS for item in self.head.get(section, [])}

    @property
    def origin(self) -> dict[str, Any]:
        """What the joined list's provenance says of it."""
        counts = {section: len(self.head.get(section, [])) for section in SECTIONS}
        facts = {key: self.head.get(key) for key in ("name", "version", "provenance")}
        return {**facts, "sha256": digest_of(self.file), "items": counts}

    def _item(self, item: dict[str, Any], out: Path, *, same_groups: bool) -> dict[str, Any]:
        placed = from_place(item, self.file.parent, out)
        people = {"group": group_of(item)}
        if item.get("study"):
            people["study"] = item["study"]
        if not same_groups:
            people = {key: f"{self.name}/{text}" for key, text in people.items()}
        return {**placed, **people, "id": f"{self.name}/{placed['id']}"}


def prepare(
    datalists: Sequence[str | Path],
    out: str | Path,
    *,
    names: Sequence[str] | None = None,
    same_groups: bool = False,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json` and print its table. The files that it names are opened when it is first trained with.

    Example:
        >>> prepare(["ribs", "chexpert"], "datasets/joined")  # doctest: +SKIP
        PosixPath('datasets/joined/datalist.json')

    Args:
        datalists: JSON files, or folders with a datalist.json, two or more.
        out: the dataset folder to write.
        names: what comes before the ids and groups of each; by default the lists' own names.
        same_groups: groups of the same name are the same people in all lists.
        dry_run: only print what would be written.

    Raises:
        DatalistError: one of the lists is none, or what they hold together is no usable one.
        ValueError: their classes differ, two have the same name, or one of them would be overwritten.
    """
    out = Path(out).resolve()
    parts = _parts([Path(path).resolve() for path in datalists], names)
    if taken := [part.file for part in parts if part.file == out / "datalist.json"]:
        raise ValueError(f"{taken[0]} would be overwritten: give another --out")
    _check_classes(parts)
    sections = {
        name: [item for part in parts for item in part.items(name, out, same_groups=same_groups)] for name in SECTIONS
    }
    return deliver(
        out,
        name=" + ".join(part.name for part in parts),
        classes=parts[0].head["classes"],
        sections=sections,
        provenance={"joined": {part.name: part.origin for part in parts}, "same_groups": same_groups},
        left_out={},
        notes=[] if same_groups else _shared(parts),
        dry_run=dry_run,
    )


def _parts(paths: Sequence[Path], names: Sequence[str] | None) -> list[_Part]:
    if len(paths) < 2:
        raise ValueError("give two datalists or more: there is nothing to join in one")
    files = [path if path.suffix == ".json" else path / "datalist.json" for path in paths]
    heads = []
    for file in files:
        # Its form only: what training needs may be in another list, and its own preparation has opened the files.
        Datalist(file, sections=(), check=False)
        heads.append(json.loads(file.read_text(encoding="utf-8")))
    chosen = list(names or (head["name"] for head in heads))
    if len(chosen) != len(files):
        raise ValueError(f"names {', '.join(chosen)}: give one for each of the {len(files)} lists")
    places: defaultdict[str, list[str]] = defaultdict(list)
    for name, file in zip(chosen, files, strict=True):
        places[name].append(str(file))
    for name, same in places.items():
        if len(same) > 1:
            raise ValueError(f"{' and '.join(same)} are both called {name!r}: tell them apart with --names")
    return [_Part(*part) for part in zip(chosen, files, heads, strict=True)]


def _check_classes(parts: Sequence[_Part]) -> None:
    first, *others = parts
    for other in others:
        if other.head["classes"] != first.head["classes"]:
            said = (f"{part.file} has the classes {', '.join(part.head['classes'])}" for part in (first, other))
            raise ValueError(f"{', '.join(said)}: give both the same ones in the same order")


def _shared(parts: Sequence[_Part]) -> list[str]:
    """Groups that have the same name in two lists, and are kept apart."""
    notes = []
    for one, other in combinations(parts, 2):
        if both := sorted(one.groups() & other.groups()):
            notes.append(
                f"{len(both)} groups of {one.name} and {other.name} have the same name, such as {both[0]!r}, and are "
                "taken for different people: if they are the same, use --same-groups"
            )
    return notes


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("data_prep.join_datalists", _HELP, __doc__)
    parser.add_argument("datalists", nargs="+", type=Path, help="JSON files, or folders with a datalist.json")
    command.add_out(parser)
    parser.add_argument("--names", nargs="+", metavar="NAME", help="a name for each list; default their own")
    parser.add_argument(
        "--same-groups", action="store_true", help="groups of the same name are the same people in all lists"
    )
    command.add_dry_run(parser)
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
