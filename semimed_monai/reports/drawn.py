"""What an evaluation keeps of some images for each of its networks, for the page: the same images for all of them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast
from zipfile import BadZipFile

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine, Events
from numpy.typing import NDArray

from semimed_monai.files import whole

T = TypeVar("T")


def draw(name: str) -> bytes:
    """What ids are sorted by to draw the first of them: as good as random, and the same in every process."""
    return hashlib.sha256(name.encode()).digest()


class Drawn(ABC, Generic[T]):
    """Keeps something of the first `images` images in the order of `draw`, however a section is cut into batches.

    `Relations` keeps embeddings, `SideBySide` maps. A new one says which rows count and what is kept of one.

    Args:
        images: how many.
    """

    file: ClassVar[str]
    """Its name in the run's folder."""

    def __init__(self, images: int) -> None:
        self.images = images
        self.kept: dict[str, dict[str, T]] = {}

    @abstractmethod
    def counts(self, output: Mapping[str, Any], row: int) -> bool:
        """Whether an image of a batch may be drawn."""

    @abstractmethod
    def taken(self, output: Mapping[str, Any], row: int) -> T:
        """What is kept of it."""

    @abstractmethod
    def save(self, path: str | Path) -> None:
        """Write what was kept as an npz file, if there is anything."""

    def attach(self, engine: Engine, network: str) -> None:
        """Keep what each epoch of `engine` gives; in several processes each must have one."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda: self.kept.pop(network, None))
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda running: self.update(network, running.state.output))
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: self.gather(network))

    def update(self, network: str, output: Mapping[str, Any]) -> None:
        """Take a batch."""
        rows = {name: row for row, name in enumerate(output["id"]) if self.counts(output, row)}
        kept = self.kept.get(network, {})
        if names := self.first({*kept, *rows}):
            self.kept[network] = {
                name: self.taken(output, rows[name]) if name in rows else kept[name] for name in names
            }

    def gather(self, network: str) -> None:
        """Draw from all processes' images; every process must call it."""
        parts = cast(list[dict[str, T]], idist.all_gather(self.kept.get(network, {})))
        if kept := {name: row for part in parts for name, row in part.items()}:
            self.kept[network] = {name: kept[name] for name in self.first(kept)}

    def first(self, names: Iterable[str]) -> list[str]:
        """Those that are drawn."""
        return sorted(names, key=draw)[: self.images]


def save_arrays(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """An npz file, whole or not at all."""
    with whole(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **cast(Any, dict(arrays)))


def load_arrays(path: str | Path, *needed: str) -> dict[str, NDArray[Any]]:
    """All of an npz file.

    Raises:
        ValueError: it is none, or lacks one of those that are needed.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        for name in needed:
            arrays[name]
    except (BadZipFile, ValueError, EOFError, KeyError) as error:
        raise ValueError(f"{path} cannot be read ({error}): evaluate again, or remove it") from error
    return arrays
