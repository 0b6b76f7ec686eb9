"""The page put together from the zips that it lists: what it says is what one gets."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from semimed_monai.zoo.bundles import METADATA, NO_SCORES, README
from semimed_monai.zoo.catalogue.card import card_html, data_uri, is_picture
from semimed_monai.zoo.index import Entry, Index

FIRST_PICTURE = "phantoms.png"
"""The one of docs/ that is shown, where a bundle has it; else its first."""

WEIGHTS = "models/model.pt"


@dataclass(frozen=True)
class Shown:
    """A bundle on the page.

    Args:
        entry, older: its latest version, and the others.
        metadata: metadata.json.
        picture: a data URI, or "".
        phantoms: whether it shows some.
        card: the model card.
        has_weights: whether there are any in the zip.
    """

    entry: Entry
    older: Sequence[Entry]
    metadata: Mapping[str, Any]
    picture: str
    phantoms: bool
    card: Markup
    has_weights: bool

    @property
    def title(self) -> str:
        return str(self.metadata.get("name", self.entry.name))

    @property
    def scores(self) -> dict[str, Any]:
        """eval_metrics, without where they are from and what made them."""
        metrics = self.metadata.get("eval_metrics", {})
        return {name: value for name, value in metrics.items() if name not in NO_SCORES}

    @property
    def source(self) -> str:
        return str(self.metadata.get("eval_metrics", {}).get("source", ""))

    @property
    def command(self) -> str:
        """Which made the scores, or ""."""
        return str(self.metadata.get("eval_metrics", {}).get("command", ""))

    def tensors(self, side: str) -> Mapping[str, Mapping[str, Any]]:
        """The network's `inputs` or `outputs`."""
        found: Mapping[str, Mapping[str, Any]] = self.metadata.get("network_data_format", {}).get(side, {})
        return found


def write_catalogue(index: Index, folder: Path, place: Path) -> None:
    """The page of a built zoo.

    Args:
        index: what it lists.
        folder: where the zips lie.
        place: the file.
    """
    shown = []
    for latest in index.latest():
        others = [entry for entry in index.entries if entry.name == latest.name and entry != latest]
        older = sorted(others, key=lambda entry: entry.order, reverse=True)
        shown.append(_read(latest, older, folder))
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("semimed_monai.zoo.catalogue", "."), PackageLoader("semimed_monai.reports.page", ".")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shape": shape, "megabytes": megabytes}
    wheels = {wheel.file: wheel for wheel in index.wheels}
    page = environment.get_template("catalogue.html.j2").render(bundles=shown, wheels=wheels)
    place.write_text(page, encoding="utf-8")


def shape(tensor: Mapping[str, Any]) -> str:
    """A tensor of metadata.json in a line.

    >>> shape({"num_channels": 4, "spatial_shape": ["16*n", "16*n"], "dtype": "float32", "value_range": [0, 1]})
    '4 × 16*n × 16*n, float32, 0 to 1'
    """
    sides = " × ".join(map(str, [tensor.get("num_channels", "?"), *tensor.get("spatial_shape", [])]))
    values = " to ".join(map(str, tensor.get("value_range", [])))
    return ", ".join(part for part in (sides, str(tensor.get("dtype", "")), values) if part)


def megabytes(size: int) -> str:
    """Of a file.

    >>> megabytes(123_456), megabytes(12_345_678)
    ('0.12 MB', '12 MB')
    """
    return f"{size / 1e6:.2g} MB" if size < 1e8 else f"{size / 1e6:.0f} MB"


def _read(entry: Entry, older: Sequence[Entry], folder: Path) -> Shown:
    with zipfile.ZipFile(folder / entry.file) as archive:
        held = {name.removeprefix(f"{entry.name}/"): name for name in archive.namelist()}
        text = archive.read(held[README]).decode() if README in held else ""
        beside = {
            name.removeprefix("docs/"): archive.read(full)
            for name, full in held.items()
            if name.startswith("docs/") and is_picture(name)
        }
        metadata = json.loads(archive.read(held[METADATA]))
    chosen = FIRST_PICTURE if FIRST_PICTURE in beside else min(beside, default="")
    return Shown(
        entry=entry,
        older=older,
        metadata=metadata,
        picture=data_uri(chosen, beside[chosen]) if chosen else "",
        phantoms=chosen == FIRST_PICTURE,
        card=card_html(text, beside, entry.name),
        has_weights=WEIGHTS in held,
    )
