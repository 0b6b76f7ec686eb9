"""What a preparation has written, read back."""

from __future__ import annotations

import json
from pathlib import Path


def sections_of(file: Path) -> dict[str, list[dict]]:
    head = json.loads(file.read_text())
    return {name: head[name] for name in ("training", "validation", "test")}


def items_of(file: Path) -> dict[str, dict]:
    return {item["id"]: item for items in sections_of(file).values() for item in items}


def left_out(file: Path) -> dict[str, list[str]]:
    return json.loads(file.read_text())["provenance"]["left_out"]
