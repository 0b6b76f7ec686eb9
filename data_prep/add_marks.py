"""Marks of lesions on images of a datalist that has only their classes: for pcam's third stage, say.

    python -m data_prep.add_marks --source my_bones --marks marks.json --marked 100 --out my_marked_bones

The source's first class is the normal one, in which nothing can be marked. Marks are a COCO file (polygons, run lengths
that are not compressed, else boxes), a table of boxes (image,x0,y0,x1,y1 in pixels), or a folder of masks (PNG) in
folders and under names as the images are. A name may be any last part of an image's path that no other has. --marked N
leaves so many training images a mark, of as many people as can be; those for validation and test keep theirs. Images
stay where they are, the masks are written below --out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep import command
from data_prep.annotations import Naming, add_naming
from data_prep.faults import Fault
from data_prep.images import Contents, examine
from data_prep.marks import UNUSED, Markable, Marks, check_count, read_marks
from data_prep.pictures import Size
from data_prep.placing import from_place, refuse_overlap
from data_prep.report import deliver
from data_prep.sections import Items
from semimed_monai.data import Datalist, is_marked
from semimed_monai.data.datalist import SECTIONS
from semimed_monai.files import digest_of

_HELP = "Add marks of lesions to a datalist, as masks."
_KEPT = ("name", "classes")


def prepare(
    source: str | Path,
    out: str | Path,
    marks: str | Path,
    *,
    marked: int | None = None,
    image_column: str = "image",
    corner_columns: Sequence[str] | None = None,
    size_columns: Sequence[str] | None = None,
    categories: Sequence[str] = (),
    seed: int = 0,
    dry_run: bool = False,
) -> Path:
    """Write `out/datalist.json` and the masks, and print its table.

    Example:
        >>> prepare("bones", "datasets/marked", "marks.json", marked=100)  # doctest: +SKIP
        PosixPath('datasets/marked/datalist.json')

    Args:
        source: a datalist, or its folder.
        out: the dataset folder to write.
        marks: a COCO file, a table of boxes, or a folder of masks.
        marked: how many training images keep their mark; by default all that have one.
        image_column: the table's name for the image, if it is one, and so on for the next.
        corner_columns: x0, y0, x1 and y1, in pixels; by default these, or those of the sizes.
        size_columns: in their place, x, y, width and height.
        categories: the COCO file's categories that count; may be left out where there is one.
        seed: decides which marks are kept.
        dry_run: only print what would be written.

    Raises:
        DatalistError: the source is none, or marks that cannot be.
        ValueError: the source has masks, fewer marks than wanted, or it would be overwritten.
        FileNotFoundError: there are no such marks.
    """
    source, out, marks = (Path(path).resolve() for path in (source, out, marks))
    check_count(marked)
    file = source if source.suffix == ".json" else source / "datalist.json"
    refuse_overlap(out, file.parent, marks)
    Datalist(file, sections=(), check=False)
    head = json.loads(file.read_text(encoding="utf-8"))
    sections = {name: [from_place(item, file.parent, out) for item in head.get(name, [])] for name in SECTIONS}
    items = [item for part in sections.values() for item in part]
    if masked := [item["id"] for item in items if is_marked(item)]:
        raise ValueError(f"{file}: {len(masked)} images have a mask, such as {masked[0]}: give a datalist without any")
    annotated = read_marks(marks, Naming(image_column, corner_columns, size_columns, categories))
    drawn = Marks(marks, annotated, _markable(items, out), file.parent)
    sections = {name: drawn.on(part) for name, part in sections.items()}
    if marked is not None:
        sections["training"] = drawn.keep(sections["training"], marked, seed)
    return deliver(
        out,
        **{key: head[key] for key in _KEPT},
        sections=sections,
        provenance={
            "of": {"sha256": digest_of(file), "version": head["version"], "provenance": head["provenance"]},
            "marks": {**drawn.origin, "in training": marked or "all", "seed": seed},
        },
        left_out={UNUSED: drawn.unused},
        place_files=lambda: drawn.write(out, [item for part in sections.values() for item in part]),
        dry_run=dry_run,
    )


def _markable(items: Items, out: Path) -> list[Markable]:
    """All images; those without a class, or that are not flat, without a size."""
    files = {item["id"]: (out / item["image"]).resolve() for item in items}
    found = examine(sorted(set(files.values())))
    return [
        Markable(item["id"], item["image"], item.get("label") != 0, _size(item, found[files[item["id"]]]))
        for item in items
    ]


def _size(item: Mapping[str, Any], contents: Contents | Fault) -> Size | None:
    if isinstance(contents, Fault) or contents.slices or not item.get("label"):
        return None
    return contents.size[0], contents.size[1]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command.parser("data_prep.add_marks", _HELP, __doc__)
    parser.add_argument("--source", type=Path, required=True, help="a datalist, or its folder")
    parser.add_argument("--marks", type=Path, required=True, help="a COCO file, a table of boxes, or a folder of masks")
    parser.add_argument("--marked", type=int, metavar="N", help="training images that keep their mark; default all")
    add_naming(parser, "a lesion")
    command.add_out(parser)
    parser.add_argument("--seed", type=int, default=0, help="decides which marks are kept; default 0")
    command.add_dry_run(parser)
    command.run(prepare, parser, arguments)


if __name__ == "__main__":
    main()
