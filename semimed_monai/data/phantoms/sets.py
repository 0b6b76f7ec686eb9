"""What every phantom set shares: the recipe that names its folder in the cache, and the way to one file per person."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from tqdm import tqdm

from semimed_monai.data.phantoms.files import build_once
from semimed_monai.files import cache_folder

R = TypeVar("R", bound="SetRecipe")
Made = TypeVar("Made")


@dataclass(frozen=True)
class SetRecipe:
    """What a set is made from, and thereby its name in the cache; each kind of set adds its own.

    Args:
        seed: the population.
        file_format: of the images.
        version: of the generator.

    Raises:
        ValueError: an unknown format, a seed that is none.
    """

    kind: ClassVar[str]
    generator: ClassVar[str]
    formats: ClassVar[tuple[str, ...]]

    seed: int
    file_format: str
    version: str

    def __post_init__(self) -> None:
        if self.file_format not in self.formats:
            raise ValueError(f"file_format must be one of {', '.join(self.formats)}, got {self.file_format!r}")
        if type(self.seed) is not int or self.seed < 0:
            raise ValueError(f"seed must be a whole number from 0, got {self.seed!r}")

    @property
    def parameters(self) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(self.parameters, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def provenance(self) -> dict[str, Any]:
        return {"generator": self.generator, "key": self.key, **self.parameters}

    def is_in(self, folder: Path) -> bool:
        path = folder / "datalist.json"
        return path.is_file() and json.loads(path.read_text()).get("provenance", {}).get("key") == self.key

    def built(self, folder: str | Path | None, build: Callable[[Path], None]) -> Path:
        """The folder with the set, filled by `build` unless it is there; by default one in the cache."""
        if folder is None:
            folder = cache_folder() / f"{self.kind}-{self.file_format}-v{self.version}-{self.key}"
        return build_once(Path(folder).expanduser().resolve(), build, self.is_in)


def write_people(
    write: Callable[[Path, R, int], Made], folder: Path, recipe: R, people: Sequence[int], workers: int
) -> list[Made]:
    """What `write` gives back for each person, in order, with a progress bar on stderr when it takes a while."""
    with _mapping(workers) as mapping:
        made = mapping(write, repeat(folder), repeat(recipe), people)
        return list(tqdm(made, f"phantom {recipe.kind}s", len(people), unit="person", file=sys.stderr, delay=2))


@contextmanager
def _mapping(workers: int) -> Iterator[Callable[..., Any]]:
    """`map`, or an ordered one over spawned processes."""
    if workers == 1:
        yield map
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield partial(pool.map, chunksize=4)
