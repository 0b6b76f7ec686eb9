"""The file of an experiment, and the commands of its cells.

It lies in a bundle's folder `experiments/`, and its paths are relative to the bundle:

    {"title": "Table 3: recall, F1 and AUC by labelled share",
     "configs": ["configs/train.json"],
     "overrides": {"profile": "table"},
     "scores": ["recall", "f1", "auc"],
     "columns": {"10 %": {"labelled_share": 0.1}, "30 %": {"labelled_share": 0.3}},
     "methods": {
         "MT": {"overrides": {"criterion#terms#attention#_disabled_": true},
                "paper": {"10 %": {"f1": 72.7}, "30 %": {"f1": 78.0}}},
         "DC-MT": {"paper": {"10 %": {"f1": 79.1}, "30 %": {"f1": 83.2}}}},
     "baseline": "MT"}

A method may name the `columns` it has (all, if it does not) and the `network` whose scores are compared: `teacher`
where there is one. Where that network is one of another method's runs, its row names that method,
`"GraphX": {"run": "supervised", "network": "graph"}`, and nothing is trained for it. `first_seed` is 0 unless the file
says otherwise: seeds that were used to settle a setting are not reported. With `"folds": true` a seed is a fold: runs
of different seeds are of different parts of one data set, and methods are compared within each. With
`"assembly": "configs/assemble.json"` that overlay makes one network of each column's finished runs, whose folders it is
given as `runs`. An experiment on one certain data set has `"data"`, the command that prepares it, and does not begin
without --dataset_dir: on phantoms its title would be untrue.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

_OVERRIDES = {"type": "object"}
_TEXTS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_PAPER = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": {"type": "number"}}}
_METHOD = {
    "type": "object",
    "properties": {
        "overrides": _OVERRIDES,
        "paper": _PAPER,
        "columns": _TEXTS,
        "network": {"type": "string"},
        "run": {"type": "string"},
    },
}
_FORM = {
    "properties": {
        "title": {"type": "string"},
        "configs": _TEXTS,
        "overrides": _OVERRIDES,
        "scores": _TEXTS,
        "columns": {"type": "object", "additionalProperties": _OVERRIDES, "minProperties": 1},
        "methods": {"type": "object", "additionalProperties": _METHOD, "minProperties": 1},
        "baseline": {"type": "string"},
        "first_seed": {"type": "integer", "minimum": 0},
        "folds": {"type": "boolean"},
        "assembly": {"type": "string"},
        "data": {"type": "string"},
    },
}
"""What jsonschema checks; keys, and names that refer to others, are checked here, for messages that name them."""

_OPTIONAL = ("overrides", "first_seed", "folds", "assembly", "data")
_KEYS = ("title", "configs", "scores", "columns", "methods", "baseline", *_OPTIONAL)
_METHOD_KEYS = ("overrides", "paper", "columns", "network", "run")


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Args:
        overrides: what it changes in the bundle's recipe.
        paper: column → score → the paper's value in percent.
        columns: those that it has.
        network: whose scores are compared, or None: the teacher's where there is one.
        run: the method in whose runs that network is, or None: it has runs of its own.
    """

    overrides: Mapping[str, Any]
    paper: Mapping[str, Mapping[str, float]]
    columns: tuple[str, ...]
    network: str | None = None
    run: str | None = None


@dataclass(frozen=True)
class Cell:
    """One run: a method in a column with a seed.

    Args:
        method, column, seed: its place in the table.
        settings: all overrides of the bundle's recipe, the folders of the run included.
        configs: the recipe and its overlays.
        folder: where the run writes.
    """

    method: str
    column: str
    seed: int
    settings: Mapping[str, Any]
    configs: tuple[Path, ...]
    folder: Path

    def __str__(self) -> str:
        return f"{self.method}, {self.column}, seed {self.seed}"

    @property
    def arguments(self) -> list[str]:
        """Of `python`: the command that a user could type."""
        named = [str(path) for path in self.configs]
        files = named[0] if len(named) == 1 else repr(named)
        return [
            *("-m", "monai.bundle", "run", "training", "--config_file", files),
            *(f"--{key}={_typed(value)}" for key, value in self.settings.items()),
        ]

    @property
    def metrics(self) -> Path:
        """What a finished run has left."""
        return self.folder / "metrics.json"


