"""Tables and films of public sets, written small; what was made of them."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from written import items_of


def write_published(file: Path, rows: Iterable[Sequence[object]]) -> Path:
    """A table as Excel saves it (BOM, CRLF); one whose name ends in .gz is packed."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    content = text.getvalue().encode("utf-8-sig")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
    return file


def write_picture(file: Path, number: int = 0, *, deep: bool = False) -> None:
    """Noise of 12 x 9; in 16 bits if `deep`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(0, 65536 if deep else 256, (9, 12))
    Image.fromarray(noise.astype(np.uint16 if deep else np.uint8)).save(file)


def roles_of(file: Path) -> dict[str, str]:
    """Item -> role."""
    return {name: item["role"] for name, item in items_of(file).items()}


def passed_by(file: Path) -> dict[str, int]:
    counts: dict[str, int] = json.loads(file.read_text())["provenance"]["counts"]["passed by"]
    return counts


def refusal(prepare: Any, source: Path, **settings: Any) -> str:
    out = source.parent / "refused"
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at where this is used
        prepare(source, out, **settings)
    assert not out.exists()
    return str(caught.value)
