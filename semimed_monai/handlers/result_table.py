"""The table of a whole inference run, written as images get done."""

from __future__ import annotations

import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from ignite.engine import Engine, Events
from torch import Tensor

from semimed_monai.files import whole, write_table

logger = logging.getLogger("semimed")


class ResultTable(ABC):
    """What was found in every image that is `done`, as a CSV file and beside it as JSON, by image.

    The JSON file also has the images in which nothing could be looked for, and those of which not all results could be
    written. Both are written as images get done, whole each time: whatever ends a run, a reader finds what was done
    until then. A kind of table says what stands in them.

    Args:
        path: the CSV file; the JSON file has its name.
        key: where in a row of the evaluator's output the network's tensor stands.
        facts: what the results are of: the network, its weights; stands in the JSON file.
    """

    def __init__(self, path: str | Path, key: str = "pred", facts: Mapping[str, Any] | None = None) -> None:
        self.path = Path(path)
        self.key = key
        self.facts = dict(facts or {})
        self.problems: dict[str, str] = {}
        self._done: dict[str, str] = {}
        self._saved = 0
        self._due = 0.0

    def attach(self, engine: Engine) -> None:
        """To a MONAI evaluator that decollates, as it does by default."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)

    def _collect(self, engine: Engine) -> None:
        batch, output = (
            cast(list[Mapping[str, Any]], engine.state.batch),
            cast(list[Mapping[str, Any]], engine.state.output),
        )
        for row, found in zip(batch, output, strict=True):
            if row["problem"]:
                self.problems[row["source"]] = row["problem"]
            else:
                self.take(row["source"], int(row["slice"]), found[self.key])

    def take(self, image: str, index: int, found: Tensor) -> None:  # noqa: B027 - not every table needs it
        """Take what the network gave for one slice."""

    @property
    @abstractmethod
    def counted(self) -> str:
        """How much of what stands in the files, in words."""

    @property
    @abstractmethod
    def columns(self) -> list[str]:
        """Of the CSV file."""

    @abstractmethod
    def rows(self, image: str) -> list[dict[str, Any]]:
        """An image's rows in the CSV file."""

    @abstractmethod
    def summary(self, image: str) -> dict[str, Any]:
        """What the JSON file says of an image."""

    def head(self) -> dict[str, Any]:
        """What the JSON file says of all."""
        return {}

    def done(self, image: str, problem: str = "") -> None:
        """Take an image into the files: its results are written; `problem` says why not all of them are."""
        self._done[image] = problem
        if time.monotonic() >= self._due:
            self._save()

    def finish_after(self, run: Callable[[], object]) -> None:
        """Run, write the files and say where they are; also where the run is interrupted or fails."""
        try:
            run()
        except BaseException:
            with suppress(OSError):  # that there is no room may be why it failed
                self._save()
            logger.warning("stopped early; images done, and in %s (and .json): %d", self.path, self._saved)
            raise
        self.finish()

    def finish(self) -> None:
        """Write the files and say where they are."""
        self._save()
        logger.info("%s of %d images: %s (and .json)", self.counted, self._saved, self.path)

    def _save(self) -> None:
        started = time.monotonic()
        self.write(list(self._done))
        self._saved = len(self._done)
        # The files grow with every image: a tenth of the time at most goes into writing them anew.
        self._due = time.monotonic() + 9 * (time.monotonic() - started)

    def write(self, images: Sequence[str]) -> None:
        """Write the files of these images, each of them whole."""
        write_table(self.path, [row for image in images for row in self.rows(image)], self.columns)
        content = {
            **self.facts,
            **self.head(),
            "images": [{"image": image, **self._incomplete(image), **self.summary(image)} for image in images],
            "failed": [{"image": image, "reason": reason} for image, reason in self.problems.items()],
        }
        write_json(self.path.with_suffix(".json"), content)

    def _incomplete(self, image: str) -> dict[str, str]:
        return {"incomplete": self._done[image]} if self._done[image] else {}


def write_json(path: Path, content: Any) -> None:
    """As people can read it, and whole."""
    with whole(path) as file:
        file.write_text(json.dumps(content, indent=2) + "\n")
