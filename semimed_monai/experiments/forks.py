"""`python -m …` in a process forked from one that has imported torch and MONAI: no cell waits for that anew.

A forked process is told apart by nothing that a recipe sees: it has its own folder, environment, arguments and output,
and ends with an exit code or a signal, at the latest with the program. The process that it is forked from has imported
and done nothing else; it begins with the first call and ends with the program, too.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np

_IMPORTED = [
    *(f"monai.{room}" for room in ("bundle", "engines", "handlers", "losses", "metrics")),
    *(f"semimed_monai.{room}" for room in ("data.phantoms", "engines", "handlers", "losses", "metrics", "networks")),
    *(f"semimed_monai.{room}" for room in ("recipes", "reports.page", "transforms", "views", "experiments.forks")),
    "torch.utils.tensorboard",
]
"""Most of what a recipe imports."""

_GRACE = 0.25
"""Seconds that a process has to end by itself when this one is interrupted, as it is itself then."""


def fork_context() -> ForkServerContext:
    """Where such processes are begun."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


def run_module(
    arguments: Sequence[str],
    output: Path,
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> int:
    """Run `python -m arguments…`, all it says added to `output`; its exit code, or -n after signal n.

    Raises:
        TimeoutError: it was not done after so many seconds, and was killed.
    """
    process = fork_context().Process(
        target=_be, args=(list(arguments), output, cwd or Path.cwd(), dict(environment or os.environ))
    )
    with ExitStack() as until_known:
        until_known.enter_context(_interrupt_held_back())
        process.start()
        try:
            until_known.close()  # where an interrupt that came meanwhile is raised
            process.join(seconds)
        except BaseException:
            process.join(_GRACE)
            raise
        finally:
            late = process.exitcode is None
            if late:
                process.kill()
                process.join()
    if late:
        raise TimeoutError(f"python -m {' '.join(arguments)}: not done after {seconds} s; what it said: {output}")
    assert process.exitcode is not None  # noqa: S101 - it has been joined
    return process.exitcode


@contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """Ctrl-C counts when this ends: before its number is known, a process could not be ended.

    A mask of signals would not do: any other thread of a program may take an interrupt for the first one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


def _be(arguments: Sequence[str], output: Path, cwd: Path, environment: Mapping[str, str]) -> None:
    """What `python -m arguments…` is."""
    said = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.close(said)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    np.random.seed()  # noqa: NPY002 - or all would begin with the same numbers
    sys.path.insert(0, str(cwd))
    sys.argv = list(arguments)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except Exception as error:  # noqa: BLE001 - as Python ends a program; multiprocessing would print it its own way
        sys.excepthook(type(error), error, error.__traceback__)
        raise SystemExit(1) from None


def _end_with_parent() -> None:
    """If the program that waits for this process is killed, nobody else would stop it."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - this runs in a forked process
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
