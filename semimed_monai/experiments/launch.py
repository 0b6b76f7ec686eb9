"""How the cells of an experiment are run: one after the other here, or spread over a Ray cluster.

Looked for: MONAI runs one bundle at a time; Ray Tune and Optuna search, they do not fill a table whose every cell is
wanted. There is no scheduler here: `--cell N` runs one cell, so that any scheduler's array job can start them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import semimed_monai
from semimed_monai.experiments.forks import run_module
from semimed_monai.experiments.plan import Cell
from semimed_monai.files import whole
from semimed_monai.messages import HINT

_LENGTH = 1000  # of a reason

Outcome = tuple[Cell, str | None]
"""A cell that has been run, and why it failed, or None."""


def is_done(cell: Cell) -> bool:
    """Whether the cell's folder holds this very run, finished.

    Raises:
        FileExistsError: it holds a run with other settings, or of a recipe that has changed since.
        ValueError: the note of its settings is damaged.
    """
    note = cell.folder / "cell.json"
    try:
        same = not note.is_file() or json.loads(note.read_text()) == _note(cell)
    except ValueError as error:
        raise ValueError(
            f"{note} is no JSON ({error}): delete the folder {cell.folder}, and the cell runs anew"
        ) from error
    if not same:
        raise FileExistsError(
            f"{cell.folder} holds a run with other settings, or of a recipe that has changed since ({note} has the "
            "command and the recipe's digest): give another --out, or delete the folder"
        )
    return note.is_file() and cell.metrics.is_file()


def _note(cell: Cell) -> dict[str, Any]:
    """What makes a finished run the one that is wanted: its command, and what its configs hold."""
    digest = hashlib.sha256(b"".join(config.read_bytes() for config in cell.configs)).hexdigest()
    return {"arguments": cell.arguments, "recipe": digest, "version": semimed_monai.__version__}


def run_cell(cell: Cell) -> str | None:
    """Run it in a process of its own, its output into the folder's `log`; None, or why it failed.

    A cell that is done is left alone; one that was stopped goes on from its last whole epoch.
    """
    if is_done(cell):
        return None
    # What the run calls itself; no setting of it, so no part of what is compared when it is started again.
    arguments = [*cell.arguments, f"--method={cell.method!r}"]
    if (cell.folder / "cell.json").is_file() and (cell.folder / "run_state.pt").is_file():
        arguments = [*arguments, "--resume=True"]
    with whole(cell.folder / "cell.json") as note:
        note.write_text(json.dumps(_note(cell), indent=1) + "\n")
    log = cell.folder / "log"
    before = log.stat().st_size if log.is_file() else 0
    code = run_module(arguments[1:], log)
    if code == 0 and cell.metrics.is_file():
        return None
    said = log.read_bytes()[before:].decode(errors="replace")
    return f"exit code {code}: {_reason(said)} (all of it: {log})"


def _reason(said: str) -> str:
    """The message with which a recipe ended (`semimed_monai.messages`), else the last line of what it said."""
    said = said.strip()
    message = said.removesuffix(HINT).rpartition("\nerror: ")[2] if said.endswith(HINT) else ""
    return message.strip()[:_LENGTH] or said[said.rfind("\n") + 1 :][-_LENGTH:] or "nothing was said"


def one_by_one(cells: Sequence[Cell]) -> Iterator[Outcome]:
    """Here, in order."""
    for cell in cells:
        yield cell, run_cell(cell)


def on_ray(cells: Sequence[Cell]) -> Iterator[Outcome]:
    """On a Ray cluster: the one that RAY_ADDRESS names, else a local one; `out` must be a folder that all nodes see.

    Raises:
        ModuleNotFoundError: Ray is not installed.
    """
    try:
        import ray  # noqa: PLC0415 - an extra, for clusters
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('--launcher ray needs Ray: pip install "ray[default]"') from error
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    remote = ray.remote(num_cpus=2, num_gpus=1 if ray.cluster_resources().get("GPU") else 0)(run_cell)
    waiting = {remote.remote(cell): cell for cell in cells}
    try:
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            cell = waiting.pop(done)
            try:
                yield cell, ray.get(done)
            except ray.exceptions.RayError as error:  # a node was lost: the other cells go on
                yield cell, f"{type(error).__name__}: {error}"
    finally:
        ray.shutdown()


LAUNCHERS: dict[str, Callable[[Sequence[Cell]], Iterator[Outcome]]] = {"here": one_by_one, "ray": on_ray}
