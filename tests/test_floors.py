"""Who may import whom: the house's floors, and that no room knows a method or a bundle that it should not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "semimed_monai"
GROUND = {"data", "transforms", "views", "networks", "losses", "metrics"}
SHARED = {"vocabulary", "files", "recipes"}
ALLOWED = {
    **{room: SHARED | {room} for room in GROUND},
    "vocabulary": set(),
    "files": set(),
    "recipes": set(),
    "overrides": set(),
    "messages": SHARED,
    "engines": GROUND | SHARED | {"engines"},
    "handlers": GROUND | SHARED | {"engines", "handlers"},
    "reports": GROUND | SHARED | {"engines", "handlers", "reports"},
    "label": GROUND | SHARED | {"label"},
    "ensembles": GROUND | SHARED | {"reports", "ensembles"},
    "experiments": SHARED | {"messages", "overrides", "reports", "experiments"},
    "export": SHARED | {"messages", "networks", "zoo"},
    "zoo": SHARED | {"messages", "overrides", "experiments", "zoo"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_rooms(file: Path) -> set[str]:
    """The rooms of this library that a module imports from, wherever in it the import stands."""
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("semimed_monai.")}


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_import_runs_up_a_floor(file: Path) -> None:
    if room_of(file) == "__init__":
        assert imported_rooms(file) == set()
    else:
        assert imported_rooms(file) <= ALLOWED[room_of(file)]


def test_the_zoo_names_no_bundle() -> None:
    names = [folder.name for folder in (PACKAGE.parent / "bundles").iterdir()]
    assert len(names) > 5
    for file in [module for module in MODULES if room_of(module) == "zoo"]:
        assert not [name for name in names if name in file.read_text()], file


@pytest.mark.parametrize("room", ["engines", "handlers", "views"])
def test_the_engine_names_no_method(room: str) -> None:
    for file in [module for module in MODULES if room_of(module) == room]:
        code = "\n".join(line for line in file.read_text().splitlines() if "bundles/" not in line).lower()
        for name in ("dcmt", "dc-mt", "stsc", "pcam", "sharpening", "cartilage"):
            assert name not in code, f"{file.name} names {name}"