@dataclass(frozen=True)
class Experiment:
    """A table: which runs it is made of.

    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "experiments" / "two.json"
    >>> file.parent.mkdir()
    >>> methods = {"MT": {"overrides": {"lambda_a": 0}}, "DC-MT": {}}
    >>> given = {"title": "Two", "configs": ["configs/train.json"], "methods": methods, "columns": {"10 %": {}}}
    >>> _ = file.write_text(json.dumps({**given, "scores": ["f1"], "baseline": "MT"}))
    >>> [str(cell) for cell in Experiment.read(file).cells(Path("runs"), seeds=2)][:2]
    ['MT, 10 %, seed 0', 'DC-MT, 10 %, seed 0']
    """

    title: str
    configs: tuple[Path, ...]
    scores: tuple[str, ...]
    columns: Mapping[str, Mapping[str, Any]]
    methods: Mapping[str, Method]
    baseline: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    first_seed: int = 0
    folds: bool = False
    assembly: Path | None = None
    data: str | None = None
    file: Path = Path()

    @classmethod
    def read(cls, path: str | Path) -> Experiment:
        """From a file in a bundle's folder `experiments/`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no experiment; the message says what is wrong with it.
        """
        path = Path(path).resolve()
        if not path.is_file():
            raise FileNotFoundError(f"{path} is no file: give one of a bundle's experiments/*.json")
        try:
            given = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is no JSON: {error}") from error
        if problems := _problems(given):
            raise ValueError("\n  - ".join([f"{path} is no experiment:", *problems]))
        methods = {
            name: Method(
                overrides=method.get("overrides", {}),
                paper=method.get("paper", {}),
                columns=tuple(method.get("columns", given["columns"])),
                network=method.get("network"),
                run=method.get("run"),
            )
            for name, method in given["methods"].items()
        }
        return cls(
            title=given["title"],
            configs=tuple(path.parent.parent / config for config in given["configs"]),
            scores=tuple(given["scores"]),
            columns=given["columns"],
            methods=methods,
            baseline=given["baseline"],
            overrides=given.get("overrides", {}),
            first_seed=given.get("first_seed", 0),
            folds=given.get("folds", False),
            assembly=path.parent.parent / given["assembly"] if "assembly" in given else None,
            data=given.get("data"),
            file=path,
        )

    def cells(self, out: Path, seeds: int, settings: Mapping[str, Any] | None = None) -> list[Cell]:
        """All runs, seed by seed, so that an experiment that is stopped has whole tables of fewer seeds.

        Args:
            out: the folder of all runs.
            seeds: how many.
            settings: overrides of every cell, above the file's.

        Raises:
            ValueError: it is about a data set, and `settings` give no `dataset_dir`.
        """
        if self.data is not None and not (settings or {}).get("dataset_dir"):
            raise ValueError(
                f"{self.file} is not about phantoms: give --dataset_dir FOLDER, which this makes: {self.data}"
            )
        return [
            self._cell(out, name, column, seed, settings or {})
            for seed in range(self.first_seed, self.first_seed + seeds)
            for column in self.columns
            for name, method in self.methods.items()
            if column in method.columns and method.run is None
        ]

    def assemblies(self, out: Path, cells: Sequence[Cell], settings: Mapping[str, Any] | None = None) -> list[Cell]:
        """A run for each column that makes one network of all its cells; none where the file names no assembly.

        Args:
            out: the folder of all runs.
            cells: of the table.
            settings: as for `cells`.
        """
        if self.assembly is None:
            return []
        made = []
        for column, overrides in self.columns.items():
            runs = [str(cell.folder) for cell in cells if cell.column == column]
            folder = out.resolve() / "assembly" / _file_name(column) / f"of_{len(runs)}"
            places = {"runs": runs, "output_dir": str(folder), "ckpt_dir": str(folder / "models")}
            chosen = {**self.overrides, **overrides, **(settings or {}), **places}
            made.append(Cell("assembly", column, self.first_seed, chosen, (*self.configs, self.assembly), folder))
        return made

    def _cell(self, out: Path, method: str, column: str, seed: int, settings: Mapping[str, Any]) -> Cell:
        folder = out.resolve() / _file_name(method) / _file_name(column) / str(seed)
        overrides = {**self.overrides, **self.columns[column], **self.methods[method].overrides, **settings}
        places = {"seed": seed, "output_dir": str(folder), "ckpt_dir": str(folder / "models")}
        return Cell(method, column, seed, {**overrides, **places}, self.configs, folder)


def _file_name(name: str) -> str:
    """The name without what a shell or a file system might take amiss; `DC-MT, 10 %` is `dc-mt_10`."""
    return re.sub(r"[^\w.+-]+", "_", name.lower()).strip("_")


def _typed(value: Any) -> str:
    """As MONAI's command line reads it: text as it is, everything else as a Python literal."""
    return value if isinstance(value, str) else repr(value)


def _problems(given: Any) -> list[str]:
    """What is wrong with the content of an experiment's file, all of it."""
    if not isinstance(given, dict):
        return ["it holds no object"]
    missing = [f"{key!r} is missing" for key in _KEYS if key not in given and key not in _OPTIONAL]
    unknown = [f"{key!r} is none of {', '.join(_KEYS)}" for key in given if key not in _KEYS]
    if missing or unknown:
        return missing + unknown
    if wrong := list(Draft7Validator(_FORM).iter_errors(given)):
        return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in wrong]
    problems = []
    if given["baseline"] not in given["methods"]:
        problems.append(f"the baseline {given['baseline']!r} is none of the methods")
    for name, method in given["methods"].items():
        problems += [
            f"{name}: {key!r} is none of {', '.join(_METHOD_KEYS)}" for key in method if key not in _METHOD_KEYS
        ]
        if "run" in method:
            problems += _borrowing(name, given["methods"])
        columns = [*method.get("columns", []), *method.get("paper", {})]
        problems += [f"{name}: there is no column {column!r}" for column in columns if column not in given["columns"]]
        scores = dict.fromkeys(score for column in method.get("paper", {}).values() for score in column)
        problems += [
            f"{name}: {score!r} of the paper is none of the scores" for score in scores if score not in given["scores"]
        ]
    for what in ("methods", "columns"):
        problems += _clashes(what, list(given[what]))
    return problems


def _borrowing(name: str, methods: Mapping[str, Any]) -> list[str]:
    """What is wrong with a row of another method's runs."""
    row = methods[name]
    other = methods.get(row["run"])
    if other is None or "run" in other:
        return [f"{name}: 'run' is {row['run']!r}, which is no method with runs of its own"]
    if "network" not in row or "overrides" in row:
        return [f"{name}: with 'run' it needs a 'network' of those runs, and has no 'overrides'"]
    return []


def _clashes(what: str, names: Sequence[str]) -> list[str]:
    """Names that would share a folder."""
    folders = [_file_name(name) for name in names]
    return [
        f"{what} {name!r} has the folder {folder!r} of another one: rename it"
        for name, folder in zip(names, folders, strict=True)
        if folders.count(folder) > 1
    ]


def pasted(cell: Cell) -> str:
    """The cell's command as a user can paste it into a shell."""
    return shlex.join([Path(sys.executable).name, *cell.arguments])
