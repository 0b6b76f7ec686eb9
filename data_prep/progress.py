"""The same work on many files at a time, with a bar on stderr that says how long it will take."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def each(work: Callable[[_Task], _Result], tasks: Iterable[_Task], name: str) -> list[_Result]:
    """The result for each task, in their order; the first error ends it, and so does Ctrl-C.

    >>> each(str.upper, ["a", "b"], "reading")
    ['A', 'B']
    """
    listed = list(tasks)
    with ThreadPoolExecutor(8) as pool:  # files on a network drive are waited for together
        return list(tqdm(pool.map(work, listed), name, len(listed), leave=False, disable=not listed))
